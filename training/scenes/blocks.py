"""Codes in print: with their quiet zones, captions and the liberties and faults of printers, as ink coverage."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import lettering
from training.scenes.signs import sign
from training.scenes.symbols import AZTEC, BARCODE, DATAMATRIX, PDF417, QR, Symbol

__all__ = ["Block", "Mark", "symbol_block"]

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
    if symbol.class_id in (BARCODE, PDF417):
        width, height = long_side, max(3, round(long_side * _height_share(rng, symbol)))
    else:
        width, height = (max(2, round(long_side * n / max(rows, columns))) for n in (columns, rows))
    pitch = width / columns
    ink = _spread(rng, _drawn(rng, symbol, width, height), min(pitch, long_side / 32))
    if rng.random() < (0.2 if symbol.class_id == DATAMATRIX else 0.06):
        _damage(rng, ink, pitch)
    quiet = max(2, round(pitch * symbol.quiet * rng.uniform(0.6, 1.4)))
    quiet_y = max(2, round(height * rng.uniform(0.04, 0.2))) if symbol.class_id == BARCODE else quiet
    padded = cv2.copyMakeBorder(ink, quiet_y, quiet_y, quiet, quiet, cv2.BORDER_CONSTANT, value=0)
    box = (quiet, quiet_y, quiet + width, quiet_y + height)
    if symbol.class_id == BARCODE and rng.random() < 0.65:
        padded = _captioned(rng, padded, symbol.payload, max(5, round(width * rng.uniform(0.05, 0.1))), quiet_y // 2)
    return Block(padded, Mark(symbol, box))


def _drawn(rng: np.random.Generator, symbol: Symbol, width: int, height: int) -> Ink:
    """The symbol's ink, with the liberties printers take: round modules, a picture in a QR code's middle."""
    dotted = {DATAMATRIX: 0.18, QR: 0.08, AZTEC: 0.05}.get(symbol.class_id, 0.0)
    if rng.random() < dotted:
        dot = cv2.circle(np.zeros((9, 9), np.uint8), (4, 4), int(rng.integers(3, 5)), 255, -1)
        ink = cv2.resize(np.kron(symbol.modules, dot), (width, height), interpolation=cv2.INTER_AREA)
    else:
        ink = symbol.ink(width, height)
    if symbol.kind == "qr" and rng.random() < 0.1:
        hole = round(width * rng.uniform(0.12, 0.24))
        corner = (width - hole) // 2
        ink[corner : corner + hole, corner : corner + hole] = 0
        logo = sign(rng, max(4, hole * 4 // 5))
        corner = (width - logo.shape[0]) // 2
        ink[corner : corner + logo.shape[0], corner : corner + logo.shape[1]] = logo
    return ink


def _height_share(rng: np.random.Generator, symbol: Symbol) -> float:
    """Height over width: bars from long and thin to nearly square; stacked rows near the shape they are made in."""
    rows, columns = symbol.modules.shape
    if rows > 1:
        return rows / columns * float(np.exp(rng.uniform(-0.25, 0.45)))
    low, high = (0.05, 0.16) if rng.random() < 0.25 else (0.16, 0.9)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _damage(rng: np.random.Generator, ink: Ink, pitch: float) -> None:
    """Rub off a part of an edge or nick it, in place: borders suffer first."""
    for _ in range(int(rng.integers(1, 5))):
        along = ink if rng.random() < 0.5 else ink.T
        along = along if rng.random() < 0.5 else along[::-1]
        depth = max(1, round(pitch * rng.uniform(0.5, 2.2)))
        reach = max(1, round(along.shape[1] * rng.uniform(0.05, 0.6)))
        start = int(rng.integers(0, max(along.shape[1] - reach, 0) + 1))
        rubbed = along[:depth, start : start + reach]
        # Rubbed off, or smeared over with ink.
        rubbed[:] = rubbed * rng.uniform(0, 0.5) if rng.random() < 0.75 else np.maximum(rubbed, 200)


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
