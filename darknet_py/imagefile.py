"""Bytes of an image file, or a Pillow image, to 8-bit pixels; called by ``image.load_image`` alone.

OpenCV decodes where there is one, and Pillow what OpenCV cannot read; without OpenCV Pillow decodes everything. Their
pixels are equal for PNG, JPEG (grey, colour, progressive, any subsampling, the luma plane), BMP, GIF, WebP and TIFF, in
grey, colour, palettes, 16 bits and every EXIF orientation. They differ by 1 for CMYK JPEGs (by 2 if grey is asked for)
and for TIFFs of 16-bit colours, and where there is transparency in TIFF (OpenCV multiplies by it) or GIF.
"""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from darknet_py.errors import ImageError
from darknet_py.find_cv2 import find_cv2

__all__ = ["decode_file", "pixels_of_pil"]

Pixels = npt.NDArray[np.uint8]

#: Who decodes JPEGs where both could, "opencv" or "pillow". Of 69 photographs, to the same pixels, Pillow took 1.3 of
#: OpenCV's time in colour and 1.1 in grey on a Xeon, though it is imported 10 to 20 ms sooner
#: (``benchmarks/decoders.py``).
_JPEG_DECODER = "opencv"

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"

#: OpenCV's limit. Pillow's own is a sixth of it, after a warning at a twelfth.
_MOST_PIXELS = 1 << 30

#: What Pillow may try: pictures only, as some of its other readers start programs (EPS).
_PILLOW_FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "SGI",
    "TGA", "TIFF", "WEBP",
)  # fmt: skip

#: EXIF orientation → what puts a picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


#: OpenCV's LOG_LEVEL_SILENT, which 4.8 does not name.
_SILENT = 0


class _Silence:
    """OpenCV's log level is one per process: the first thread in lowers it, the last one out restores it."""

    def __init__(self) -> None:
        self._level = 0
        self.begin()

    def begin(self) -> None:
        """Nobody is inside: at first, and in a forked child, where other threads are no more."""
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def __call__(self, cv2: ModuleType) -> Iterator[None]:
        log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4.8 has it at the top
        if not hasattr(log, "setLogLevel"):
            yield
            return
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._level = log.setLogLevel(_SILENT)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    log.setLogLevel(self._level)


_silence = _Silence()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_silence.begin)


def decode_file(data: bytes, where: str, *, grey: bool) -> Pixels:
    """Decode an image file's bytes to (H, W, 3) RGB, or to (H, W) if it is a JPEG and `grey` is asked for.

    A JPEG without its end marker has to pass Pillow as well, even if OpenCV made pixels of it.

    Raises
    ------
    ImageError
        Naming `where` and the cause: empty, not an image, cut short or damaged, too large.
    """
    if not data:
        raise ImageError(f"{where}: empty (0 bytes), expected an image file such as JPEG or PNG")
    jpeg = data.startswith(_JPEG_START)
    grey = grey and jpeg
    if jpeg and _JPEG_DECODER == "pillow":
        pixels = _plain_jpeg(data, grey)
        if pixels is not None:
            return pixels
    cv2 = find_cv2()
    if cv2 is None:
        return _decode_with_pillow(data, where, grey)
    pixels = _decode_with_opencv(cv2, data, grey)
    # Only a JPEG without its last two bytes is decoded twice. Padding after them is common, hence the strip.
    whole = not jpeg or data[-64:].rstrip(b"\0\r\n ").endswith(_JPEG_END)
    if pixels is None or not whole:
        by_pillow = _decode_with_pillow(data, where, grey)
        if pixels is None:
            return by_pillow
    return pixels


def _decode_with_opencv(cv2: ModuleType, data: bytes, grey: bool) -> Pixels | None:
    """Pixels as OpenCV reads them, turned by EXIF, or None where it cannot."""
    pixels: Any = None
    try:
        with _silence(cv2):
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    except cv2.error:
        pass  # too many pixels, or a decoder that throws: Pillow finds the words for it
    if pixels is None:
        return None
    return np.asarray(pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _plain_jpeg(data: bytes, grey: bool) -> Pixels | None:
    """A JPEG as Pillow decodes it, where OpenCV would give the same pixels: whole, and not CMYK."""
    try:
        with _opened(data) as image:
            return _pixels_of_file(image, "JPEG", grey) if image.mode in ("L", "RGB") else None
    except Exception:  # whatever it is, the way through both decoders has the words for it
        return None


def _decode_with_pillow(data: bytes, where: str, grey: bool) -> Pixels:
    try:
        with _opened(data) as image:
            return _pixels_of_file(image, where, grey)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{where}: not an image ({len(data)} bytes that begin with {data[:16]!r}), "
            "expected JPEG, PNG, BMP, TIFF, WebP or another picture that OpenCV or Pillow reads"
        ) from None
    # Pillow's readers raise nearly anything on damaged bytes: SyntaxError, struct.error, IndexError...
    except Exception as error:
        raise ImageError(
            f"{where}: cut short or damaged ({error}; {len(data)} bytes): copy or download the file again"
        ) from error


def _opened(data: bytes) -> Image.Image:
    """`PIL.Image.open`, but for its limit of pixels, of the formats that are safe to try."""
    for load_plugins in (Image.preinit, Image.init):  # the common formats, then all
        load_plugins()
        for name in _PILLOW_FORMATS:
            reader, accepts = Image.OPEN.get(name, (None, None))
            try:
                # A string instead of True or False says why this Pillow lacks the format.
                if reader is not None and (accepts is None or accepts(data[:16]) is True):
                    return reader(io.BytesIO(data), "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # how a reader says that it is not its format
                continue
    raise UnidentifiedImageError


def _pixels_of_file(image: Image.Image, where: str, grey: bool) -> Pixels:
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise ImageError(
            f"{where}: too large: {width}x{height} is {width * height} pixels, expected at most {_MOST_PIXELS}: "
            "scale it down or cut it into tiles"
        )
    if grey:
        image.draft("L", image.size)  # the luma plane, without a way through RGB
    image.load()
    image = _upright(image)
    return np.array(image) if grey and image.mode == "L" else pixels_of_pil(image, where)


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; ``exif_transpose`` would ask XMP as well, which OpenCV does not."""
    exif = Image.Exif()
    try:
        if image.format == "TIFF":  # has no block of EXIF, but its tags; new Pillows turn it while they load it
            exif = image.getexif()
        else:
            exif.load(image.info.get("exif") or b"")
        turn = _TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # as on damaged pictures; that an orientation cannot be read does not damage the picture
        turn = None
    return image if turn is None else image.transpose(turn)


def pixels_of_pil(image: Image.Image, where: str) -> Pixels:
    """Pixels of a Pillow image of any mode, shape (H, W, 3), uint8, RGB.

    Alpha is dropped, 16-bit grey keeps its upper 8 bits (Pillow's own conversion clips it to white).

    Raises
    ------
    ImageError
        On mode "F", on "I" beyond 16 bits, on modes that Pillow cannot convert (LAB), and where loading fails.
    """
    mode = image.mode
    if mode == "F":
        raise ImageError(
            f"{where}: mode 'F' (float) has no fixed range: scale it to 0..255 and .convert('L') before passing it"
        )
    try:
        if mode == "I" or mode.startswith("I;16"):
            return _upper_bits(np.asarray(image), where)
        if mode in ("P", "PA", "La", "RGBa"):
            # Straight to RGB, premultiplied modes are refused and palettes with transparency draw a warning.
            image = image.convert("LA" if mode == "La" else "RGBA")
        return np.array(image if mode == "RGB" else image.convert("RGB"))
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # a picture not yet loaded is decoded here, and may be damaged
        raise ImageError(f"{where}: mode {mode!r}, size {image.size} cannot be made RGB: {error}") from error


def _upper_bits(values: npt.NDArray[Any], where: str) -> Pixels:
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 0xFFFF:
        raise ImageError(
            f"{where}: mode 'I' with values {low}..{high}, expected 16-bit values 0..65535: "
            "scale it to 0..255 and .convert('L') before passing it"
        )
    grey = (values >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
