"""What scripts do by ctypes with `darknet_py.darknet`: images, arrays of detections, output; and what they print."""

from __future__ import annotations

import ctypes as ct
import gc
import logging
from pathlib import Path
from typing import Any

import naive
import naive_boxes
import naive_image
import numpy as np
import pytest
from networks import TinyNetwork
from no_cv2 import without_cv2
from PIL import Image
from test_darknet_module import HEIGHT, NAMES, WIDTH, Loaded, assert_same, expected, loaded

from darknet_py import ImageError, OptionError, UnsupportedError, darknet

__all__ = ["loaded"]  # a fixture of the other file


def boxes_of(network: Any, image: Any, thresh: float, relative: int = 0, size: tuple[int, int] | None = None) -> Any:
    """(detections, how many) as every script of the time asks for them."""
    count = ct.c_int(0)
    darknet.predict_image(network, image)
    width, height = size or (image.w, image.h)
    found = darknet.get_network_boxes(network, width, height, thresh, 0.5, None, relative, ct.pointer(count), 0)
    gc.collect()
    return found, count.value


# Boxes ----------------------------------------------------------------------------------------------------------


def test_get_network_boxes_gives_all_before_suppression(loaded: Loaded) -> None:
    found, count = boxes_of(loaded.network, loaded.image(), 0.05, size=(200, 100))
    assert count == len(loaded.boxes) > 5
    assert_same(darknet.remove_negatives(found, NAMES, count), expected(loaded.boxes, 0, 200, 100), NAMES)
    assert {found[j].classes for j in range(count)} == {3}
    np.testing.assert_allclose(
        [found[j].objectness for j in range(count)], [box["objectness"] for box in loaded.boxes], rtol=1e-4
    )
    relative, count = boxes_of(loaded.network, loaded.image(), 0.05, relative=1)
    assert_same(darknet.remove_negatives(relative, NAMES, count), expected(loaded.boxes, 0, 1, 1), NAMES)


def test_do_nms_sort_is_what_detect_image_does(loaded: Loaded) -> None:
    found, count = boxes_of(loaded.network, loaded.image(), 0.05)
    darknet.do_nms_sort(found, count, len(NAMES), 0.45)
    gc.collect()
    left = darknet.remove_negatives(found, NAMES, count)
    assert_same(left, expected(loaded.boxes, 0.45, WIDTH, HEIGHT), NAMES)
    assert sorted(darknet.decode_detection(left), key=lambda one: one[1]) == darknet.detect_image(
        loaded.network, NAMES, loaded.image(), 0.05
    )
    assert darknet.free_detections(found, count) is None


def test_do_nms_obj_compares_objectness_whatever_the_class(loaded: Loaded) -> None:
    found, count = boxes_of(loaded.network, loaded.image(), 0.05)
    darknet.do_nms_obj(found, count, len(NAMES), 0.45)
    kept: list[dict[str, Any]] = []
    for box in sorted(loaded.boxes, key=lambda box: -box["objectness"]):
        if all(naive_boxes.overlap(box, other) <= 0.45 for other in kept):
            kept.append(box)
    assert 0 < len(kept) < len(loaded.boxes)
    assert_same(darknet.remove_negatives(found, NAMES, count), expected(kept, 0, WIDTH, HEIGHT), NAMES)
    assert sum(found[j].objectness > 0 for j in range(count)) == len(kept)
    # Those of no objectness are left alone by what comes after.
    darknet.do_nms_sort(found, count, len(NAMES), 0.45)
    assert [found[j].objectness > 0 for j in range(count)] == [j < len(kept) for j in range(count)]


def test_the_likeliest_class_of_each_detection(loaded: Loaded) -> None:
    found, count = boxes_of(loaded.network, loaded.image(), 0.05)
    wanted = [max(range(3), key=box["probs"].__getitem__) if any(box["probs"]) else -1 for box in loaded.boxes]
    assert [found[j].best_class_idx for j in range(count)] == wanted
    faster = darknet.remove_negatives_faster(found, NAMES, count)
    assert [name for name, _, _ in faster] == [NAMES[k] for k in wanted if k >= 0]


def test_nothing_found_is_an_empty_array(loaded: Loaded) -> None:
    found, count = boxes_of(loaded.network, loaded.image(), 1.0)
    assert count == 0
    darknet.do_nms_sort(found, count, 3, 0.45)
    darknet.do_nms_obj(found, count, 3, 0.45)
    assert darknet.remove_negatives(found, NAMES, count) == []


def test_letterboxed_boxes_are_in_pixels_of_the_image(loaded: Loaded) -> None:
    photo = darknet.make_image(50, 90, 3)
    darknet.copy_image_from_bytes(photo, np.random.default_rng(4).integers(0, 256, (90, 50, 3), np.uint8))
    darknet.predict_image_letterbox(loaded.network, photo)
    count = ct.c_int(0)
    inside = darknet.get_network_boxes(loaded.network, 50, 90, 0.05, 0.5, None, 1, ct.byref(count), 1)
    boxed = darknet.letterbox_image(photo, WIDTH, HEIGHT)
    whole, same = boxes_of(loaded.network, boxed, 0.05, relative=1)
    boxes = [dict(zip("xywh", (b.x, b.y, b.w, b.h), strict=True)) for b in (one.bbox for one in whole)]
    naive_boxes.undo_letterbox(boxes, (50, 90), (WIDTH, HEIGHT))
    assert count.value == same > 3
    np.testing.assert_allclose(
        [(one.bbox.x, one.bbox.y, one.bbox.w, one.bbox.h) for one in inside],
        [[box[key] for key in "xywh"] for box in boxes],
        rtol=1e-4,
        atol=1e-5,
    )


def test_calls_out_of_order_are_named(loaded: Loaded) -> None:
    fresh, count = darknet.load_net(loaded.cfg, loaded.weights), ct.c_int(0)
    with pytest.raises(OptionError, match="before any prediction: call predict_image first"):
        darknet.get_network_boxes(fresh, WIDTH, HEIGHT, 0.5, 0.5, None, 0, ct.pointer(count), 0)
    darknet.predict_image(fresh, loaded.image())
    with pytest.raises(UnsupportedError, match="map="):
        darknet.get_network_boxes(fresh, WIDTH, HEIGHT, 0.5, 0.5, (ct.c_int * 3)(), 0, ct.pointer(count), 0)
    with pytest.raises(OptionError, match="num of type int"):
        darknet.get_network_boxes(fresh, WIDTH, HEIGHT, 0.5, 0.5, None, 0, 0, 0)
    with pytest.raises(OptionError, match="detections of type list"):
        darknet.do_nms_sort([], 0, 3, 0.45)
    found, many = boxes_of(fresh, loaded.image(), 0.05)
    with pytest.raises(OptionError, match=f"{many + 1} detections of {many}"):
        darknet.do_nms_sort(found, many + 1, 3, 0.45)
    with pytest.raises(OptionError, match="80 classes: expected at most 3"):
        darknet.do_nms_obj(found, many, 80, 0.45)


# Images ---------------------------------------------------------------------------------------------------------


def planes(image: Any) -> np.ndarray:
    """What C would read, (c, h, w)."""
    return np.ctypeslib.as_array(image.data, (image.c, image.h, image.w)).copy()


def test_bytes_become_planes(loaded: Loaded) -> None:
    wanted = naive_image.unit_floats(loaded.pixels).transpose(2, 0, 1)
    for data in (loaded.pixels.tobytes(), bytearray(loaded.pixels.tobytes()), loaded.pixels):
        image = darknet.make_image(WIDTH, HEIGHT, 3)
        assert not planes(image).any()
        darknet.copy_image_from_bytes(image, data)
        gc.collect()
        np.testing.assert_array_equal(planes(image), wanted)
    image, values = darknet.array_to_image(loaded.pixels)
    np.testing.assert_array_equal(planes(image), wanted)
    np.testing.assert_array_equal(values, wanted.ravel())
    np.testing.assert_array_equal(planes(darknet.nparray_to_image(loaded.pixels)), wanted[::-1])
    darknet.rgbgr_image(image)
    np.testing.assert_array_equal(planes(image), wanted[::-1])
    by_hand = darknet.IMAGE(WIDTH, HEIGHT, 3, darknet.c_array(darknet.c_float, wanted.ravel()))
    assert darknet.detect_image(loaded.network, NAMES, by_hand) == darknet.detect_image(
        loaded.network, NAMES, loaded.image()
    )


def test_bytes_of_another_size_are_refused() -> None:
    image = darknet.make_image(5, 4, 3)
    with pytest.raises(OptionError, match=r"48 bytes for an IMAGE of 5 x 4 x 3: expected 60; was the picture resized"):
        darknet.copy_image_from_bytes(image, bytes(48))
    with pytest.raises(OptionError, match="pixels of type str: expected bytes"):
        darknet.copy_image_from_bytes(image, "x" * 60)
    with pytest.raises(OptionError, match=r"make_image\(0, 4, 3\)"):
        darknet.make_image(0, 4, 3)
    with pytest.raises(ImageError, match=r"array of shape \(4, 5\)"):
        darknet.array_to_image(np.zeros((4, 5), np.uint8))
    with pytest.raises(OptionError, match="1 channels: expected 3"):
        darknet.rgbgr_image(darknet.make_image(5, 4, 1))


def test_a_freed_image_says_so(loaded: Loaded) -> None:
    image = loaded.image()
    darknet.free_image(image)
    for use in (lambda: darknet.copy_image_from_bytes(image, loaded.pixels), lambda: darknet.free_image(image)):
        with pytest.raises(OptionError, match=r"a null pointer \(an image that was freed\?\)"):
            use()


@pytest.mark.parametrize(("size", "new"), [((13, 7), (24, 10)), ((12, 5), (7, 13)), ((1, 6), (8, 7)), ((6, 9), (6, 4))])
def test_other_sizes_are_resized_as_in_c(tmp_path: Path, size: tuple[int, int], new: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    floats = naive_image.unit_floats(pixels)
    name = str(tmp_path / "photo.png").encode()
    np.testing.assert_array_equal(planes(darknet.load_image(name, 0, 0)), floats.transpose(2, 0, 1))
    wanted = naive_image.resize_image(floats, *new).transpose(2, 0, 1)
    np.testing.assert_allclose(planes(darknet.load_image(name, *new)), wanted, rtol=0, atol=1e-6)
    boxed = darknet.letterbox_image(darknet.load_image(name), *new)
    wanted = naive_image.letterbox_image(floats, *new).transpose(2, 0, 1)
    np.testing.assert_allclose(planes(boxed), wanted, rtol=0, atol=1e-6)


def test_grey_pictures_of_one_channel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    image = darknet.load_image(tmp_path / "grey.png", 0, 0, 1)
    np.testing.assert_array_equal(planes(image), naive_image.unit_floats(pixels[..., None]).transpose(2, 0, 1))


# Output, and what is printed ------------------------------------------------------------------------------------


def test_a_classifier_gives_its_probabilities(tmp_path: Path) -> None:
    tiny = TinyNetwork((3, 6, 9), seed=2)
    pixels = np.random.default_rng(3).integers(0, 256, (6, 9, 3), np.uint8)
    tiny.blob = (pixels / 255.0).astype(np.float32).transpose(2, 0, 1)
    tiny.add("convolutional", {"filters": 4, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("avgpool")
    wanted = tiny.add("softmax").ravel()
    network = darknet.load_net(*tiny.write(tmp_path))
    image, _ = darknet.array_to_image(pixels)
    output = darknet.predict_image(network, image)
    gc.collect()
    assert all(isinstance(probability, float) for probability in output)
    np.testing.assert_allclose(list(output), wanted, rtol=1e-4)
    with pytest.raises(IndexError):
        output[4]
    for data in (image.data, tiny.blob, (ct.c_float * tiny.blob.size)(*tiny.blob.ravel().tolist())):
        np.testing.assert_allclose(list(darknet.network_predict(network, data)), wanted, rtol=1e-4)
    with pytest.raises(OptionError, match="network_predict: 5 values, expected 162"):
        darknet.predict(network, np.zeros(5, np.float32))
    found = darknet.classify(network, ["a", "b", "c", "d"], image)
    assert [name for name, _ in found] == ["abcd"[k] for k in np.argsort(-wanted)]
    assert darknet.detect_image(network, ["a", "b", "c", "d"], image) == []
    np.testing.assert_allclose(wanted, naive.softmax(tiny.outputs[-2]).ravel())


def test_the_last_head_is_the_output_of_a_detector(loaded: Loaded) -> None:
    output = darknet.predict_image(loaded.network, loaded.image())
    assert len(output) == 16 * (HEIGHT // 8) * (WIDTH // 8)


def test_print_detections(capsys: pytest.CaptureFixture[str]) -> None:
    found = [("cat", "9.87", (10.4, 20.6, 3, 4)), ("dog", "85.0", (1.0, 2.0, 3.0, 4.0))]
    darknet.print_detections(found)
    assert capsys.readouterr().out == "\nObjects:\ncat: 9.87%\ndog: 85.0%\n"
    darknet.print_detections(found[:1], True)
    assert capsys.readouterr().out == (
        "\nObjects:\ncat: 9.87%    (left_x: 10   top_y:  21   width:   3   height:  4)\n"
    )


def test_boxes_are_drawn_where_they_lie() -> None:
    pytest.importorskip("cv2", exc_type=ImportError)
    picture = np.zeros((60, 90, 3), np.uint8)
    found = [("cat", "98.77", (40.0, 30.0, 21.0, 11.0))]
    assert darknet.bbox2points(found[0][2]) == (30, 24, 50, 36)  # halves go to the even number
    drawn = darknet.draw_boxes(found, picture, {"cat": (1, 2, 3)})
    assert drawn is picture
    for y, x in ((24, 40), (36, 40), (30, 30), (30, 50)):
        assert tuple(picture[y, x]) == (1, 2, 3)
    assert not picture[26:35, 32:49].any() and picture[:20].any()


def test_drawing_without_opencv_says_what_to_install() -> None:
    with without_cv2(), pytest.raises(UnsupportedError, match=r"draw_boxes needs OpenCV.*pip install opencv-python"):
        darknet.draw_boxes([], np.zeros((4, 4, 3), np.uint8), {})


def test_decode_detection_rounds_to_hundredths() -> None:
    assert darknet.decode_detection([(7, 0.98764, (1, 2, 3, 4)), ("dog", 1.0, (5, 6, 7, 8)), ("x", 0.5, ())]) == [
        ("7", "98.76", (1, 2, 3, 4)), ("dog", "100.0", (5, 6, 7, 8)), ("x", "50.0", ()),
    ]  # fmt: skip


def test_suppression_from_the_lowest_box_upwards() -> None:
    found = [("a", 0, 0, (10, 10, 8, 8)), ("b", 0, 0, (11, 11, 8, 8)), ("c", 0, 0, (40, 10, 8, 8))]
    assert [one[0] for one in darknet.non_max_suppression_fast(found, 0.3)] == ["b", "c"]
    assert darknet.non_max_suppression_fast([], 0.3) == []


def test_calls_about_devices_and_logs_are_accepted(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        darknet.set_gpu(0)
        darknet.set_output_stream(b"output.log")
    assert "computes on the CPU" in caplog.text
    darknet.init_cpu()
    darknet.reset_rnn(None)
    darknet.free_ptrs(None, 0)
    darknet.show_version_info()
    assert capsys.readouterr().out == darknet.version_string().decode() + "\n"
    assert darknet.version_short() in darknet.version_string()
    before = logging.getLogger("darknet_py").level
    darknet.set_verbose(True)
    darknet.set_verbose(False)
    logging.getLogger("darknet_py").setLevel(before)
    with pytest.raises(UnsupportedError, match="get_network_boxes"):
        darknet.make_network_boxes(None, 0.5, None)


def test_every_listed_name_is_there() -> None:
    assert all(hasattr(darknet, name) for name in darknet.__all__)
    assert len(set(darknet.__all__)) == len(darknet.__all__)
