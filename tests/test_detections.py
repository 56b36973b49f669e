"""What was found: arrays, slices and the formats others read."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from darknet_py.boxes.decode import Candidates
from darknet_py.boxes.detections import Detection, Detections
from darknet_py.boxes.nms import suppress
from darknet_py.errors import OptionError

IMAGE = SimpleNamespace(image_width=640, image_height=400)
NAMES = ("cat", "dog", "traffic light")


def sample():
    """Two boxes, the first of two classes, the second half out of the image, and one of none."""
    candidates = Candidates(
        np.array([[0.5, 0.25, 0.2, 0.1], [0.0, 0.5, 0.25, 0.5], [0.5, 0.5, 0.5, 0.5]], np.float32),
        np.array([0.9, 0.75, 0.5], np.float32),
        np.array([[0.5, 0, 0.75], [0, 0.625, 0], [0, 0, 0]], np.float32),
    )
    return Detections.from_candidates(candidates, NAMES, IMAGE)


def test_one_entry_per_box_and_class_in_pixels():
    found = sample()
    assert_allclose(found.xyxy, [[256, 80, 384, 120]] * 2 + [[-80, 100, 80, 300]], rtol=1e-6)
    assert_array_equal(found.confidence, np.float32([0.5, 0.75, 0.625]))
    assert_array_equal(found.class_id, [0, 2, 1])
    assert_array_equal(found.class_names, ["cat", "traffic light", "dog"])
    assert_array_equal(found.objectness, np.float32([0.9, 0.9, 0.75]))
    assert (found.xyxy.dtype, found.confidence.dtype, found.class_id.dtype) == (np.float32, np.float32, np.int64)


def test_other_box_formats():
    found = sample()[2]
    assert_allclose(found.xywh, [[-80, 100, 160, 200]])
    assert_allclose(found.cxcywh, [[0, 200, 160, 200]])
    assert_allclose(found.relative_cxcywh, [[0, 0.5, 0.25, 0.5]])
    assert_allclose(found.clipped().xyxy, [[0, 100, 80, 300]])
    assert found.cxcywh.dtype == found.relative_cxcywh.dtype == found.xywh.dtype == np.float32


@pytest.mark.parametrize(
    ("index", "classes"),
    [
        (0, [0]),
        (-1, [1]),
        (np.int64(1), [2]),
        (np.array(1), [2]),
        (slice(1, None), [2, 1]),
        ([2, 0], [1, 0]),
        ([], []),
        ([False, True, False], [2]),
        (np.array([True, False, True]), [0, 1]),
        (np.zeros(3, bool), []),
    ],
)
def test_picking_entries(index, classes):
    picked = sample()[index]
    assert isinstance(picked, Detections)
    assert len(picked) == len(classes)
    assert_array_equal(picked.class_id, classes)
    assert_array_equal(picked.class_names, [NAMES[i] for i in classes])
    assert picked.xyxy.shape == (len(classes), 4)
    assert picked.image_width == 640


@pytest.mark.parametrize("index", [3, -4])
def test_picking_beyond_the_end(index):
    with pytest.raises(IndexError, match="of 3"):
        sample()[index]


def test_iterating_gives_plain_numbers():
    first = next(iter(sample()))
    assert isinstance(first, Detection)
    assert (first.class_id, first.class_name, first.confidence) == (0, "cat", 0.5)
    assert {type(number) for number in first.xyxy} == {float}
    json.dumps(first)


def test_equality_is_of_contents():
    assert sample() == sample()
    assert sample() != sample()[:2]
    assert sample()[[0, 2]] != sample()[[2, 0]]
    assert Detections.empty(4, 4) == Detections.empty(4, 4) != Detections.empty(4, 5)
    assert sample() != "cat"


def test_repr_names_what_was_found():
    assert repr(sample()) == "Detections(640x400: cat 50%, traffic light 75%, dog 62%)"
    assert repr(sample()[[0] * 10]).endswith("cat 50%, 2 more)")
    assert repr(Detections.empty(3, 5)) == "Detections(3x5: nothing)"


def test_nothing_found_works_everywhere():
    nothing = Detections.empty(64, 48)
    none_kept = Candidates(np.ones((2, 4), np.float32), np.ones(2, np.float32), np.zeros((2, 3), np.float32))
    assert Detections.from_candidates(none_kept, NAMES, SimpleNamespace(image_width=64, image_height=48)) == nothing
    assert list(nothing) == []
    assert len(nothing) == 0
    assert nothing.xyxy.shape == (0, 4)
    assert nothing.class_names.dtype.kind == "U"
    assert nothing[:] == nothing == nothing.clipped()
    assert nothing.to_darknet_json("x", 1)["objects"] == nothing.to_coco(1) == nothing.records() == []
    assert nothing.to_yolo_txt() == ""


def test_infinite_boxes_pass_without_a_warning():
    sizes = np.array([[np.inf, 0.2], [np.inf, 0], [3e38, 3e38], [np.nan, 1]], np.float32)
    candidates = Candidates(
        np.concatenate((np.full((4, 2), 0.5, np.float32), sizes), axis=1),
        np.ones(4, np.float32),
        np.full((4, 1), 0.5, np.float32),
    )
    kept = suppress(candidates, nms=0.45, kind="greedynms")
    found = Detections.from_candidates(kept, NAMES, IMAGE)
    assert len(found) == 4
    assert len(found.to_coco(1)) == len(found.to_darknet_json("x", 1)["objects"]) == len(found.records()) == 4
    assert found.to_yolo_txt().count("\n") == 4


def test_arrays_of_different_lengths():
    found = sample()
    with pytest.raises(OptionError, match=r"confidence has shape \(2,\), expected \(3,\)"):
        Detections(found.xyxy, found.confidence[:2], found.class_id, found.class_names, 640, 400, found.objectness)
    with pytest.raises(OptionError, match="xyxy"):
        Detections(found.xyxy[:, :3], found.confidence, found.class_id, found.class_names, 640, 400, found.objectness)
    with pytest.raises(OptionError, match="at least 1x1"):
        Detections.empty(0, 4)


def test_too_few_names():
    candidates = Candidates(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.ones((1, 3), np.float32))
    with pytest.raises(OptionError, match="2 class names for 3 classes"):
        Detections.from_candidates(candidates, NAMES[:2], IMAGE)


def test_sorted_has_the_most_confident_first():
    assert_array_equal(sample().sorted().confidence, np.float32([0.75, 0.625, 0.5]))
    assert_array_equal(sample().sorted().class_id, [2, 1, 0])
    ties = sample()[[0, 1, 0, 1, 2]]
    assert ties.sorted() == ties[[1, 3, 4, 0, 2]]
    assert Detections.empty(3, 4).sorted() == Detections.empty(3, 4)


def test_darknet_json_has_darknets_keys():
    record = sample().to_darknet_json("a/dog.jpg", 7)
    assert list(record) == ["frame_id", "filename", "objects"]
    assert record["frame_id"] == 7
    assert record["filename"] == "a/dog.jpg"
    first = record["objects"][0]
    assert list(first) == ["class_id", "name", "relative_coordinates", "confidence"]
    assert (first["class_id"], first["name"], first["confidence"]) == (0, "cat", 0.5)
    box = first["relative_coordinates"]
    assert list(box) == ["center_x", "center_y", "width", "height"]
    assert list(box.values()) == pytest.approx([0.5, 0.25, 0.2, 0.1], abs=1e-6)
    assert "filename" not in sample().to_darknet_json(None, 1)
    json.dumps(record)


def test_coco_results_are_clipped_and_renumbered():
    results = sample().to_coco(42, category_ids=[1, 18, 10])
    assert [result["category_id"] for result in results] == [1, 10, 18]
    assert results[2] == {"image_id": 42, "category_id": 18, "bbox": [0, 100, 80, 200], "score": 0.625}
    assert [result["category_id"] for result in sample().to_coco("a")] == [0, 2, 1]
    assert [result["category_id"] for result in sample().to_coco("a", {0: 5, 1: 6, 2: 7})] == [5, 7, 6]
    json.dumps(results)


def test_label_lines_have_the_best_class_of_each_box():
    assert sample().to_yolo_txt() == "2 0.5000 0.2500 0.2000 0.1000\n1 0.0000 0.5000 0.2500 0.5000\n"
    assert sample().to_yolo_txt(confidence=True).splitlines()[0] == "2 0.5000 0.2500 0.2000 0.1000 0.7500"


def test_records_are_flat():
    record = sample().records()[2]
    assert record == {
        "class_id": 1,
        "class_name": "dog",
        "confidence": 0.625,
        "objectness": 0.75,
        "left": -80,
        "top": 100,
        "right": 80,
        "bottom": 300,
    }
    json.dumps(record)
