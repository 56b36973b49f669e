"""Flat artwork: symbols, letters and rules, set in rows and columns, then printed on stock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.symbols import Symbol
from training.heldout.words import text_ink

__all__ = [
    "Artwork",
    "Mark",
    "Print",
    "frame",
    "letters",
    "margin",
    "paste",
    "printed",
    "resized",
    "stack",
    "symbol_art",
]


class Mark(NamedTuple):
    """A symbol and where its outermost modules end.

    Attributes
    ----------
    symbol : Symbol
    corners : float64 array (4, 2)
        Texel coordinates of the upper left, upper right, lower right and lower left corner, in the symbol's own sense.
    """

    symbol: Symbol
    corners: NDArray[np.float64]


class Artwork(NamedTuple):
    """Ink before it has a colour.

    Attributes
    ----------
    ink : uint8 array (h, w)
        Coverage, 0..255.
    marks : tuple of Mark
    """

    ink: NDArray[np.uint8]
    marks: tuple[Mark, ...] = ()


class Print(NamedTuple):
    """Coloured artwork.

    Attributes
    ----------
    image : uint8 array (h, w, 3)
        BGR.
    marks : tuple of Mark
    """

    image: NDArray[np.uint8]
    marks: tuple[Mark, ...] = ()


def _moved(marks: Sequence[Mark], x: float, y: float) -> tuple[Mark, ...]:
    return tuple(Mark(mark.symbol, mark.corners + np.array([x, y])) for mark in marks)


def symbol_art(symbol: Symbol, texel: int, quiet: float) -> Artwork:
    """A symbol of `texel` texels a module, with a quiet zone of `quiet` modules around it."""
    ink = np.kron(symbol.dark.astype(np.uint8) * 255, np.ones((texel, texel), np.uint8))
    height, width = ink.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    return margin(Artwork(ink, (Mark(symbol, corners),)), round(quiet * texel))


def letters(text: str, font: str, size: int) -> Artwork:
    """A text as artwork; see `words.text_ink`."""
    return Artwork(text_ink(text, font, size))


def margin(art: Artwork, texels: int | tuple[int, int]) -> Artwork:
    """The artwork with blank space around it: the same on all sides, or (beside, above and below)."""
    x, y = (texels, texels) if isinstance(texels, int) else texels
    return Artwork(np.pad(art.ink, ((y, y), (x, x))), _moved(art.marks, x, y))


def frame(art: Artwork, thickness: int) -> Artwork:
    """The artwork with a line drawn around it, outside."""
    wider = margin(art, thickness)
    ink = wider.ink.copy()
    ink[:thickness], ink[-thickness:], ink[:, :thickness], ink[:, -thickness:] = 255, 255, 255, 255
    return Artwork(ink, wider.marks)


def stack(parts: Sequence[Artwork], axis: int, gap: int, align: float = 0.0) -> Artwork:
    """Artworks one after another.

    Parameters
    ----------
    parts : sequence of Artwork
    axis : int
        0 for a column, 1 for a row.
    gap : int
        Texels between neighbours.
    align : float
        0 joins left (or upper) edges, 0.5 centres, 1 right (or lower) edges.
    """
    other = 1 - axis
    shape = [0, 0]
    shape[axis] = sum(part.ink.shape[axis] for part in parts) + gap * (len(parts) - 1)
    shape[other] = max(part.ink.shape[other] for part in parts)
    ink = np.zeros(shape, np.uint8)
    marks: list[Mark] = []
    at = 0
    for part in parts:
        corner = [0, 0]
        corner[axis], corner[other] = at, round(align * (shape[other] - part.ink.shape[other]))
        y, x = corner
        ink[y : y + part.ink.shape[0], x : x + part.ink.shape[1]] = part.ink
        marks.extend(_moved(part.marks, x, y))
        at += part.ink.shape[axis] + gap
    return Artwork(ink, tuple(marks))


def printed(art: Artwork, stock: NDArray[np.floating], ink: NDArray[np.floating]) -> Print:
    """Artwork in a colour of ink on a colour of stock (both BGR, 0..255)."""
    coverage = (art.ink.astype(np.float32) / 255)[..., None]
    image = stock.astype(np.float32) * (1 - coverage) + ink.astype(np.float32) * coverage
    return Print(np.clip(image + 0.5, 0, 255).astype(np.uint8), art.marks)


def paste(onto: Print, part: Print, x: int, y: int, quarters: int = 0) -> Print:
    """A print with another glued onto it.

    Parameters
    ----------
    onto, part : Print
    x, y : int
        Where the upper left corner of the turned part comes; it must fit.
    quarters : int
        Quarter turns counter-clockwise.

    Raises
    ------
    ValueError
        The part does not fit.
    """
    turned = np.rot90(part.image, quarters)
    rows, columns = turned.shape[:2]
    if x < 0 or y < 0 or x + columns > onto.image.shape[1] or y + rows > onto.image.shape[0]:
        raise ValueError(
            f"A part of {columns}×{rows} texels at ({x}, {y}) does not fit on "
            f"{onto.image.shape[1]}×{onto.image.shape[0]} texels: paste it elsewhere or make it smaller."
        )
    image = onto.image.copy()
    image[y : y + rows, x : x + columns] = turned
    marks = [Mark(mark.symbol, _quarter_turned(mark.corners, part, quarters)) for mark in part.marks]
    return Print(image, onto.marks + _moved(marks, x, y))


def _quarter_turned(corners: NDArray[np.float64], part: Print, quarters: int) -> NDArray[np.float64]:
    """Where points of a print come when it is turned as `numpy.rot90` does."""
    height, width = part.image.shape[:2]
    for _ in range(quarters % 4):
        corners = np.stack([corners[:, 1], width - corners[:, 0]], axis=1)
        width, height = height, width
    return corners


def resized(part: Print, factor: float) -> Print:
    """A print with `factor` times as many texels along each side."""
    height, width = part.image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(part.image, size, interpolation=way)
    scale = np.array([size[0] / width, size[1] / height])
    return Print(image, tuple(Mark(mark.symbol, mark.corners * scale) for mark in part.marks))
