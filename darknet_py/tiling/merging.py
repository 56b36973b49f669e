"""What was found in tiles, brought together: objects that a border cut are told from whole ones and made whole.

An object that a tile shows in part gives a box that ends at the tile's border. Where another box, not cut there, holds
most of it, that one is the object; where the neighbour has the other part, the two are one. What is left are boxes of
whole objects, seen by one tile or by several, and those the network's own NMS sorts out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.decode import Candidates
from darknet_py.tiling.cells import Cells
from darknet_py.tiling.grid import Tile

__all__ = ["Gathered", "gather", "mend"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: A box ends at a tile's border if it comes so near to it: pixels, or a share of the tile's side. Boxes of parts often
#: end short of it: on 48 pictures as those of docs/tiles.md, shares of 0.01, 0.02, 0.03 have an AP of .163, .167, .172;
#: on twelve others 0.05 begins to take small objects for parts.
_NEAR_PIXELS, _NEAR_SHARE = 2.0, 0.03
#: Of a cut box's area, what another one must hold to be the object itself: intersection over the smaller.
_HELD = 0.5
#: IoU of two parts of an object, of what both tiles show of it.
_AGREES = 0.5


class Gathered(NamedTuple):
    """Boxes of several tiles.

    Attributes
    ----------
    xyxy : ndarray, shape (n, 4), float64
        In pixels of the picture.
    objectness : ndarray, shape (n,), float32
    probs : ndarray, shape (n, classes), float32
    tiles : ndarray, shape (n, 4), float64
        The tile of each.
    cut : ndarray, shape (n,), bool
        Whether it ends at a border of its tile that is none of the picture's.
    """

    xyxy: Floats
    objectness: NDArray[np.float32]
    probs: NDArray[np.float32]
    tiles: Floats
    cut: Flags

    def to_candidates(self, width: int, height: int) -> Candidates:
        """As fractions of the picture, those that have a probability left."""
        kept = self.probs.any(axis=1)
        low, high = self.xyxy[kept, :2], self.xyxy[kept, 2:]
        with np.errstate(over="ignore", invalid="ignore"):
            boxes = np.concatenate([(low + high) / 2, high - low], axis=1) / (width, height, width, height)
        return Candidates(boxes.astype(np.float32), self.objectness[kept], self.probs[kept])


def gather(found: Iterable[tuple[Tile, Candidates]], width: int, height: int, classes: int) -> Gathered:
    """The boxes of all tiles of a picture of that size."""
    xyxy, objectness, probs, tiles = [np.empty((0, 4))], [], [], [np.empty((0, 4))]
    for tile, candidates in found:
        kept = candidates.probs.any(axis=1)
        centre, half = np.split(candidates.cxcywh[kept].astype(np.float64), 2, axis=1)
        sides, origin = np.array([tile.right - tile.left, tile.bottom - tile.top]), np.array([tile.left, tile.top])
        with np.errstate(over="ignore", invalid="ignore"):
            corners = np.concatenate([centre - half / 2, centre + half / 2], axis=1) * np.tile(sides, 2)
        xyxy.append(corners + np.tile(origin, 2))
        objectness.append(candidates.objectness[kept])
        probs.append(candidates.probs[kept])
        tiles.append(np.tile(np.array(tile, np.float64), (len(corners), 1)))
    every = np.concatenate(tiles)
    boxes = np.concatenate(xyxy)
    return Gathered(
        boxes,
        np.concatenate(objectness or [np.empty(0, np.float32)]),
        np.concatenate(probs or [np.empty((0, classes), np.float32)]),
        every,
        _cut(boxes, every, width, height),
    )


def _cut(xyxy: Floats, tiles: Floats, width: int, height: int) -> Flags:
    sides = np.tile(tiles[:, 2:] - tiles[:, :2], 2)
    near = np.maximum(_NEAR_PIXELS, _NEAR_SHARE * sides)
    outward = np.array([-1.0, -1.0, 1.0, 1.0])
    with np.errstate(invalid="ignore"):
        at_border = (tiles - xyxy) * outward < near
    inside = np.array([0.0, 0.0, -width, -height]) + tiles
    result: Flags = (at_border & (inside * outward < 0)).any(axis=1)
    return result


@np.errstate(over="ignore", invalid="ignore")  # boxes without end
def mend(gathered: Gathered, *, agnostic: bool) -> Gathered:
    """The same without boxes that are parts of others, and with parts that belong together made one.

    A part is compared with boxes of its class or, if `agnostic`, with all; each box has one class then. A whole box
    takes over the confidence of a part that has more, and what is made of parts has that of the most confident.
    """
    if not gathered.cut.any():
        return gathered
    probs = gathered.probs.copy()
    made: list[tuple[Floats, int, int, np.float32]] = []
    for rows, classes in _groups(gathered, agnostic):
        confidence = gathered.probs[rows, classes]
        cut = gathered.cut[rows]
        boxes, tiles = gathered.xyxy[rows], gathered.tiles[rows]
        held = _holders(boxes, tiles, cut)
        for part, holder in held.items():
            probs[rows[part], classes[part]] = 0
            at = rows[holder], classes[holder]
            probs[at] = max(probs[at], confidence[part])
        left = np.array([i for i in np.flatnonzero(cut) if i not in held], np.intp)
        for joined in _joined(boxes[left], tiles[left]):
            parts = left[joined]
            best = parts[confidence[parts].argmax()]
            probs[rows[parts], classes[parts]] = 0
            shown = _clipped(boxes[parts], tiles[parts])
            union = np.concatenate([shown[:, :2].min(axis=0), shown[:, 2:].max(axis=0)])
            made.append((union, int(rows[best]), int(classes[best]), confidence[best]))
    return _with(gathered._replace(probs=probs), made)


def _groups(gathered: Gathered, agnostic: bool) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows that are compared with each other, and the class each counts under."""
    if agnostic:
        rows = np.flatnonzero(gathered.probs.any(axis=1))
        yield rows, gathered.probs[rows].argmax(axis=1)
        return
    for k in np.flatnonzero(gathered.probs[gathered.cut].any(axis=0)):
        rows = np.flatnonzero(gathered.probs[:, k])
        yield rows, np.full(len(rows), k)


def _with(gathered: Gathered, made: Sequence[tuple[Floats, int, int, np.float32]]) -> Gathered:
    """With boxes that were made of parts, of the objectness of the row given."""
    if not made:
        return gathered
    probs = np.zeros((len(made), gathered.probs.shape[1]), np.float32)
    for i, (_, _, class_id, confidence) in enumerate(made):
        probs[i, class_id] = confidence
    rows = [row for _, row, _, _ in made]
    return Gathered(
        np.concatenate([gathered.xyxy, [box for box, _, _, _ in made]]),
        np.concatenate([gathered.objectness, gathered.objectness[rows]]),
        np.concatenate([gathered.probs, probs]),
        np.concatenate([gathered.tiles, gathered.tiles[rows]]),
        np.concatenate([gathered.cut, np.zeros(len(made), bool)]),
    )


def _holders(boxes: Floats, tiles: Floats, cut: Flags) -> dict[int, int]:
    """Of each cut box that another tile shows as part of a larger one that is not cut: which that is."""
    every, areas = np.flatnonzero(~cut), _area(boxes)
    cells = Cells(boxes[every], _side(tiles))
    found = {}
    for part in np.flatnonzero(cut):
        whole = every[cells.near(boxes[part])]
        shares = _area(_shared(boxes[part], boxes[whole])) / np.maximum(areas[part], 1e-9)
        fits = (shares > _HELD) & (areas[whole] >= areas[part]) & (tiles[whole] != tiles[part]).any(axis=1)
        if fits.any():
            found[int(part)] = int(whole[np.where(fits, shares, -1).argmax()])
    return found


def _joined(boxes: Floats, tiles: Floats) -> list[list[int]]:
    """Groups of cut boxes of different tiles that are parts of one object."""
    group = list(range(len(boxes)))

    def first_of(i: int) -> int:
        while group[i] != i:
            i = group[i] = group[group[i]]
        return i

    shown, areas = _clipped(boxes, tiles), _area(boxes)
    cells = Cells(boxes, _side(tiles))
    for i in range(len(boxes) - 1):
        others = cells.near(boxes[i])
        others = others[others > i]
        held = _area(_shared(boxes[i], boxes[others])) / np.maximum(np.minimum(areas[i], areas[others]), 1e-9)
        both = _shared(tiles[i], tiles[others])  # what both tiles show
        ours, theirs = _shared(shown[i], both), _shared(shown[others], both)
        common = _area(_shared(ours, theirs))
        agree = common / np.maximum(_area(ours) + _area(theirs) - common, 1e-9)
        same = ((held > _HELD) | (agree > _AGREES)) & (tiles[others] != tiles[i]).any(axis=1)
        for j in others[same]:
            group[first_of(int(j))] = first_of(i)
    groups: dict[int, list[int]] = {}
    for i in range(len(boxes)):
        groups.setdefault(first_of(i), []).append(i)
    return [members for members in groups.values() if len(members) > 1]


def _side(tiles: Floats) -> float:
    """That of a usual tile."""
    return max(1.0, float(np.median(tiles[:, 2:] - tiles[:, :2]))) if len(tiles) else 1.0


def _clipped(boxes: Floats, tiles: Floats) -> Floats:
    return np.concatenate([np.maximum(boxes[:, :2], tiles[:, :2]), np.minimum(boxes[:, 2:], tiles[:, 2:])], axis=1)


def _shared(a: Floats, b: Floats) -> Floats:
    """Intersections (n, 4) of a rectangle (4,), or n of them, with n; those without area have none."""
    return np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1)


def _area(boxes: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
        area: Floats = sides[..., 0] * sides[..., 1]
    return area
