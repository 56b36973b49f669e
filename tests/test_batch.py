"""Several images in one run: to the bit what each gives alone, whatever is computed image by image or together."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import TinyNetwork
from PIL import Image

from darknet_py import Detector, ImageError, Network, OptionError
from darknet_py.graph import load_graph
from darknet_py.network import MOST_TOGETHER
from darknet_py.shipped import resolve_cfg
from darknet_py.weights import SeededWeights


def every_kind() -> TinyNetwork:
    """Layers with few weights, then one with more weights than values, and after it every kind of step."""
    tiny = TinyNetwork((3, 10, 14), seed=4)
    tiny.add("convolutional", {"filters": 12, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 12, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("convolutional", {"filters": 96, "size": 5, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 96, "groups": 96, "size": 3, "pad": 1, "activation": "relu"})
    tiny.add("avgpool")
    tiny.add("scale_channels", {"from": -2, "activation": "linear"})
    tiny.add("convolutional", {"filters": 16, "size": 1, "activation": "normalize_channels"})
    tiny.add("upsample", {"stride": 2})
    tiny.add("route", {"layers": "-1,0"})
    tiny.add("local_avgpool", {"size": 3, "stride": 1})
    tiny.add("convolutional", {"filters": 28, "size": 3, "pad": 1, "stride": 2, "activation": "swish"})
    tiny.add("convolutional", {"filters": 28, "size": 3, "pad": 1, "activation": "linear"})
    tiny.add("shortcut", {"from": -2, "activation": "leaky"})
    tiny.add("route", {"layers": -1, "groups": 2, "group_id": 1})
    tiny.add("convolutional", {"filters": 14, "size": 1, "activation": "linear"})
    tiny.add("yolo", {"classes": 2, "num": 2, "anchors": "3,4, 8,9", "mask": "0,1"})
    tiny.add("route", {"layers": -3})
    tiny.add("softmax", {"groups": 1})
    return tiny


def assert_alone_as_together(network: Network, count: int) -> None:
    blobs = np.random.default_rng(count).standard_normal((count, *network.graph.blob), np.float32)
    together = network.run(blobs)
    for n, blob in enumerate(blobs):
        for found, alone in zip(together, network.run(blob), strict=True):
            np.testing.assert_array_equal(found[n], alone)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [1, 2, MOST_TOGETHER + 3])
def test_a_batch_equals_its_images(folder: Path, count: int, precision: str) -> None:
    tiny = every_kind()
    network = Network(*tiny.write(folder), threads=2, precision=precision)
    assert_alone_as_together(network, count)


def test_every_layer_of_every_image(folder: Path) -> None:
    """With one run's buffers in hand: what the batch left in them, against the naive layers."""
    tiny = every_kind()
    network = Network(*tiny.write(folder), threads=2)
    assert len(network.plan.table) < len(network.acquire(3).steps), "nothing was done image by image"
    state = network.acquire(3)
    for blob in state.blobs:
        blob[:] = tiny.blob.transpose(1, 2, 0)
    network.forward(state)
    for index in network.plan.outputs:
        for image in range(3):
            found, wanted = state.output(index, image).transpose(2, 0, 1), tiny.outputs[index]
            assert np.abs(found - wanted).max() <= 1e-5 * max(np.abs(wanted).max(), 0.1), (index, image)


@pytest.mark.parametrize("algorithms", ["F2,S2", "F4-lean,S4-lean", "F6", "direct"])
@pytest.mark.parametrize("name", ["yolov4", "yolov4-tiny", "yolov7-tiny"])
def test_real_networks(monkeypatch: pytest.MonkeyPatch, name: str, algorithms: str) -> None:
    monkeypatch.setenv("DARKNET_PY_CONVOLUTION", algorithms)
    graph = load_graph(resolve_cfg(name), (96, 64) if name != "yolov4" else (64, 96))
    network = Network(graph, SeededWeights(graph), threads=2)
    assert_alone_as_together(network, 3)


def test_buffers_of_one_batch_size_are_kept(folder: Path) -> None:
    tiny = every_kind()
    network = Network(*tiny.write(folder), threads=1)
    first = network.acquire(2)
    network.release(first)
    assert network.acquire(2) is first
    network.release(first)
    network.release(network.acquire(3))
    assert network.acquire(2) is not first


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    graph = load_graph(resolve_cfg("yolov4-tiny"), (96, 64))
    return Detector(graph, SeededWeights(graph), threads=2)


def pictures(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    for _ in range(count):
        height, width = rng.integers(20, 90, 2)
        yield rng.integers(0, 256, (height, width, 3), np.uint8)


def test_pictures_of_all_sizes(detector: Detector) -> None:
    many = list(pictures(MOST_TOGETHER * 2 + 1))
    together = detector.detect_batch(iter(many), thresh=0.4)
    assert len(together) == len(many) and sum(map(len, together)) > 0
    for found, picture in zip(together, many, strict=True):
        alone = detector.detect(picture, thresh=0.4)
        np.testing.assert_array_equal(found.xyxy, alone.xyxy)
        np.testing.assert_array_equal(found.confidence, alone.confidence)
    assert detector.detect_batch([]) == []


def test_an_iterator_may_fill_one_array_again(detector: Detector) -> None:
    many = np.random.default_rng(2).integers(0, 256, (3, 40, 50, 3), np.uint8)

    def frames() -> Iterator[np.ndarray]:
        frame = np.empty_like(many[0])
        for picture in many:
            frame[:] = picture
            yield frame

    together = detector.detect_batch(frames(), thresh=0.4)
    for found, picture in zip(together, many, strict=True):
        np.testing.assert_array_equal(found.xyxy, detector.detect(picture, thresh=0.4).xyxy)
    assert len({len(found) for found in together}) > 1 and len(together) == 3


# What is no batch, and pictures that cannot be read ------------------------------------------------------------


def one_pictures() -> list[Any]:
    pixels = np.zeros((30, 40, 3), np.uint8)
    encoded = cv2.imencode(".png", pixels)[1]
    return [
        pixels,
        pixels[..., 0],
        pixels[..., :1],
        np.zeros((30, 40, 4), np.uint8),
        encoded.reshape(-1),
        encoded.tobytes(),
        bytearray(encoded),
        "photo.jpg",
        Path("photo.jpg"),
        Image.fromarray(pixels),
        io.BytesIO(encoded.tobytes()),
    ]


@pytest.mark.parametrize("number", range(len(one_pictures())))
def test_one_picture_is_no_batch(detector: Detector, number: int) -> None:
    picture = one_pictures()[number]
    with pytest.raises(OptionError, match=rf"{type(picture).__name__}.* one picture: use detect, or \[picture\]"):
        detector.detect_batch(picture)


@pytest.mark.parametrize("images", [None, 3, cv2.VideoCapture()])
def test_what_holds_no_pictures(detector: Detector, images: Any) -> None:
    with pytest.raises(OptionError, match=rf"of type {type(images).__name__}: expected a list or another iterable"):
        detector.detect_batch(images)


def test_an_array_of_pictures_is_a_batch(detector: Detector) -> None:
    many = np.random.default_rng(3).integers(0, 256, (4, 40, 50, 3), np.uint8)
    assert detector.detect_batch(many, 0.4) == [detector.detect(picture, 0.4) for picture in many]  # type: ignore[arg-type]
    grey = many[..., 0]
    assert detector.detect_batch(grey, 0.4) == [detector.detect(picture, 0.4) for picture in grey]  # type: ignore[arg-type]
    mixed = np.empty(2, object)
    mixed[:] = [many[0], many[1, :20]]
    assert detector.detect_batch(mixed, 0.4)[1] == detector.detect(many[1, :20], 0.4)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, 5, MOST_TOGETHER, 2 * MOST_TOGETHER + 1])
@pytest.mark.parametrize("lazy", [False, True])
def test_an_error_names_its_index_and_the_rest_is_not_lost(detector: Detector, bad: int, lazy: bool) -> None:
    many: list[Any] = list(pictures(2 * MOST_TOGETHER + 3))
    expected: list[Any] = [detector.detect(picture, 0.4) for picture in many]
    many[bad] = many[bad].astype(np.float32)
    with pytest.raises(ImageError, match=rf"^image {bad} of the batch: image array of dtype float32") as caught:
        detector.detect_batch(iter(many) if lazy else many, 0.4)
    assert isinstance(caught.value.__cause__, ImageError)
    found = detector.detect_batch(iter(many) if lazy else many, 0.4, errors="return")
    assert str(found[bad]) == str(caught.value) and type(found[bad]) is ImageError
    assert [*found[:bad], *found[bad + 1 :]] == [*expected[:bad], *expected[bad + 1 :]]


def test_several_errors_and_nothing_but_errors(detector: Detector) -> None:
    found = detector.detect_batch(["gone.jpg"] * (MOST_TOGETHER + 1), errors="return")
    assert [str(error)[:8] for error in found] == [f"image {n} " for n in range(9)]
    with pytest.raises(OptionError, match="errors='ignore': expected one of raise, return"):
        detector.detect_batch([], errors="ignore")


def test_the_reading_thread_ends_with_the_call(detector: Detector) -> None:
    before = threading.active_count()
    with pytest.raises(ImageError):
        detector.detect_batch(["gone.jpg"] * 20)
    assert threading.active_count() == before

    def broken() -> Iterator[np.ndarray]:
        yield from pictures(10)
        raise KeyError("the camera is gone")

    with pytest.raises(KeyError, match="camera"):
        detector.detect_batch(broken())
    assert threading.active_count() == before


def test_a_bad_picture_of_a_batch_is_named(detector: Detector, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    cv2.imwrite(str(good), next(pictures(1)))
    bad.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"image 1 of the batch: .*bad\.png"):
        detector.detect_batch([good, bad, good])
