"""Other symbologies, which are no class: MaxiCode, DotCode, postal codes and matrices of colours, as ink coverage."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from training.scenes import payloads

__all__ = ["FOREIGN", "foreign"]

Ink = NDArray[np.uint8]


def foreign(rng: np.random.Generator, long_side: int) -> Ink:
    """A symbol that is none of the classes, its longer side in pixels: uint8 (height, width)."""
    ink = FOREIGN[rng.integers(len(FOREIGN))](rng)
    scale = long_side / max(ink.shape)
    size = (max(2, round(ink.shape[1] * scale)), max(2, round(ink.shape[0] * scale)))
    return cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def maxicode(rng: np.random.Generator) -> Ink:
    """Hexagons around a bull's eye, by zxing-cpp."""
    text = payloads.serial(rng, int(rng.integers(8, 60)))
    created = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.MaxiCode)
    picture = np.asarray(zxingcpp.write_barcode_to_image(created, scale=1, add_quiet_zones=False))
    return 255 - picture.squeeze()


def dotcode(rng: np.random.Generator) -> Ink:
    """Dots on every other place of a board, half of them printed: how DotCode looks; it holds no message."""
    rows, columns = int(rng.integers(7, 24)), int(rng.integers(12, 48))
    grid = (np.add.outer(np.arange(rows), np.arange(columns)) % 2 == 0) & (rng.random((rows, columns)) < 0.55)
    dot = cv2.circle(np.zeros((9, 9), np.uint8), (4, 4), int(rng.integers(3, 5)), 255, -1, cv2.LINE_AA)
    return np.kron(grid.astype(np.uint8), dot)


def four_state(rng: np.random.Generator) -> Ink:
    """Thin bars of four heights at equal distances, as post offices print addresses; it holds no message."""
    count, pitch, high = int(rng.integers(25, 70)), 6, int(rng.integers(24, 44))
    ink = np.zeros((high, count * pitch), np.uint8)
    third = high // 3
    for bar, state in enumerate(rng.integers(0, 4, count).tolist()):
        top, bottom = (0 if state & 1 else third), (high if state & 2 else high - third)
        ink[top:bottom, bar * pitch : bar * pitch + 3] = 255
    return ink


def postnet(rng: np.random.Generator) -> Ink:
    """Tall and half bars on one line."""
    tall = rng.random(int(rng.integers(27, 64))) < 0.4
    ink = np.zeros((24, tall.size * 6), np.uint8)
    for bar, full in enumerate(tall.tolist()):
        ink[0 if full else 13 :, bar * 6 : bar * 6 + 3] = 255
    return ink


def triangles(rng: np.random.Generator) -> Ink:
    """Rows of triangles in tones between thick rules: a high capacity colour code without its colours."""
    rows, columns = int(rng.integers(5, 10)), int(rng.integers(8, 20))
    ink = np.zeros((rows * 20, columns * 16), np.uint8)
    for row in range(rows):
        for column in range(columns):
            x, y = column * 16, row * 20
            up = (row + column) % 2
            points = [(x, y + 17), (x + 16, y + 17), (x + 8, y)] if up else [(x, y), (x + 16, y), (x + 8, y + 17)]
            cv2.fillPoly(ink, [np.array(points, np.int32)], int(rng.choice([40, 110, 180, 255])))
    return cv2.copyMakeBorder(ink, 10, 10, 10, 10, cv2.BORDER_CONSTANT, value=255)


def film_edge(rng: np.random.Generator) -> Ink:
    """Two rows of marks and a number between, as at the edge of a film or a ruler."""
    count = int(rng.integers(20, 60))
    ink = np.zeros((40, count * 8), np.uint8)
    for mark, kind in enumerate(rng.integers(0, 4, count).tolist()):
        ink[: (8, 14, 8, 22)[kind], mark * 8 : mark * 8 + 3] = 255
    return np.vstack([ink, ink[::-1]]) if rng.random() < 0.4 else ink


FOREIGN: tuple[Callable[[np.random.Generator], Ink], ...] = (
    maxicode, maxicode, dotcode, dotcode, four_state, postnet, triangles, film_edge,
)  # fmt: skip
