"""Netpbm's PBM, PGM, PPM and PAM, of any maximal value: neither OpenCV nor Pillow reads all of them rightly."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from darknet_py.pictures.containers.refusals import check_size, damaged, no_fourth, unread

__all__ = ["read_netpbm"]

Pixels = npt.NDArray[np.uint8]

_SPACE = rb"(?:\s|#[^\n\r]*[\n\r])"
#: Magic, width, height, maximal value, and exactly one blank before binary values.
_HEADER = re.compile(rb"P([1-6])%(s)s*(\d{1,10})%(s)s+(\d{1,10})(?:%(s)s+(\d{1,10}))?%(s)s?" % {b"s": _SPACE})
_BITMAP = re.compile(rb"P[14]%(s)s*(\d{1,10})%(s)s+(\d{1,10})%(s)s" % {b"s": _SPACE})
_COMMENT = re.compile(rb"#[^\n\r]*")


def read_netpbm(data: bytes, where: str, *, alpha: bool = False) -> Pixels:
    """Decode to (H, W, 3) RGB, or (H, W) where the file is grey; with `alpha` to (H, W, 4), which only PAMs have.

    Values are scaled from 0..maxval to 0..255 by rounding; of more than 8 bits they are scaled to 16, of which the
    upper 8 are kept, as everywhere.

    Raises
    ------
    ImageError
        Naming `where` and the cause.
    """
    if data[:2] == b"P7":
        return _read_pam(data, where, alpha)
    if alpha:
        raise no_fourth(where)
    if data[:2] in (b"P1", b"P4"):
        return _read_bitmap(data, where)
    header = _HEADER.match(data)
    if header is None or header[4] is None:
        raise damaged(where, "the header of the Netpbm file has no width, height and maximal value", len(data))
    width, height, most = int(header[2]), int(header[3]), int(header[4])
    depth = 3 if header[1] in b"36" else 1
    _check(width, height, most, where, len(data))
    count = width * height * depth
    if header[1] in b"23":
        values = _numbers(data[header.end(4) :], count, where, len(data))
    else:
        values = _binary(data, header.end(), count, most, where)
    return _scaled(values, most).reshape((height, width, 3) if depth == 3 else (height, width))


def _read_bitmap(data: bytes, where: str) -> Pixels:
    header = _BITMAP.match(data)
    if header is None:
        raise damaged(where, "the header of the Netpbm file has no width and height", len(data))
    width, height = int(header[1]), int(header[2])
    check_size(width, height, where)
    if data[:2] == b"P1":
        digits = _COMMENT.sub(b"", data[header.end() :]).translate(None, b" \t\r\n\v\f")[: width * height]
        bits = np.frombuffer(digits, np.uint8) - ord("0")
        if len(bits) < width * height or bits.max() > 1:
            raise damaged(where, "not all of its pixels are there", len(data))
        bits = bits.reshape(height, width)
    else:
        stride = (width + 7) // 8
        packed = _binary(data, header.end(), stride * height, 255, where).reshape(height, stride)
        bits = np.unpackbits(packed, axis=1, count=width)
    return np.asarray(np.where(bits, 0, 255), np.uint8)  # 1 is black


def _read_pam(data: bytes, where: str, alpha: bool) -> Pixels:
    head, found, _ = data.partition(b"ENDHDR")
    start = data.find(b"\n", len(head)) + 1
    fields = dict(line.split(None, 1) for line in _COMMENT.sub(b"", head).split(b"\n")[1:] if len(line.split()) > 1)
    try:
        width, height, depth, most = (int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError):
        width = height = depth = most = 0
    if not (found and start and depth > 0):
        raise damaged(where, "the header of the PAM file lacks WIDTH, HEIGHT, DEPTH, MAXVAL or ENDHDR", len(data))
    kind = fields.get(b"TUPLTYPE", b"").strip().decode("latin-1")
    if depth > 4 or kind not in _TUPLES[depth]:
        raise unread(where, f"PAM of {depth} values ({kind or 'no TUPLTYPE'}) a pixel", "convert it to RGB")
    _check(width, height, most, where, len(data))
    values = _binary(data, start, width * height * depth, most, where).reshape(height, width, depth)
    if alpha:
        if depth in (1, 3):
            raise no_fourth(where)
        return _scaled(values[..., [0, 0, 0, 1]] if depth == 2 else values, most)
    if depth < 3:  # the last of two, or four, is alpha
        return _scaled(np.ascontiguousarray(values[..., 0]), most)
    return _scaled(np.ascontiguousarray(values[..., :3]), most)


_TUPLES: dict[int, tuple[str, ...]] = {
    1: ("", "BLACKANDWHITE", "GRAYSCALE"),
    2: ("", "BLACKANDWHITE_ALPHA", "GRAYSCALE_ALPHA"),
    3: ("", "RGB"),
    4: ("", "RGB_ALPHA"),
}


def _check(width: int, height: int, most: int, where: str, size: int) -> None:
    check_size(width, height, where)
    if not 0 < most < 1 << 16:
        raise damaged(where, f"maximal value {most}, expected 1 to 65535", size)


def _binary(data: bytes, start: int, count: int, most: int, where: str) -> npt.NDArray[Any]:
    kind: np.dtype[Any] = np.dtype(np.uint8 if most < 256 else ">u2")
    if len(data) - start < count * kind.itemsize:
        raise damaged(where, "not all of its pixels are there", len(data))
    values = np.frombuffer(data, kind, count, start)
    return values if most < 256 else values.astype(np.uint16)


def _numbers(text: bytes, count: int, where: str, size: int) -> npt.NDArray[Any]:
    words = _COMMENT.sub(b"", text).split(None, count)[:count]
    try:
        values = np.array(words).astype(np.int64) if len(words) == count else None
    except (ValueError, OverflowError):
        values = None
    if values is None:
        raise damaged(where, "not all of its pixels are there", size)
    return values.clip(0, 0xFFFF).astype(np.uint16)


def _scaled(values: npt.NDArray[Any], most: int) -> Pixels:
    if most == 255:
        return values.astype(np.uint8)
    # One table for every value that there can be: those above the maximal one are taken for it.
    table = np.minimum(np.arange(1 << (8 if values.dtype == np.uint8 else 16)), most).astype(np.int64)
    top = 255 if most < 256 else 0xFFFF
    scaled = (table * top * 2 + most) // (2 * most) if most != top else table
    bytes_of: Pixels = (scaled >> 8 if top > 255 else scaled).astype(np.uint8)
    return np.asarray(bytes_of[values])
