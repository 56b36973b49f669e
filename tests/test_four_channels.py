"""Networks with channels=4: the fourth value of pictures that have one, and what is said of those that have none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CFG, error_lines, run, weights_bytes
from PIL import Image

from darknet_py import Detector, ImageError
from darknet_py.image import load_image

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 13, 4), dtype=np.uint8)
RGBA = Image.fromarray(PIXELS)
NO_FOURTH = "it has no fourth channel, expected R, G, B and another"


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pam(depth: int, kind: str, values: np.ndarray) -> bytes:
    header = f"P7\nWIDTH 13\nHEIGHT 9\nDEPTH {depth}\nMAXVAL 255\nTUPLTYPE {kind}\nENDHDR\n"
    return header.encode() + values.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        encoded(RGBA, "PNG"),
        encoded(RGBA, "TIFF"),
        encoded(RGBA, "TIFF", compression="tiff_lzw"),
        encoded(RGBA, "TGA"),
        encoded(RGBA, "BMP"),
        encoded(Image.fromarray(PIXELS[::-1]), "BMP").replace(b"\x09\0\0\0\x01\0\x20", b"\xf7\xff\xff\xff\x01\0\x20"),
        pam(4, "RGB_ALPHA", PIXELS),
    ],
    ids=["png", "tiff", "lzw", "tga", "bmp", "bmp from its top", "pam"],
)
def test_the_fourth_value_is_that_of_the_file(data: bytes) -> None:
    np.testing.assert_array_equal(load_image(data, channels=4), PIXELS)
    np.testing.assert_array_equal(load_image(data), PIXELS[..., :3])


def test_a_bmp_whose_fourth_bytes_are_nothing() -> None:
    """24 bits a pixel, or 32 of which 8 are reserved: Darknet has 255 for them."""
    empty = Image.fromarray(PIXELS * np.array([1, 1, 1, 0], np.uint8))
    for data in (encoded(RGBA.convert("RGB"), "BMP"), encoded(empty, "BMP")):
        with pytest.raises(ImageError, match=NO_FOURTH):
            load_image(data, channels=4)
    whole = encoded(RGBA, "BMP")
    for size in (20, 60, len(whole) - 1):
        with pytest.raises(ImageError):
            load_image(whole[:size], channels=4)


def test_colours_that_are_transparent_and_grey_with_alpha() -> None:
    grey = load_image(encoded(RGBA.convert("LA"), "PNG"), channels=4)
    np.testing.assert_array_equal(grey[..., 3], PIXELS[..., 3])
    assert (grey[..., 0] == grey[..., 2]).all()
    few = RGBA.convert("RGB").quantize(8)
    for kind in ("PNG", "GIF"):
        alpha = load_image(encoded(few, kind, transparency=3), channels=4)[..., 3]
        np.testing.assert_array_equal(alpha, np.where(np.asarray(few) == 3, 0, 255))
    colour = tuple(int(value) for value in PIXELS[2, 5, :3])
    alpha = load_image(encoded(RGBA.convert("RGB"), "PNG", transparency=colour), channels=4)[..., 3]
    assert alpha[2, 5] == 0 and (alpha == 0).sum() == (PIXELS[..., :3] == colour).all(axis=2).sum()


def test_a_picture_on_its_side_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(load_image(encoded(RGBA, "PNG", exif=exif), channels=4), PIXELS[::-1].swapaxes(0, 1))


def test_arrays_and_pillow_images() -> None:
    np.testing.assert_array_equal(load_image(PIXELS, channels=4), PIXELS[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(load_image(PIXELS, bgr=False, channels=4), PIXELS)
    np.testing.assert_array_equal(load_image(RGBA, channels=4), PIXELS)


@pytest.mark.parametrize(
    "source",
    [
        PIXELS[..., :3].copy(),
        PIXELS[..., 0].copy(),
        RGBA.convert("RGB"),
        RGBA.convert("L"),
        encoded(RGBA.convert("RGB"), "PNG"),
        encoded(RGBA.convert("RGB"), "JPEG"),
        encoded(RGBA.convert("RGB"), "TIFF"),
        encoded(RGBA.convert("RGB"), "BMP"),
        pam(3, "RGB", PIXELS[..., :3]),
        b"P6 1 1 255 abc",
    ],
)
def test_what_has_three_is_refused(source: Any) -> None:
    with pytest.raises(ImageError, match=NO_FOURTH):
        load_image(source, channels=4)


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, Path]:
    cfg, weights = tmp_path / "m.cfg", tmp_path / "m.weights"
    cfg.write_text(CFG.replace("channels=3", "channels=4"))
    weights.write_bytes(weights_bytes(4))
    return cfg, weights


def test_a_detector_looks_at_the_fourth_channel(model: tuple[Path, Path]) -> None:
    """Bright in the fourth alone it is a quarter as bright; with all four, the dog is there."""
    detector = Detector(*model, names=["cat", "dog", "owl"], threads=1)
    scene = np.zeros((96, 128, 4), np.uint8)
    scene[:32, :32] = 255
    assert detector.detect(scene).class_names == ["dog"]
    scene[..., 3] = 0
    scene[:32, :32, 3] = 60
    assert len(detector.detect(scene)) < 2
    blob = np.zeros((4, 24, 32), np.float32)
    blob[:, :8, :8] = 1
    assert detector.detect_blob(blob, (128, 96)).class_names == ["dog"]


def test_the_command_line(model: tuple[Path, Path], tmp_path: Path) -> None:
    scene = np.zeros((96, 128, 4), np.uint8)
    scene[:32, :32] = 255
    Image.fromarray(scene).save(tmp_path / "a.png")
    Image.fromarray(scene[..., :3].copy()).save(tmp_path / "b.png")
    files = ("detect", "--cfg", model[0], "--weights", model[1], "--threads", 1, "--out", tmp_path / "out")
    result = run(*files, tmp_path / "a.png", tmp_path / "b.png")
    assert result.exit_code == 1 and "a.png: 1 found" in result.stdout
    assert len(error_lines(result)) == 1 and NO_FOURTH in error_lines(result)[0]
    drawn = np.asarray(Image.open(tmp_path / "out" / "a.png").convert("RGB"))
    assert drawn.shape == (96, 128, 3) and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 2
