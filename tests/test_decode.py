"""Decoding against Darknet's own boxes, against naive loops, and at the edges of what it accepts."""

from types import SimpleNamespace

import golden_heads
import naive_boxes
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from darknet_py.boxes.decode import decode
from darknet_py.boxes.kernels.candidates import count_objects
from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.pictures.geometry import Geometry

ANCHORS = (10.0, 14.0, 23.0, 27.0, 37.0, 58.0, 81.0, 82.0, 135.0, 169.0)
NET = (160, 96)
STRETCHED = Geometry(640, 424, *NET, letterbox=False)


def yolo(mask=(0, 1, 2), classes=4, new_coords=False, **more):
    return golden_heads.head("yolo", mask, ANCHORS, classes, new_coords=new_coords, **more)


def region(num=3, classes=6, classfix=0, parents=None):
    tree = None if parents is None else golden_heads.tree(parents)
    return golden_heads.head("region", tuple(range(num)), ANCHORS, classes, classfix=classfix, tree=tree)


def random_map(height, width, channels, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


def check(candidates, boxes):
    """Candidates are the naive boxes, in the same order."""
    assert len(candidates) == len(boxes)
    if boxes:
        assert_allclose(candidates.cxcywh, [[box[key] for key in "xywh"] for box in boxes], rtol=2e-6, atol=1e-7)
        assert_allclose(candidates.objectness, [box["objectness"] for box in boxes], rtol=1e-6)
        assert_allclose(candidates.probs, [box["probs"] for box in boxes], rtol=2e-6)


@pytest.mark.parametrize("name", golden_heads.cases("dets_prenms"))
def test_golden_boxes_before_suppression(name):
    case = golden_heads.read(name)
    found = golden_heads.rows(decode(case.heads, Geometry(*golden_heads.IMAGE_SIZE, *case.net_size), 0.25))
    assert_allclose(found, case.golden["dets_prenms"][:, 1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (5, 3), (1, 7), (13, 4)])
@pytest.mark.parametrize("mask", [(0,), (2, 0, 4)], ids=["one", "out of order"])
@pytest.mark.parametrize("new_coords", [False, True], ids=["exp", "new_coords"])
def test_yolo_as_naive(shape, mask, new_coords):
    layer = yolo(mask, new_coords=new_coords)
    head = random_map(*shape, len(mask) * 9)
    boxes = naive_boxes.yolo_boxes(head, ANCHORS, mask, 4, NET, 0.4, new_coords)
    check(decode([(layer, head)], STRETCHED, 0.4), boxes)


@pytest.mark.parametrize("sqrt", [False, True])
@pytest.mark.parametrize(("side", "num", "classes"), [(1, 1, 1), (3, 2, 4), (7, 3, 20)])
def test_detection_as_naive(side, num, classes, sqrt):
    layer = golden_heads.head("detection", tuple(range(num)), (), classes, side=side, sqrt=sqrt)
    head = random_map(1, 1, layer.map_channels) - np.float32(0.2)
    boxes = naive_boxes.detection_boxes(head.ravel(), side, num, classes, 0.3, sqrt)
    assert any(prob for box in boxes for prob in box["probs"]) or classes == 1
    check(decode([(layer, head)], STRETCHED, 0.3), boxes)


def test_detection_stays_where_the_network_saw_it():
    """Darknet corrects the boxes of its other heads alone for a letterbox."""
    layer = golden_heads.head("detection", (0,), (), 2, side=2)
    head = random_map(1, 1, layer.map_channels)
    letterboxed = Geometry(640, 424, *NET, letterbox=True)
    found, stretched = (decode([(layer, head)], geometry, 0.1).cxcywh for geometry in (letterboxed, STRETCHED))
    assert_array_equal(found, stretched)
    second = yolo((0,), 4)
    other = random_map(2, 3, 9)
    both = decode([(layer, head), (second, other)], letterboxed, 0.1).cxcywh
    assert_array_equal(both[:4], found)
    assert_array_equal(both[4:], decode([(second, other)], letterboxed, 0.1).cxcywh)


@pytest.mark.parametrize("yolo_point", ["center", "left_top", "right_bottom"])
def test_gaussian_as_naive(yolo_point):
    layer = golden_heads.head("Gaussian_yolo", (1, 0), ANCHORS, 3, yolo_point=yolo_point)
    head = random_map(4, 7, 2 * 12)
    boxes = naive_boxes.gaussian_boxes(head, ANCHORS, (1, 0), 3, NET, 0.2, yolo_point)
    check(decode([(layer, head)], STRETCHED, 0.2), boxes)


@pytest.mark.parametrize(
    "parents",
    [
        None,
        (-1, -1, 0, 0, 1, 2),
        (-1, 5, 0, 0, 1, -1),  # a node before its parent
    ],
    ids=["flat", "tree", "child first"],
)
@pytest.mark.parametrize("classfix", [0, -1])
def test_region_as_naive(parents, classfix):
    layer = region(classfix=classfix, parents=parents)
    head = random_map(5, 3, 3 * 11) ** np.float32(0.3)
    before = head.copy()
    boxes = naive_boxes.region_boxes(head, ANCHORS, 3, 6, 0.3, classfix=classfix, parents=parents)
    found = decode([(layer, head)], STRETCHED, 0.3)
    check(found, boxes)
    assert found.probs.any()
    assert len(found) == 5 * 3 * 3
    assert_array_equal(head, before)  # Darknet multiplies along the tree in place; a second call would differ


@pytest.mark.parametrize("image_size", [(640, 424), (424, 640), (96, 96), (31, 1000)])
def test_letterbox_is_undone_as_naive(image_size):
    head = random_map(3, 5, 27)
    boxes = naive_boxes.yolo_boxes(head, ANCHORS, (0, 1, 2), 4, NET, 0.3)
    naive_boxes.undo_letterbox(boxes, image_size, NET)
    check(decode([(yolo(), head)], Geometry(*image_size, *NET, letterbox=True), 0.3), boxes)


def test_a_slice_of_a_wider_buffer_is_the_same():
    wide = random_map(6, 9, 64)
    head = wide[1:5, 2:9, 10:37]
    assert not head.flags.c_contiguous
    check_equal(decode([(yolo(), head)], STRETCHED, 0.3), decode([(yolo(), head.copy())], STRETCHED, 0.3))


@pytest.mark.parametrize(
    "view",
    [
        lambda head: head[::-1][::-1],
        lambda head: np.asfortranarray(head),
        lambda head: head.astype(np.float64),
        lambda head: np.repeat(head, 2, axis=2)[:, :, ::2],
    ],
    ids=["reversed twice", "fortran", "float64", "every second channel"],
)
def test_any_layout_is_the_same(view):
    head = random_map(4, 5, 27)
    check_equal(decode([(yolo(), view(head))], STRETCHED, 0.3), decode([(yolo(), head)], STRETCHED, 0.3))


def check_equal(one, other):
    assert_array_equal(one.cxcywh, other.cxcywh)
    assert_array_equal(one.objectness, other.objectness)
    assert_array_equal(one.probs, other.probs)


def test_heads_follow_each_other_and_lack_of_classes_is_zero():
    few, many = random_map(2, 3, 3 * 7, seed=1), random_map(4, 6, 2 * 11, seed=2)
    both = decode([(yolo(classes=2), few), (yolo((3, 4), classes=6), many)], STRETCHED, 0.3)
    first = decode([(yolo(classes=2), few)], STRETCHED, 0.3)
    second = decode([(yolo((3, 4), classes=6), many)], STRETCHED, 0.3)
    assert_array_equal(both.cxcywh, np.concatenate((first.cxcywh, second.cxcywh)))
    assert_array_equal(both.probs[: len(first), :2], first.probs)
    assert not both.probs[: len(first), 2:].any()
    assert_array_equal(both.probs[len(first) :], second.probs)


def test_the_threshold_itself_and_nan_are_not_taken():
    head = np.ones((1, 3, 9), np.float32)
    head[0, :, 4] = 0.5, np.nan, 0.75
    head[0, 2, 5:] = np.nan, 0.25, 1, 2 / 3  # 2/3 * .75 rounds to .5
    found = decode([(yolo((0,)), head)], STRETCHED, 0.5)
    assert_array_equal(found.objectness, [0.75])
    assert_array_equal(found.probs, [[0, 0, 0.75, 0]])


def test_no_heads_no_boxes():
    found = decode([], STRETCHED, 0.5)
    assert found.cxcywh.shape == (0, 4)
    assert found.probs.shape == (0, 0)


@pytest.mark.parametrize("thresh", [-0.1, 1.5, float("nan")])
def test_impossible_threshold(thresh):
    with pytest.raises(OptionError, match="between 0 and 1"):
        decode([], STRETCHED, thresh)


def test_map_of_another_layer():
    with pytest.raises(OptionError, match=r"expected \(h, w, 27\)"):
        decode([(yolo(), random_map(2, 2, 26))], STRETCHED, 0.5)
    with pytest.raises(UnsupportedError, match="convolutional"):
        decode([(SimpleNamespace(kind="convolutional"), random_map(2, 2, 26))], STRETCHED, 0.5)


def test_a_whole_threshold_is_not_compiled_for_again():
    heads = [(yolo(), random_map(2, 3, 27))]
    decode(heads, STRETCHED, 0.5)
    before = len(count_objects.signatures)
    for thresh in (0, 1):
        decode(heads, STRETCHED, thresh)
    assert len(count_objects.signatures) == before
