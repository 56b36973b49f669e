"""Boards of fiducial markers in rows and columns, as cameras are calibrated and robots localised with."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes.blocks import Mark
from training.scenes.symbols import Symbol, encode_aruco

__all__ = ["board"]

_DICTIONARIES = ("DICT_4X4_50", "DICT_5X5_100", "DICT_6X6_250", "DICT_7X7_50", "DICT_APRILTAG_36h11")
_MOST = 5


def board(rng: np.random.Generator, side: int) -> tuple[NDArray[np.uint8], list[Mark]]:
    """Markers of one dictionary in running numbers: on white alone, or in the light squares of a chessboard.

    Parameters
    ----------
    side : int
        Of a marker, pixels.

    Returns
    -------
    uint8 array (height, width, 3)
        BGR.
    list of Mark
    """
    rows, columns = rng.integers(2, _MOST + 1, 2).tolist()
    chess = rng.random() < 0.4
    pitch = round(side * (rng.uniform(1.25, 1.5) if chess else rng.uniform(1.15, 2.0)))
    margin = round(side * rng.uniform(0.1, 0.8))
    paper, ink = rng.uniform(210, 255), rng.uniform(0, 45)
    height, width = 2 * margin + rows * pitch, 2 * margin + columns * pitch
    canvas = np.full((height, width, 3), round(paper), np.uint8)
    dictionary, number = _DICTIONARIES[rng.integers(len(_DICTIONARIES))], int(rng.integers(0, 15))
    inset, marks = (pitch - side) // 2, []
    for row in range(rows):
        for column in range(columns):
            x, y = margin + column * pitch, margin + row * pitch
            if chess and (row + column) % 2:
                cv2.rectangle(canvas, (x, y), (x + pitch - 1, y + pitch - 1), (ink,) * 3, -1)
                continue
            symbol = encode_aruco(dictionary, number)
            number += 1
            marks.append(_printed(canvas, symbol, (x + inset, y + inset), side, (paper, ink)))
    return canvas, marks


def _printed(
    canvas: NDArray[np.uint8], symbol: Symbol, corner: tuple[int, int], side: int, tones: tuple[float, float]
) -> Mark:
    """Draw a marker with its left top corner at a place, in tones of paper and ink."""
    (x, y), (paper, ink) = corner, tones
    share = symbol.ink(side, side)[..., None] / 255
    canvas[y : y + side, x : x + side] = (paper + share * (ink - paper)).astype(np.uint8)
    return Mark(symbol, (x, y, x + side, y + side))
