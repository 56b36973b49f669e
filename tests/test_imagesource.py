"""What a picture may come from: opened files, encoded arrays, arrays of other classes; and what is none."""

from __future__ import annotations

import io
import mmap
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from darknet_py.errors import ImageError
from darknet_py.image import load_image


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (6, 11, 3), np.uint8)


@pytest.fixture(scope="module")
def data(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


# ---------------------------------------------------------------------------------------------- file objects


def test_anything_that_reads_bytes(pixels: np.ndarray, data: bytes, tmp_path: Path) -> None:
    file, archive = tmp_path / "picture.png", tmp_path / "pictures.zip"
    file.write_bytes(data)
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("picture.png", data)
    with (
        open(file, "rb") as opened,
        open(file, "rb", buffering=0) as raw,
        tempfile.TemporaryFile() as temporary,
        zipfile.ZipFile(archive) as zipped,
        zipped.open("picture.png") as member,
        open(file, "rb") as whole,
        mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        temporary.write(data)
        temporary.seek(0)
        for source in (io.BytesIO(data), opened, raw, temporary, member, mapped):
            np.testing.assert_array_equal(load_image(source), pixels)


def test_a_file_is_read_from_where_it_stands(pixels: np.ndarray, data: bytes) -> None:
    stream = io.BytesIO(b"a header" + data)
    stream.seek(8)
    np.testing.assert_array_equal(load_image(stream), pixels)
    with pytest.raises(ImageError, match=r"BytesIO object: nothing left to read.*seek\(0\)"):
        load_image(stream)


def test_files_that_give_no_bytes(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(data[:100])
    with open(file, encoding="latin-1") as text, pytest.raises(ImageError, match=r"picture\.png: opened as text"):
        load_image(text)  # type: ignore[arg-type]
    with open(file, "rb") as closed:
        pass
    with pytest.raises(ImageError, match=r"picture\.png: cannot be read: .*closed"):
        load_image(closed)
    with open(file, "rb") as cut, pytest.raises(ImageError, match=r"picture\.png: cut short"):
        load_image(cut)
    capture: Any = cv2.VideoCapture()  # its read() gives (False, None)
    with pytest.raises(ImageError, match=r"VideoCapture object: read\(\) gave tuple"):
        load_image(capture)


# --------------------------------------------------------------------------------------------- encoded arrays


def test_encoded_arrays(pixels: np.ndarray, data: bytes) -> None:
    flat = np.frombuffer(data, np.uint8)
    strided = np.repeat(flat, 2)[::2]
    for source in (flat, flat[:, None], flat[None, :], strided, flat.view(np.matrix), cv2.imencode(".png", pixels)[1]):
        expected = pixels[..., ::-1] if source.base is None else pixels  # cv2 was given RGB for BGR
        np.testing.assert_array_equal(load_image(source), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"])
def test_columns_of_bytes_of_every_common_kind(kind: str) -> None:
    stream = io.BytesIO()
    try:
        Image.new("RGB", (5, 4), (200, 100, 50)).save(stream, kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    encoded = np.frombuffer(stream.getvalue(), np.uint8)
    assert load_image(encoded[:, None]).shape == (4, 5, 3)


def test_a_line_of_pixels_is_a_picture() -> None:
    line = np.array([66, 77, 1, 2, 3, 4, 5, 6, 7, 8], np.uint8)  # "BM", as a BMP begins
    for source, shape in ((line[:, None], (10, 1, 1)), (line[None, :], (1, 10, 1)), (line[:1, None], (1, 1, 1))):
        np.testing.assert_array_equal(load_image(source, channels=1).ravel(), line[: source.size])
        assert load_image(source, channels=1).shape == shape


def test_arrays_that_are_no_files() -> None:
    with pytest.raises(ImageError, match=r"array of shape \(198,\), taken for the bytes of an image file: not an im"):
        load_image(np.zeros((6, 11, 3), np.uint8).ravel())
    with pytest.raises(ImageError, match=r"array of shape \(0,\).*empty"):
        load_image(np.zeros(0, np.uint8))


# ------------------------------------------------------------------------------------- other classes, and neither


def test_matrices_and_masked_arrays_are_their_pixels(pixels: np.ndarray) -> None:
    grey = pixels[..., 0]
    np.testing.assert_array_equal(load_image(grey.view(np.matrix)), np.repeat(grey[..., None], 3, axis=2))
    masked = np.ma.masked_greater(pixels, 100)
    loaded = load_image(masked)
    assert type(loaded) is np.ndarray
    np.testing.assert_array_equal(loaded, pixels[..., ::-1])


class Tensor:
    """As other libraries' arrays are: NumPy can take it."""

    def __array__(self) -> np.ndarray:
        return np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, r"image is None: did cv2\.imread fail\?"),
        ([[1, 2], [3, 4]], r"type list, expected a path.*: pass np\.array\(image, np\.uint8\)"),
        ((), "type tuple"),
        (0, "type int"),
        (1.5, "type float"),
        ({"path": "dog.jpg"}, "type dict"),
        (Tensor(), r"type Tensor.*np\.asarray\(image\)"),
        (cv2.UMat(np.zeros((4, 5, 3), np.uint8)), r"type UMat.*image\.get\(\)"),
        (np.zeros((4, 5), "S3"), "dtype .S3, expected uint8"),
        (np.full((4, 5), None), "dtype object, expected uint8"),
        ("", "an empty path"),
        ("https://example.org/dog.jpg", "no such file.*addresses are not fetched"),
        ("/9j/4AAQSkZJRg" * 1000, r"^.{40}\.\.\. \(14000 characters\): cannot be read: "),
    ],
)
def test_what_is_no_picture(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        load_image(source)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_released_memory() -> None:
    view = memoryview(b"gone")
    view.release()
    with pytest.raises(ImageError, match=r"image bytes: cannot be read: .*released"):
        load_image(view)


def test_damage_found_when_pillow_loads(data: bytes) -> None:
    lazy = Image.open(io.BytesIO(data[:-40]))
    with pytest.raises(ImageError, match=r"PIL image: .*truncated"):
        load_image(lazy)
