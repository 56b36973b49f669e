"""Preprocessing against Darknet's own results and naive loops; geometry and its inverse; arrays of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import naive_image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darknet_py.errors import ImageError, OptionError
from darknet_py.image import LIKES, load_image, to_blob
from darknet_py.pictures.geometry import Geometry

SHARED = Path(__file__).parents[1].parent / "shared"
PREPROCESSING = SHARED / "golden" / "preprocessing"
needs_golden = pytest.mark.skipif(not PREPROCESSING.is_dir(), reason="golden preprocessing data is not here")


def picture(height: int = 24, width: int = 36, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


# ---------------------------------------------------------------------------------------------- to_blob


@needs_golden
def test_blob_is_darknets() -> None:
    golden = np.load(PREPROCESSING / "preproc.npz")
    cases = json.loads((PREPROCESSING / "meta.json").read_text())
    cases.pop("dog_shape_chw")
    for case, (channels, height, width) in cases.items():
        source = golden["dog_stb_u8_hwc"] if channels == 3 else golden["dog_stb_gray_u8"][:, :, None]
        blob = to_blob(source, width, height, letterbox=case.startswith("letterbox"))
        flat = blob.transpose(2, 0, 1).ravel()
        picked = flat[np.random.RandomState(4321).randint(0, flat.size, 20000)]
        np.testing.assert_allclose(picked, golden[f"{case}_samples"], rtol=0, atol=1e-6, err_msg=case)
        if case in golden:
            np.testing.assert_allclose(flat, golden[case].ravel(), rtol=0, atol=1e-6, err_msg=case)


@needs_golden
def test_naive_loops_are_darknets() -> None:
    golden = np.load(PREPROCESSING / "preproc.npz")
    for case in (name for name in golden if name.startswith("tiny") and not name.endswith("_in")):
        name, how, size = case.split("_")
        width, height = (int(v) for v in size.split("x"))
        run = naive_image.letterbox_image if how == "letter" else naive_image.resize_image
        result = run(golden[f"{name}_in"].transpose(1, 2, 0), width, height).transpose(2, 0, 1)
        np.testing.assert_allclose(result, golden[case], rtol=0, atol=1e-6, err_msg=case)


sizes = st.integers(1, 13)


@settings(max_examples=120, deadline=None)
@given(h=sizes, w=sizes, height=sizes, width=sizes, channels=st.sampled_from([1, 3, 4]), seed=st.integers(0, 9))
def test_resize_equals_naive_loops(h: int, w: int, height: int, width: int, channels: int, seed: int) -> None:
    pixels = picture(h, w, channels, seed)
    expected = naive_image.resize_image(naive_image.unit_floats(pixels), width, height)
    np.testing.assert_array_equal(to_blob(pixels, width, height), expected)


@settings(max_examples=80, deadline=None)
@given(h=st.integers(3, 13), w=st.integers(3, 13), height=st.integers(5, 13), width=st.integers(5, 13))
def test_letterbox_equals_naive_loops(h: int, w: int, height: int, width: int) -> None:
    pixels = picture(h, w)
    expected = naive_image.letterbox_image(naive_image.unit_floats(pixels), width, height)
    np.testing.assert_array_equal(to_blob(pixels, width, height, letterbox=True), expected)


def test_last_row_is_black_where_darknets_is() -> None:
    pixels = np.full((240, 5, 3), 200, np.uint8)
    assert to_blob(pixels, 7, 416)[-1].max() < 1e-4
    assert to_blob(pixels, 7, 417)[-1].min() > 0.7


@pytest.mark.parametrize(
    ("shape", "net"),
    [
        ((1, 1, 3), (1, 1)),  # nothing to interpolate
        ((1, 1, 3), (6, 4)),  # one pixel everywhere
        ((1, 9, 1), (4, 3)),  # one row
        ((9, 1, 1), (4, 3)),  # one column
        ((9, 7, 3), (1, 1)),  # C divides by zero here
    ],
)
def test_single_pixels_and_lines(shape: tuple[int, int, int], net: tuple[int, int]) -> None:
    pixels = np.full(shape, 51, np.uint8)
    blob = to_blob(pixels, *net)
    assert blob.shape == (net[1], net[0], shape[2])
    np.testing.assert_allclose(blob[: max(1, net[1] - 1)], 0.2, atol=1e-7)


@pytest.mark.parametrize("like", LIKES)
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_size_is_a_division(like: str, channels: int) -> None:
    pixels = picture(5, 7, channels)
    np.testing.assert_array_equal(to_blob(pixels, 7, 5, like=like), naive_image.unit_floats(pixels))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_value_is_its_quotient(channels: int) -> None:
    """All bytes divided by 255 and rounded once: as they are, and where the nearest column and row are taken whole."""
    pixels = np.arange(256, dtype=np.uint8).reshape(8, 32, 1).repeat(channels, axis=2)
    expected = (np.arange(256) / 255).astype(np.float32).reshape(8, 32, 1).repeat(channels, axis=2)
    np.testing.assert_array_equal(to_blob(pixels, 32, 8), expected)
    np.testing.assert_array_equal(to_blob(pixels, 63, 8)[:, ::2], expected)


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("net", [(9, 7), (36, 24), (5, 12)])  # resized, equal, narrow
def test_out_may_be_padded(net: tuple[int, int], letterbox: bool) -> None:
    pixels = picture()
    width, height = net
    padded = np.full((height + 3, width + 2, 8), -1, np.float32)
    view = padded[1:-2, 1:-1, 2:5]
    assert to_blob(pixels, width, height, letterbox=letterbox, out=view) is view
    np.testing.assert_array_equal(view, to_blob(pixels, width, height, letterbox=letterbox))
    view[...] = -1
    assert (padded == -1).all()  # nothing was written beside the view


def test_read_only_and_strided_pixels() -> None:
    pixels = picture(11, 14)
    expected = to_blob(np.ascontiguousarray(pixels[::2, ::-1]), 5, 9)
    pixels.flags.writeable = False
    np.testing.assert_array_equal(to_blob(pixels[::2, ::-1], 5, 9), expected)


@pytest.mark.parametrize("like", ["opencv", "darknet.py"])
@pytest.mark.parametrize("channels", [1, 3])
def test_like_others_resizes_bytes(like: str, channels: int) -> None:
    pixels = picture(20, 33, channels)
    resized = cv2.resize(pixels, (12, 17), interpolation=cv2.INTER_LINEAR).reshape(17, 12, channels)
    blob = to_blob(pixels, 12, 17, like=like)
    np.testing.assert_array_equal(blob, naive_image.unit_floats(resized))
    assert not np.allclose(blob, to_blob(pixels, 12, 17))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": picture()[..., 0]}, "expected \\(H, W, C\\)"),
        ({"image": picture().astype(np.float32)}, "uint8"),
        ({"net_width": 0}, "at least 1x1"),
        ({"like": "pytorch"}, "'pytorch'.*darknet.py"),
        ({"like": "opencv", "letterbox": True}, "never letterboxes"),
        ({"out": np.empty((8, 9, 3), np.float32)}, "expected \\(8, 10, 3\\)"),
        ({"out": np.empty((8, 10, 3))}, "float32"),
        ({"out": np.empty((8, 10, 6), np.float32)[..., ::2]}, "contiguous last axis"),
        ({"out": np.empty((8, 10, 3), np.float32)[::-1]}, "positive"),
    ],
)
def test_to_blob_refuses(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"image": picture(), "net_width": 10, "net_height": 8} | change
    with pytest.raises((ImageError, OptionError), match=message):
        to_blob(**arguments)


# --------------------------------------------------------------------------------------------- Geometry

sides = st.integers(1, 3000)
net_sides = st.integers(1, 40).map(lambda n: 32 * n)


@given(w=sides, h=sides, width=net_sides, height=net_sides)
def test_letterbox_size_is_darknets(w: int, h: int, width: int, height: int) -> None:
    geometry = Geometry(w, h, width, height, letterbox=True)
    expected = naive_image.letterbox_size(w, h, width, height)
    assert (geometry.new_width, geometry.new_height) == (max(1, expected[0]), max(1, expected[1]))
    assert 0 <= geometry.left <= width - geometry.new_width - geometry.left <= geometry.left + 1
    assert 0 <= geometry.top <= height - geometry.new_height - geometry.top <= geometry.top + 1


@given(w=sides, h=sides, width=net_sides, height=net_sides)
def test_stretched_geometry_is_the_identity(w: int, h: int, width: int, height: int) -> None:
    geometry = Geometry(w, h, width, height)
    boxes = np.random.default_rng(w).random((3, 4), np.float32)
    assert (geometry.new_width, geometry.new_height, geometry.left, geometry.top) == (width, height, 0, 0)
    np.testing.assert_array_equal(geometry.to_image(boxes), boxes)
    np.testing.assert_array_equal(geometry.to_net(boxes), boxes)


@given(w=sides, h=sides, width=net_sides, height=net_sides)
def test_letterbox_has_an_inverse(w: int, h: int, width: int, height: int) -> None:
    geometry = Geometry(w, h, width, height, letterbox=True)
    boxes = np.random.default_rng(h).random((5, 4), np.float32)
    in_net = geometry.to_net(boxes)
    # A float32 step of the net is magnified by the share of the net that the picture fills.
    magnified = max(width / geometry.new_width, height / geometry.new_height)
    np.testing.assert_allclose(geometry.to_image(in_net), boxes, rtol=1e-6, atol=3e-7 * magnified)
    assert (in_net[:, 2] <= boxes[:, 2]).all() and (in_net[:, 3] <= boxes[:, 3]).all()


def test_letterbox_by_hand() -> None:
    geometry = Geometry(640, 424, 416, 416, letterbox=True)
    assert (geometry.new_width, geometry.new_height, geometry.left, geometry.top) == (416, 275, 0, 70)
    whole = geometry.to_net([[0.5, 0.5, 1, 1]])
    np.testing.assert_allclose(whole, [[0.5, 0.5, 1, 275 / 416]], rtol=1e-6)
    # The image's upper left corner lies at 70.5 rows, where Darknet's decoding has it, though it is painted at 70.
    np.testing.assert_allclose(geometry.to_net([0, 0, 0, 0])[:2] * 416, [0, 70.5], rtol=1e-6)


@pytest.mark.parametrize(("size", "error"), [((0, 4, 32, 32), ImageError), ((4, 4, 32, 0), OptionError)])
def test_geometry_refuses_nothing(size: tuple[int, int, int, int], error: type[Exception]) -> None:
    with pytest.raises(error, match="at least 1x1"):
        Geometry(*size)


# ------------------------------------------------------------------------------------ load_image: arrays


def test_array_channel_orders() -> None:
    rgb = picture()
    alpha = np.full((*rgb.shape[:2], 1), 7, np.uint8)
    for bgr in (True, False):
        ordered = rgb[..., ::-1] if bgr else rgb
        np.testing.assert_array_equal(load_image(ordered, bgr=bgr), rgb)
        np.testing.assert_array_equal(load_image(np.dstack([ordered, alpha]), bgr=bgr), rgb)
        np.testing.assert_array_equal(load_image(ordered, bgr=bgr, channels=1), naive_image.grey(rgb))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (1, 1)])
def test_grey_arrays(shape: tuple[int, ...]) -> None:
    grey = picture(1, 35, 1).ravel()[: np.prod(shape)].reshape(shape)
    for channels in (1, 3):
        loaded = load_image(grey, channels=channels)
        assert loaded.shape == (*shape[:2], channels) and loaded.flags.c_contiguous
        np.testing.assert_array_equal(loaded, np.repeat(grey.reshape(*shape[:2], 1), channels, axis=2))


def test_views_and_read_only_arrays() -> None:
    rgb = picture(9, 11)
    rgb.flags.writeable = False
    np.testing.assert_array_equal(load_image(rgb[2:, 1::2, ::-1]), rgb[2:, 1::2])
    np.testing.assert_array_equal(load_image(rgb, bgr=False), rgb)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((5, 0), np.uint8), "no pixels"),
        (np.zeros(5, np.float32), r"\(5,\), expected \(H, W\)"),
        (np.array(None), r"\(\), expected .*did cv2.imread fail"),
        (np.zeros((5, 6, 2), np.uint8), r"\(5, 6, 2\), expected"),
        (np.zeros((3, 5, 6), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((2, 5, 6, 3), np.uint8), "one by one"),
        (np.zeros((5, 6, 3), np.float32), r"float32, expected uint8: .*\* 255"),
        (np.zeros((5, 6, 3), np.float64), "float64, expected uint8"),
        (np.zeros((5, 6), np.uint16), ">> 8"),
        (np.zeros((5, 6), np.int64), r"astype\(np.uint8\)"),
        (np.zeros((5, 6), bool), r"\* 255"),
    ],
)
def test_refused_arrays(array: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_image(array)


def test_refused_channel_count() -> None:
    with pytest.raises(OptionError, match="channels=2"):
        load_image(picture(), channels=2)
