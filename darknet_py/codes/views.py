"""Parts of a picture, turned and enlarged, and the way back from their pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Box", "Grey", "View", "enlargement", "turned_view", "views_of", "whole", "within"]

Grey = NDArray[np.uint8]
Box = tuple[float, float, float, float]

#: What is added to a box at every side, as a share of it: codes need the quiet zone around them.
_MARGIN = 0.25
#: Shorter sides that a box is enlarged to, in pixels, and turns of it in degrees, in the order in which they are tried.
_SIDES = (0, 200, 400)
_TURNS = (0, 10, -20, 30, 45)
#: No part has a longer side than this in a view, in pixels before turning, nor is enlarged more than so many times.
_LONGEST, _MOST = 1600, 6.0


class View(NamedTuple):
    """Pixels that show a part of a picture.

    Attributes
    ----------
    pixels : ndarray, shape (H, W), uint8
    back : ndarray, shape (2, 3), float64
        From (x, y, 1) of this view to (x, y) of the picture.
    """

    pixels: Grey
    back: NDArray[np.float64]


def whole(grey: Grey) -> View:
    """The picture as it is."""
    return View(grey, np.eye(2, 3))


def views_of(grey: Grey, xyxy: Sequence[float], *, turned: bool = True) -> Iterator[View]:
    """A box of a picture with what is around it, in ways that readers see differently; not `turned`, as it stands."""
    left, top, right, bottom = within(grey, xyxy)
    shorter, longer = sorted((right - left, bottom - top))
    scales = dict.fromkeys(enlargement(side / shorter, longer) for side in _SIDES)
    part = Image.fromarray(grey[top:bottom, left:right])
    for turn in _TURNS if turned else _TURNS[:1]:
        for scale in scales:
            yield turned_view(part, (left, top), turn, scale)


def enlargement(wanted: float, longer: float) -> float:
    """How many times a part with that longer side is enlarged, where so much is wanted; below 1 if it is too large."""
    return min(max(1.0, wanted), _MOST, _LONGEST / longer)


def within(grey: Grey, xyxy: Sequence[float], margin: float = _MARGIN) -> tuple[int, int, int, int]:
    """A box with a margin, a share of its longer side, as far as the picture reaches, of at least one pixel."""
    left, top, right, bottom = xyxy
    margin *= max(right - left, bottom - top)
    height, width = grey.shape
    x0 = min(max(math.floor(left - margin), 0), width - 1)
    y0 = min(max(math.floor(top - margin), 0), height - 1)
    return (
        x0,
        y0,
        min(max(math.ceil(right + margin), x0 + 1), width),
        min(max(math.ceil(bottom + margin), y0 + 1), height),
    )


def turned_view(part: Image.Image, origin: tuple[int, int], turn: float, scale: float) -> View:
    """A part of the picture whose top left is `origin`, turned by some degrees and enlarged."""
    sine, cosine = math.sin(math.radians(turn)), math.cos(math.radians(turn))
    width, height = part.size
    across = max(1, math.ceil(scale * (abs(cosine) * width + abs(sine) * height)))
    down = max(1, math.ceil(scale * (abs(sine) * width + abs(cosine) * height)))
    linear = np.array([[cosine, -sine], [sine, cosine]]) / scale
    shift = np.array([width, height]) / 2 - linear @ (across / 2, down / 2)
    back = np.concatenate([linear, shift[:, None]], axis=1)
    # What lies beyond the part is white, as paper is.
    pixels = part.transform((across, down), Image.Transform.AFFINE, back.ravel().tolist(), _HOW, fillcolor=255)
    return View(np.asarray(pixels), back + np.array([[0, 0, origin[0]], [0, 0, origin[1]]]))


_HOW = Image.Resampling.BICUBIC
