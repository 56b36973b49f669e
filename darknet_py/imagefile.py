"""Bytes of an image file, or a Pillow image, to 8-bit pixels; called by ``image.load_image`` alone."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from darknet_py.errors import ImageError

__all__ = ["decode_file", "pixels_of_pil"]

Pixels = npt.NDArray[np.uint8]

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"

#: What Pillow may try where OpenCV gives up: pictures only, as some of its other readers start programs (EPS).
_PILLOW_FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "SGI",
    "TGA", "TIFF", "WEBP",
)  # fmt: skip


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
    def __call__(self) -> Iterator[None]:
        log: Any = getattr(cv2.utils, "logging", None)
        if log is None:
            yield
            return
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._level = log.setLogLevel(log.LOG_LEVEL_SILENT)
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

    OpenCV decodes, with its EXIF rotation; what it cannot read is tried by Pillow, whose error names the cause.
    A JPEG without its end marker has to pass Pillow as well, even if OpenCV made pixels of it.

    Raises
    ------
    ImageError
        Naming `where` and the cause: empty, not an image, cut short or damaged.
    """
    if not data:
        raise ImageError(f"{where}: empty (0 bytes), expected an image file such as JPEG or PNG")
    jpeg = data.startswith(_JPEG_START)
    flags = cv2.IMREAD_GRAYSCALE if grey and jpeg else cv2.IMREAD_COLOR
    pixels: Any = None
    try:
        with _silence():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pass  # too many pixels, or a decoder that throws: Pillow finds the words for it
    # Only a JPEG without its last two bytes is decoded twice. Padding after them is common, hence the strip.
    whole = not jpeg or data[-64:].rstrip(b"\0\r\n ").endswith(_JPEG_END)
    if pixels is None or not whole:
        by_pillow = _decode_with_pillow(data, where)
        if pixels is None:
            return by_pillow
    return np.asarray(pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _decode_with_pillow(data: bytes, where: str) -> Pixels:
    Image.init()
    formats = [name for name in _PILLOW_FORMATS if name in Image.OPEN]
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            image.load()
            return pixels_of_pil(ImageOps.exif_transpose(image), where)
    except ImageError:
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
        return np.array(image.convert("RGB"))
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
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
