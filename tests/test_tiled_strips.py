"""Pictures read block by block: the pixels are those of the whole way, and what is refused there is refused here."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiff_files import make_tiff

from darknet_py import ImageError
from darknet_py.image import load_image
from darknet_py.pictures.containers.orientation import upright
from darknet_py.tiling import strips as strips_module
from darknet_py.tiling import tiffrows
from darknet_py.tiling.strips import open_strips

WIDTH, HEIGHT = 211, 173


@pytest.fixture(autouse=True)
def every_picture_is_large(monkeypatch):
    monkeypatch.setattr(strips_module, "_SMALL", 0)
    monkeypatch.setattr(tiffrows, "_BLOCK", 4000)


def photo(mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (9, 11, 3), np.uint8)
    return Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert(mode)


def encoded(mode: str, **options) -> bytes:
    buffer = io.BytesIO()
    photo(mode).save(buffer, **options)
    return buffer.getvalue()


def deep(bands: int, planar: bool = False) -> bytes:
    values = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, bands)[: 2 + (bands > 1)], np.uint16)
    return make_tiff(values, photometric=2 if bands == 3 else 1, planar=planar)


FILES = {
    "JPEG": encoded("RGB", format="JPEG", quality=90),
    "grey JPEG": encoded("L", format="JPEG"),
    "CMYK JPEG": encoded("CMYK", format="JPEG"),
    "JPEG 4:4:4 with restarts": encoded("RGB", format="JPEG", subsampling=0, restart_marker_rows=1),
    "progressive JPEG": encoded("RGB", format="JPEG", progressive=True),
    "PNG": encoded("RGB", format="PNG"),
    "PNG with alpha": encoded("RGBA", format="PNG"),
    "grey PNG": encoded("L", format="PNG"),
    "grey PNG with alpha": encoded("LA", format="PNG"),
    "PNG of 16 bits": encoded("I;16", format="PNG"),
    "PNG with palette": encoded("P", format="PNG"),
    "PNG of one bit": encoded("1", format="PNG"),
    "TIFF": encoded("RGB", format="TIFF"),
    "LZW TIFF": encoded("RGB", format="TIFF", compression="tiff_lzw"),
    "JPEG TIFF": encoded("RGB", format="TIFF", compression="jpeg"),
    "grey TIFF": encoded("L", format="TIFF", compression="tiff_deflate"),
    "bilevel TIFF": encoded("1", format="TIFF", compression="group4"),
    "TIFF in planes": make_tiff(np.asarray(photo()), photometric=2, planar=True),
    "16-bit TIFF": deep(3),
    "16-bit TIFF in planes": deep(3, planar=True),
    "16-bit grey TIFF": deep(1),
    "WebP": encoded("RGB", format="WEBP", lossless=True),
}


def rows_of(source, channels: int = 3) -> tuple[np.ndarray, int]:
    with open_strips(source, bgr=False, channels=channels) as strips:
        blocks = list(strips.blocks())
        pixels = np.concatenate(blocks)
        assert pixels.shape == (strips.height, strips.width, strips.channels) and pixels.dtype == np.uint8
        return upright(pixels, strips.orientation), len(blocks)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("kind", FILES)
def test_blocks_are_the_picture(kind, channels, tmp_path):
    whole = load_image(FILES[kind], channels=channels)
    path = tmp_path / "picture"
    path.write_bytes(FILES[kind])
    for source in (FILES[kind], path, str(path)):
        pixels, _ = rows_of(source, channels)
        assert np.array_equal(pixels, whole)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_orientation_of_exif(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded("RGB", format=kind, exif=exif)
    assert np.array_equal(rows_of(data)[0], load_image(data))


def test_strips_come_one_by_one():
    assert rows_of(FILES["LZW TIFF"])[1] == 2
    assert rows_of(FILES["WebP"])[1] == 1
    grown = make_tiff(np.random.default_rng(0).integers(0, 255, (400, 90, 3), np.uint8), photometric=2, planar=False)
    assert np.array_equal(rows_of(grown)[0], load_image(grown))


def test_a_strip_that_is_too_large_is_taken_apart(monkeypatch):
    monkeypatch.setattr(tiffrows, "_LARGE", 5000)
    for kind in ("TIFF in planes", "16-bit TIFF", "16-bit TIFF in planes", "16-bit grey TIFF"):
        pixels, blocks = rows_of(FILES[kind])
        assert blocks > 4 and np.array_equal(pixels, load_image(FILES[kind]))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "LZW TIFF", "grey JPEG", "CMYK JPEG"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_is_cut_short_is_refused(kind, share):
    data = FILES[kind][: int(len(FILES[kind]) * share)]
    with pytest.raises(ImageError, match="damaged"):
        rows_of(data)


def test_a_jpeg_without_its_end_is_read(caplog):
    data = FILES["JPEG"]
    assert np.array_equal(rows_of(data[:-2])[0], load_image(data))
    assert "without its end marker" in caplog.text
    with pytest.raises(ImageError, match="lower part"):
        rows_of(data[: len(data) // 2] + b"\xff\xd9")


def test_pixels_and_what_is_no_picture(tmp_path):
    pixels = np.asarray(photo())
    assert np.array_equal(rows_of(pixels)[0], pixels)
    assert np.array_equal(rows_of(photo())[0], pixels)
    for wrong, cause in ((tmp_path / "none.jpg", "no such file"), (b"nothing", "not an image"), (None, "is None")):
        with pytest.raises(ImageError, match=cause), open_strips(wrong, bgr=True, channels=3):
            pass


def test_the_limit_is_one_of_its_own(monkeypatch):
    monkeypatch.setenv("DARKNET_PY_MAX_PIXELS", "25000")
    for kind in ("JPEG", "PNG", "LZW TIFF"):
        with pytest.raises(ImageError, match="MAX_PIXELS"):
            load_image(FILES[kind])
        rows_of(FILES[kind])
    with pytest.raises(ImageError, match="DARKNET_PY_MAX_PIXELS"):
        rows_of(FILES["progressive JPEG"])
    monkeypatch.setenv("DARKNET_PY_MAX_TILED_PIXELS", "30000")
    for kind in ("JPEG", "PNG", "LZW TIFF"):
        with pytest.raises(ImageError, match="DARKNET_PY_MAX_TILED_PIXELS"):
            rows_of(FILES[kind])


def test_a_tall_png_takes_no_more_memory_than_some_rows(tmp_path):
    path = tmp_path / "tall.png"
    Image.new("L", (1000, 40_000), 7).save(path)
    with open_strips(path, bgr=False, channels=3) as strips:
        next(strips.blocks())  # what compiling takes is not the picture's
        tracemalloc.start()
        rows = sum(len(block) for block in strips.blocks())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert rows == 40_000 and peak < 50e6  # of 120 MB


def test_a_file_in_a_folder_that_is_none(tmp_path):
    with pytest.raises(ImageError, match="directory"), open_strips(Path(tmp_path), bgr=True, channels=3):
        pass
