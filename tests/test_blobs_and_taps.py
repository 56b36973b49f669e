"""What stands in for a picture: blobs that were prepared elsewhere, and layers that are asked for."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from networks import TinyNetwork

from darknet_py import Detector, ImageError, OptionError

WIDTH, HEIGHT = 44, 32


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """One that finds a lot in noise."""
    tiny = TinyNetwork((3, HEIGHT, WIDTH), seed=1)
    tiny.add("convolutional", {"filters": 16, "size": 3, "pad": 1, "stride": 4, "activation": "linear"})
    tiny.add("yolo", {"classes": 3, "num": 2, "anchors": "9,12, 20,17", "mask": "0,1"})
    return Detector(*tiny.write(tmp_path_factory.mktemp("blobs")), ["cat", "dog", "owl"], threads=1)


def test_a_blob_may_have_an_axis_of_one_picture(detector: Detector) -> None:
    blob = np.random.default_rng(2).random((3, HEIGHT, WIDTH), np.float32)
    found = detector.detect_blob(blob, (100, 80), 0.1)
    assert len(found)
    for image_size in ((100, 80), np.array([100, 80]), (np.uint8(100), np.uint16(80))):
        assert detector.detect_blob(blob[None], image_size, 0.1) == found  # type: ignore[arg-type]
    of_cv2 = cv2.dnn.blobFromImage((255 * blob[::-1]).transpose(1, 2, 0), 1 / 255, (WIDTH, HEIGHT), swapRB=True)
    np.testing.assert_allclose(detector.detect_blob(of_cv2, (100, 80), 0.1).xyxy, found.xyxy, rtol=1e-3)


@pytest.mark.parametrize("blob", [np.zeros((2, 3, HEIGHT, WIDTH), np.float32), np.zeros((1, HEIGHT, WIDTH, 3)), None])
def test_a_blob_that_is_none(detector: Detector, blob: Any) -> None:
    with pytest.raises(OptionError, match=r"blob of shape .* expected \(3, 32, 44\) or \(1, 3, 32, 44\), float32"):
        detector.detect_blob(blob, (100, 80))
    for ragged in ([[1.0], [1.0, 2.0]], [np.zeros(3), np.zeros(4)]):
        with pytest.raises(OptionError, match="blob of type list is no array"):
            detector.network.run(ragged)


@pytest.mark.parametrize("image_size", ["100x80", (100.0, 80), None, (100,)])
def test_a_size_of_the_picture_that_is_none(detector: Detector, image_size: Any) -> None:
    with pytest.raises(OptionError, match="image_size="):
        detector.detect_blob(np.zeros((3, HEIGHT, WIDTH), np.float32), image_size)
    with pytest.raises(ImageError, match="image of 0x5 pixels"):
        detector.detect_blob(np.zeros((3, HEIGHT, WIDTH), np.float32), (0, 5))


@pytest.mark.parametrize("taps", [0, "01", [0.0], [None], [True], ["0"]])
def test_taps_that_are_none(detector: Detector, taps: Any) -> None:
    with pytest.raises(OptionError, match=r"taps=.*: expected a list of layers"):
        detector.network.run(np.zeros((3, HEIGHT, WIDTH), np.float32), taps=taps)


def test_taps_of_numpy(detector: Detector) -> None:
    blob = np.ones((3, HEIGHT, WIDTH), np.float32)
    found = detector.network.run(blob, taps=np.array([0, -1]))  # type: ignore[call-overload]
    expected = detector.network.run(blob, taps=[0, -1])
    assert list(found) == [0, -1]
    np.testing.assert_array_equal(found[0], expected[0])
    assert list(detector.network.run(blob, taps=(tap for tap in (1, 0)))) == [1, 0]  # type: ignore[call-overload]
