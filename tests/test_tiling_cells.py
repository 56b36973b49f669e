"""A grid that finds the boxes which may touch, against looking at every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darknet_py.tiling import merging
from darknet_py.tiling.cells import Cells

coordinates = st.one_of(st.floats(-50, 400), st.floats(), st.sampled_from([0.0, 32.0, 64.0]))
rectangles = st.lists(st.tuples(*[coordinates] * 4), min_size=1, max_size=12)


@given(rectangles, st.sampled_from([1.0, 32.0, 100.0]))
def test_nothing_that_touches_is_missed(rectangles: list[tuple[float, ...]], side: float) -> None:
    boxes = np.array(rectangles)
    cells = Cells(boxes, side)
    for box in boxes:
        near = cells.near(box)
        assert (np.diff(near) > 0).all()
        low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
        touching = np.flatnonzero((low < high).all(axis=1))
        assert set(touching) <= set(near)


def test_far_boxes_are_left_out() -> None:
    boxes = np.array([[0, 0, 30, 30], [500, 0, 530, 30], [20, 20, 50, 50], [-1e9, -1e9, 1e9, 1e9], [70, 70, 5, 5.0]])
    near = Cells(boxes, 32).near(boxes[0])
    assert near.tolist() == [0, 2, 3]


@pytest.mark.parametrize("seed", range(4))
def test_merging_is_that_of_all_pairs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    width, height, side, count = 900, 640, 200, 250
    origin = rng.integers(0, (5, 3), (count, 2)) * 160.0
    tiles = np.concatenate([origin, np.minimum(origin + side, (width, height))], axis=1)
    tiles[::40] = (0, 0, width, height)
    centre = tiles[:, :2] + rng.random((count, 2)) * (tiles[:, 2:] - tiles[:, :2])
    half = rng.lognormal(3, 1, (count, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    boxes[::31, seed] = [np.nan, np.inf, -np.inf][seed % 3]
    probs = (rng.random((count, 2)) * (rng.random((count, 2)) < 0.7)).astype(np.float32)
    cut = merging._cut(boxes, tiles, width, height)
    gathered = merging.Gathered(boxes, np.ones(count, np.float32), probs, tiles, cut)
    found = [merging.mend(gathered, agnostic=agnostic) for agnostic in (False, True)]
    monkeypatch.setattr(Cells, "near", lambda self, box: self._all)
    for some, agnostic in zip(found, (False, True), strict=True):
        for grid, pairs in zip(some, merging.mend(gathered, agnostic=agnostic), strict=True):
            np.testing.assert_array_equal(grid, pairs)
    assert len(found[0].xyxy) > count  # some were joined
