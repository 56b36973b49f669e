"""JPEGs whose end is missing: read where all pixels are there, refused where not; and what the log says of them."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from no_cv2 import without_cv2
from PIL import Image

from darknet_py.errors import ImageError
from darknet_py.image import load_image
from darknet_py.pictures.containers import jpeg

END = b"\xff\xd9"


@pytest.fixture(autouse=True, params=["with cv2", "without cv2"])
def opencv(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.param == "with cv2" else without_cv2():
        yield


def pixels(height: int = 40, width: int = 52, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(mode: str = "RGB", seed: int = 0, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(seed=seed)).convert(mode).save(stream, "JPEG", **{"quality": 90, **options})
    return stream.getvalue()


KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "4:2:0": {"subsampling": 2},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_without_its_end_marker(kind: str, channels: int, caplog: pytest.LogCaptureFixture) -> None:
    data = encoded(**KINDS[kind])
    expected = load_image(data, channels=channels)
    assert not caplog.records
    for cut in (data[:-2], data[:-1], data[:-2] + b"\xff\xff"):
        caplog.clear()
        np.testing.assert_array_equal(load_image(cut, channels=channels), expected)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING and record.name == "darknet_py.pictures.containers.jpeg"
        assert record.getMessage() == "image bytes: a JPEG without its end marker; its pixels are all there"


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_of_the_pixels_is_missing(kind: str) -> None:
    data = encoded(**KINDS[kind])
    for missing in (3, 4, 10, len(data) // 2):
        with pytest.raises(ImageError, match=r"cut short or damaged \(not all of its pixels are there"):
            load_image(data[:-missing])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), keep=st.floats(0, 0.7), progressive=st.booleans(), closed=st.booleans())
def test_a_cut_file_is_never_half_a_picture(seed: int, keep: float, progressive: bool, closed: bool) -> None:
    data = encoded(seed=seed, progressive=progressive)
    begin = data.index(b"\xff\xda") + 20
    cut = data[: begin + int(keep * (len(data) - begin))]
    if closed and progressive:
        return  # coarser everywhere, grey nowhere: nothing tells it from a coarse picture
    with pytest.raises(ImageError, match="cut short or damaged"):
        load_image(cut + (END if closed else b""))


def test_a_progressive_file_that_lacks_its_last_scans() -> None:
    data = encoded(progressive=True)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    for begin in scans[1:]:
        tables = data.rfind(b"\xff\xc4", 0, begin)
        for cut in (begin, tables):
            with pytest.raises(ImageError, match="cut short or damaged"):
                load_image(data[:cut])


def test_a_half_file_that_was_closed_is_told_by_its_grey() -> None:
    data = encoded()
    with pytest.raises(ImageError, match="the lower part of the JPEG is missing"):
        load_image(data[: len(data) // 2] + END)
    flat = io.BytesIO()
    Image.new("RGB", (50, 30), (128, 128, 128)).save(flat, "JPEG")
    assert (load_image(flat.getvalue()) == 128).all()


def test_an_ordinary_file_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = []
    decode = jpeg._decoded
    monkeypatch.setattr(jpeg, "_decoded", lambda *arguments: count.append(1) or decode(*arguments))
    data = encoded()
    expected = load_image(data)
    assert len(count) == 1
    for trailer in (b"\0" * 40, b"a camera's trailer" * 9, encoded(seed=1)):  # the last as in an MPO
        np.testing.assert_array_equal(load_image(data + trailer), expected)
    assert len(count) == 4


def test_thumbnails_and_odd_markers_do_not_confuse(caplog: pytest.LogCaptureFixture) -> None:
    data = encoded()
    inner = encoded("L", seed=4)[:-2]  # a thumbnail without an end
    segment = b"\xff\xe5" + (len(inner) + 2).to_bytes(2, "big") + inner
    expected = load_image(data)
    for odd in (
        data[:2] + segment + data[2:],
        data[:2] + b"\xff\xff\xff" + data[2:],
        data[:2] + b"\xff\x01" + data[2:],
    ):
        np.testing.assert_array_equal(load_image(odd), expected)
    assert not caplog.records


@pytest.mark.parametrize("coding", [b"\xff\xc3", b"\xff\xc5", b"\xff\xcb"])
def test_codings_that_libjpeg_may_lack(coding: bytes) -> None:
    data = encoded()
    at = data.index(b"\xff\xc0")
    with pytest.raises(ImageError, match=r"(lossless|hierarchical).* JPEG, which is not read|cut short or damaged"):
        load_image(data[:at] + coding + data[at + 2 :])


def test_colours_are_opencvs_whatever_stands_at_the_end() -> None:
    data = encoded(subsampling=2)[:-2]
    np.testing.assert_array_equal(load_image(data), cv2.imdecode(np.frombuffer(data + END, np.uint8), 1)[..., ::-1])
