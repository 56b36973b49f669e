"""PNGs by Pillow, of the chunks that hold pixels alone: what is wrong with the others is nobody's business."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from darknet_py.pictures.containers.filebytes import Bytes
from darknet_py.pictures.containers.orientation import exif_orientation, upright
from darknet_py.pictures.containers.pillow import pixels_of_pil, read_format
from darknet_py.pictures.containers.refusals import check_size, damaged, unread

__all__ = ["png_chunks", "read_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"

#: Profiles, texts, animations and transparency say nothing of the pixels of the first picture.
_OF_PIXELS = (b"IHDR", b"PLTE", b"IDAT")


def read_png(data: bytes, where: str, *, alpha: bool = False) -> npt.NDArray[np.uint8]:
    """Decode to (H, W, 3) RGB, or (H, W, 4) with `alpha`, upright.

    Raises
    ------
    ImageError
        Naming `where` and the cause.
    """
    kept, orientation = [_SIGNATURE], 1
    for name, begin, end in png_chunks(data):
        if name == b"CgBI":
            raise unread(
                where, "PNG made for iPhones (CgBI)", "restore it by xcrun pngcrush -revert-iphone-optimizations"
            )
        if name == b"IHDR":
            width, height = (int.from_bytes(data[at : at + 4], "big") for at in (begin + 8, begin + 12))
            check_size(width, height, where)
        if name in _OF_PIXELS or (alpha and name == b"tRNS"):
            kept.append(data[begin:end])
        elif name == b"eXIf" and orientation == 1:
            orientation = exif_orientation(data[begin + 8 : end - 4])
    try:
        image = read_format(b"".join([*kept, _END]), "PNG")
        image.load()
    except MemoryError:
        raise
    # Pillow's readers raise nearly anything on damaged bytes: SyntaxError, struct.error, IndexError...
    except Exception as error:
        raise damaged(where, error, len(data)) from error
    return upright(pixels_of_pil(image, where, alpha=alpha), orientation)


def png_chunks(data: Bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, begin, end) of each chunk with its length and checksum; the last may be cut."""
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        name = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield name, at, min(end, len(data))
        if name == b"IEND":
            return
        at = end
