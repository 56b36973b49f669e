"""Grey textures of machines: circuit boards, perforated and screwed plates, vents, ruled and squared paper."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import lettering
from training.scenes.materials import noise, stretched
from training.scenes.signs import SIGNS

__all__ = ["HARDWARE"]

Texture = NDArray[np.uint8]


def circuit_board(rng: np.random.Generator, side: int) -> Texture:
    """Traces at right angles, rows of pads, chips with pins and print."""
    board = np.full((side, side), int(rng.integers(50, 120)), np.uint8)
    copper, solder = int(rng.integers(90, 170)), int(rng.integers(170, 256))
    for _ in range(int(rng.integers(40, 160))):
        x, y = rng.integers(0, side, 2).tolist()
        bend = (x + int(rng.integers(-160, 161)), y)
        end = (bend[0], y + int(rng.integers(-160, 161)))
        cv2.polylines(board, [np.array([(x, y), bend, end], np.int32)], False, copper, int(rng.integers(1, 5)), 16)
    for _ in range(int(rng.integers(10, 60))):
        _pads(rng, board, solder)
    for _ in range(int(rng.integers(3, 16))):
        _chip(rng, board, solder)
    return board


def _pads(rng: np.random.Generator, board: Texture, tone: int) -> None:
    """A row or a field of solder joints, in place."""
    x, y = rng.integers(0, board.shape[0], 2).tolist()
    columns, rows = (int(rng.integers(2, 20)), 1) if rng.random() < 0.7 else rng.integers(2, 9, 2).tolist()
    pitch, radius = int(rng.integers(6, 18)), int(rng.integers(2, 6))
    for row in range(rows):
        for column in range(columns):
            cv2.circle(board, (x + column * pitch, y + row * pitch), radius, tone, -1, cv2.LINE_AA)


def _chip(rng: np.random.Generator, board: Texture, tone: int) -> None:
    """A dark package with pins on two sides and a line of print, in place."""
    x, y = rng.integers(0, board.shape[0] - 20, 2).tolist()
    wide, high, pitch = int(rng.integers(16, 140)), int(rng.integers(16, 140)), int(rng.integers(4, 11))
    for pin in range(y + 2, y + high - 2, pitch):
        cv2.line(board, (x - 6, pin), (x + wide + 6, pin), tone, max(1, pitch // 2))
    cv2.rectangle(board, (x, y), (x + wide, y + high), int(rng.integers(5, 50)), -1)
    printed = lettering.banked_line(rng, max(6, high // 5))[:, : max(wide - 6, 1)]
    place = board[y + high // 3 :, x + 3 :][: printed.shape[0], : printed.shape[1]]
    np.maximum(place, printed[: place.shape[0], : place.shape[1]] // 2, out=place)


def screwed_plate(rng: np.random.Generator, side: int) -> Texture:
    """A metal plate with screws, holes and seams."""
    plate = stretched(noise(rng, side, 300, 2, stretch=rng.uniform(1, 60)) + noise(rng, side, 3, 2))
    plate = (plate // 3 + int(rng.integers(40, 150))).astype(np.uint8)
    for seam in rng.integers(0, side, int(rng.integers(0, 5))).tolist():
        cv2.line(plate, (0, seam), (side, seam), 20, int(rng.integers(1, 6)))
    for _ in range(int(rng.integers(6, 50))):
        across = int(rng.integers(12, 80))
        x, y = rng.integers(0, side - across, 2).tolist()
        place = plate[y : y + across, x : x + across]
        if rng.random() < 0.3:
            cv2.circle(place, (across // 2, across // 2), across // 3, 10, -1, cv2.LINE_AA)
        else:
            head = cv2.resize(SIGNS[-1](rng), (across, across), interpolation=cv2.INTER_AREA)
            place[:] = np.where(head > 0, (place // 2 + head // 3), place)
    return plate


def perforated(rng: np.random.Generator, side: int) -> Texture:
    """Round or square holes at equal distances, in rows or staggered: loudspeakers, pegboards, vents."""
    pitch = int(rng.integers(8, 48))
    size, rounded, staggered = pitch * rng.uniform(0.2, 0.42), rng.random() < 0.7, rng.random() < 0.5
    sheet = np.full((side, side), int(rng.integers(90, 250)), np.uint8)
    for row, top in enumerate(range(0, side + pitch, pitch)):
        for left in range(pitch // 2 if staggered and row % 2 else 0, side + pitch, pitch):
            if rounded:
                cv2.circle(sheet, (left, top), max(1, round(size)), 15, -1, cv2.LINE_AA)
            else:
                reach = max(1, round(size))
                cv2.rectangle(sheet, (left - reach, top - reach), (left + reach, top + reach), 15, -1)
    return stretched(sheet + 20 * noise(rng, side, 4, 3))


def ruled(rng: np.random.Generator, side: int) -> Texture:
    """Squared or ruled paper, a ruler's or a scale's marks of several lengths."""
    page = np.full((side, side), 245, np.uint8)
    pitch, tone = int(rng.integers(7, 40)), int(rng.integers(40, 200))
    page[::pitch] = tone
    if rng.random() < 0.6:
        page[:, ::pitch] = tone
    else:
        for mark, x in enumerate(range(0, side, max(3, pitch // 3))):
            cv2.line(page, (x, side // 3), (x, side // 3 + (40 if mark % 10 == 0 else 26 if mark % 5 == 0 else 15)), 20)
    return page


HARDWARE = (circuit_board, screwed_plate, perforated, ruled)
