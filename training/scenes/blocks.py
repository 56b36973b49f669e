"""What is printed on a sheet: codes with their quiet zones, text, tables, pictures and signs, as ink coverage."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import lettering
from training.scenes.backgrounds import random_texture
from training.scenes.symbols import BARCODE, DATAMATRIX, QR, Symbol

__all__ = ["Block", "Mark", "decoy", "symbol_block"]

Ink = NDArray[np.uint8]


class Mark(NamedTuple):
    """A code in print: the symbol and its box (left, top, right, bottom) in pixels, without quiet zone and text."""

    symbol: Symbol
    box: tuple[int, int, int, int]


class Block(NamedTuple):
    """A printed rectangle: ink coverage uint8 (height, width) and the code in it, if any."""

    ink: Ink
    mark: Mark | None = None


def symbol_block(rng: np.random.Generator, symbol: Symbol, long_side: int) -> Block:
    """Print a code with its quiet zone, as its symbology is usually seen.

    Parameters
    ----------
    symbol : Symbol
    long_side : int
        Pixels from the first to the last module of the longer side.
    """
    rows, columns = symbol.modules.shape
    if symbol.class_id == BARCODE:
        width, height = long_side, max(3, round(long_side * np.exp(rng.uniform(np.log(0.16), np.log(0.8)))))
    else:
        width, height = (max(2, round(long_side * n / max(rows, columns))) for n in (columns, rows))
    pitch = width / columns
    ink = _spread(rng, _drawn(rng, symbol, width, height), min(pitch, long_side / 32))
    quiet = max(2, round(pitch * symbol.quiet * rng.uniform(0.6, 1.4)))
    quiet_y = max(2, round(height * rng.uniform(0.04, 0.2))) if symbol.class_id == BARCODE else quiet
    padded = cv2.copyMakeBorder(ink, quiet_y, quiet_y, quiet, quiet, cv2.BORDER_CONSTANT, value=0)
    box = (quiet, quiet_y, quiet + width, quiet_y + height)
    if symbol.class_id == BARCODE and rng.random() < 0.65:
        padded = _captioned(rng, padded, symbol.payload, max(5, round(width * rng.uniform(0.05, 0.1))), quiet_y // 2)
    return Block(padded, Mark(symbol, box))


def decoy(rng: np.random.Generator, seed: int, base: int, density: float) -> Block:
    """Print something that is no code: text, a table, a picture or pattern, a sign, a heading or nothing.

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
    match rng.choice(6, p=(0.42, 0.12, 0.2, 0.14, 0.08, 0.04)):
        case 0:
            return Block(lettering.paragraph(rng, width, max(height, size + 2), size))
        case 1:
            return Block(_table(rng, width, max(height, 2 * size), size))
        case 2:
            return Block(_picture(rng, seed, width, max(height, width // 3)))
        case 3:
            return Block(_sign(rng, min(width, base)))
        case 4:
            return Block(np.full((max(2, size // 4), width), 255, np.uint8))
        case _:
            return Block(np.zeros((height, width), np.uint8))


def _drawn(rng: np.random.Generator, symbol: Symbol, width: int, height: int) -> Ink:
    """The symbol's ink, with the liberties printers take: round modules, a picture in a QR code's middle."""
    dotted = {DATAMATRIX: 0.12, QR: 0.06}.get(symbol.class_id, 0.0)
    if rng.random() < dotted:
        dot = cv2.circle(np.zeros((9, 9), np.uint8), (4, 4), int(rng.integers(3, 5)), 255, -1)
        ink = cv2.resize(np.kron(symbol.modules, dot), (width, height), interpolation=cv2.INTER_AREA)
    else:
        ink = symbol.ink(width, height)
    if symbol.kind == "qr" and rng.random() < 0.1:
        hole = round(width * rng.uniform(0.12, 0.24))
        corner = (width - hole) // 2
        ink[corner : corner + hole, corner : corner + hole] = 0
        sign = _sign(rng, max(4, hole * 4 // 5))
        corner = (width - sign.shape[0]) // 2
        ink[corner : corner + sign.shape[0], corner : corner + sign.shape[1]] = sign
    return ink


def _spread(rng: np.random.Generator, ink: Ink, reach: float) -> Ink:
    """Ink that runs or does not reach the edge: blur by a part of `reach` pixels, then threshold off the middle."""
    if reach < 2.5 or rng.random() < 0.55:
        return ink
    soft = cv2.GaussianBlur(ink, (0, 0), reach * rng.uniform(0.15, 0.35)).astype(np.float32)
    level = rng.uniform(90, 165)
    return np.clip((soft - level) * (2.5 + reach / 4) + 127, 0, 255).astype(np.uint8)


def _captioned(rng: np.random.Generator, ink: Ink, text: str, size: int, gap: int) -> Ink:
    """The code's content in print under its bars."""
    letters = lettering.line(text, max(size, 24), int(rng.integers(9)))
    width = min(ink.shape[1] - 2, round(letters.shape[1] * size / letters.shape[0]))
    letters = cv2.resize(letters, (max(width, 1), size), interpolation=cv2.INTER_AREA)
    page = np.zeros((ink.shape[0] + size + gap, ink.shape[1]), np.uint8)
    page[: ink.shape[0]] = ink
    left = (ink.shape[1] - letters.shape[1]) // 2
    page[ink.shape[0] - gap : ink.shape[0] - gap + size, left : left + letters.shape[1]] = letters
    return page


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


def _sign(rng: np.random.Generator, side: int) -> Ink:
    """A logo: a solid shape, a ring, a letter in a frame, or the black square that is no marker."""
    ink = np.zeros((64, 64), np.uint8)
    match rng.integers(6):
        case 0:
            cv2.rectangle(ink, (2, 2), (61, 61), 255, -1)
        case 1:
            cv2.circle(ink, (32, 32), 30, 255, -1 if rng.random() < 0.5 else 8, cv2.LINE_AA)
        case 2:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
            outline = 32 + 30 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            cv2.fillPoly(ink, [outline.astype(np.int32)], 255, cv2.LINE_AA)
        case 3:
            for ring, tone in ((30, 255), (22, 0), (13, 255)):
                cv2.rectangle(ink, (32 - ring, 32 - ring), (32 + ring, 32 + ring), tone, -1)
        case _:
            solid = rng.random() < 0.5
            cv2.rectangle(ink, (2, 2), (61, 61), 255, -1 if solid else 3)
            letter = chr(int(rng.integers(65, 91)))
            cv2.putText(ink, letter, (14, 48), cv2.FONT_HERSHEY_DUPLEX, 1.6, 0 if solid else 255, 4, cv2.LINE_AA)
    return cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA if side < 64 else cv2.INTER_LINEAR)
