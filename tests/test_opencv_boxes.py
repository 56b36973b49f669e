"""The boxes that programs for OpenCV 4 reported, of a real model: numbers recorded with OpenCV 4.14."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from darknet_py import Detector

#: Options, and boxes in the first 60 photos of val64 at thresh .5, nms .4: with the first two, what a script with
#: blobFromImage, argmax and NMSBoxes gives; with the third, DetectionModel; the last is this package's own, of several
#: classes a box.
RECORDED: list[tuple[dict[str, Any], int]] = [
    ({"single_class": True, "agnostic": True}, 170),
    ({"agnostic": True}, 170),
    ({"single_class": True}, 173),
    ({}, 175),
]


@pytest.fixture(scope="module")
def photos(shared: Path) -> list[Path]:
    found = sorted((shared / "images/val64/images").glob("*.jpg"))[:60]
    if len(found) < 60:
        pytest.skip("needs the photos of ../shared/images/val64")
    return found


@pytest.fixture(scope="module")
def detector(shared: Path) -> Detector:
    folder = shared / "models/yolo-fastest-1.1-xl"
    cfg, weights = (folder / f"yolo-fastest-1.1-xl.{kind}" for kind in ("cfg", "weights"))
    if not weights.is_file():
        pytest.skip("needs the model yolo-fastest-1.1-xl of ../shared")
    return Detector(cfg, weights, like="opencv")


@pytest.mark.parametrize(("options", "count"), RECORDED)
def test_as_many_boxes_as_with_opencv(
    detector: Detector, photos: list[Path], options: dict[str, Any], count: int
) -> None:
    found = detector.detect_batch(photos, 0.5, 0.4, **options)
    assert sum(map(len, found)) == count


def test_a_box_moved_into_the_picture_hides_one_that_it_did_not_overlap(detector: Detector, photos: list[Path]) -> None:
    """By 0.38 the boxes overlap as they are, by 0.42 once the left one begins at the border as wide as it was."""
    photo = next(path for path in photos if path.name == "000000005193.jpg")
    people = [len(detector.detect(photo, 0.5, 0.4, single_class=True, agnostic=agnostic)) for agnostic in (False, True)]
    assert people == [4, 5]
