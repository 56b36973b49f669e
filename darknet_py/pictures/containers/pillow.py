"""Pillow's images to arrays, and the readers of Pillow and of plugins that a user registered with it."""

from __future__ import annotations

import importlib
import io
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from darknet_py.errors import ImageError
from darknet_py.pictures.containers.orientation import exif_orientation, upright
from darknet_py.pictures.containers.refusals import check_size, damaged, no_fourth

__all__ = [
    "Lacking",
    "array_of",
    "decoded_into",
    "lent_pixels",
    "pillow_maps_arrays",
    "pixels_of_pil",
    "pixels_of_plugin",
    "read_format",
    "without_fourth",
]

Pixels = npt.NDArray[np.uint8]

#: Where the readers are; a format whose module does not import is one that this Pillow lacks.
_MODULES = {
    "AVIF": "Avif",
    "BMP": "Bmp",
    "DIB": "Bmp",
    "DDS": "Dds",
    "GIF": "Gif",
    "ICNS": "Icns",
    "ICO": "Ico",
    "JPEG2000": "Jpeg2K",
    "PCX": "Pcx",
    "PNG": "Png",
    "QOI": "Qoi",
    "SGI": "Sgi",
    "SUN": "Sun",
    "TGA": "Tga",
    "TIFF": "Tiff",
    "WEBP": "WebP",
}

#: Modes with a fourth value; others may have a colour that is transparent.
_WITH_ALPHA = ("RGBA", "RGBX", "RGBa", "LA", "La", "PA")

#: Bytes in one go of `array_of`: in a core's cache, and few calls.
_CHUNK = 1 << 18

#: What the last picture was decoded into, and the most bytes that are kept so: 4 million pixels.
_kept: deque[Pixels] = deque(maxlen=1)
_MOST_KEPT = 1 << 24


class Lacking(Exception):
    """This Pillow does not have the format."""


def read_format(data: bytes, name: str) -> Image.Image:
    """The first picture of `data` as Pillow's reader of one format opens it, not loaded; no other is tried.

    Not by ``Image.open``, which has a limit of its own, warns before it, and starts programs for some formats.

    Raises
    ------
    Lacking
        This Pillow cannot read the format.
    Exception
        Whatever the reader raises.
    """
    if name not in Image.OPEN:
        try:
            importlib.import_module(f"PIL.{_MODULES[name]}ImagePlugin")
        except ImportError as error:
            raise Lacking from error
    reader, accepts = Image.OPEN.get(name, (None, None))
    if reader is None:
        raise Lacking
    accepted = True if accepts is None else accepts(data[:16])
    if isinstance(accepted, str):  # says why this Pillow lacks the format
        raise Lacking
    if not accepted:
        raise UnidentifiedImageError
    return reader(io.BytesIO(data), "")


def pixels_of_plugin(data: bytes, where: str, *, alpha: bool = False) -> Pixels | None:
    """By a reader that the user registered with Pillow, such as pillow-heif's; None if none takes the file.

    Raises
    ------
    ImageError
        One took it and found it damaged or too large.
    """
    for reader, accepts in [pair for pair in Image.OPEN.values() if not pair[0].__module__.startswith("PIL.")]:
        try:
            accepted = accepts is None or accepts(data[:16])
            if not accepted or isinstance(accepted, str):
                continue
            image = reader(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, KeyError, ValueError):  # how a reader says "not mine"
            continue
        except Exception as error:  # somebody's code
            raise damaged(where, error, len(data)) from error
        check_size(*image.size, where)
        try:
            image.load()
        except Exception as error:
            raise damaged(where, error, len(data)) from error
        turn = exif_orientation(image.info.get("exif") or b"")
        return upright(pixels_of_pil(image, where, alpha=alpha), turn)
    return None


def array_of(image: Image.Image, packing: str | None = None) -> npt.NDArray[np.uint8]:
    """``np.array(image)`` of 8-bit pixels, (H, W) or (H, W, bands), writable; of a large picture in half the time.

    ``np.array`` lets Pillow pack the pixels by 64 KB into as many strings, joins these and copies the whole.
    """
    width, height = image.size
    bands = len(packing or image.getbands())
    try:
        encoder: Any = Image._getencoder(image.mode, "raw", (packing or image.mode, 0, 1))
        encoder.setimage(image.im, (0, 0, width, height))
    except (AttributeError, TypeError):  # not of Pillow's public interface
        return np.array(image.convert(packing or image.mode))
    packed = np.empty(width * height * bands, np.uint8)
    at, status = 0, 0
    while status == 0:
        _, status, part = encoder.encode(max(_CHUNK, 4 * width))
        packed[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    if status < 0 or at != len(packed):
        return np.array(image.convert(packing or image.mode))
    return packed.reshape((height, width, bands) if bands > 1 else (height, width))


@cache
def pillow_maps_arrays() -> bool:
    """Whether `decoded_into` works with this Pillow: part of it is not of the public interface."""
    try:
        probe = np.zeros((1, 1, 4), np.uint8)
        Image.frombuffer("RGBX", (1, 1), probe, "raw", "RGBX", 0, 1).im.putpixel((0, 0), (1, 2, 3, 4))
        decoded_into(np.empty((1, 1), np.uint8), "L", "raw", b"\5")
    except Exception:  # whatever became of it
        return False
    return probe.tolist() == [[[1, 2, 3, 4]]]


def decoded_into(pixels: Pixels, mode: str, decoder: str, data: bytes) -> Pixels:
    """``Image.frombytes`` into `pixels`, (H, W) or (H, W, 4), which need not hold anything.

    Raises
    ------
    ValueError
        As ``frombytes`` does: not enough data, or data that cannot be decoded.
    """
    size = (pixels.shape[1], pixels.shape[0])
    image = Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1)
    reader: Any = Image._getdecoder(mode, decoder, (mode, "") if decoder == "jpeg" else (mode, 0, 1))
    try:
        reader.setimage(image.im, (0, 0, *size))
        used, status = reader.decode(data)
    finally:
        reader.cleanup()
    if used >= 0:
        raise ValueError("not enough image data")
    if status:
        raise ValueError("cannot decode image data")
    return pixels


@contextmanager
def lent_pixels(height: int, width: int) -> Iterator[Pixels]:
    """Memory (height, width, 4) for a while, with whatever was in it: that of the picture before, if that is enough.

    Its pages are there, which of fresh memory the system brings one by one, as they are first written: 1.3 us each,
    0.6 ms for 768x576 (a virtual machine). One is kept for all threads: others that decode meanwhile have fresh ones.
    """
    wanted = height * width * 4
    try:
        memory = _kept.pop()
    except IndexError:
        memory = np.empty(0, np.uint8)
    if memory.size < wanted:
        memory = np.empty(wanted, np.uint8)
    yield memory[:wanted].reshape(height, width, 4)
    if memory.size <= _MOST_KEPT:
        _kept.append(memory)


def without_fourth(pixels: Pixels) -> Pixels:
    """(H, W, 4) to (H, W, 3): by cv2 if somebody imported it, which is three times as fast as Pillow."""
    cv2: Any = sys.modules.get("cv2")
    if hasattr(cv2, "cvtColor"):
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB))
    return array_of(Image.frombuffer("RGBX", (pixels.shape[1], pixels.shape[0]), pixels, "raw", "RGBX", 0, 1), "RGB")


def pixels_of_pil(image: Image.Image, where: str, *, alpha: bool = False) -> Pixels:
    """Pixels of a Pillow image of any mode, shape (H, W, 3), uint8, RGB; with `alpha` (H, W, 4).

    Alpha is dropped otherwise, 16-bit grey keeps its upper 8 bits (Pillow's own conversion clips it to white).

    Raises
    ------
    ImageError
        On mode "F", on an image without alpha where it is asked for, on "I" beyond 16 bits, on modes that Pillow cannot
        convert, and where loading fails.
    """
    mode = image.mode
    if mode == "F":
        raise ImageError(
            f"{where}: mode 'F' (float) has no fixed range: scale it to 0..255 and .convert('L') before passing it"
        )
    if alpha and mode not in _WITH_ALPHA and "transparency" not in image.info:
        raise no_fourth(where)
    try:
        image.load()
        if alpha:
            return _with_alpha(image)
        if mode == "I" or mode.startswith("I;16"):
            return _upper_bits(np.asarray(image), where)
        if mode in ("P", "PA", "La", "RGBa"):
            # Straight to RGB, premultiplied modes are refused and palettes with transparency draw a warning.
            image = image.convert("LA" if mode == "La" else "RGBA")
        image = image if mode == "RGB" else image.convert("RGB")
        return array_of(image) if image.width and image.height else np.array(image)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # a picture not yet loaded is decoded here, and may be damaged
        raise ImageError(f"{where}: mode {mode!r}, size {image.size} cannot be made RGB: {error}") from error


def _with_alpha(image: Image.Image) -> Pixels:
    if image.mode == "RGBX":  # a fourth value of no stated meaning, as depth in a TIFF is
        return array_of(image, "RGBX")
    if image.mode == "La":
        image = image.convert("LA")
    return array_of(image if image.mode == "RGBA" else image.convert("RGBA"))


def _upper_bits(values: npt.NDArray[Any], where: str) -> Pixels:
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 0xFFFF:
        raise ImageError(
            f"{where}: mode 'I' with values {low}..{high}, expected 16-bit values 0..65535: "
            "scale it to 0..255 and .convert('L') before passing it"
        )
    grey = (values >> 8).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
