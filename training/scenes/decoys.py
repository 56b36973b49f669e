"""Prints without codes: type in every weight and size, tables, pictures, signs and other symbologies."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import lettering, payloads
from training.scenes.backgrounds import random_texture
from training.scenes.blocks import Block
from training.scenes.foreign import foreign
from training.scenes.signs import sign

__all__ = ["decoy"]

Ink = NDArray[np.uint8]
#: Text, a line of large type, a nutrition table, a form, a picture, a sign, a row of signs, another symbology, stripes,
#: a grid, a bar, nothing.
_SHARES = (0.2, 0.16, 0.08, 0.06, 0.1, 0.14, 0.06, 0.08, 0.05, 0.03, 0.02, 0.02)


def decoy(rng: np.random.Generator, seed: int, base: int, density: float) -> Block:
    """Print something that is no code.

    Parameters
    ----------
    seed : int
        Whose bank of textures pictures are cut from.
    base : int
        Typical extent in pixels.
    density : float
        Sheet pixels per pixel of the final picture; text keeps a legible height there.
    """
    width = max(16, round(base * np.exp(rng.uniform(np.log(0.4), np.log(1.7)))))
    height = max(10, round(base * np.exp(rng.uniform(np.log(0.12), np.log(0.9)))))
    size = int(np.clip(base * rng.uniform(0.05, 0.16), 5 * density, 60 * density))
    match rng.choice(len(_SHARES), p=_SHARES):
        case 0:
            return Block(_worked(rng, lettering.paragraph(rng, width, max(height, size + 2), size)))
        case 1:
            return Block(_headline(rng, width, height))
        case 2:
            return Block(_nutrition(rng, width, max(height, 6 * size), size))
        case 3:
            return Block(_table(rng, width, max(height, 2 * size), size))
        case 4:
            return Block(_picture(rng, seed, width, max(height, width // 3)))
        case 5:
            return Block(sign(rng, min(width, base)))
        case 6:
            return Block(_row_of_signs(rng, width))
        case 7:
            return Block(foreign(rng, min(width, base)))
        case 8:
            return Block(_stripes(rng, width, height))
        case 9:
            return Block(_grid(rng, width, height))
        case 10:
            return Block(np.full((max(2, size // 4), width), 255, np.uint8))
        case _:
            return Block(np.zeros((height, width), np.uint8))


def _worked(rng: np.random.Generator, ink: Ink) -> Ink:
    """Type in another face: condensed or wide, bolder or lighter, slanted; the few fonts at hand become many."""
    height, width = ink.shape
    if rng.random() < 0.5:
        stretch = np.exp(rng.uniform(-0.7, 0.5))
        ink = cv2.resize(ink, (max(8, round(width * stretch)), height), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.4:
        kernel = np.ones((1 + int(rng.integers(0, 2)), 1 + int(rng.integers(1, 3))), np.uint8)
        ink = cv2.dilate(ink, kernel) if rng.random() < 0.7 else cv2.erode(ink, kernel)
    if rng.random() < 0.2:
        slant = np.array([[1, -rng.uniform(0.1, 0.35), 0.15 * ink.shape[0]], [0, 1, 0]])
        ink = cv2.warpAffine(ink, slant, ink.shape[1::-1])
    return ink


def _headline(rng: np.random.Generator, width: int, height: int) -> Ink:
    """One line of large type: a brand, a price, a slogan or strokes that stand like bars, in a face of its own."""
    match rng.integers(5):
        case 0:
            return _ink_jet(rng, width)
        case 1:
            text = payloads.digits(rng, int(rng.integers(1, 14)))
        case 2:
            text = "".join(rng.choice(list("IlH1|iLTEFN"), int(rng.integers(6, 20))))
        case 3:
            text = payloads.word(rng).upper()
        case _:
            text = payloads.label_line(rng)
    printed = lettering.line(text, 64, int(rng.integers(9)))
    rows = np.flatnonzero(printed.max(axis=1) > 40)
    if len(rows):
        printed = printed[rows[0] : rows[-1] + 1]
    printed = _worked(rng, printed)
    high = max(8, min(height, round(width * printed.shape[0] / printed.shape[1] * rng.uniform(0.8, 1.6))))
    shown = cv2.resize(printed, (width, high), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.15:
        return 255 - cv2.copyMakeBorder(shown, high // 6, high // 6, high // 6, high // 6, cv2.BORDER_CONSTANT, value=0)
    return np.rot90(shown).copy() if rng.random() < 0.15 else shown


def _ink_jet(rng: np.random.Generator, width: int) -> Ink:
    """A date and a batch in letters of dots, in one or two lines."""
    lines = []
    for _ in range(int(rng.integers(1, 3))):
        date = f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(20, 40)}"
        text = date if rng.random() < 0.6 else f"L{payloads.serial(rng, 7)}"
        lines.append(cv2.resize(lettering.line(text, 24, 1), (72, 12), interpolation=cv2.INTER_AREA) > 60)
    dot = cv2.circle(np.zeros((7, 7), np.uint8), (3, 3), int(rng.integers(2, 4)), 255, -1, cv2.LINE_AA)
    dots = np.kron(np.vstack(lines).astype(np.uint8), dot)
    return cv2.resize(dots, (width, max(6, width * dots.shape[0] // dots.shape[1])), interpolation=cv2.INTER_AREA)


def _nutrition(rng: np.random.Generator, width: int, height: int, size: int) -> Ink:
    """Names at the left, amounts at the right, thick and thin rules, in a frame."""
    ink = np.zeros((height, width), np.uint8)
    row = size + max(2, size // 4)
    for number, top in enumerate(range(2, height - row, row)):
        words = lettering.banked_line(rng, size)[:, : max(width * 3 // 5, 1)]
        ink[top : top + size, 3 : 3 + words.shape[1]] = words[:, : width - 3]
        amount = lettering.line(f"{rng.integers(1, 99)},{rng.integers(10)} g", size, int(rng.integers(9)))
        amount = amount[:, : max(width // 3, 1)]
        ink[top : top + size, width - 3 - amount.shape[1] : width - 3] = amount
        stroke = 1 if number % 5 else max(1, size // 4)
        cv2.line(ink, (2, top + row - 2), (width - 3, top + row - 2), 255, stroke)
    return cv2.rectangle(ink, (0, 0), (width - 1, height - 1), 255, max(1, size // 8))


def _table(rng: np.random.Generator, width: int, height: int, size: int) -> Ink:
    """Ruled rows with print in some cells."""
    ink = np.zeros((height, width), np.uint8)
    row, stroke = size * 3 // 2 + 2, max(1, size // 10)
    splits = np.sort(rng.integers(size, max(width - size, size + 1), rng.integers(1, 4)))
    for top in range(0, height - row, row):
        for left in (0, *splits):
            if rng.random() < 0.8:
                printed = lettering.banked_line(rng, size)[:, : max(width // 3, 1)]
                cell = ink[top + 2 : top + 2 + size, left + 3 : left + 3 + printed.shape[1]]
                cell[:] = printed[:, : cell.shape[1]]
        cv2.line(ink, (0, top), (width, top), 255, stroke)
    for x in splits.tolist():
        cv2.line(ink, (x, 0), (x, height), 255, stroke)
    return cv2.rectangle(ink, (0, 0), (width - 1, height - 1), 255, stroke)


def _picture(rng: np.random.Generator, seed: int, width: int, height: int) -> Ink:
    """A cut from the texture bank, upright, as printed pictures and patterns are."""
    texture = random_texture(rng, seed)
    side = texture.shape[0]
    zoom = min(rng.uniform(0.5, 1.0) * side / max(width, height), 2.0)
    wide, high = max(2, int(width * zoom)), max(2, int(height * zoom))
    left, top = int(rng.integers(0, side - wide + 1)), int(rng.integers(0, side - high + 1))
    return 255 - cv2.resize(
        texture[top : top + high, left : left + wide], (width, height), interpolation=cv2.INTER_AREA
    )


def _row_of_signs(rng: np.random.Generator, width: int) -> Ink:
    """Marks side by side, as at the foot of a package or on a care label."""
    count = int(rng.integers(2, 7))
    side = max(8, width // count)
    row = [cv2.copyMakeBorder(sign(rng, side - 3), 1, 2, 1, 2, cv2.BORDER_CONSTANT, value=0) for _ in range(count)]
    return np.hstack(row)


def _stripes(rng: np.random.Generator, width: int, height: int) -> Ink:
    """Stripes of one width, straight or slanted, or a few broad ones: hazard tape, a zebra crossing, a ruled field."""
    pitch = max(3.0, width / rng.uniform(3, 40))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    slant = rng.choice([0.0, 0.0, 1.0, rng.uniform(-1, 1)])
    phase = (columns + slant * rows) / pitch % 1
    return (255 * np.clip((rng.uniform(0.3, 0.7) - phase) * pitch, 0, 1)).astype(np.uint8)


def _grid(rng: np.random.Generator, width: int, height: int) -> Ink:
    """Squared paper, a calendar, a puzzle: ruled cells of which some are filled or hold a character."""
    cell = max(5, round(width / rng.uniform(3, 14)))
    rows, columns = max(1, height // cell), max(1, width // cell)
    ink = np.zeros((rows * cell + 1, columns * cell + 1), np.uint8)
    filled, lettered = rng.choice([0.0, 0.1, 0.3]), rng.choice([0.0, 0.5])
    for row in range(rows):
        for column in range(columns):
            place = ink[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            if rng.random() < filled:
                place[:] = 255
            elif rng.random() < lettered:
                place[:] = sign(rng, cell)
    ink[::cell] = 255
    ink[:, ::cell] = 255
    return ink
