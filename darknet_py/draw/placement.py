"""Where labels go: at their boxes, clear of each other and of what small boxes show.

Knows rectangles only. The few places at a box are compared by what they cover to the pixel, those away from it on a
grid, all at once: sums over the cells beneath a label are differences of four sums from the corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Layout", "Place", "Point", "Rect"]

Point: TypeAlias = tuple[int, int]

Numbers: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int_]

#: Rectangles, shape (n, 4): left, top, right, bottom, the latter two exclusive.
Rects: TypeAlias = Numbers

#: What a label at one of its four usual places may cover: parts of boxes, its own included, in sum.
_TOLERATED = 0.25

#: What other places cost, in boxes covered: at the right end of the box; beside it; away from it with a leader line,
#: and each height of a label that this line is long.
_RIGHT_END, _BESIDE, _AWAY, _PER_HEIGHT = 0.1, 0.3, 0.5, 0.12

#: Heights of a label around its box in which places are looked for before the whole picture is searched.
_NEAR = 6

#: Places with leader lines that are tried for one that crosses no label.
_TRIED = 24


class Rect(NamedTuple):
    """Pixels from left and top up to, not including, right and bottom."""

    left: int
    top: int
    right: int
    bottom: int


class Place(NamedTuple):
    """Where a label goes, and the ends of its leader line, at the label and at its box; None where they touch."""

    rect: Rect
    leader: tuple[Point, Point] | None


class Layout:
    """Places the labels of one picture, one after the other, each clear of those before it while there is room.

    Parameters
    ----------
    width, height : int
        Of the picture.
    boxes : sequence of Rect
        What should stay visible, and the more so the smaller it is.
    margin : int
        Pixels to leave between labels.
    step : int
        Pixels from one of the places away from boxes to the next.
    """

    def __init__(self, width: int, height: int, boxes: Sequence[Rect], margin: int, step: int) -> None:
        self._size = width, height
        self._margin = margin
        self._shown = np.array(boxes, float).reshape(-1, 4)
        self._taken = np.empty((0, 4))
        # Size of a label for which there was no room.
        self._full = width + 1, height + 1
        # More than 200 places along a side take longer and change nothing that is seen.
        self._grid = _Grid(width, height, max(step, max(width, height) // 200, 1))
        self._grid.show(self._shown)

    def place(self, box: Rect, width: int, height: int) -> Place:
        """The place of a label of that many pixels for `box`.

        The first of four that is free and covers little: above the box, inside at its top, below, inside at its
        bottom. Otherwise the best of these, of others that touch the box, and of those away from it. In a full
        picture, one that covers other labels least.
        """
        usual = self._inside(box.left, _tops(box, height), width, height)
        good = (self._hidden(usual) == 0) & (self._covered(usual) <= _TOLERATED)
        rect = _rect(usual[good.argmax()]) if good.any() else self._best(box, width, height)
        leader = _leader(rect, box)
        if leader is not None:
            pieces = _pieces(leader, height)
            self._shown = np.concatenate((self._shown, pieces))
            self._grid.show(pieces)
        taken = np.add(rect, (-self._margin, -self._margin, self._margin, self._margin)).astype(float)
        self._taken = np.concatenate((self._taken, taken[None]))
        self._grid.take(taken)
        return Place(rect, leader)

    def _best(self, box: Rect, width: int, height: int) -> Rect:
        """The place of least cost among those that touch the box and those near it, else of all there are."""
        touching, costs = self._touching(box, width, height)
        costs += self._covered(touching)
        hidden = self._hidden(touching) / (width * height)
        near = _NEAR * height
        regions = [Rect(box.left - near, box.top - near, box.right + near, box.bottom + near)]
        if width < self._full[0] or height < self._full[1]:
            regions.append(Rect(0, 0, *self._size))
        for region in regions:
            lefts, tops, covered, taken = self._grid.places(region, width, height)
            away = covered + _AWAY + _PER_HEIGHT / height * _gaps(lefts, tops, width, height, box)
            grid = np.stack((np.tile(lefts, len(tops)), np.repeat(tops, len(lefts))), axis=1)
            places = np.concatenate((touching[:, :2], grid)).astype(int)
            every = np.concatenate((costs, away.ravel()))
            hides = np.concatenate((hidden, taken.ravel()))
            if not hides.all():
                return self._uncrossed(box, places, np.where(hides == 0, every, np.inf), width, height)
        self._full = width, height
        left, top = places[(every + 100 * hides).argmin()].tolist()
        return Rect(left, top, left + width, top + height)

    def _uncrossed(self, box: Rect, places: Indices, costs: Numbers, width: int, height: int) -> Rect:
        """The place of least cost whose leader line crosses no label, if there is one among the best."""
        tried: list[Rect] = []
        while len(tried) < _TRIED and np.isfinite(costs[best := costs.argmin()]):
            left, top = places[best].tolist()
            tried.append(Rect(left, top, left + width, top + height))
            leader = _leader(tried[-1], box)
            if leader is None or not _crossed(leader, self._taken).any():
                return tried[-1]
            # Not its neighbours next, whose lines take the same way.
            costs[best] = np.inf
            costs[(np.abs(places - places[best]) < (width // 4, height // 2)).all(axis=1)] = np.inf
        return tried[0]

    # Places and what they cover -----------------------------------------------------------------------------------

    def _inside(self, left: int, tops: Sequence[int], width: int, height: int) -> Rects:
        """Labels at these corners, moved sideways into the picture, without those that leave it above or below."""
        rightmost, lowest = max(self._size[0] - width, 0), max(self._size[1] - height, 0)
        left = min(max(left, 0), rightmost)
        inside = [top for top in tops if 0 <= top <= lowest] or [min(max(top, 0), lowest) for top in tops]
        return np.array([(left, top, left + width, top + height) for top in inside], float)

    def _touching(self, box: Rect, width: int, height: int) -> tuple[Rects, Numbers]:
        """The places at an end of one of the box's sides, and what they cost besides what they cover."""
        places = [self._inside(left, _tops(box, height), width, height) for left in (box.left, box.right - width)]
        costs = [0.0] * len(places[0]) + [_RIGHT_END] * len(places[1])
        for left in (box.right, box.left - width):
            if 0 <= left <= self._size[0] - width:
                places.append(self._inside(left, (box.top, box.bottom - height), width, height))
                costs += [_BESIDE] * len(places[-1])
        return np.concatenate(places), np.array(costs)

    def _covered(self, places: Rects) -> Numbers:
        """The parts of boxes that each place covers, in sum."""
        covered: Numbers = (_overlaps(places, self._shown) / _areas(self._shown)).sum(axis=1)
        return covered

    def _hidden(self, places: Rects) -> Numbers:
        """The area of labels that each place covers."""
        hidden: Numbers = _overlaps(places, self._taken).sum(axis=1)
        return hidden


def _tops(box: Rect, height: int) -> Sequence[int]:
    return box.top - height, box.top, box.bottom, box.bottom - height


def _rect(row: Numbers) -> Rect:
    return Rect(*(int(edge) for edge in row))


class _Grid:
    """The picture in cells of `step` pixels: what they show of boxes, in parts of them, and which have labels."""

    def __init__(self, width: int, height: int, step: int) -> None:
        self._size = width, height
        self._step = step
        self._shown = np.zeros((-(-height // step), -(-width // step)))
        self._taken = np.zeros(self._shown.shape)

    def show(self, rects: Rects) -> None:
        # One after the other: all at once, as a product of matrices, would wake the threads of a BLAS.
        for rect, area in zip(rects.astype(int).tolist(), _areas(rects), strict=True):
            (x, across), (y, down) = self._parts(rect[::2]), self._parts(rect[1::2])
            self._shown[y, x] += np.multiply.outer(down, across / area)

    def _parts(self, span: Sequence[int]) -> tuple[slice, Numbers]:
        """The cells that an interval touches, and its length in each of them."""
        step = self._step
        cells = slice(span[0] // step, -(-span[1] // step))
        edges = np.arange(cells.start, cells.stop + 1) * step
        return cells, np.diff(np.clip(edges, span[0], span[1])).astype(float)

    def take(self, rect: Numbers) -> None:
        """Every cell that the rectangle touches."""
        left, top, right, bottom = (max(int(edge), 0) for edge in rect)
        step = self._step
        self._taken[top // step : -(-bottom // step), left // step : -(-right // step)] = 1

    def places(self, region: Rect, width: int, height: int) -> tuple[Indices, Indices, Numbers, Numbers]:
        """Places for a label all over a region: their lefts and tops, and for each of their pairs, what it covers.

        That is parts of boxes, in sum, and the part of the label that other labels hide; shape (tops, lefts).
        """
        lefts = self._starts(region.left, region.right, width, self._size[0])
        tops = self._starts(region.top, region.bottom, height, self._size[1])
        x, y = self._cells(lefts, width, 1), self._cells(tops, height, 0)
        area = np.multiply.outer(y[1] - y[0], x[1] - x[0])
        return lefts, tops, _sums(self._shown, x, y), _sums(self._taken, x, y) / area

    def _starts(self, low: int, high: int, part: int, whole: int) -> Indices:
        """Starts of labels, by steps from the border, that lie between low and high, and at the far border."""
        step, most = self._step, max(whole - part, 0)
        first, last = min(max(low, 0), most) // step * step, min(max(high - part, 0), most)
        return np.array([*range(first, last, step), last])

    def _cells(self, starts: Indices, length: int, axis: int) -> tuple[Indices, Indices]:
        """The first cell of each label along an axis, and the one after its last."""
        ends = -(-(starts + length) // self._step)
        return starts // self._step, np.minimum(ends, self._shown.shape[axis])


def _sums(cells: Numbers, x: tuple[Indices, Indices], y: tuple[Indices, Indices]) -> Numbers:
    """Sums over rectangles of cells, whose first columns and rows, and those after their last, are given."""
    left, top = x[0].min(), y[0].min()
    part = cells[top : y[1].max(), left : x[1].max()]
    corner = np.zeros((part.shape[0] + 1, part.shape[1] + 1))
    np.cumsum(part, axis=0, out=corner[1:, 1:])
    np.cumsum(corner[1:, 1:], axis=1, out=corner[1:, 1:])
    rows = corner[y[1] - top] - corner[y[0] - top]
    sums: Numbers = rows[:, x[1] - left] - rows[:, x[0] - left]
    return sums


# Rectangles ---------------------------------------------------------------------------------------------------------


def _common(spans: Numbers, others: Numbers) -> Numbers:
    """Lengths that intervals, shape (n, 2), have in common with others, (m, 2); shape (n, m)."""
    ends = np.minimum(spans[:, None, 1], others[None, :, 1])
    lengths: Numbers = np.maximum(ends - np.maximum(spans[:, None, 0], others[None, :, 0]), 0)
    return lengths


def _overlaps(rects: Rects, others: Rects) -> Numbers:
    """Areas in common, shape (n, m)."""
    return _common(rects[:, ::2], others[:, ::2]) * _common(rects[:, 1::2], others[:, 1::2])


def _areas(rects: Rects) -> Numbers:
    return (rects[:, 2] - rects[:, 0]) * (rects[:, 3] - rects[:, 1])


def _gaps(lefts: Indices, tops: Indices, width: int, height: int, box: Rect) -> Numbers:
    """Lengths of leader lines: from places to the nearest edge of the box, inside or outside; shape (tops, lefts)."""
    rights, bottoms = lefts + width, tops + height
    across = np.maximum(np.maximum(box.left - rights, lefts - box.right), 0)
    down = np.maximum(np.maximum(box.top - bottoms, tops - box.bottom), 0)
    inward = np.minimum.outer(
        np.minimum(tops - box.top, box.bottom - bottoms), np.minimum(lefts - box.left, box.right - rights)
    )
    gaps: Numbers = np.hypot.outer(down, across) + np.maximum(inward, 0)
    return gaps


# Leader lines -------------------------------------------------------------------------------------------------------


def _leader(label: Rect, box: Rect) -> tuple[Point, Point] | None:
    """The shortest line from a label to the edge of its box, as pixels of either; None if they touch or cross."""
    x, y = _span(label[::2], box[::2]), _span(label[1::2], box[1::2])
    if x[0] != x[1] or y[0] != y[1]:
        return ((x[0], y[0]), (x[1], y[1])) if max(abs(x[0] - x[1]), abs(y[0] - y[1])) > 1 else None
    middle = (label.left + label.right) // 2, (label.top + label.bottom) // 2
    ways = [
        (label.left - box.left, (label.left, middle[1]), (box.left, middle[1])),
        (label.top - box.top, (middle[0], label.top), (middle[0], box.top)),
        (box.right - label.right, (label.right - 1, middle[1]), (box.right - 1, middle[1])),
        (box.bottom - label.bottom, (middle[0], label.bottom - 1), (middle[0], box.bottom - 1)),
    ]
    shortest = min(ways, key=lambda way: way[0])
    return shortest[1:] if shortest[0] > 1 else None


def _pieces(line: tuple[Point, Point], length: int) -> Rects:
    """Rectangles along a line, each as long as a label is high: hiding one counts as much as hiding a box."""
    (x0, y0), (x1, y1) = line
    count = max(abs(x1 - x0), abs(y1 - y0)) // length + 1
    x, y = (np.rint(np.linspace(one, other, count + 1)) for one, other in ((x0, x1), (y0, y1)))
    low = np.minimum(x[1:], x[:-1]), np.minimum(y[1:], y[:-1])
    high = np.maximum(x[1:], x[:-1]) + 1, np.maximum(y[1:], y[:-1]) + 1
    return np.stack((*low, *high), axis=1)


def _span(label: Sequence[int], box: Sequence[int]) -> tuple[int, int]:
    """Where, along one axis, a line from a label to a box begins and ends: the same where they lie side by side."""
    if label[1] <= box[0]:
        return label[1] - 1, box[0]
    if label[0] >= box[1]:
        return label[0], box[1] - 1
    middle = (max(label[0], box[0]) + min(label[1], box[1]) - 1) // 2
    return middle, middle


def _crossed(line: tuple[Point, Point], rects: Rects) -> npt.NDArray[np.bool_]:
    """Which rectangles a line goes through: those whose part of it on one axis meets their part on the other."""
    (x0, y0), (x1, y1) = line
    enter, leave = np.zeros(len(rects)), np.ones(len(rects))
    for start, end, low, high in ((x0, x1, rects[:, 0], rects[:, 2]), (y0, y1, rects[:, 1], rects[:, 3])):
        if start == end:
            leave[(low > start) | (high <= start)] = -1
            continue
        one, other = (low - start) / (end - start), (high - start) / (end - start)
        enter, leave = np.maximum(enter, np.minimum(one, other)), np.minimum(leave, np.maximum(one, other))
    return enter < leave
