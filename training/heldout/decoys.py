"""Prints that look like symbols and are none: the hard negatives."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.artwork import Artwork, Print, letters, margin, printed
from training.heldout.materials import hsv
from training.heldout.words import FONTS, sentence

__all__ = ["DECOYS", "draw_decoy"]

Ink = NDArray[np.uint8]


def _blocks(values: NDArray[np.integer], texel: int) -> Ink:
    return np.kron(values.astype(np.uint8), np.ones((texel, texel), np.uint8))


def chessboard(rng: np.random.Generator) -> Ink:
    """Four to ten squares a side."""
    rows, columns = rng.integers(4, 11, 2)
    return _blocks(np.add.outer(np.arange(rows), np.arange(columns)) % 2 * 255, 40)


def fence(rng: np.random.Generator) -> Ink:
    """Even slats: a barcode's bars differ in width, these do not."""
    period = int(rng.integers(6, 14))
    slats = np.arange(period * int(rng.integers(9, 25))) % period < period * rng.uniform(0.35, 0.65)
    ink = np.repeat(slats[None] * np.uint8(255), int(slats.size * rng.uniform(0.3, 0.9)), axis=0)
    rails = (np.array([0.15, 0.85]) * ink.shape[0]).astype(int)
    for rail in rails if rng.random() < 0.5 else ():
        ink[rail : rail + period] = 255
    return ink


def text_page(rng: np.random.Generator) -> Ink:
    """A paragraph of small print."""
    lines = [sentence(rng, int(rng.integers(3, 7))) for _ in range(int(rng.integers(6, 16)))]
    return letters("\n".join(lines), str(rng.choice(FONTS)), 26).ink


def mosaic(rng: np.random.Generator) -> Ink:
    """Random squares in several shades, without a finder pattern, frame or clock track."""
    side = int(rng.integers(9, 22))
    values = rng.choice([0, 50, 100, 150, 200, 250], (side, side))
    return np.pad(_blocks(values, 16), 16)


def framed_square(rng: np.random.Generator) -> Ink:
    """A black frame around a disc, a cross, a letter or nothing."""
    ink = np.zeros((320, 320), np.uint8)
    thickness = int(rng.integers(8, 50))
    cv2.rectangle(ink, (thickness // 2,) * 2, (319 - thickness // 2,) * 2, 255, thickness)
    kind = rng.integers(4)
    if kind == 0:
        cv2.circle(ink, (160, 160), int(rng.integers(30, 80)), 255, -1)
    elif kind == 1:
        cv2.line(ink, (100, 100), (220, 220), 255, 24)
        cv2.line(ink, (220, 100), (100, 220), 255, 24)
    elif kind == 2:
        glyph = letters(str(rng.choice(list("ABEKMPRX"))), str(rng.choice(FONTS)), 150).ink
        ink[160 - glyph.shape[0] // 2 :, 160 - glyph.shape[1] // 2 :][: glyph.shape[0], : glyph.shape[1]] |= glyph
    return ink


def rings(rng: np.random.Generator) -> Ink:
    """Concentric circles, as on a target."""
    row, column = np.mgrid[-160:160, -160:160]
    return np.where(np.hypot(row, column) % rng.uniform(25, 60) < rng.uniform(10, 25), 255, 0).astype(np.uint8)


def crossword(rng: np.random.Generator) -> Ink:
    """An empty crossword: thin lines, few black squares."""
    side = int(rng.integers(7, 13))
    ink = _blocks((rng.random((side, side)) < 0.18) * 255, 32)
    ink[::32], ink[:, ::32], ink[-1], ink[:, -1] = 255, 255, 255, 255
    return ink


def ruler(rng: np.random.Generator) -> Ink:
    """Tick marks of three lengths."""
    ticks = int(rng.integers(30, 80))
    ink = np.zeros((70, ticks * 8 + 3), np.uint8)
    for tick in range(ticks + 1):
        ink[: 60 if tick % 10 == 0 else 40 if tick % 5 == 0 else 25, tick * 8 : tick * 8 + 3] = 255
    return ink


def keys(rng: np.random.Generator) -> Ink:
    """A piano's keyboard."""
    ink = np.zeros((160, 30 * 14 + 2), np.uint8)
    ink[:, ::30] = 255
    ink[:2], ink[-2:] = 255, 255
    for octave in range(2):
        for key in (1, 2, 4, 5, 6):
            x = (octave * 7 + key) * 30
            ink[:100, x - 9 : x + 9] = 255
    return ink


DECOYS: tuple[Callable[[np.random.Generator], Ink], ...] = (
    chessboard,
    fence,
    text_page,
    mosaic,
    framed_square,
    rings,
    crossword,
    ruler,
    keys,
)


def draw_decoy(rng: np.random.Generator) -> Print:
    """A random decoy in random colours, mostly dark on light."""
    stock = hsv(rng.uniform(0, 360), rng.choice([0.03, 0.4]), rng.uniform(0.75, 0.98))
    ink = hsv(rng.uniform(0, 360), rng.choice([0.1, 0.8]), rng.uniform(0.05, 0.35))
    art = DECOYS[rng.integers(len(DECOYS))](rng)
    return printed(margin(Artwork(art), int(rng.integers(10, 50))), stock, ink)
