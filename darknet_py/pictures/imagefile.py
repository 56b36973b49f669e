"""Bytes of an image file to 8-bit pixels; called by ``image.load_image`` alone.

`containers.kinds` lists what a file may be and who reads it. That is Pillow, with or without OpenCV, so that an
installation without OpenCV gives the same pixels, and nothing is printed: OpenCV's libjpeg and libpng write to file
descriptor 2. OpenCV reads what a Pillow may lack (AVIF, JPEG 2000, WebP), and where Pillow's pixels are wrong (JPEG
2000 colours of more than 8 bits, uncompressed TIFFs with halved colours).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, UnidentifiedImageError

from darknet_py.errors import ImageError
from darknet_py.find_cv2 import find_cv2
from darknet_py.pictures.containers.bmp import rgba_of_bmp
from darknet_py.pictures.containers.jpeg import read_jpeg
from darknet_py.pictures.containers.kinds import Kind, kind_of
from darknet_py.pictures.containers.netpbm import read_netpbm
from darknet_py.pictures.containers.orientation import avif_orientation, exif_orientation, upright, webp_orientation
from darknet_py.pictures.containers.pillow import Lacking, pixels_of_pil, pixels_of_plugin, read_format
from darknet_py.pictures.containers.png import read_png
from darknet_py.pictures.containers.refusals import check_pixels, check_size, damaged, no_fourth, unread
from darknet_py.pictures.containers.tiff import read_tiff

__all__ = ["decode_file", "pixels_of_pil"]

Pixels = npt.NDArray[np.uint8]

_PILLOW = tuple(int(number) for number in re.findall(r"\d+", PIL.__version__)[:2])

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


def decode_file(data: bytes, where: str, *, grey: bool, alpha: bool = False) -> Pixels:
    """Decode an image file's bytes to (H, W, 3) RGB, or to (H, W) if it is grey Netpbm, or a JPEG and `grey` is asked.

    With `alpha` to (H, W, 4), always.

    Raises
    ------
    ImageError
        Naming `where` and the cause: empty, not an image, of a kind that is not read, cut short or damaged, too large,
        without the fourth channel that is asked for.
    """
    if not data:
        raise ImageError(f"{where}: empty (0 bytes), expected an image file such as JPEG or PNG")
    kind = kind_of(data)
    if kind is None:
        return _unknown(data, where, alpha)
    if kind.reader == "jpeg":
        if alpha:
            raise no_fourth(where)
        return read_jpeg(data, where, grey=grey)
    if kind.reader == "png":
        return read_png(data, where, alpha=alpha)
    if kind.reader == "netpbm":
        return read_netpbm(data, where, alpha=alpha)
    if kind.reader == "tiff":
        found = read_tiff(data, where, alpha=alpha)
        return _only_opencv(data, where, "TIFF of YCbCr with halved colours", alpha) if found is None else found
    if kind.reader == "pillow":
        return _read_by_pillow(data, where, kind, alpha)
    pixels = pixels_of_plugin(data, where, alpha=alpha)
    if pixels is None:
        raise unread(where, f"{kind.name} file", kind.cure)
    return pixels


def _unknown(data: bytes, where: str, alpha: bool) -> Pixels:
    """No magic bytes: what a plugin of the user's takes, or a TGA, which has none."""
    pixels = pixels_of_plugin(data, where, alpha=alpha)
    if pixels is not None:
        return pixels
    try:
        image = read_format(data, "TGA")
    except Exception:  # not its format, whatever it raises
        raise ImageError(
            f"{where}: not an image ({len(data)} bytes that begin with {data[:16]!r}), "
            "expected JPEG, PNG, BMP, TIFF, WebP or another picture that Pillow or OpenCV reads"
        ) from None
    return _loaded(image, data, where, 1, alpha)


def _read_by_pillow(data: bytes, where: str, kind: Kind, alpha: bool) -> Pixels:
    if kind.format == "JPEG2000" and _has_deep_colours(data):
        return _only_opencv(data, where, "JPEG 2000 of more than 8 bits a colour", alpha)
    if kind.format == "JPEG2000" and _is_ycc(data) and _PILLOW < (10, 3):
        raise unread(where, "JPEG 2000 of YCbCr", "pip install 'pillow>=10.3', or convert it to RGB")
    try:
        image = read_format(data, kind.format)
    except (MemoryError, ImageError):
        raise
    except Lacking:
        pixels = pixels_of_plugin(data, where, alpha=alpha)
        if pixels is None and kind.opencv and not alpha:
            pixels = _decode_with_opencv(data, where, kind)
        if pixels is None:
            raise unread(where, f"{kind.name} file", kind.cure) from None
        return pixels
    # Pillow's readers raise nearly anything on damaged bytes: SyntaxError, struct.error, IndexError...
    except Exception as error:
        return _second(data, where, kind, error, alpha)
    try:
        return _loaded(image, data, where, _orientation(image, data, kind), alpha)
    except Image.DecompressionBombError as error:
        return _second(data, where, kind, error, alpha)


def _second(data: bytes, where: str, kind: Kind, error: Exception, alpha: bool) -> Pixels:
    """What Pillow refuses, for a limit of its own or as unsupported, OpenCV may read."""
    too_large = isinstance(error, Image.DecompressionBombError)
    found = re.search(r"\((\d{1,18}) pixels\)", str(error)) if too_large else None
    if found:  # OpenCV would decode first
        check_pixels(int(found[1]), f"{where}: too large:")
    unsupported = "nsupported" in str(error) or isinstance(error, NotImplementedError)
    # Not for what is damaged: OpenCV 4.8 would write that it is.
    tries = kind.opencv and not alpha and (too_large or unsupported)
    pixels = _decode_with_opencv(data, where, kind) if tries else None
    if pixels is not None:
        return pixels
    if too_large:
        raise ImageError(
            f"{where}: too large for Pillow alone ({error}): scale it down, or pip install opencv-python-headless"
        ) from error
    if unsupported:
        raise unread(where, f"{kind.name} file ({error})", kind.cure) from error
    cause = "its header is damaged" if isinstance(error, UnidentifiedImageError) else error
    raise damaged(where, cause, len(data)) from error


def _loaded(image: Image.Image, data: bytes, where: str, orientation: int, alpha: bool) -> Pixels:
    check_size(*image.size, where)
    try:
        image.load()
    except (MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        if image.format == "BMP" and _is_whole_run_length_bmp(data):
            # They take the colours before them, or none, or the first: no two programs agree.
            raise unread(where, "run-length BMP that leaves pixels out", "save it without compression") from error
        raise damaged(where, error, len(data)) from error
    fourth = rgba_of_bmp(data) if alpha and image.format == "BMP" and image.mode == "RGB" else None
    if fourth is not None:
        return fourth
    return upright(pixels_of_pil(image, where, alpha=alpha), orientation)


def _is_whole_run_length_bmp(data: bytes) -> bool:
    return data[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(data) >= int.from_bytes(data[2:6], "little")


def _orientation(image: Image.Image, data: bytes, kind: Kind) -> int:
    if kind.format == "AVIF":
        return avif_orientation(data)
    return exif_orientation(image.info.get("exif") or b"")


def _has_deep_colours(data: bytes) -> bool:
    """Several components of more than 8 bits: Pillow rounds them up beyond 255, which is 0."""
    at = data.find(b"\xff\x4f\xff\x51") + 2
    count = int.from_bytes(data[at + 38 : at + 40], "big")
    return at > 1 and count > 1 and any((depth & 127) >= 8 for depth in data[at + 40 : at + 40 + 3 * count : 3])


def _is_ycc(data: bytes) -> bool:
    """Whether its box of the colour space says sYCC: OpenCV turns it to other colours, and so did old Pillows."""
    at = data.find(b"colr\x01")
    return at >= 0 and int.from_bytes(data[at + 7 : at + 11], "big") == 18


def _only_opencv(data: bytes, where: str, what: str, alpha: bool) -> Pixels:
    if alpha:
        raise no_fourth(where)
    if find_cv2() is None:
        raise unread(where, what, "pip install opencv-python-headless, or convert it to 8 bits and RGB")
    pixels = _decode_with_opencv(data, where, Kind(what, opencv=True))
    if pixels is None:
        raise damaged(where, "OpenCV cannot read it", len(data))
    return pixels


def _decode_with_opencv(data: bytes, where: str, kind: Kind) -> Pixels | None:
    """Pixels as OpenCV reads them, turned upright, or None where it cannot, or is not there."""
    cv2 = find_cv2()
    if cv2 is None:
        return None
    pixels: Any = None
    try:
        with _silence(cv2):
            # Turned here: its AVIF reader knows no irot, and 4.8's WebP reader no EXIF.
            how = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        pass  # too many pixels, or a decoder that throws
    if pixels is None:
        return None
    check_size(pixels.shape[1], pixels.shape[0], where)
    turn = {"AVIF": avif_orientation, "WEBP": webp_orientation}.get(kind.format)
    return upright(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), turn(data) if turn else 1)
