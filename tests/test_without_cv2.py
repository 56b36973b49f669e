"""Without OpenCV: pictures decode to the pixels that they have with it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from no_cv2 import without_cv2
from PIL import Image, ImageOps

from darknet_py.errors import ImageError
from darknet_py.image import load_image

SHARED = Path(__file__).parents[1].parent / "shared"


def noise(height: int = 13, width: int = 21, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def smooth(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.dstack([x * 255 // width, y * 255 // height, (7 * x + 3 * y) % 256]).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def assert_same_pixels(data: bytes, tolerance: int = 0) -> None:
    """OpenCV itself reads the same; in colour and, of a JPEG, the luma plane. Its absence changes nothing."""
    grey = cv2.IMREAD_GRAYSCALE if data.startswith(b"\xff\xd8") else cv2.IMREAD_COLOR
    for channels, how in ((3, cv2.IMREAD_COLOR), (1, grey)):
        loaded = load_image(data, channels=channels)
        with without_cv2():
            np.testing.assert_array_equal(load_image(data, channels=channels), loaded)
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), how)
        assert expected is not None or cv2.__version__ < "5"  # OpenCV 4.8 reads no GIF and nothing that moves
        if expected is None:
            continue
        if expected.ndim == 3:
            expected = load_image(expected, channels=channels)
        assert loaded.shape == expected.reshape(*expected.shape[:2], -1).shape and loaded.flags.writeable
        assert np.abs(loaded - expected.reshape(loaded.shape).astype(int)).max() <= tolerance


# ---------------------------------------------------------------------------------------------- the same pixels


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    make=st.sampled_from([noise, smooth]),
    mode=st.sampled_from(["L", "RGB"]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    progressive=st.booleans(),
    quality=st.integers(20, 98),
    orientation=st.integers(1, 8),
)
def test_jpegs(
    height: int,
    width: int,
    make: Callable[[int, int], Image.Image],
    mode: str,
    subsampling: str,
    progressive: bool,
    quality: int,
    orientation: int,
) -> None:
    image = make(height, width).convert(mode)
    options = {"subsampling": subsampling, "progressive": progressive, "quality": quality}
    assert_same_pixels(encoded(image, "JPEG", exif=turned(orientation), **options))


@pytest.mark.parametrize("progressive", [False, True])
def test_cmyk_jpegs(progressive: bool) -> None:
    assert_same_pixels(encoded(noise(33, 18).convert("CMYK"), "JPEG", progressive=progressive, exif=turned(6)))


@pytest.mark.parametrize(
    ("kind", "modes"),
    [
        ("PNG", "1 L LA P RGB RGBA I;16"),
        ("BMP", "1 L P RGB"),
        ("GIF", "L P RGB"),
        ("WEBP", "L RGB RGBA"),
        ("TIFF", "1 L P RGB I;16"),
        ("PPM", "1 L RGB"),
    ],
)
def test_lossless_files(kind: str, modes: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    values = np.random.default_rng(1).integers(0, 1 << 16, (13, 21), np.uint16)
    clear = noise()
    clear.putalpha(Image.fromarray(values.astype(np.uint8)))
    for mode in modes.split():
        image = Image.fromarray(values) if mode == "I;16" else (clear if "A" in mode else noise()).convert(mode)
        assert_same_pixels(encoded(image, kind, **options))


def test_lossy_webp_and_16_bit_colours() -> None:
    assert_same_pixels(encoded(noise(), "WEBP", quality=60))
    values = np.random.default_rng(2).integers(0, 1 << 16, (9, 11, 4), np.uint16)
    for suffix, channels in ((".png", 3), (".png", 4), (".tiff", 3)):
        data = cv2.imencode(suffix, values[..., :channels])[1].tobytes()
        assert_same_pixels(data, tolerance=int(suffix == ".tiff"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_of_several_pictures(kind: str) -> None:
    frames = [noise(seed=n).quantize(64) if kind == "GIF" else noise(seed=n) for n in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_same_pixels(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))


@pytest.mark.skipif(not (SHARED / "images").is_dir(), reason="no reference data (../shared) beside the project")
def test_photographs() -> None:
    photos = sorted((SHARED / "images").glob("**/*.jpg"))
    for photo in photos[:: len(photos) // 12]:
        assert_same_pixels(photo.read_bytes())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    data = encoded(noise(), kind, exif=turned(orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    with without_cv2():
        np.testing.assert_array_equal(load_image(data), np.asarray(expected))


@pytest.mark.parametrize("exif", [b"", Image.Exif().tobytes(), b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0damaged"])
def test_orientation_is_that_of_exif_alone(exif: bytes) -> None:
    """XMP is not asked, and EXIF that cannot be read turns nothing."""
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    block = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp
    data = encoded(noise(), "JPEG", **({"exif": exif} if exif else {}))
    assert_same_pixels(data[:2] + block + data[2:])


@contextmanager
def _nothing() -> Iterator[None]:
    yield


# ---------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_cut_short(kind: str, keep: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(noise(60, 80), kind)
    file = tmp_path / "half.jpg"
    file.write_bytes(data[: int(len(data) * keep)])
    with without_cv2(), pytest.raises(ImageError, match=r"half\.jpg: cut short or damaged \(.*copy or download"):
        load_image(file)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"<html>not found</html>", "not an image .*begin with b'<html>"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript file, which is not read"),
        (b"\xff\xd8", "not an image"),
        (b"P", "not an image"),
    ],
)
def test_not_images(data: bytes, message: str) -> None:
    with without_cv2(), pytest.raises(ImageError, match=rf"image bytes: {message}"):
        load_image(data)


def png_header(width: int, height: int) -> bytes:
    """A grey PNG that ends where its pixels would begin."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def test_pillows_limit_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would warn at 89 megapixels, which the tests would make an error, and refuse at 179."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encoded(noise(), "PNG")
    with without_cv2():
        np.testing.assert_array_equal(load_image(data), np.asarray(noise()))


@pytest.mark.parametrize("cv2_is_there", [True, False])
def test_too_large_is_not_called_damaged(cv2_is_there: bool) -> None:
    with (
        _nothing() if cv2_is_there else without_cv2(),
        pytest.raises(ImageError, match=r"too large: 40000x30000 is 1200000000 pixels, expected at most 1073741824"),
    ):
        load_image(png_header(40000, 30000))
