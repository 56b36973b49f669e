"""JPEGs by Pillow's libjpeg, which does not print, past Pillow's parser: the pixels are OpenCV's, to the bit.

It decodes into an array of ours, which spares it a copy. What stood in the way
of other ways to silence OpenCV's libjpeg, which has no switch: file descriptor 2 belongs to the process, so turning it
aside, even under a lock, takes away what other threads write meanwhile.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from darknet_py.errors import ImageError
from darknet_py.pictures.containers.orientation import exif_orientation, upright
from darknet_py.pictures.containers.pillow import (
    array_of,
    decoded_into,
    lent_pixels,
    pillow_maps_arrays,
    without_fourth,
)
from darknet_py.pictures.containers.refusals import check_size, damaged, unread

__all__ = [
    "END",
    "FILLINGS",
    "PROGRESSIVE",
    "Header",
    "check_header",
    "ends_in_grey",
    "grey_of_cmyk",
    "mode_of",
    "read_header",
    "read_jpeg",
    "refusal_of",
    "rgb_of_cmyk",
    "scans_are_complete",
]

Pixels = npt.NDArray[np.uint8]

_log = logging.getLogger(__name__)

END = b"\xff\xd9"
_SCAN = 0xDA

#: Start of frame → the coding, where it is not Huffman's.
_FRAMES = {
    0xC0: "", 0xC1: "", 0xC2: "", 0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical",
    0xC9: "arithmetic-coded", 0xCA: "arithmetic-coded", 0xCB: "lossless arithmetic-coded", 0xF7: "JPEG-LS",
}  # fmt: skip
PROGRESSIVE = 0xC2

#: Between scans there are markers, but for restarts and stuffed bytes.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

#: What may stand in place of bits that are missing; in the first of them the two differ.
FILLINGS = (b"\x55" * 64, b"\xaa" * 64)


class Header(NamedTuple):
    """What stands before the first scan."""

    frame: int
    bits: int
    width: int
    height: int
    components: bytes
    orientation: int
    scan: int


def read_jpeg(data: bytes, where: str, *, grey: bool) -> Pixels:
    """Decode to (H, W, 3) RGB, or the luma plane (H, W), upright.

    A file that lacks only its end marker is read, with a warning in the log, as Darknet reads it; one that lacks
    pixels is refused, even if an end marker was put behind what there is.

    Raises
    ------
    ImageError
        Naming `where` and the cause.
    """
    header = read_header(data, where)
    check_header(header, where)
    mode = mode_of(header, grey, where)
    try:
        pixels = _decoded(data, header, mode)
    except ValueError as error:
        found = _without_end(data, header, mode)
        if found is None:
            raise refusal_of(header, where, error, len(data)) from error
        pixels = found
        _log.warning("%s: a JPEG without its end marker; its pixels are all there", where)
    else:
        if ends_in_grey(pixels, mode) and not _whole(data[: data.find(END, header.scan)], header, mode, pixels):
            raise damaged(where, "the lower part of the JPEG is missing", len(data))
    if mode == "CMYK":
        pixels = grey_of_cmyk(pixels) if grey else rgb_of_cmyk(pixels)
    return upright(pixels, header.orientation)


def _segments(data: bytes, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """(marker, begin, end) of what follows each marker, up to the first scan and with it."""
    while (at := data.find(b"\xff", at)) >= 0:
        while data[at : at + 1] == b"\xff":
            at += 1
        marker = data[at] if at < len(data) else 0
        at += 1
        if marker in (0, 1) or 0xD0 <= marker <= 0xD8:
            continue
        end = at + int.from_bytes(data[at : at + 2], "big")
        if end < at + 2 or end > len(data) or marker == 0xD9:
            return
        yield marker, at + 2, end
        if marker == _SCAN:
            return
        at = end


def read_header(data: bytes, where: str) -> Header:
    frame, orientation = None, 0
    for marker, begin, end in _segments(data):
        if marker in _FRAMES and end - begin >= 6:
            frame = (
                marker,
                data[begin],
                int.from_bytes(data[begin + 3 : begin + 5], "big"),
                int.from_bytes(data[begin + 1 : begin + 3], "big"),
                data[begin + 6 : end : 3][: data[begin + 5]],
            )
        elif marker == 0xE1 and not orientation and data[begin : begin + 5] == b"Exif\0":
            orientation = exif_orientation(data[begin:end])
        elif marker == _SCAN and frame is not None:
            return Header(*frame, orientation or 1, begin)
    raise damaged(where, "a JPEG without a frame" if frame is None else "a JPEG without a scan", len(data))


def check_header(header: Header, where: str, limit: str = "max_pixels") -> None:
    if header.bits != 8:
        raise unread(where, f"{header.bits}-bit JPEG", "convert it to 8 bits, or to a 16-bit PNG")
    if header.frame == 0xF7:
        raise unread(where, "JPEG-LS file", "convert it to PNG")
    check_size(header.width, header.height, where, limit)


def mode_of(header: Header, grey: bool, where: str) -> str:
    count = len(header.components)
    if count not in (1, 3, 4):
        raise unread(where, f"{count}-component JPEG", "convert it to grey or RGB")
    if count == 4:
        return "CMYK"
    return "L" if grey else "RGB"


def _decoded(data: bytes, header: Header, mode: str) -> Pixels:
    """(H, W), or (H, W, 3 or 4); ValueError where libjpeg gives up or waits for more bytes."""
    size = (header.width, header.height)
    if not pillow_maps_arrays():
        return array_of(Image.frombytes(mode, size, data, "jpeg", mode, ""))
    if mode != "RGB":
        bands = () if mode == "L" else (4,)
        return decoded_into(np.empty((header.height, header.width, *bands), np.uint8), mode, "jpeg", data)
    # Four bytes a pixel is how Pillow has colours; libjpeg writes them so.
    with lent_pixels(header.height, header.width) as pixels:
        return without_fourth(decoded_into(pixels, "RGBX", "jpeg", data))


def refusal_of(header: Header, where: str, error: Exception, size: int) -> ImageError:
    if "cannot decode" in str(error):
        if _FRAMES[header.frame]:
            return unread(where, f"{_FRAMES[header.frame]} JPEG", "convert it to an ordinary JPEG or PNG")
        if max(header.width, header.height) > 65500:
            return ImageError(f"{where}: too large: {header.width}x{header.height}, a JPEG reader's limit is 65500")
    return damaged(where, "not all of its pixels are there" if "enough" in str(error) else error, size)


# What is missing at the end ------------------------------------------------------------------------------------


def _without_end(data: bytes, header: Header, mode: str) -> Pixels | None:
    """Pixels of a file that ends where its end marker should stand; None if it ends earlier."""
    entropy = data.rstrip(b"\xff")
    if not scans_are_complete(entropy, header):
        return None
    try:
        pixels = _decoded(entropy + END, header, mode)
    except ValueError:
        return None
    return pixels if _whole(entropy, header, mode, pixels) else None


def _whole(entropy: bytes, header: Header, mode: str, pixels: Pixels) -> bool:
    """Whether nothing that may follow changes a pixel: libjpeg makes up missing bits, and only counts that it did."""
    entropy = entropy.rstrip(b"\xff")  # the first half of a marker, or of a byte that is stuffed
    try:
        return all(np.array_equal(_decoded(entropy + more + END, header, mode), pixels) for more in FILLINGS)
    except ValueError:
        return False


def ends_in_grey(pixels: Pixels, mode: str) -> bool:
    """As what libjpeg makes up does; a picture of one colour does as well, hence `_whole`."""
    return mode != "CMYK" and bool((pixels[-1, -4:] == 128).all())


def scans_are_complete(data: bytes, header: Header) -> bool:
    """Whether the scans carry every component; in a progressive file, every bit of its 64 coefficients."""
    lowest = {component: [99] * 64 for component in header.components}
    for marker in _MARKER.finditer(data, header.scan - 4):
        at = marker.start() + 4
        if marker.group()[1] != _SCAN or at >= len(data):
            continue
        count = data[at]
        named, last = data[at + 1 : at + 1 + 2 * count : 2], data[at + 1 + 2 * count : at + 4 + 2 * count]
        if len(last) < 3:
            return False
        first, stop, bit = (last[0], last[1], last[2] & 15) if header.frame == PROGRESSIVE else (0, 63, 0)
        for component in named:
            if component in lowest:
                for k in range(first, min(stop, 63) + 1):
                    lowest[component][k] = bit
    return all(bit == 0 for bits in lowest.values() for bit in bits)


# CMYK ----------------------------------------------------------------------------------------------------------


def rgb_of_cmyk(inks: Pixels) -> Pixels:
    """As OpenCV has it, which takes every such file for one of Adobe's, with inks inverted."""
    black = inks[..., 3:].astype(np.uint16)
    return (black - ((255 - inks[..., :3]) * black >> 8)).astype(np.uint8)


def grey_of_cmyk(inks: Pixels) -> Pixels:
    red, green, blue = np.moveaxis(rgb_of_cmyk(inks).astype(np.uint32), 2, 0)
    grey: Pixels = ((4899 * red + 9617 * green + 1868 * blue + (1 << 13)) >> 14).astype(np.uint8)
    return grey
