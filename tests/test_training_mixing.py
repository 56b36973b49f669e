"""Mosaic and CutMix: what is where in a picture made of several, against pixels."""

import numpy as np
import pytest
from coloured_scenes import PALETTE, check_colours, freeze, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augment.cutmix import paste, random_rectangle, uncovered
from training.augment.geometric import View, random_view, warp
from training.augment.mosaic import mosaic, quadrants, random_centre, through_window
from training.sample import Sample


@pytest.mark.parametrize("size", [(208, 208), (260, 190)])
@pytest.mark.parametrize("zoom", [1.0, 0.3])
def test_mosaic(size, zoom):
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(25):
        samples = [freeze(scene(rng, 200, 150, int(rng.integers(0, 4)))) for _ in range(4)]
        centre = random_centre(rng, size)
        views = [
            through_window(rng, random_view(rng, size, jitter=0.2, flip=True), region, size, zoom)
            for region in quadrants(centre, size)
        ]
        seen = mosaic(samples, views, centre, size, visible=0, smallest=4)
        covered = check_colours(seen)
        coloured = seen.image.max(axis=2) > 200
        assert (coloured & ~covered).sum() <= 4 * size[0]  # slivers below `smallest`
        found += len(seen.xyxy)
        for label, box in zip(seen.class_id, seen.xyxy, strict=True):
            homes = [r for r in quadrants(centre, size) if (box[:2] >= r[:2]).all() and (box[2:] <= r[2:]).all()]
            assert len(homes) == 1 and label in samples[quadrants(centre, size).index(homes[0])].class_id
    assert found > 40


def test_quadrants_of_a_mosaic_are_the_views():
    """Each quadrant equals the same picture warped alone."""
    rng = np.random.default_rng(9)
    size, centre = (120, 100), (50, 30)
    samples = [scene(rng, 90, 70, 2) for _ in range(4)]
    views = [random_view(rng, (60, 50), jitter=0.1, angle=5, perspective=0.05) for _ in range(4)]
    seen = mosaic(samples, views, centre, size)
    assert [(r - x) * (b - y) for x, y, r, b in quadrants(centre, size)] == [1500, 2100, 3500, 4900]
    for sample, view, (left, top, right, bottom) in zip(samples, views, quadrants(centre, size), strict=True):
        alone = warp(sample, view, (right - left, bottom - top))
        np.testing.assert_array_equal(seen.image[top:bottom, left:right], alone.image)


def test_boxes_without_mosaic_bound():
    """A box that goes on under the neighbour keeps its extent, one outside the output is clipped, a hidden one goes."""
    nothing = Sample(np.zeros((50, 50, 3), np.uint8), np.empty(0, np.int64), np.empty((0, 4), np.float32))
    boxes = np.array([[-20, 10, 70, 30], [60, 10, 90, 30]], np.float32)
    first = Sample(np.zeros((50, 50, 3), np.uint8), np.array([1, 2]), boxes)
    arguments = [first, nothing, nothing, nothing], [View(0, 0, 50, 50)] * 4, (50, 50), (100, 100)
    np.testing.assert_allclose(mosaic(*arguments).xyxy, [[0, 10, 50, 30]], atol=1e-4)
    np.testing.assert_allclose(mosaic(*arguments, mosaic_bound=False).xyxy, [[0, 10, 70, 30]], atol=1e-4)


def test_windows_lie_inside_large_pictures():
    rng = np.random.default_rng(10)
    lefts = []
    for _ in range(200):
        view = through_window(rng, View(-20, -10, 120, 110), (0, 40, 60, 100), (100, 100), 0.1)
        assert view.left <= 0 and view.top <= 0 and view.right >= 60 and view.bottom >= 60
        assert view.drawn[0] / view.drawn[1] == pytest.approx(140 / 120)
        lefts.append(view.left)
    assert np.ptp(lefts) > 40
    small = through_window(rng, View(0, 0, 30, 30), (0, 0, 60, 60), (100, 100))
    assert small.left >= 0 and small.right <= 60 and small.drawn == pytest.approx((30, 30))


def test_cutmix():
    rng = np.random.default_rng(11)
    for _ in range(60):
        sample, other = (freeze(scene(rng, 200, 150, int(rng.integers(0, 4)))) for _ in range(2))
        rectangle = random_rectangle(rng, (200, 150))
        left, top, right, bottom = rectangle
        seen = paste(sample, other, rectangle, visible=0.5)
        np.testing.assert_array_equal(seen.image[top:bottom, left:right], other.image[top:bottom, left:right])
        outside = np.ones((150, 200), bool)
        outside[top:bottom, left:right] = False
        np.testing.assert_array_equal(seen.image[outside], sample.image[outside])
        for label, box in zip(seen.class_id, seen.xyxy.astype(int), strict=True):
            content = (seen.image[box[1] : box[3], box[0] : box[2]] == PALETTE[label]).all(axis=2)
            assert content.mean() >= 0.5


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 30), min_size=8, max_size=8))
def test_what_is_uncovered_against_pixels(numbers):
    x, right, left, end = (sorted(numbers[i : i + 2]) for i in (0, 2, 4, 6))
    box, rectangle = (x[0], right[0], x[1] + 1, right[1] + 1), (left[0], end[0], left[1] + 1, end[1] + 1)
    mask = np.zeros((32, 32), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    area = mask.sum()
    mask[rectangle[1] : rectangle[3], rectangle[0] : rectangle[2]] = 0
    boxes, fraction = uncovered(np.array([box], np.float32), rectangle)
    assert fraction[0] == pytest.approx(mask.sum() / area, abs=1e-6)
    rows, columns = np.nonzero(mask)
    if len(rows):
        assert boxes[0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    else:
        assert (boxes[0, 2:] - boxes[0, :2]).prod() == 0


def test_random_rectangles():
    rng = np.random.default_rng(12)
    drawn = np.array([random_rectangle(rng, (60, 40)) for _ in range(500)])
    assert (drawn[:, :2] >= 0).all() and (drawn[:, 2:] <= (60, 40)).all() and (drawn[:, :2] < drawn[:, 2:]).all()
    assert np.ptp((drawn[:, 2:] - drawn[:, :2]).prod(axis=1)) > 1800
