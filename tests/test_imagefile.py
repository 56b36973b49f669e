"""Reading of pictures from Pillow and from files of every kind, whole or broken."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import naive_image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from darknet_py.errors import DarknetError, ImageError
from darknet_py.image import load_image

SHARED = Path(__file__).parents[1].parent / "shared"
PREPROCESSING = SHARED / "golden" / "preprocessing"
needs_golden = pytest.mark.skipif(not PREPROCESSING.is_dir(), reason="golden preprocessing data is not here")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height: int = 40, width: int = 56) -> np.ndarray:
    """RGB that survives JPEG: red grows to the right, green downwards, blue is low."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 255 // width, y * 255 // height, np.full_like(x, 30)]).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


# ------------------------------------------------------------------------------------ load_image: Pillow


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LA", "PA", "RGBX"])
def test_pillow_modes(mode: str) -> None:
    image = Image.fromarray(smooth()).convert("L").convert(mode) if mode == "PA" else Image.fromarray(smooth())
    image = image.convert(mode)
    np.testing.assert_array_equal(load_image(image), np.asarray(image.convert("RGB")))
    assert load_image(image, channels=1).shape == (40, 56, 1)


def test_pillow_transparency_keeps_the_colours() -> None:
    image = Image.fromarray(smooth())
    palette = Image.open(io.BytesIO(encoded(image.convert("P"), "PNG", transparency=b"\x00\x80")))
    np.testing.assert_array_equal(load_image(palette), np.asarray(image.convert("P").convert("RGB")))
    image.putalpha(0)
    np.testing.assert_array_equal(load_image(image), smooth())


def test_pillow_16_bits() -> None:
    values = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
    expected = np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(load_image(Image.fromarray(values)), expected)
    np.testing.assert_array_equal(load_image(Image.fromarray(values.astype(np.int32))), expected)
    with pytest.raises(ImageError, match=r"65536.*expected 16-bit"):
        load_image(Image.fromarray(np.array([[65536]], np.int32)))
    with pytest.raises(ImageError, match="mode 'F'"):
        load_image(Image.new("F", (3, 4)))
    with pytest.raises(ImageError, match="no pixels"):
        load_image(Image.new("RGB", (0, 4)))


def test_pillow_pixels_are_taken_as_they_lie() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(smooth(), "PNG", exif=exif)))
    assert load_image(image).shape == (40, 56, 3)


# ------------------------------------------------------------------------------------- load_image: files


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "TGA"])
def test_lossless_files(kind: str, tmp_path: Path) -> None:
    image = Image.fromarray(smooth())
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    file = tmp_path / "picture.bin"  # the ending plays no part
    file.write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for source in (file, str(file), data, bytearray(data), memoryview(data)):
        np.testing.assert_array_equal(load_image(source), expected)


def test_unicode_path(tmp_path: Path) -> None:
    file = tmp_path / "größe 自転車.png"
    file.write_bytes(encoded(smooth(), "PNG"))
    np.testing.assert_array_equal(load_image(str(file)), smooth())


def test_one_pixel_file() -> None:
    np.testing.assert_array_equal(load_image(encoded(np.full((1, 1, 3), 9, np.uint8), "PNG")), np.full((1, 1, 3), 9))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_png_modes(mode: str) -> None:
    image = Image.fromarray(smooth())
    image.putalpha(10)
    image = image.convert(mode)
    np.testing.assert_array_equal(load_image(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


def test_16_bit_png_keeps_the_upper_bits() -> None:
    values = np.arange(60, dtype=np.uint16).reshape(5, 12) * 1000
    grey = load_image(encoded(values, "PNG"))
    np.testing.assert_array_equal(grey, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2))
    bgr = np.dstack([values, values[::-1], values[:, ::-1]])
    data = cv2.imencode(".png", bgr)[1].tobytes()
    np.testing.assert_array_equal(load_image(data), (bgr[..., ::-1] >> 8).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_modes(mode: str, progressive: bool) -> None:
    data = encoded(Image.fromarray(smooth()).convert(mode), "JPEG", quality=95, progressive=progressive)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(load_image(data) - expected).max() <= 3  # what two JPEG decoders may differ by


def test_grey_jpeg_is_its_luma_plane() -> None:
    image = Image.fromarray(smooth())
    data = encoded(image, "JPEG", quality=95)
    luma = np.asarray(Image.open(io.BytesIO(data)).convert("YCbCr"))[..., :1].astype(int)
    loaded = load_image(data, channels=1)
    assert loaded.shape == (40, 56, 1)
    assert np.abs(loaded - luma).max() <= 3
    np.testing.assert_array_equal(load_image(encoded(image, "PNG"), channels=1), naive_image.grey(smooth()))


@needs_golden
@pytest.mark.parametrize(("name", "channels"), [("dog_stb_u8_hwc", 3), ("dog_stb_gray_u8", 1)])
def test_jpeg_is_near_darknets_decoder(name: str, channels: int) -> None:
    decoded = load_image(SHARED / "images" / "classic" / "dog.jpg", channels=channels)
    expected = np.load(PREPROCESSING / "preproc.npz")[name].reshape(decoded.shape)
    assert np.abs(decoded - expected.astype(int)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_exif_orientation_is_applied(kind: str, orientation: int, channels: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(), kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    expected = upright if channels == 3 else naive_image.grey(upright)
    loaded = load_image(data, channels=channels)
    assert loaded.shape == expected.shape
    assert np.abs(loaded - expected.astype(int)).max() <= (3 if kind == "JPEG" and channels == 3 else 8)


# -------------------------------------------------------------------------------- load_image: broken files


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_cut_short(kind: str, keep: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(noise(60, 80), kind)
    file = tmp_path / "half.jpg"
    file.write_bytes(data[: int(len(data) * keep)])
    log = getattr(cv2.utils, "logging", cv2)
    level = log.getLogLevel()
    with pytest.raises(ImageError, match=r"half\.jpg: cut short or damaged \(.*copy or download"):
        load_image(file)
    if not cv2.__version__.startswith("4.8"):  # does not log, but write
        assert capfd.readouterr() == ("", "")
    assert log.getLogLevel() == level


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"<html>not found</html>", "not an image .*begin with b'<html>"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "PostScript file, which is not read",
        ),  # Pillow would start Ghostscript
        (b"\xff\xd8", "image"),
    ],
)
def test_not_images(data: bytes, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "text.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageError, match=rf"text\.jpg: .*{message}"):
        load_image(file)
    with pytest.raises(ImageError, match=f"image bytes: .*{message}"):
        load_image(data)
    assert capfd.readouterr() == ("", "")


def test_paths_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match=r"a directory|cannot be read"):
        load_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        load_image("a\0b.jpg")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), max_size=6))
def test_damaged_png_never_raises_anything_else(cut: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(encoded(noise(9, 13), "PNG")[: cut or None])
    for position, value in flips:
        if position < len(data):
            data[position] = value
    try:
        loaded = load_image(bytes(data))
    except DarknetError:
        return
    assert loaded.dtype == np.uint8 and loaded.ndim == 3
