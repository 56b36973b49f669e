"""Each container against a second decoder or the pixels it was made of: alpha, depth, orientation, colours."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from no_cv2 import without_cv2
from PIL import Image, ImageOps
from tiff_files import make_tiff

from darknet_py.errors import ImageError
from darknet_py.image import load_image
from darknet_py.pictures import imagefile
from darknet_py.pictures.containers import jpeg, pillow

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (14, 23, 3), np.uint8)
DEEP = RNG.integers(0, 1 << 16, (14, 23, 3), np.uint16)
#: Alpha that would show at once if it were multiplied in.
ALPHA = RNG.integers(0, 200, (14, 23, 1), np.uint8)
GREY = RGB[..., 0]
SMOOTH = np.dstack(np.broadcast_arrays(*np.ogrid[0:200:14j, 40:255:23j], 90)).astype(np.uint8)


@pytest.fixture(autouse=True, params=["with cv2", "without cv2"])
def opencv(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Everything here is asked both ways."""
    with nullcontext() if request.param == "with cv2" else without_cv2():
        yield request.param == "with cv2"


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    try:
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow does not write {kind}: {error}")
    return stream.getvalue()


def by_cv2(suffix: str, rgb: np.ndarray, *options: Any) -> bytes:
    order = [2, 1, 0, 3][: rgb.shape[2]] if rgb.ndim == 3 else ...
    return cv2.imencode(suffix, np.ascontiguousarray(rgb[..., order] if rgb.ndim == 3 else rgb), *options)[1].tobytes()


def assert_reads(data: bytes, expected: np.ndarray, most: int = 0) -> None:
    loaded = load_image(data)
    assert loaded.shape == expected.shape and loaded.flags.writeable and loaded.flags.c_contiguous
    assert np.abs(loaded - expected.astype(int)).max() <= most


# ------------------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(SMOOTH, kind, exif=exif, **({} if kind in ("PNG", "TIFF") else {"quality": 98}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert_reads(data, np.asarray(upright))


def test_avif_of_more_than_8_bits_is_turned_by_its_boxes() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(SMOOTH, "AVIF", exif=exif, quality=100, subsampling="4:4:4")
    assert b"irot" in data
    assert_reads(data, np.rot90(SMOOTH, -1), 3)
    # The standard gives the boxes the last word; a file whose EXIF says otherwise is not turned twice.
    assert_reads(data.replace(b"irot\x03", b"irot\x00"), SMOOTH, 3)


# ---------------------------------------------------------------------------------------------------- lossless


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TGA", "QOI", "DDS", "JPEG2000", "BMP", "ICO", "SGI"])
def test_alpha_is_dropped(kind: str) -> None:
    options: dict[str, Any] = {"WEBP": {"lossless": True, "exact": True}, "ICO": {"sizes": [(23, 14)]}}.get(kind, {})
    assert_reads(encoded(np.dstack([RGB, ALPHA]), kind, **options), RGB)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "GIF", "WEBP", "SGI", "JPEG2000", "PCX", "DIB"])
def test_grey_and_colour(kind: str) -> None:
    options: dict[str, Any] = {"WEBP": {"lossless": True}}.get(kind, {})
    assert_reads(encoded(GREY, kind, **options), as_rgb(GREY))
    if kind != "GIF":
        assert_reads(encoded(RGB, kind, **options), RGB)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "TGA", "PCX"])
def test_palettes(kind: str) -> None:
    palette = Image.fromarray(RGB).quantize(16)
    options = {"transparency": 3} if kind in ("PNG", "GIF") else {}
    assert_reads(encoded(palette, kind, **options), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "PCX"])
def test_black_and_white(kind: str) -> None:
    bits = Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE)
    assert_reads(encoded(bits, kind), as_rgb(np.asarray(bits).astype(np.uint8) * 255))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_16_bits_keep_the_upper_8(suffix: str) -> None:
    assert_reads(by_cv2(suffix, DEEP), (DEEP >> 8).astype(np.uint8))
    grey = by_cv2(suffix.replace("ppm", "pgm"), DEEP[..., 0])
    assert_reads(grey, as_rgb((DEEP[..., 0] >> 8).astype(np.uint8)))


def test_sun_raster_and_bmp_of_opencv() -> None:
    for suffix in (".sr", ".bmp"):
        assert_reads(by_cv2(suffix, RGB), RGB)
        assert_reads(by_cv2(suffix, GREY), as_rgb(GREY))
    assert_reads(by_cv2(".bmp", np.dstack([RGB, ALPHA])), RGB)


def test_the_first_picture_of_an_animated_png_is_the_one_outside_the_animation() -> None:
    others = [Image.fromarray(RGB[::-1].copy()), Image.fromarray(RGB[:, ::-1].copy())]
    assert_reads(encoded(RGB, "PNG", save_all=True, default_image=True, append_images=others), RGB)


def bmp(bits: int, compression: int, body: bytes, masks: tuple[int, ...] = (), colours: bytes = b"") -> bytes:
    """8x4 pixels, from the lowest line up."""
    start = 54 + 4 * len(masks) + len(colours)
    header = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, bits, compression, len(body), 0, 0, len(colours) // 4, 0)
    whole = struct.pack(f"<{len(masks)}I", *masks) + colours + body
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + whole


def test_bmp_of_masks_and_runs() -> None:
    values = RNG.integers(0, 1 << 32, (4, 8), np.uint32)
    channels = [values >> 24, values >> 16 & 255, values >> 8 & 255]
    masks = (0xFF000000, 0xFF0000, 0xFF00)
    assert_reads(bmp(32, 3, values.tobytes(), masks), np.dstack(channels)[::-1])
    assert_reads(bmp(16, 0, np.full(32, 0x7FFF, np.uint16).tobytes()), np.full((4, 8, 3), 255))
    with pytest.raises(ImageError, match=r"BMP file \(Unsupported BMP bitfields layout\), which is not read"):
        load_image(bmp(32, 3, values.tobytes(), (0x3FF00000, 0xFFC00, 0x3FF)))  # OpenCV: other colours
    colours = RNG.integers(0, 256, (256, 4), np.uint8)
    runs = b"".join(bytes([8, n, 0, 0]) for n in range(4))
    expected = np.repeat(colours[3::-1, None, 2::-1], 8, axis=1)
    assert_reads(bmp(8, 1, runs + b"\0\1", colours=colours.tobytes()), expected)
    with pytest.raises(ImageError, match="a run-length BMP that leaves pixels out, which is not read"):
        load_image(bmp(8, 1, b"\4\5\0\0\0\1", colours=colours.tobytes()))


# ------------------------------------------------------------------------------------------------------- TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("planar", [False, True])
def test_tiff_layouts(order: str, big: bool, planar: bool) -> None:
    layout: dict[str, Any] = {"order": order, "big": big, "planar": planar}
    assert_reads(make_tiff(RGB, **layout), RGB)
    assert_reads(make_tiff(DEEP, **layout), (DEEP >> 8).astype(np.uint8))
    assert_reads(make_tiff(RGB, t274=(6,), **layout), np.rot90(RGB, -1))


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_greys(order: str) -> None:
    deep = DEEP[..., 0]
    upper = as_rgb((deep >> 8).astype(np.uint8))
    assert_reads(make_tiff(GREY, 1, order=order), as_rgb(GREY))
    assert_reads(make_tiff(255 - GREY, 0, order=order), as_rgb(GREY))
    assert_reads(make_tiff(deep, 1, order=order), upper)
    assert_reads(make_tiff(65535 - deep, 0, order=order), upper)
    assert_reads(make_tiff((deep >> 1).astype(np.int16), 1, order=order), as_rgb((deep >> 9).astype(np.uint8)))


def test_tiff_alpha() -> None:
    rgba = np.dstack([RGB, ALPHA])
    assert_reads(make_tiff(rgba, t338=(2,)), RGB)
    assert_reads(make_tiff(rgba, t338=(0,)), RGB)
    deep = np.dstack([DEEP, np.full_like(DEEP[..., :1], 9000)])
    assert_reads(make_tiff(deep, t338=(2,)), (DEEP >> 8).astype(np.uint8))
    half = np.dstack([SMOOTH // 2, np.full_like(ALPHA, 128)])  # colours that were multiplied before
    assert_reads(make_tiff(half, t338=(1,)), SMOOTH, 3)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compressions(compression: str) -> None:
    assert_reads(encoded(RGB, "TIFF", compression=compression), RGB)
    assert_reads(encoded(np.dstack([RGB, ALPHA]), "TIFF", compression=compression), RGB)
    bits = Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE)
    expected = as_rgb(np.asarray(bits).astype(np.uint8) * 255)
    assert_reads(encoded(bits, "TIFF", compression="group4"), expected)


def test_12_bit_tiff_is_scaled() -> None:
    values = (DEEP[..., 0] >> 4)[:, :22]
    first, second = values[:, ::2], values[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2).astype(np.uint8)
    data = make_tiff(packed.reshape(14, 33), 1, bits=12, t256=(22,))
    assert_reads(data, as_rgb((values >> 4).astype(np.uint8)))


# --------------------------------------------------------------------------------------- lossy, other colours


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_is_opencvs_to_the_bit(mode: str) -> None:
    data = encoded(Image.fromarray(RGB).convert(mode), "JPEG", quality=80)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert_reads(data, expected)
    luma = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(load_image(data, channels=1)[..., 0], luma)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_by_another_pillow_and_before_cv2_is_imported(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.fromarray(RGB).convert(mode), "JPEG", quality=80)
    expected = load_image(data)
    assert pillow.pillow_maps_arrays()
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "cv2")
        np.testing.assert_array_equal(load_image(data), expected)
    monkeypatch.setattr(jpeg, "pillow_maps_arrays", lambda: False)
    np.testing.assert_array_equal(load_image(data), expected)
    monkeypatch.setattr(pillow, "Image", SimpleNamespace())
    np.testing.assert_array_equal(pillow.array_of(Image.fromarray(RGB)), RGB)


def test_jpegs_of_all_sizes_one_after_another_and_in_threads() -> None:
    """They are decoded into the same memory, which no picture that was given out is part of."""
    sizes = [(14, 22), (3, 5), (40, 9), (1, 1), (40, 41), (17, 3)]
    colours = np.random.default_rng(0).integers(0, 256, (len(sizes), 3), np.uint8)
    files = [encoded(np.full((*size, 3), colour), "JPEG") for size, colour in zip(sizes, colours, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(load_image, files * 20))
    for picture, size, data in zip(pictures[::-1], sizes[::-1] * 20, files[::-1] * 20, strict=True):
        assert picture.shape == (*size, 3)
        np.testing.assert_array_equal(picture, np.asarray(Image.open(io.BytesIO(data))))


def test_memory_that_pictures_are_decoded_into() -> None:
    with pillow.lent_pixels(30, 20) as first, pillow.lent_pixels(30, 20) as second:
        assert first.shape == second.shape == (30, 20, 4) and not np.shares_memory(first, second)
    with pillow.lent_pixels(20, 10) as third:
        assert np.shares_memory(third, first)
    with pytest.raises(ValueError, match="broken off"), pillow.lent_pixels(30, 20):
        raise ValueError("broken off")
    with pillow.lent_pixels(2049, 2048) as large:
        assert large.shape == (2049, 2048, 4)
    assert not pillow._kept  # larger than what is kept


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_avif_is_opencvs_to_the_bit(subsampling: str) -> None:
    data = encoded(np.dstack([SMOOTH, ALPHA]), "AVIF", quality=80, subsampling=subsampling)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if expected is None:
        pytest.skip("this OpenCV reads no AVIF")
    assert_reads(data, expected[..., ::-1])


@pytest.mark.parametrize("depth", [10, 12])
def test_deep_avif(depth: int) -> None:
    try:
        data = by_cv2(".avif", DEEP >> (16 - depth), [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, depth])
    except (cv2.error, AttributeError):
        pytest.skip("this OpenCV writes no AVIF")
    assert np.abs(load_image(data) - (DEEP >> 8).astype(int)).mean() < 30  # halved colours


def test_jpeg_2000_of_other_colours(opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(SMOOTH).convert("YCbCr")
    data = encoded(image, "JPEG2000")
    if imagefile._PILLOW >= (10, 3):
        assert_reads(data, np.asarray(image.convert("RGB")), 2)
    monkeypatch.setattr(imagefile, "_PILLOW", (10, 2))
    with pytest.raises(ImageError, match=r"JPEG 2000 of YCbCr, which is not read: pip install 'pillow>=10\.3'"):
        load_image(data)
    bright = np.full((70, 90, 3), 65500, np.uint16)
    data = by_cv2(".jp2", bright)
    if opencv:
        assert load_image(data).min() > 250
    else:  # Pillow's decoder makes 0 of what it rounds up to 256
        with pytest.raises(ImageError, match=r"JPEG 2000 of more than 8 bits.* not read: pip install opencv"):
            load_image(data)


def test_lab_and_cmyk_tiff() -> None:
    lab = Image.fromarray(SMOOTH).convert("LAB")
    if Image.__version__ < "11":
        pytest.skip("this Pillow cannot convert LAB")
    assert np.abs(load_image(encoded(lab, "TIFF")) - SMOOTH.astype(int)).mean() < 3  # OpenCV: 20
    cmyk = Image.fromarray(SMOOTH).convert("CMYK")
    assert_reads(encoded(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB")))


# ----------------------------------------------------------------------------- what a Pillow lacks, OpenCV reads


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "JPEG2000"])
def test_a_pillow_without_the_format(kind: str, opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(SMOOTH, kind, **({} if kind == "JPEG2000" else {"exif": exif, "lossless": True, "quality": 100}))
    expected = load_image(data)
    monkeypatch.delitem(Image.OPEN, kind)
    monkeypatch.setitem(pillow._MODULES, kind, "NoSuch")
    if not opencv:
        with pytest.raises(ImageError, match=r"(AVIF|WebP|JPEG 2000) file, which is not read: .*(install|convert)"):
            load_image(data)
    elif cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None:
        pytest.skip(f"this OpenCV reads no {kind}")
    else:
        assert_reads(data, expected)
