"""Searching large pictures in tiles: what is looked at, found, and merged."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from framed_codes import NAMES, FrameDetector, desk, put, qr

from darknet_py import Detections

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from tiles import find_everywhere, merge, windows


@pytest.mark.parametrize("size", [(1024, 1024), (1025, 10), (4000, 3000), (3000, 1100), (1, 1)])
def test_windows_cover_the_picture_and_overlap(size):
    width, height = size
    tiles = list(windows(width, height, 1024))
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in tiles:
        assert (right - left, bottom - top) == (min(1024, width), min(1024, height))
        seen[top:bottom, left:right] = True
    assert seen.all()
    for axis in (0, 1):
        starts = sorted({tile[axis] for tile in tiles})
        assert all(later - earlier <= 768 for earlier, later in pairwise(starts))


def test_small_objects_are_found_in_large_pictures_once_and_whole():
    image = desk(1300, 1050)
    # In a corner, across the borders of tiles, and large.
    places = [(0, 0, 16), (495, 450, 40), (540, 600, 16), (380, 50, 50), (1200, 950, 60), (100, 550, 400)]
    boxes = [put(image, np.full((side, side), 255, np.uint8), 0, left, top) for left, top, side in places]
    detector = FrameDetector()
    assert len(detector.detect(image)) < len(boxes)
    found = find_everywhere(detector, image, 512)
    assert sorted(map(tuple, found.xyxy.round().astype(int).tolist())) == sorted(boxes)
    assert (found.image_width, found.image_height) == (1300, 1050)


def test_small_pictures_are_searched_once():
    image = desk(800, 600)
    put(image, qr("once", 105), 0, 100, 100)
    calls = []

    class Counting(FrameDetector):
        def detect(self, image: np.ndarray, thresh: float = 0.25) -> Detections:
            calls.append(image.shape)
            return super().detect(image, thresh)

    assert len(find_everywhere(Counting(), image, 1024)) == 1
    assert calls == [(600, 800, 3)]
    assert len(find_everywhere(Counting(), image, 1024, thresh=0.99)) == 0


def test_merging_keeps_the_likeliest_of_a_class_and_the_other_classes():
    def one(class_id: int, confidence: float, *box: float) -> Detections:
        return Detections([box], [confidence], [class_id], [NAMES[class_id]], 100, 50, [confidence])

    parts = [
        one(0, 0.6, 10, 10, 30, 30),
        one(0, 0.9, 11, 10, 31, 30),
        one(3, 0.5, 10, 10, 30, 30),
        one(0, 0.7, 60, 5, 70, 9),
    ]
    found = merge([*parts, Detections.empty(100, 50)], NAMES)
    assert sorted(found.confidence.tolist()) == pytest.approx([0.5, 0.7, 0.9])
    likeliest = found[found.confidence.argmax()]
    assert likeliest.xyxy[0] == pytest.approx([11, 10, 31, 30], abs=1e-4)
    assert likeliest.class_names.tolist() == ["qr"]
    assert len(merge([Detections.empty(100, 50)], NAMES)) == 0
