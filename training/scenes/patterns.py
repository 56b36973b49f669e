"""Grey textures of made things that look like codes and are none."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import lettering
from training.scenes.materials import noise, stretched

__all__ = ["PATTERNS"]

Texture = NDArray[np.uint8]


def bricks(rng: np.random.Generator, side: int) -> Texture:
    """Courses of bricks or square tiles, each in its own tone, with mortar between."""
    high = int(rng.integers(16, 90))
    wide, offset = (high, 0) if rng.random() < 0.4 else (int(high * rng.uniform(1.8, 3.2)), high)
    wall = np.full((side, side), int(rng.integers(0, 256)), np.uint8)
    gap, middle, spread = max(1, high // 10), rng.uniform(60, 200), rng.uniform(3, 40)
    for course, top in enumerate(range(0, side, high)):
        for left in range(-(course % 2) * offset, side, wide):
            tone = float(np.clip(rng.normal(middle, spread), 0, 255))
            cv2.rectangle(wall, (left, top), (left + wide - gap, top + high - gap), tone, -1)
    return stretched(wall + 30 * noise(rng, side, 80, 2))


def keyboard(rng: np.random.Generator, side: int) -> Texture:
    """Keys or app icons: a grid of rounded squares with a sign on each."""
    pitch, dark = int(rng.integers(36, 110)), rng.random() < 0.5
    board = np.full((side, side), 20 if dark else 170, np.uint8)
    key, sign = (60, 230) if dark else (240, 40)
    for top in range(0, side, pitch):
        left = -int(rng.integers(0, pitch))
        while left < side:
            wide = pitch if rng.random() < 0.85 else 2 * pitch
            cv2.rectangle(board, (left + 3, top + 3), (left + wide - 5, top + pitch - 5), key, -1)
            letter = chr(int(rng.integers(48, 91)))
            corner = (left + pitch // 4, top + pitch * 2 // 3)
            cv2.putText(board, letter, corner, cv2.FONT_HERSHEY_SIMPLEX, pitch / 75, sign, 1 + pitch // 50, cv2.LINE_AA)
            left += wide
    return board


def text_page(rng: np.random.Generator, side: int) -> Texture:
    """A page in one to four columns, headings and pictures between."""
    columns, size = int(rng.integers(1, 5)), int(rng.integers(9, 34))
    ink = np.zeros((side, side), np.uint8)
    wide = side // columns
    for column in range(columns):
        top = int(rng.integers(0, size * 2))
        while top < side - size:
            body = size * 2 if rng.random() < 0.2 else size
            high = min(int(body * rng.integers(1, 14)), side - top)
            block = ink[top : top + high, column * wide : column * wide + wide - size]
            if rng.random() < 0.12:
                block[:] = (noise(rng, max(block.shape), 4, 4) * 220)[: block.shape[0], : block.shape[1]]
            else:
                block[:] = lettering.paragraph(rng, block.shape[1], block.shape[0], body)
            top += high + size
    return 255 - ink


def bookshelf(rng: np.random.Generator, side: int) -> Texture:
    """Spines of books side by side, shelf over shelf."""
    shelf = np.zeros((side, side), np.uint8)
    high = int(rng.integers(120, 400))
    for bottom in range(high, side + high, high):
        left = 0
        while left < side:
            wide, tall = int(rng.integers(8, 60)), int(high * rng.uniform(0.65, 0.97))
            spine = slice(max(bottom - tall, 0), min(bottom - 6, side)), slice(left, left + wide)
            shelf[spine] = rng.integers(20, 250)
            shelf[spine[0], left : left + 2] //= 2
            if wide > 16 and rng.random() < 0.6:
                title = np.rot90(lettering.banked_line(rng, wide - 8))[: tall // 2]
                place = shelf[max(bottom - tall + 20, 0) :, left + 4 :][: title.shape[0], : title.shape[1]]
                np.maximum(place, title[: place.shape[0], : place.shape[1]], out=place)
            left += wide
    return shelf


def grille(rng: np.random.Generator, side: int) -> Texture:
    """Slats, blinds, a radiator or a fence: equal bars at equal distances."""
    x = np.arange(side, dtype=np.float32)
    pitch, duty = rng.uniform(5, 60), rng.uniform(0.25, 0.75)
    bars = np.clip((np.abs((x / pitch) % 1 - 0.5) - duty / 2) * pitch, 0, 1)
    rounded = np.sin(np.pi * (x / pitch % 1)) if rng.random() < 0.4 else bars
    return stretched(np.tile(rounded, (side, 1)) + 0.3 * noise(rng, side, 3, 3))


def zebra(rng: np.random.Generator, side: int) -> Texture:
    """Stripes that wander, as on a zebra or in ploughed land."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    phase = rng.uniform(10, 50) * columns + rng.uniform(2, 14) * noise(rng, side, 3, 3) + 3 * rows
    return stretched(np.tanh(np.sin(2 * np.pi * phase) * rng.uniform(1, 8)))


def checkerboard(rng: np.random.Generator, side: int) -> Texture:
    """Chess squares, sometimes with a calibration board's light margins or pieces on them."""
    pitch = int(rng.integers(8, 110))
    index = np.arange(side) // pitch
    board = stretched((index[:, None] + index[None, :]) % 2)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(4, 30))):
            square = rng.integers(0, side // pitch + 1, 2) * pitch + pitch // 2
            cv2.circle(board, square.tolist(), pitch // 3, int(rng.integers(30, 220)), -1, cv2.LINE_AA)
    return board


def halftone(rng: np.random.Generator, side: int) -> Texture:
    """Print dots whose size follows the tone; a dotted grid where the tone is even."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    pitch = rng.uniform(6, 30)
    tone = noise(rng, side, rng.uniform(2, 6), 2) if rng.random() < 0.7 else np.float32(rng.uniform(0.2, 0.8))
    dots = np.cos(2 * np.pi * columns / pitch) + np.cos(2 * np.pi * rows / pitch)
    return (255 * np.clip((dots / 2 + 1 - 2 * tone) * 2, 0, 1)).astype(np.uint8)


def mosaic(rng: np.random.Generator, side: int) -> Texture:
    """Pixels of random tone; of black and white alone now and then."""
    cells, levels = int(rng.integers(12, 130)), int(rng.choice([2, 3, 4, 8, 256], p=[0.12, 0.13, 0.25, 0.25, 0.25]))
    tones = rng.integers(0, levels, (cells, cells)).astype(np.float32)
    return cv2.resize(stretched(tones), (side, side), interpolation=cv2.INTER_NEAREST)


def crossword(rng: np.random.Generator, side: int) -> Texture:
    """Squares with a letter, some black; the puzzle page or a seating plan."""
    pitch, share = int(rng.integers(18, 64)), rng.uniform(0.1, 0.4)
    page = np.full((side, side), 255, np.uint8)
    for top in range(0, side, pitch):
        for left in range(0, side, pitch):
            if rng.random() < share:
                cv2.rectangle(page, (left, top), (left + pitch, top + pitch), 0, -1)
            elif rng.random() < 0.5:
                corner = (left + pitch // 5, top + pitch * 4 // 5)
                letter = chr(int(rng.integers(65, 91)))
                cv2.putText(page, letter, corner, cv2.FONT_HERSHEY_SIMPLEX, pitch / 45, 40, 1, cv2.LINE_AA)
    page[::pitch] = 0
    page[:, ::pitch] = 0
    return page


def table(rng: np.random.Generator, side: int) -> Texture:
    """A form: ruled cells with print in them, some cells grey."""
    page = np.full((side, side), 255, np.uint8)
    high, size = int(rng.integers(20, 60)), int(rng.integers(10, 18))
    splits = np.cumsum(rng.integers(40, 220, 32))
    edges = [0, *splits[splits < side].tolist(), side]
    for top in range(0, side - high, high):
        for left, right in pairwise(edges):
            if rng.random() < 0.1:
                page[top : top + high, left:right] = rng.integers(120, 240)
            if rng.random() < 0.7 and right - left > 16:
                printed = lettering.banked_line(rng, size)[:, : right - left - 8]
                page[top + 5 : top + 5 + size, left + 4 : left + 4 + printed.shape[1]] = 255 - printed
    page[::high] = 0
    page[:, edges[:-1]] = 0
    return page


def clutter(rng: np.random.Generator, side: int) -> Texture:
    """Polygons, circles and lines over each other."""
    canvas = stretched(noise(rng, side, 3, 2))
    for _ in range(int(rng.integers(20, 120))):
        tone, centre = int(rng.integers(256)), rng.uniform(0, side, 2)
        reach = rng.uniform(8, side / 5)
        outline = (centre + rng.uniform(-reach, reach, (int(rng.integers(3, 7)), 2))).astype(np.int32)
        match rng.integers(4):
            case 0:
                cv2.circle(canvas, outline[0].tolist(), int(reach / 2), tone, -1, cv2.LINE_AA)
            case 1:
                cv2.polylines(canvas, [outline], rng.random() < 0.5, tone, int(rng.integers(1, 9)), cv2.LINE_AA)
            case _:
                cv2.fillConvexPoly(canvas, cv2.convexHull(outline), tone, cv2.LINE_AA)
    return canvas


def facade(rng: np.random.Generator, side: int) -> Texture:
    """Windows in rows, lit and dark; a rack of drawers or server fronts."""
    wide, high = int(rng.integers(18, 90)), int(rng.integers(18, 90))
    front = np.full((side, side), int(rng.integers(90, 220)), np.uint8)
    inset_x, inset_y = max(2, int(wide * rng.uniform(0.1, 0.3))), max(2, int(high * rng.uniform(0.1, 0.3)))
    for top in range(0, side, high):
        for left in range(0, side, wide):
            tone = int(rng.integers(0, 90) if rng.random() < 0.7 else rng.integers(150, 256))
            pane = (left + inset_x, top + inset_y), (left + wide - inset_x, top + high - inset_y)
            cv2.rectangle(front, *pane, tone, -1)
    return front


PATTERNS = (
    bricks,
    keyboard,
    text_page,
    bookshelf,
    grille,
    zebra,
    checkerboard,
    halftone,
    mosaic,
    crossword,
    table,
    clutter,
    facade,
)
