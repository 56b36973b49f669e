"""The input of a Winograd convolution: its tiles transformed, see `winograd_filters`."""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.operation import Cut, arguments, operation
from darknet_py.kernels.ops.step import TOGETHER, record_at, records_at, step_at
from darknet_py.kernels.tiles.cook_toom import TILES
from darknet_py.kernels.tiles.winograd_tile import input_tile
from darknet_py.kernels.vector.pointers import integers

__all__ = ["TILE", "winograd_input"]

#: A tile of the image: its kind (-1: there is none), image, first output row and column.
TILE = np.dtype([(name, "i8") for name in ("kind", "image", "y", "x")], align=True)

#: Zeros around the image; the parts of the band, and the tiles of each: `rows` in `tiles`.
WINOGRAD_INPUT = arguments("pad", "parts", "rows", tiles=TILE, outside="f4")

_DOWN = tuple(kind.down.n for kind in TILES)
_ACROSS = tuple(kind.across.n for kind in TILES)
_M_ACROSS = tuple(kind.across.m for kind in TILES)
_STRIDE = tuple(kind.down.stride for kind in TILES)

#: Tiles of a transform in a band are at most this many tasks.
_TASKS = 64


def _cut(step: Any, own: Any, threads: int, images: int) -> Cut:
    parts, rows = int(own["parts"]), int(own["rows"])
    tiles = max(1, -(-rows * parts // _TASKS))
    return Cut(parts * -(-rows // tiles), TOGETHER, parts, tiles)


def _scratch(step: Any, own: Any) -> int:
    """The addresses of a tile's pixels."""
    return 8 * max(down * across for down, across in zip(_DOWN, _ACROSS, strict=True))


def _beyond(step: Any, own: Any) -> int:
    return 4 * LANES  # whole vectors of a pixel's channels


@operation(arguments=WINOGRAD_INPUT, cut=_cut, scratch=_scratch, beyond=_beyond)
def winograd_input(address, task, scratch):
    """Transform a share of the band's tiles: (H, W, C) at x to (elements, tiles, C) at y, in the format of that."""
    step = step_at(address)
    own = record_at(step.arguments, WINOGRAD_INPUT)
    x_place, y_place = step.x, step.y
    per_part = step.tasks // step.parts
    part = task // per_part
    first = (task - part * per_part) * step.tile_step
    last = min(first + step.tile_step, own.rows)
    stride = step.parts * own.rows * y_place.pixel
    tiles = records_at(own.tiles, step.parts * own.rows, TILE)
    for row in range(part * own.rows + first, part * own.rows + last):
        tile = tiles[row]
        code = tile.kind
        if code < 0:
            continue
        down, across = _DOWN[code], _ACROSS[code]
        addresses = integers(scratch, down * across)
        top = tile.y * _STRIDE[code] - own.pad
        left = tile.x * _STRIDE[code] - own.pad
        ahead = _M_ACROSS[code] * _STRIDE[code] * x_place.pixel
        for i in range(down):
            begin = x_place.at + tile.image * x_place.image + (top + i) * x_place.row
            inside = 0 <= top + i < x_place.h
            for j in range(across):
                address = begin + (left + j) * x_place.pixel
                addresses[i * across + j] = address if inside and 0 <= left + j < x_place.w else own.outside
        out = y_place.at + row * y_place.pixel
        for channel in range(0, x_place.c, LANES):
            input_tile(y_place.format, code, scratch, 4 * channel, out + y_place.value * channel, stride, ahead)
