"""Depthwise convolution row by row, for the window sizes that networks are made of.

A tile is a run of pixels of one output row. Each input pixel of a tile is loaded once for all taps of its row that read
it, and only the addresses of distinct pixels are worked out: 45 for 13 pixels under 3 x 3 taps, where the tile of
`convolve` has 117, and those of an input row once for all output rows that read it. Layers with few channels, whose
time is mostly that work, gain most.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.jit import LANES, inlined, kernel
from darknet_py.kernels.ops.cuts import by_rows
from darknet_py.kernels.ops.operation import arguments, operation
from darknet_py.kernels.ops.step import BLOCK, record_at, records_at, row_share, step_at
from darknet_py.kernels.tiles.epilogue import (
    FINISH,
    FINISH_BYTES,
    begin_finish,
    finish_tile,
    may_finish,
    may_finish_blocks,
    set_finish,
)
from darknet_py.kernels.tiles.row import LONG, SHORT, WINDOWS, row_tiles
from darknet_py.kernels.vector.pointers import integers

__all__ = ["depthwise_rows"]

#: Entries of the table of addresses: 34 rows under a tile of 13 pixels and 3 x 3 taps.
_TABLE = 512

_WIDTHS = tuple(width for width, _ in WINDOWS)
_STRIDES = tuple(stride for _, stride in WINDOWS)

#: Which of WINDOWS, whether tiles are SHORT; what `convolve` has to know.
DEPTHWISE_ROWS = arguments(
    *("window", "short", "kernel_h", "stride_y", "pad_y", "pad_x", "n_blocks", "activation", "after"),
    blocks=BLOCK,
    outside="f4",
)


def _scratch(step: Any, own: Any) -> int:
    """The finished tile, the record of its end and the table of addresses."""
    columns = (LONG - 1) * 2 + max(_WIDTHS)
    return 4 * LONG * LANES + FINISH_BYTES + 8 * max(_TABLE, int(own["kernel_h"]) * columns)


def _beyond(step: Any, own: Any) -> int:
    return 4 * LANES  # whole vectors of a pixel's channels


@kernel
def _find_columns(step, own, first, count, x, columns, stride, table):
    """Write the addresses of the pixels of `count` input rows from `first` on under tiles that begin at output x."""
    place, outside = step.x, own.outside
    left, x_pixel = x * stride - own.pad_x, place.pixel
    begin, end = min(max(-left, 0), columns), min(max(place.w - left, 0), columns)
    for n in range(count):
        base = n * columns
        if not place.top <= first + n < place.h:
            for column in range(columns):
                table[base + column] = outside
            continue
        row = place.at + (first + n) * place.row + left * x_pixel
        for column in range(begin):
            table[base + column] = outside
        for column in range(begin, end):
            table[base + column] = row + column * x_pixel
        for column in range(end, columns):
            table[base + column] = outside


@inlined
def _tiles_from(step, own, x, pixels, columns, stride):
    """How many whole tiles from output x on read no column outside the image, and so can follow each other; or 1."""
    left = x * stride - own.pad_x
    room = step.x.w - columns - left
    if left < 0 or room < 0:
        return np.int64(1)
    return min(room // (pixels * stride) + 1, (step.y.w - x) // pixels)


@inlined
def _run_tiles(step, own, blocks, table, y, x, count, tiles, finish, advance, out):
    """Compute `tiles` tiles from output pixel (y, x) on, all vectors of channels of each, or one tile in `out`."""
    n_blocks = own.n_blocks
    together, weight_step, bias_step = np.int64(1), np.int64(0), np.int64(0)
    if finish != 0:
        together = n_blocks
        if n_blocks > 1:
            weight_step = blocks[1].weights - blocks[0].weights
            bias_step = blocks[1].bias - blocks[0].bias
    for number in range(0, n_blocks, together):
        block = blocks[number]
        row_tiles(
            window=own.window, short=own.short, format=step.x.format, table=table, shift=block.x * step.x.value,
            rows=own.kernel_h, weights=block.weights, bias=block.bias, out=out, finish=finish, tiles=tiles,
            advance=advance, blocks=together, weight_step=weight_step, bias_step=bias_step,
        )  # fmt: skip
        if finish != 0:
            return
        finish_tile(step, own.activation, own.after, out, 0, 1, count, 1, y, x, block.y, block.count)


@operation(arguments=DEPTHWISE_ROWS, cut=by_rows, scratch=_scratch, beyond=_beyond)
def depthwise_rows(address, task, scratch):
    """A share of the output rows, all channels.

    The table of addresses is made once for as many output rows as it has room for. Tiles that differ in where they
    begin alone share it, so what is read at `outside` is a whole row.
    """
    step = step_at(address)
    own = record_at(step.arguments, DEPTHWISE_ROWS)
    pixels = SHORT if own.short else LONG
    stride, stride_y, kernel_h = _STRIDES[own.window], own.stride_y, own.kernel_h
    columns = (pixels - 1) * stride + _WIDTHS[own.window]
    blocks = records_at(own.blocks, own.n_blocks, BLOCK)
    finish_at = scratch + 4 * LONG * LANES
    record = record_at(finish_at, FINISH)
    simple = may_finish(step, own.activation, own.after) and may_finish_blocks(blocks, 0, own.n_blocks)
    begin_finish(record, step, own.activation)
    last_channels = blocks[own.n_blocks - 1].count
    table_at = finish_at + FINISH_BYTES
    rows = max(1, (_TABLE // columns - kernel_h) // stride_y + 1)
    table = integers(table_at, ((rows - 1) * stride_y + kernel_h) * columns)
    begin, end = row_share(step, task)
    for first in range(begin, end, rows):
        last = min(first + rows, end)
        x = np.int64(0)
        while x < step.y.w:
            count, tiles = min(pixels, step.y.w - x), np.int64(1)
            finishes = simple and count == pixels
            if finishes:
                tiles = _tiles_from(step, own, x, pixels, columns, stride)
            read = (last - first - 1) * stride_y + kernel_h
            _find_columns(step, own, first * stride_y - own.pad_y, read, x, columns, stride, table)
            for y in range(first, last):
                finish = np.int64(0)
                if finishes:
                    set_finish(record, step, y * step.y.w + x, 0, last_channels)
                    finish = finish_at
                at = table_at + 8 * columns * stride_y * (y - first)
                advance = pixels * stride * step.x.pixel
                _run_tiles(step, own, blocks, at, y, x, count, tiles, finish, advance, scratch)
            x += tiles * pixels
