"""How a picture has to be turned: EXIF's orientation, and the turns of an AVIF's boxes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["avif_orientation", "exif_orientation", "upright", "webp_orientation"]

_ORIENTATION = 0x0112

#: `_MIRRORED_THEN[axis][turns]`: AVIF turns anticlockwise by quarters, then mirrors.
_BY_TURNS = (1, 8, 3, 6)
_BY_TURNS_THEN_UP_DOWN = (4, 5, 2, 7)
_BY_TURNS_THEN_LEFT_RIGHT = (2, 7, 4, 5)


def exif_orientation(exif: bytes) -> int:
    """1 to 8 by a block of EXIF, with or without its ``Exif`` header; 1 where it cannot be read.

    Read here, as Pillow's reader warns of the tags around it, and warnings are one list per process.
    """
    if exif.startswith(b"Exif\0"):
        exif = exif[6:]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}4xI", exif)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == _ORIENTATION:
                if kind == 4:  # some writers make it a long
                    (value,) = struct.unpack_from(f"{order}I", exif, entry + 8)
                return value if kind in (3, 4) and 1 <= value <= 8 else 1
    except struct.error:
        pass  # that an orientation cannot be read does not damage the picture
    return 1


def upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Pixels (H, W[, C]) turned so that what EXIF calls the top is the top; contiguous, `pixels` itself for 1."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    turned: npt.NDArray[np.uint8] = pixels[
        :: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1
    ]
    return np.ascontiguousarray(turned)


def webp_orientation(data: bytes) -> int:
    """What the EXIF chunk of a WebP says."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return exif_orientation(data[at + 8 : at + 8 + size])
        at += 8 + size + (size & 1)
    return 1


def avif_orientation(data: bytes) -> int:
    """What ``irot`` and ``imir`` of an AVIF's first picture say; its EXIF, by the standard, says nothing."""
    try:
        return _orientation_of_boxes(data)
    except (KeyError, IndexError, struct.error):
        return 1


def _orientation_of_boxes(data: bytes) -> int:
    meta = dict(_boxes(_first(data, b"meta")[4:]))
    version = meta[b"pitm"][0]
    picture = int.from_bytes(meta[b"pitm"][4 : 8 if version else 6], "big")
    properties = dict(_boxes(meta[b"iprp"]))
    declared = list(_boxes(properties[b"ipco"]))
    turns, mirror = 0, None
    for number in _associated(properties[b"ipma"], picture):
        name, body = declared[number - 1] if number else (b"", b"")
        if name == b"irot":
            turns = body[0] & 3
        elif name == b"imir":
            mirror = body[0] & 1
    if mirror is None:
        return _BY_TURNS[turns]
    return (_BY_TURNS_THEN_LEFT_RIGHT if mirror else _BY_TURNS_THEN_UP_DOWN)[turns]


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        end = at + size if size else len(data)
        if end < begin:
            return
        yield name, data[begin:end]
        at = end


def _first(data: bytes, wanted: bytes) -> bytes:
    for name, body in _boxes(data):
        if name == wanted:
            return body
    raise KeyError(wanted)


def _associated(body: bytes, picture: int) -> list[int]:
    """Numbers, from 1, of the properties of one item."""
    version, wide = body[0], body[3] & 1
    (count,) = struct.unpack_from(">I", body, 4)
    at = 8
    for _ in range(count):
        (item,) = struct.unpack_from(">I" if version else ">H", body, at)
        at += 4 if version else 2
        length: Any = body[at]
        at += 1
        form = f">{length}{'H' if wide else 'B'}"
        numbers = struct.unpack_from(form, body, at)
        if item == picture:
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        at += struct.calcsize(form)
    return []
