"""Which boxes may touch, without looking at every pair: a grid whose cells know what reaches into them."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cells"]

#: A box that reaches into more cells is kept apart, as one that may touch any other.
_MOST_CELLS = 64


class Cells:
    """Boxes by the square cells of a grid that they reach into.

    Parameters
    ----------
    xyxy : ndarray, shape (n, 4), float64
        Boxes with a coordinate that is no number touch none.
    side : float
        Of a cell, in pixels.
    """

    def __init__(self, xyxy: NDArray[np.float64], side: float) -> None:
        self._side = side
        self._boxes_in: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._everywhere: list[int] = []
        numbers = ~np.isnan(xyxy).any(axis=1)
        for i in np.flatnonzero(numbers):
            cells = self._cells(xyxy[i])
            if cells is None:
                self._everywhere.append(int(i))
                continue
            for cell in cells:
                self._boxes_in[cell].append(int(i))
        self._all = np.flatnonzero(numbers)

    def near(self, box: NDArray[np.float64]) -> NDArray[np.intp]:
        """Numbers, ascending, of all boxes that may have a part of `box` in common, and of some that have none."""
        if np.isnan(box).any():
            return self._all[:0]
        cells = self._cells(box)
        if cells is None:
            return self._all
        found = set(self._everywhere)
        for cell in cells:
            found.update(self._boxes_in.get(cell, ()))
        return np.array(sorted(found), np.intp)

    def _cells(self, box: NDArray[np.float64]) -> list[tuple[int, int]] | None:
        """The cells of a box; None if they are too many to list, or without end."""
        first, last = np.floor(box[:2] / self._side), np.floor(box[2:] / self._side)
        with np.errstate(invalid="ignore", over="ignore"):
            columns, rows = np.maximum(last - first + 1, 0)
            if not columns * rows <= _MOST_CELLS:
                return None
        if columns * rows == 0:  # turned inside out: nothing touches it
            return []
        left, top = int(first[0]), int(first[1])
        return [(left + column, top + row) for row in range(int(rows)) for column in range(int(columns))]
