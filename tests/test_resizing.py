"""Pictures resized as the first step of a run: the same blob as `to_blob`, whoever computes it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import cv2
import naive_image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork

from darknet_py import Detector, Network
from darknet_py.pictures.blob import begin_blob, to_blob
from darknet_py.pictures.geometry import Geometry
from darknet_py.pictures.load import load_image, read_picture

NET = (46, 31)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise in cv2's channel order."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def passing(folder: Path, threads: int = 2) -> Network:
    """A network whose only output is its input."""
    tiny = TinyNetwork((3, NET[1], NET[0]), seed=0)
    tiny.add("dropout")
    return Network(*tiny.write(folder), threads=threads)


def finding(folder: Path, **options: object) -> Detector:
    """A detector that finds a lot in noise."""
    tiny = TinyNetwork((3, NET[1], NET[0]), seed=1)
    tiny.add("convolutional", {"filters": 14, "size": 3, "pad": 1, "stride": 4, "activation": "linear"})
    tiny.add("yolo", {"classes": 2, "num": 2, "anchors": "9,12, 20,17", "mask": "0,1"})
    return Detector(*tiny.write(folder), names=["one", "two"], **options)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 120),
    bgr=st.booleans(),
    letterbox=st.booleans(),
    threads=st.integers(1, 5),
)
def test_a_run_begins_with_the_blob_of_to_blob(
    folder: Path, height: int, width: int, bgr: bool, letterbox: bool, threads: int
) -> None:
    pixels = picture(height, width)
    expected = to_blob(load_image(pixels, bgr=bgr), *NET, letterbox=letterbox)
    network = passing(folder, threads)
    state = network.acquire()
    state.blob[...] = np.nan
    read, reverses = read_picture(pixels, bgr=bgr)
    assert reverses == bgr
    resizing = begin_blob(read, Geometry(width, height, *NET, letterbox), state.blob, reverses=reverses)
    network.forward(state, [] if resizing is None else [resizing])
    np.testing.assert_array_equal(state.output(0), expected)


@pytest.mark.parametrize("width", [1, 2, 17, 45, 46, 47, 91, 97, 100, 139, 185, 230, 700, 4001])
@pytest.mark.parametrize("reverses", [False, True])
def test_every_number_of_pixels_in_a_group(width: int, reverses: bool) -> None:
    """The wider a picture is beside the network, the fewer pixels of output fit a vector of its pixels."""
    pixels = picture(5, width)
    expected = naive_image.resize_image(naive_image.unit_floats(pixels[..., ::-1] if reverses else pixels), *NET)
    blob = np.full((NET[1], NET[0], 3), np.nan, np.float32)
    resizing = begin_blob(pixels, Geometry(width, 5, *NET), blob, reverses=reverses)
    assert resizing is not None
    resizing.run()
    np.testing.assert_array_equal(blob, expected)


def test_a_state_forgets_its_picture(folder: Path) -> None:
    network = passing(folder)
    state = network.acquire()
    resizing = begin_blob(picture(50, 60), Geometry(60, 50, *NET), state.blob)
    assert resizing is not None
    network.forward(state, [resizing])
    assert not state.steps["tasks"][: state.plan.images].any()
    state.blob[...] = 0.25
    network.forward(state)
    assert (state.output(0) == 0.25).all()


def test_a_picture_outlives_a_run_that_ctrl_c_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers may still read it: who holds the state holds the picture."""
    network = passing(folder)
    state = network.acquire()
    pixels = picture(50, 60)
    resizing = begin_blob(pixels, Geometry(60, 50, *NET), state.blob)
    assert resizing is not None

    def interrupted(state: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("darknet_py.network.execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        network.forward(state, [resizing])
    gone = weakref.ref(pixels)
    del pixels, resizing
    gc.collect()
    assert gone() is not None
    del state
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("like", ["darknet", "opencv", "darknet.py"])
def test_detect_sees_what_to_blob_makes(folder: Path, like: str) -> None:
    detector = finding(folder, like=like, threads=3)
    sizes = [NET[::-1], (80, 97), (31, 46), (300, 20), (7, 9), (31, 60)]
    pictures = [picture(*size, seed=number) for number, size in enumerate(sizes)]
    together = detector.detect_batch(pictures, thresh=0.1)
    assert any(map(len, together))
    for pixels, found in zip(pictures, together, strict=True):
        height, width = pixels.shape[:2]
        blob = to_blob(load_image(pixels), *NET, like=like).transpose(2, 0, 1)
        expected = detector.detect_blob(np.ascontiguousarray(blob), (width, height), thresh=0.1)
        for one in (found, detector.detect(pixels, thresh=0.1)):
            np.testing.assert_array_equal(one.xyxy, expected.xyxy)
            np.testing.assert_array_equal(one.confidence, expected.confidence)


def test_channel_orders_and_views_agree(folder: Path) -> None:
    detector = finding(folder, threads=2)
    pixels = picture(70, 55)
    expected = detector.detect(pixels, thresh=0.1)
    assert len(expected)
    wide = np.zeros((70, 110, 3), np.uint8)
    wide[:, ::2] = pixels
    frozen = pixels.copy()
    frozen.flags.writeable = False
    rgb = np.ascontiguousarray(pixels[..., ::-1])
    others = [
        detector.detect(wide[:, ::2], thresh=0.1),
        detector.detect(frozen, thresh=0.1),
        detector.detect(pixels[..., ::-1], thresh=0.1, bgr=False),
        detector.detect(rgb, thresh=0.1, bgr=False),
        detector.detect(cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA), thresh=0.1),
        detector.detect(cv2.imencode(".png", pixels)[1].tobytes(), thresh=0.1),
    ]
    for found in others:
        np.testing.assert_array_equal(found.xyxy, expected.xyxy)
