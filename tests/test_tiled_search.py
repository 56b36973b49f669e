"""Tiles of a picture: where they lie, what they see, and what becomes of objects that their borders cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darknet_py import Detector, OptionError
from darknet_py.boxes.decode import Candidates
from darknet_py.pictures.containers.orientation import upright
from darknet_py.tiling.grid import MOST_TILES, Tile, tiles_of, turned
from darknet_py.tiling.levels import Level, cut
from darknet_py.tiling.merging import gather, mend
from darknet_py.tiling.strips import Strips

SIDES = st.integers(1, 900)


@given(SIDES, SIDES, st.tuples(SIDES.map(lambda n: n + 9), SIDES.map(lambda n: n + 9)), st.sampled_from([0, 0.2, 0.5]))
def test_tiles_cover_a_picture_evenly(width, height, size, overlap):
    tiles = tiles_of(width, height, size, overlap)
    for axis, length in ((0, width), (1, height)):
        side = min(size[axis], length)
        starts = sorted({tile[axis] for tile in tiles})
        assert {tile[axis + 2] - tile[axis] for tile in tiles} == {side}
        assert starts[0] == 0 and starts[-1] + side == length
        # Half a pixel of rounding at either end.
        assert all(later - earlier <= size[axis] * (1 - overlap) + 1 for earlier, later in pairwise(starts))
    assert len(set(tiles)) == len(tiles)


def test_too_many_tiles():
    with pytest.raises(OptionError, match=f"at most {MOST_TILES}: choose larger tiles"):
        tiles_of(40_000, 30_000, (8, 8), 0.2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("factors", [(1, 1), (3, 2)])
def test_tiles_see_what_lies_there(orientation, factors):
    stored = np.random.default_rng(0).integers(0, 256, (61, 47, 3), np.uint8)
    strips = Strips(47, 61, 3, lambda: iter([stored[:20], stored[20:27], stored[27:]]), orientation)
    width, height = (-(-side // factor) for side, factor in zip((47, 61), factors, strict=True))
    shown = upright(np.asarray(Image.fromarray(stored).reduce(factors)), orientation)
    assert shown.shape[:2] == ((width, height) if orientation >= 5 else (height, width))
    tiles = tiles_of(shown.shape[1], shown.shape[0], (13, 11), 0.3)
    seen = list(cut(strips, strips.blocks(), [Level(factors, tiles)]))
    assert len(seen) == len(tiles)
    across, down = factors if orientation < 5 else factors[::-1]
    for pixels, (left, top, right, bottom) in seen:
        expected = shown[top // down : bottom // down, left // across : right // across]
        assert np.array_equal(pixels, expected)


def test_turned_is_where_a_tile_is_stored():
    stored = np.arange(35).reshape(5, 7)
    for orientation in range(1, 9):
        left, top, right, bottom = turned(Tile(1, 2, 4, 5), 7, 5, orientation)
        part = upright(stored[top:bottom, left:right].astype(np.uint8), orientation)
        assert np.array_equal(part, upright(stored.astype(np.uint8), orientation)[2:5, 1:4])


# Merging -------------------------------------------------------------------------------------------------------

LEFT, RIGHT = Tile(0, 0, 100, 100), Tile(80, 0, 180, 100)


def boxes(tile: Tile, *rows: tuple[tuple[float, float, float, float], int, float]) -> tuple[Tile, Candidates]:
    """Rows of (corners in the picture, class, confidence) as a network gives them in a tile."""
    corners = np.array([row[0] for row in rows], np.float64).reshape(-1, 4)
    origin, sides = np.array(tile[:2]), np.array([tile.right - tile.left, tile.bottom - tile.top])
    low, high = (corners[:, :2] - origin) / sides, (corners[:, 2:] - origin) / sides
    probs = np.zeros((len(rows), 3), np.float32)
    for row, (_, class_id, confidence) in enumerate(rows):
        probs[row, class_id] = confidence
    centre = np.concatenate([(low + high) / 2, high - low], axis=1).astype(np.float32)
    return tile, Candidates(centre, np.ones(len(rows), np.float32), probs)


def merged(*found, agnostic: bool = False, size=(180, 100)) -> list[tuple[tuple[float, ...], int, float]]:
    result = mend(gather(found, *size, 3), agnostic=agnostic)
    kept = result.probs.any(axis=1)
    rows = zip(result.xyxy[kept].round(1).tolist(), result.probs[kept], strict=True)
    return sorted((tuple(box), int(probs.argmax()), round(float(probs.max()), 3)) for box, probs in rows)


def test_a_part_gives_way_to_the_whole():
    found = boxes(LEFT, ((84, 10, 100, 40), 0, 0.9)), boxes(RIGHT, ((84, 10, 130, 40), 0, 0.6))
    assert merged(*found) == [((84, 10, 130, 40), 0, 0.9)]


def test_a_box_that_ends_short_of_the_border_is_a_part():
    whole = ((60, 10, 130, 40), 0, 0.6)
    assert merged(boxes(LEFT, ((60, 10, 97.5, 40), 0, 0.9)), boxes(RIGHT, whole)) == [((60, 10, 130, 40), 0, 0.9)]
    assert len(merged(boxes(LEFT, ((60, 10, 95, 40), 0, 0.9)), boxes(RIGHT, whole))) == 2


def test_parts_of_what_is_larger_than_the_overlap_are_made_one():
    found = boxes(LEFT, ((30, 10, 100, 40), 1, 0.5)), boxes(RIGHT, ((80, 11, 150, 40), 1, 0.8))
    assert merged(*found) == [((30, 10, 150, 40), 1, 0.8)]
    # Longer than what either shows: their boxes reach beyond, but are no guide there.
    found = boxes(LEFT, ((30, 10, 112, 40), 1, 0.5)), boxes(RIGHT, ((71, 10, 150, 40), 1, 0.8))
    assert merged(*found) == [((30, 10, 150, 40), 1, 0.8)]


def test_an_object_over_three_tiles():
    third = Tile(160, 0, 260, 100)
    found = (
        boxes(LEFT, ((30, 10, 100, 40), 1, 0.5)),
        boxes(RIGHT, ((80, 10, 180, 40), 1, 0.8)),
        boxes(third, ((160, 10, 222, 40), 1, 0.6)),
    )
    assert merged(*found, size=(260, 100)) == [((30, 10, 222, 40), 1, 0.8)]


def test_the_whole_picture_holds_parts_from_the_middle():
    whole = boxes(Tile(0, 0, 180, 100), ((10, 5, 170, 95), 2, 0.4))
    found = whole, boxes(LEFT, ((20, 5, 100, 90), 2, 0.7)), boxes(RIGHT, ((80, 20, 169, 95), 2, 0.3))
    assert merged(*found) == [((10, 5, 170, 95), 2, 0.7)]


@pytest.mark.parametrize(
    "other",
    [
        ((84, 10, 130, 40), 1, 0.6),  # of another class
        ((120, 10, 150, 40), 0, 0.6),  # elsewhere
        ((102, 45, 150, 90), 0, 0.6),  # below
        ((80, 60, 150, 90), 0, 0.6),  # a part as well, of something below
    ],
)
def test_what_is_another_object_stays(other):
    found = boxes(LEFT, ((84, 10, 100, 40), 0, 0.9)), boxes(RIGHT, other)
    assert merged(*found) == sorted([((84, 10, 100, 40), 0, 0.9), other])


def test_a_large_part_is_not_taken_for_a_small_object_before_it():
    found = boxes(LEFT, ((5, 5, 100, 95), 0, 0.9)), boxes(RIGHT, ((85, 40, 97, 60), 0, 0.6))
    assert len(merged(*found)) == 2


def test_across_classes():
    found = boxes(LEFT, ((84, 10, 100, 40), 0, 0.9)), boxes(RIGHT, ((84, 10, 130, 40), 1, 0.6))
    assert merged(*found, agnostic=True) == [((84, 10, 130, 40), 1, 0.9)]
    assert len(merged(*found)) == 2


def test_borders_of_the_picture_cut_nothing():
    gathered = gather([boxes(LEFT, ((0, 0, 30, 30), 0, 0.9), ((50, 70, 90, 100), 0, 0.9))], 180, 100, 3)
    assert not gathered.cut.any()
    assert not gather([], 180, 100, 3).cut.any() and not merged()


def test_boxes_without_end_do_no_harm():
    tile, candidates = boxes(LEFT, ((84, 10, 100, 40), 0, 0.9), ((0, 0, 50, 50), 0, 0.5))
    candidates.cxcywh[1] = np.nan, 0.5, np.inf, np.inf
    assert len(gather([(tile, candidates), boxes(RIGHT, ((84, 10, 130, 40), 0, 0.6))], 180, 100, 3).xyxy) == 3
    mend(gather([(tile, candidates), boxes(RIGHT, ((84, 10, 130, 40), 0, 0.6))], 180, 100, 3), agnostic=False)


# With a model --------------------------------------------------------------------------------------------------


def test_a_detector_searches_in_tiles(built_in, tmp_path):
    detector = Detector(size=160)
    picture = np.full((420, 500, 3), 140, np.uint8)
    assert detector.detect_tiled(picture[:100, :120]) == detector.detect(picture[:100, :120])
    noise = np.random.default_rng(0).integers(0, 256, (420, 500, 3), np.uint8)
    found = detector.detect_tiled(noise, 0.001, max_det=7, tiles=(160, 128), scales="all")
    assert len(found) <= 7 and (found.image_width, found.image_height) == (500, 420)
    Image.fromarray(noise[..., ::-1]).save(tmp_path / "noise.png")
    assert detector.detect_tiled(tmp_path / "noise.png", 0.001, max_det=7, tiles=(160, 128), scales="all") == found
    of_class = detector.detect_tiled(noise, 0.001, tiles=160, classes="qr")
    every = detector.detect_tiled(noise, 0.001, tiles=160)
    assert of_class == every[every.class_id == detector.names.index("qr")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiles": "large"}, "expected 'auto'"),
        ({"tiles": 0}, "at least 1x1"),
        ({"tiles": (100, 2.5)}, "whole numbers"),
        ({"overlap": 1}, "from 0 to 0.9"),
        ({"scales": "some"}, "whole, tiles, all"),
    ],
)
def test_wrong_options(built_in, options, message):
    with pytest.raises(OptionError, match=message):
        Detector(size=160).detect_tiled(np.zeros((10, 10, 3), np.uint8), **options)
