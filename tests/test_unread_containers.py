"""Whole pictures of kinds that are not read are called that, with the cure; plugins of the user's are asked."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from no_cv2 import without_cv2
from PIL import Image, ImageFile
from tiff_files import make_tiff

from darknet_py.errors import ImageError
from darknet_py.image import load_image
from darknet_py.pictures.containers.kinds import begins_as_picture

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
RGB = np.repeat(GREY[..., None], 3, axis=2)


@pytest.fixture(autouse=True, params=["with cv2", "without cv2"])
def opencv(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.param == "with cv2" else without_cv2():
        yield


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "JPEG")
    return stream.getvalue()


def jpeg_with_frame(old: bytes, new: bytes) -> bytes:
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[:at] + data[at:].replace(old, new, 1)


def box(brands: bytes) -> bytes:
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(400)


UNREAD = {
    "HEIC": (box(b"heic\0\0\0\0mif1heicmiaf"), r"a HEIC file, .*convert it to JPEG, or pip install pillow-heif"),
    "HEIC of Nokia": (box(b"mif1\0\0\0\0mif1heic"), "a HEIC file"),
    "JPEG XL": (b"\xff\x0a" + bytes(400), r"a JPEG XL file, .*pillow-jxl-plugin"),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(400), "a JPEG XL file"),
    "CR3": (box(b"crx \0\0\0\1crx isom"), r"Canon raw \(CR3\).*develop"),
    "MP4": (box(b"isom\0\0\2\0isomavc1"), r"a video file, .*VideoCapture"),
    "PSD": (b"8BPS\0\1" + bytes(400), r"Photoshop \(PSD\).*export"),
    "OpenEXR": (b"v/1\x01\2\0\0\0" + bytes(90), r"an OpenEXR file, .*floats without a fixed range"),
    "HDR": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n" + bytes(40), r"a Radiance HDR .*floats"),
    "PFM": (b"PF\n8 6\n-1.0\n" + (RGB / 255).astype("<f4").tobytes(), r"a PFM file, .*floats.*0\.\.255"),
    "grey PFM": (b"Pf 8 6 -1.0\n" + (GREY / 255).astype("<f4").tobytes(), r"a PFM file"),
    "SVG": (b"<?xml version='1.0'?>\n<!-- a drawing -->\n<svg width='9'/>", r"an SVG file, .*export it as PNG"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),  # Pillow would start Ghostscript
    "DICOM": (bytes(128) + b"DICM" + bytes(200), "DICOM.*pydicom"),
    "12-bit JPEG": (jpeg_with_frame(b"\0\x11\x08", b"\0\x11\x0c"), "a 12-bit JPEG, .*convert it to 8 bits"),
    "JPEG-LS": (jpeg_with_frame(b"\xff\xc0", b"\xff\xf7"), "a JPEG-LS file"),
    "float TIFF": (make_tiff((RGB / 255).astype(np.float32)), r"a TIFF of 32-bit floats.*0\.\.255"),
    "grey float TIFF": (make_tiff((GREY / 255).astype(np.float32), 1), "a TIFF of 32-bit floats"),
    "half-float TIFF": (make_tiff((GREY / 255).astype(np.float16), 1), "a TIFF of 16-bit floats"),
    "double TIFF": (make_tiff(GREY / 255, 1), "a TIFF of 64-bit floats"),
    "complex TIFF": (make_tiff(GREY.astype(np.complex64), 1), "signed or complex"),
    "signed TIFF": (make_tiff((GREY.astype(int) - 20).astype(np.int8), 1), "signed"),
    "5 bands": (make_tiff(np.dstack([GREY] * 5), 1, t338=(0,) * 4), "a TIFF of 5 bands.*pick three"),
    "12 bands": (make_tiff(np.dstack([GREY] * 12), 2, t338=(0,) * 9), "a TIFF of 12 bands"),
    "32-bit colours": (make_tiff(RGB.astype(np.uint32)), r"a TIFF of 3 x 32 bits.*save it as RGB"),
    "TIFF by LERC": (make_tiff(RGB, t259=(34887,)), "a TIFF compressed by LERC"),
    "TIFF by the unknown": (make_tiff(RGB, t259=(4711,)), "a TIFF compressed by method 4711"),
    "sensor colours": (make_tiff(GREY, 32803), "camera raw"),
    "thumbnail first": (make_tiff(RGB, t254=(1,), t330=(8,)), "camera raw"),
    "logarithmic colours": (make_tiff(RGB, 32845), "a TIFF of the colours 32845"),
    "CMYK PAM": (
        b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK\nENDHDR\n1234",
        r"a PAM of 4 values \(CMYK\)",
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_they_are_called_what_they_are(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, message = UNREAD[name]
    with pytest.raises(ImageError, match=message) as caught:
        load_image(data)
    text = str(caught.value)
    assert text.startswith("image bytes: ") and ", which is not read: " in text
    assert not re.search("not an image|cut short|copy or download", text) and "\n" not in text
    assert capfd.readouterr() == ("", "")


def test_a_pam_of_less_than_no_values() -> None:
    with pytest.raises(ImageError, match="the header of the PAM file"):
        load_image(b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH -3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n123")


def test_what_begins_as_a_picture() -> None:
    pictures = {name for name, (data, _) in UNREAD.items() if begins_as_picture(data[:1024])}
    assert set(UNREAD) - pictures == {"MP4", "SVG", "EPS"}
    for text in (
        b"",
        b"BMW and others",
        b"P1 is first\n",
        b"0 0.5 0.5 0.1 0.1\n",
        b"\n\5\1",
        b"\0\0\1\0",
        b"PFx",
        bytes(99),
    ):
        assert not begins_as_picture(text)
    assert begins_as_picture(b"BM\x9a\0\0\0\0\0\0\0\x1a\0") and begins_as_picture(b"P5\n# GIMP\n3 2\n255\n......")


def test_uncompressed_tiff_with_halved_colours(request: pytest.FixtureRequest) -> None:
    """Pillow takes every line for whole; OpenCV reads it."""
    lines = np.full((3, 24), 128, np.uint8)
    lines[:, [*range(0, 24, 6), *range(1, 24, 6), *range(2, 24, 6), *range(3, 24, 6)]] = 200
    data = make_tiff(lines, 6, t256=(8,), t257=(6,), t258=(8, 8, 8), t277=(3,), t278=(6,), t530=(2, 2), t339=None)
    if "without" in request.node.name:
        with pytest.raises(ImageError, match=r"YCbCr with halved colours, which is not read: pip install opencv"):
            load_image(data)
    else:
        np.testing.assert_array_equal(load_image(data), np.full((6, 8, 3), 200))


# ----------------------------------------------------------------------------------------------------- plugins


class Reader(ImageFile.ImageFile):
    """As pillow-heif's: a format that Pillow has not, registered by the user."""

    format = "TOY"

    def _open(self) -> None:
        assert self.fp is not None
        text = self.fp.read()
        if text[12:16] == b"\xff" * 4:
            raise OSError("a truncated toy")
        self._size, self._mode = ((40000, 30000) if text[12:16] == b"HUGE" else (4, 3)), "RGB"
        exif = Image.Exif()
        exif[0x0112] = 6
        self.info["exif"] = exif.tobytes()

    def load(self) -> Any:
        self.im = Image.new("RGB", self.size, (200, 10, 30)).im
        return Image.Image.load(self)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    Image.register_open("TOY", Reader, lambda prefix: prefix[4:12] in (b"ftypheic", b"a toy  :"))


@pytest.mark.usefixtures("toy")
def test_a_reader_registered_with_pillow_is_asked() -> None:
    for data in (box(b"heic\0\0\0\0"), b"1234a toy  :...."):  # one that is known and not read, one that is unknown
        loaded = load_image(data)
        assert loaded.shape == (4, 3, 3) and (loaded == (200, 10, 30)).all()
    with pytest.raises(ImageError, match=r"too large: 40000x30000 is 1200000000 pixels"):
        load_image(b"1234a toy  :HUGE")
    with pytest.raises(ImageError, match=r"cut short or damaged \(a truncated toy"):
        load_image(b"1234a toy  :\xff\xff\xff\xff")
    with pytest.raises(ImageError, match="a JPEG XL file"):  # not what it takes
        load_image(b"\xff\x0a" + bytes(40))


# ------------------------------------------------------------------------------------------------------- sizes


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * (1 + (width + 7) // 8) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_sizes_are_judged_by_our_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's would warn, which is an error here, and refuse."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert load_image(png(64, 32)).shape == (32, 64, 3)
    assert load_image(jpeg()).shape == (6, 8, 3)
    assert load_image(make_tiff(RGB)).shape == (6, 8, 3)
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "BMP")
    assert load_image(stream.getvalue()).shape == (6, 8, 3)
    big = jpeg()
    at = big.index(b"\xff\xc0")
    huge = {
        "PNG": png(1, 1).replace(struct.pack(">II", 1, 1), struct.pack(">II", 33000, 33000)),
        "JPEG": big[: at + 5] + struct.pack(">HH", 65500, 65500) + big[at + 9 :],
        "TIFF": make_tiff(RGB, t256=(65000,), t257=(65000,)),
        "PPM": b"P6 65000 65000 255\n123",
        "BMP": stream.getvalue()[:18] + struct.pack("<ii", 65000, 65000) + stream.getvalue()[26:],
    }
    for name, data in huge.items():
        with pytest.raises(ImageError, match=r"too large: \d+x\d+ is \d+ pixels, expected at most 1073741824"):
            assert load_image(data).shape == (), name


def test_texts_of_a_png_have_no_limit() -> None:
    bomb = zlib.compress(bytes(1 << 21))
    chunk = b"zTXtbomb\0\0" + bomb
    data = png(9, 5)
    data = data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    assert load_image(data).shape == (5, 9, 3)
