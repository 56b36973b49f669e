"""How far the bars of a barcode reach: readers tell the rows they read, not the bars' ends."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["whole_bars"]

Floats = NDArray[np.float64]

#: Points along the bars' profile, and how far across it is looked for, as a share of its length.
_POINTS, _REACH = 256, 1.5
#: Bars go on where the profile correlates so well with the last ones, and has so much of the first one's edges: fingers
#: have contrast, too.
_ALIKE, _FAINT = 0.6, 0.3
#: Pixels that bars may go aside for one that they go on, and how much that may change from one to the next.
_SLANTS = np.linspace(-1.2, 1.2, 25)
_BEND = 0.35
#: Weight of a new profile in the mean of the last ones, which follows perspective and curved paper.
_NEW = 0.1


def whole_bars(grey: NDArray[np.uint8], quad: Floats) -> Floats:
    """The quad of a barcode as far up and down as its bars can be followed.

    Parameters
    ----------
    grey : ndarray, shape (H, W), uint8
    quad : ndarray, shape (4, 2)
        Top left, top right, bottom right, bottom left of what was read.
    """
    left, right = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
    if np.linalg.norm(right - left) < 4:
        return quad
    followed = _followed(grey, left, right)
    bars = (followed[3] - followed[0] + followed[2] - followed[1]) / 2
    height = float(np.linalg.norm(bars))
    if height < 2:
        return quad
    # The line that was read may lie aslant on the bars: they are followed once more from one at right angles to them.
    bars /= height
    middle = (left + right) / 2
    return _followed(grey, *(side + bars * float((middle - side) @ bars) for side in (left, right)))


def _followed(grey: NDArray[np.uint8], left: Floats, right: Floats) -> Floats:
    """Where bars end that a line crosses: the corners, as of a quad."""
    along = right - left
    aside = along / np.linalg.norm(along)
    down = np.array([-aside[1], aside[0]])
    above, below = (_end(grey, left, along, way * down, aside) for way in (-1, 1))
    return np.array([left + above, right + above, right + below, left + below])


def _end(grey: NDArray[np.uint8], left: Floats, along: Floats, onward: Floats, aside: Floats) -> Floats:
    """Where the bars end from a line through them: the way from it."""
    (last,), (steep,) = _profiles(grey, left[None], along)
    place, slant = np.zeros(2), None
    for _ in range(int(_REACH * np.linalg.norm(along))):
        slants = _SLANTS if slant is None else _SLANTS[np.abs(_SLANTS - slant) <= _BEND]
        places = place + onward + slants[:, None] * aside
        profiles, steepness = _profiles(grey, left + places, along)
        alike = profiles @ last
        best = int(alike.argmax())
        if alike[best] < _ALIKE or steepness[best] < _FAINT * steep:
            break
        place = places[best]
        slant = slants[best] if slant is None else 0.8 * slant + 0.2 * slants[best]
        last = (1 - _NEW) * last + _NEW * profiles[best]
        last /= np.linalg.norm(last)
    return place


def _profiles(grey: NDArray[np.uint8], starts: Floats, along: Floats) -> tuple[Floats, Floats]:
    """Greys along lines that begin at `starts`, each of mean 0 and length 1 (0 if flat), and how steep they are."""
    points = starts[:, None] + np.linspace(0, 1, _POINTS)[None, :, None] * along
    columns, rows = (np.ascontiguousarray(points[..., k], dtype=np.float32) for k in (0, 1))
    lines = cv2.remap(grey, columns, rows, cv2.INTER_LINEAR, borderValue=(255,)).astype(np.float64)
    lines -= lines.mean(axis=1, keepdims=True)
    steepness: Floats = np.linalg.norm(np.diff(lines, axis=1), axis=1)
    return lines / np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-9), steepness
