"""TIFFs by blocks of rows: some of its strips, or rows of its tiles, at a time are made a small TIFF and decoded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.pictures.containers.filebytes import Bytes
from darknet_py.pictures.containers.refusals import damaged
from darknet_py.pictures.containers.tiff import (
    Directory,
    check_directory,
    longs,
    read_directory,
    read_tiff,
    rewritten,
)
from darknet_py.tiling.strips import Blocks, Strips, as_grey

__all__ = ["tiff_strips"]

_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 259, 262, 274
_STRIPS, _SAMPLES, _ROWS, _COUNTS, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_COUNTS = 322, 323, 324, 325
_BITS = 258

#: Pixels of a block, about: small tiles and strips are taken together.
_BLOCK = 1 << 23
#: Of a row of tiles or a strip; beyond, a strip is taken apart if it can be.
_LARGE, _LARGEST = 1 << 25, 1 << 27
#: Pixels that are decoded together.
_TOGETHER = 1 << 21


class _Layout(NamedTuple):
    """Where the pieces of the picture lie: of each plane row by row, `across` side by side, `rows` pixels high."""

    rows: int
    across: int
    offsets: Sequence[int]
    counts: Sequence[int]
    tags: tuple[int, int]


def tiff_strips(data: Bytes, where: str, *, grey: bool) -> Strips | None:
    """The strips of a TIFF's first picture; None if it has to be decoded as a whole: compressed in one piece.

    Raises
    ------
    ImageError
        Naming `where` and the cause; what only decoding shows is raised by the blocks.
    """
    try:
        tags = read_directory(data)
    except (struct.error, IndexError, MemoryError, OverflowError):
        raise damaged(where, "its directory of tags lies beyond its end", len(data)) from None
    check_directory(tags, where, len(data), "max_tiled_pixels")
    width, height = tags.one(_WIDTH, 0), tags.one(_HEIGHT, 0)
    layout = _layout(tags, width, height)
    if layout is None:
        return None

    def blocks() -> Blocks:
        step = layout.rows * max(1, _BLOCK // (width * layout.rows))
        for top in range(0, height, step):
            yield _block(data, tags, layout, top, min(step, height - top), where, grey)

    return Strips(width, height, 1 if grey else 3, blocks, tags.one(_ORIENTATION, 1))


def _layout(tags: Directory, width: int, height: int) -> _Layout | None:
    halved = tags.one(_PHOTOMETRIC, 0) == 6 and tags.one(_COMPRESSION, 1) == 1
    if halved or tags.one(_COMPRESSION, 1) == 6:  # of an old JPEG the strips are parts of one stream
        return None
    if _TILES in tags.values:
        side, rows, where = tags.one(_TILE_WIDTH, 0), tags.one(_TILE_HEIGHT, 0), (_TILES, _TILE_COUNTS)
    else:
        side, rows, where = width, min(tags.one(_ROWS, height), height), (_STRIPS, _COUNTS)
    if side < 1 or rows < 1 or not all(tag in tags.values for tag in where):
        return None
    across, down = -(-width // side), -(-height // rows)
    layout = _Layout(rows, across, tags.values[where[0]], tags.values[where[1]], where)
    planes = tags.one(_SAMPLES, 1) if tags.one(_PLANAR, 1) == 2 else 1
    if len(layout.offsets) != planes * across * down or len(layout.counts) != len(layout.offsets):
        return None
    apart = width * rows > _LARGE and where[0] == _STRIPS and tags.one(_COMPRESSION, 1) == 1
    if apart:
        return _rows_apart(tags, layout, width, height, planes)
    return layout if width * rows <= _LARGEST else None


def _rows_apart(tags: Directory, layout: _Layout, width: int, height: int, planes: int) -> _Layout:
    """A strip per row, of strips that are not compressed."""
    samples = 1 if planes > 1 else tags.one(_SAMPLES, 1)
    row = (width * samples * tags.one(_BITS, 1) + 7) // 8
    per_plane = -(-height // layout.rows)
    offsets = [
        layout.offsets[plane * per_plane + at // layout.rows] + row * (at % layout.rows)
        for plane in range(planes)
        for at in range(height)
    ]
    return _Layout(1, 1, offsets, [row] * len(offsets), layout.tags)


def _block(
    data: Bytes, tags: Directory, layout: _Layout, top: int, rows: int, where: str, grey: bool
) -> NDArray[np.uint8]:
    """The pixels of some rows; side by side, no more pieces are decoded together than `_TOGETHER` allows.

    A decoder holds four times the bytes of what it gives.
    """
    width = tags.one(_WIDTH, 0)
    block = np.empty((rows, width, 1 if grey else 3), np.uint8)
    side = tags.one(_TILE_WIDTH, 0) if layout.tags[0] == _TILES else width
    step = max(1, _TOGETHER // (side * rows))
    for first in range(0, layout.across, step):
        last = min(first + step, layout.across)
        left, right = first * side, min(last * side, width)
        pixels = read_tiff(_part(data, tags, layout, (top, rows), (first, last), right - left), where)
        if pixels is None or pixels.shape[:2] != (rows, right - left):
            raise damaged(where, "its strips are not what its tags say", len(data))
        block[:, left:right] = as_grey(pixels) if grey else pixels
    return block


def _part(
    data: Bytes, tags: Directory, layout: _Layout, height: tuple[int, int], columns: tuple[int, int], width: int
) -> bytes:
    """A TIFF of some rows (first, how many), from one that begins a row of pieces on, and some columns of pieces."""
    top, rows = height
    first, last = top // layout.rows, -(-(top + rows) // layout.rows)
    down = -(-tags.one(_HEIGHT, 0) // layout.rows)
    pieces = [
        piece
        for plane in range(len(layout.offsets) // (layout.across * down))
        for row in range(plane * down + first, plane * down + last)
        for piece in range(row * layout.across + columns[0], row * layout.across + columns[1])
    ]
    body, offsets, at = [bytes(8)], [], 8
    for piece in pieces:
        begin, count = layout.offsets[piece], layout.counts[piece]
        body += [data[begin : begin + count], bytes(-count % 8)]
        offsets.append(at)
        at += len(body[-2]) + len(body[-1])
    entries = dict(tags.entries) | {
        _WIDTH: longs(tags, [width]),
        _HEIGHT: longs(tags, [rows]),
        layout.tags[0]: longs(tags, offsets),
        layout.tags[1]: longs(tags, [layout.counts[piece] for piece in pieces]),
    }
    if layout.tags[0] == _STRIPS:
        entries[_ROWS] = longs(tags, [layout.rows])
    return rewritten(b"".join(body), tags, entries)
