"""Depthwise convolution row by row, for the window sizes that networks are made of.

A tile is a run of pixels of one output row. Each input pixel of a tile is loaded once for all taps of its row that read
it, and only the addresses of distinct pixels are worked out: 45 for 13 pixels under 3 x 3 taps, where the tile of
`convolve` has 117, and those of an input row once for all output rows that read it. Layers with few channels, whose
time is mostly that work, gain most.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, MATRIX_TILES, inlined, kernel
from darknet_py.kernels.ops.bfloat16 import round_row
from darknet_py.kernels.ops.call import step_at
from darknet_py.kernels.ops.steps import BLOCK_COLUMNS, COLUMNS
from darknet_py.kernels.tiles.finish import RECORD, finish_in_registers, may_finish, may_finish_blocks, set_finish
from darknet_py.kernels.tiles.register import PIXELS
from darknet_py.kernels.vector.activate import activate
from darknet_py.kernels.vector.lanes import I64, Lanes, emit_cases
from darknet_py.kernels.vector.pointers import integers
from darknet_py.kernels.vector.rows import add_rows, store_rows

__all__ = ["LONG", "SHORT", "WINDOWS", "depthwise_rows"]

#: (kernel width, horizontal stride) that there is a tile for; MODE of a step is twice the index here, plus 1 for SHORT.
WINDOWS = ((3, 1), (3, 2), (5, 1))

#: Pixels of a tile: whichever wastes less of the last tile of a row (10 divides 320 and its halves, 13 divides 416's).
LONG, SHORT = PIXELS, {13: 10, 6: 5}[PIXELS]

_X, _X_PIXEL, _X_ROW, _IN_H, _IN_W = (COLUMNS[name] for name in ("X", "X_PIXEL", "X_ROW", "IN_H", "IN_W"))
_Y, _Y_PIXEL, _OUT_H, _OUT_W = (COLUMNS[name] for name in ("Y", "Y_PIXEL", "OUT_H", "OUT_W"))
_SECOND, _SECOND_PIXEL, _OUTSIDE = (COLUMNS[name] for name in ("SECOND", "SECOND_PIXEL", "OUTSIDE"))
_KERNEL_H, _STRIDE_Y, _PAD_Y, _PAD_X = (COLUMNS[name] for name in ("KERNEL_H", "STRIDE_Y", "PAD_Y", "PAD_X"))
_X_BFLOAT16 = COLUMNS["X_BFLOAT16"]
_BLOCKS, _N_BLOCKS, _MODE, _TASKS = (COLUMNS[name] for name in ("BLOCKS", "N_BLOCKS", "MODE", "TASKS"))
_ACTIVATION, _ACTIVATION_2, _BFLOAT16 = (COLUMNS[name] for name in ("ACTIVATION", "ACTIVATION_2", "BFLOAT16"))

#: Entries of the table of addresses: 34 rows under a tile of 13 pixels and 3 x 3 taps.
_TABLE = 512

_WIDTHS = tuple(width for width, _ in WINDOWS)
_STRIDES = tuple(stride for _, stride in WINDOWS)


@intrinsic(prefer_literal=True)
def _row_tiles(
    typingctx: Any,
    mode: Any,
    rounded: Any,
    table: Any,
    shift: Any,
    rows: Any,
    weights: Any,
    bias: Any,
    out: Any,
    finish: Any,
    tiles: Any,
    advance: Any,
    blocks: Any,
    weight_step: Any,
    bias_step: Any,
) -> Any:
    """Neighbouring pixels, one vector of channels after the other, and as many pixels after them.

    Parameters
    ----------
    mode : int64
        MODE of the step: which window, and whether a tile is SHORT or LONG `pixels`. There is code for each.
    rounded : literal int
        Whether the input is bfloat16.
    table : int64
        Address of ``(rows, (pixels - 1) * stride + width)`` int64 addresses of input pixels.
    shift : int64
        Bytes added to each of them.
    rows : int64
        Height of the window.
    weights, bias : int64
        Addresses of ``(rows, width, lanes)`` and ``(lanes,)`` floats.
    out : int64
        Takes ``(pixels, lanes)`` floats unless `finish` is the address of a record for `finish_in_registers`.
    tiles, advance : int64
        How many tiles there are, with `finish`, and the bytes between the input addresses of one and the next.
    blocks, weight_step, bias_step : int64
        How many vectors of channels, with `finish`, and the bytes between the weights and biases of one and the next.
        Without a call and a table of addresses for each tile, rows of 160 pixels of 16 channels take 0.6 of the time,
        rows of 80 pixels of 64 channels 0.8.
    """
    signature = types.void(types.int64, rounded, *([types.int64] * 12))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        operands = _Operands(*args[2:])
        v = Lanes(builder, LANES)
        is_rounded = bool(rounded.literal_value)

        def emit(pixels: int, width: int, stride: int) -> None:
            with (
                cgutils.for_range(builder, operands.tiles, intp=I64) as tile,
                cgutils.for_range(builder, operands.blocks, intp=I64) as block,
            ):
                _emit_tile(v, (pixels, width, stride), is_rounded, operands, tile.index, block.index)

        cases = {
            2 * number + (pixels == SHORT): partial(emit, pixels, width, stride)
            for number, (width, stride) in enumerate(WINDOWS)
            for pixels in (LONG, SHORT)
        }
        emit_cases(builder, args[0], cases)
        return context.get_dummy_value()

    return signature, codegen


class _Operands(NamedTuple):
    """The values at run time of `_row_tiles`."""

    table: ir.Value
    shift: ir.Value
    rows: ir.Value
    weights: ir.Value
    bias: ir.Value
    out: ir.Value
    finish: ir.Value
    tiles: ir.Value
    advance: ir.Value
    blocks: ir.Value
    weight_step: ir.Value
    bias_step: ir.Value


def _emit_tile(
    v: Lanes, size: tuple[int, int, int], rounded: bool, operands: _Operands, tile: ir.Value, block: ir.Value
) -> None:
    """Emit one tile of `size` (pixels, window width, stride)."""
    builder, (n_pixels, width, stride) = v.builder, size
    load, value_bytes = (v.load_bfloat16, 2) if rounded else (v.load, 4)
    vector_bytes = 4 * v.lanes

    def at(address: ir.Value, index: ir.Value, step: ir.Value | int) -> ir.Value:
        return builder.add(address, builder.mul(index, ir.Constant(I64, step) if isinstance(step, int) else step))

    weights = at(operands.weights, block, operands.weight_step)
    shift = at(at(operands.shift, tile, operands.advance), block, value_bytes * v.lanes)
    start = v.load(at(operands.bias, block, operands.bias_step))
    accumulators = [cgutils.alloca_once(builder, v.type) for _ in range(n_pixels)]
    for accumulator in accumulators:
        builder.store(start, accumulator)
    with cgutils.for_range(builder, operands.rows, intp=I64) as row:
        addresses = at(operands.table, row.index, 8 * ((n_pixels - 1) * stride + width))
        first = at(weights, row.index, vector_bytes * width)
        taps = [v.load(builder.add(first, ir.Constant(I64, vector_bytes * k))) for k in range(width)]
        inputs: dict[int, ir.Value] = {}
        for p in range(n_pixels):
            total = builder.load(accumulators[p])
            for k in range(width):
                column = p * stride + k
                if column not in inputs:
                    entry = builder.add(addresses, ir.Constant(I64, 8 * column))
                    pointer = builder.load(builder.inttoptr(entry, I64.as_pointer()))
                    inputs[column] = load(builder.add(pointer, shift))
                total = v.fma(inputs[column], taps[k], total)
            builder.store(total, accumulators[p])
    done = [builder.load(accumulator) for accumulator in accumulators]
    with builder.if_else(builder.icmp_signed("==", operands.finish, ir.Constant(I64, 0))) as (plainly, finished):
        with plainly:
            for p in range(n_pixels):
                v.store(done[p], builder.add(operands.out, ir.Constant(I64, vector_bytes * p)))
        with finished:
            finish_in_registers(
                v, operands.finish, [[value] for value in done],
                pixels_before=builder.mul(tile, ir.Constant(I64, n_pixels)),
                vectors_before=block,
                is_last=builder.icmp_signed("==", block, builder.sub(operands.blocks, ir.Constant(I64, 1))),
                may_round=True,
            )  # fmt: skip


@kernel
def _find_columns(step, first, count, x, columns, stride, table):
    """Write the addresses of the pixels of `count` input rows from `first` on under tiles that begin at output x."""
    left, x_pixel, in_w, outside = x * stride - step[_PAD_X], step[_X_PIXEL], step[_IN_W], step[_OUTSIDE]
    begin, end = min(max(-left, 0), columns), min(max(in_w - left, 0), columns)
    for n in range(count):
        base = n * columns
        if not 0 <= first + n < step[_IN_H]:
            for column in range(columns):
                table[base + column] = outside
            continue
        row = step[_X] + (first + n) * step[_X_ROW] + left * x_pixel
        for column in range(begin):
            table[base + column] = outside
        for column in range(begin, end):
            table[base + column] = row + column * x_pixel
        for column in range(end, columns):
            table[base + column] = outside


@inlined
def _tiles_from(step, x, pixels, columns, stride):
    """How many whole tiles from output x on read no column outside the image, and so can follow each other; or 1."""
    left = x * stride - step[_PAD_X]
    room = step[_IN_W] - columns - left
    if left < 0 or room < 0:
        return np.int64(1)
    return min(room // (pixels * stride) + 1, (step[_OUT_W] - x) // pixels)


@inlined
def _run_tiles(step, blocks, table, y, x, count, tiles, finish, advance, out):
    """Compute `tiles` tiles from output pixel (y, x) on, all vectors of channels of each, or one tile in `out`."""
    n_blocks, mode, rows = step[_N_BLOCKS], step[_MODE], step[_KERNEL_H]
    pixel = y * step[_OUT_W] + x
    together, weight_step, bias_step = np.int64(1), np.int64(0), np.int64(0)
    if finish != 0:
        together = n_blocks
        if n_blocks > 1:
            weight_step, bias_step = blocks[BLOCK_COLUMNS + 3] - blocks[3], blocks[BLOCK_COLUMNS + 4] - blocks[4]
    for block in range(0, n_blocks, together):
        row = block * BLOCK_COLUMNS
        shift, y_shift, channels = blocks[row], blocks[row + 1], blocks[row + 2]
        weights, bias = blocks[row + 3], blocks[row + 4]
        if step[_BFLOAT16]:
            y_shift //= 2
        if step[_X_BFLOAT16]:
            if MATRIX_TILES:
                _row_tiles(
                    mode, 1, table, shift // 2, rows, weights, bias, out, finish,
                    tiles, advance, together, weight_step, bias_step,
                )  # fmt: skip
        else:
            _row_tiles(
                mode, 0, table, shift, rows, weights, bias, out, finish,
                tiles, advance, together, weight_step, bias_step,
            )  # fmt: skip
        if finish != 0:
            return
        activate(step[_ACTIVATION], out, count * LANES)
        if step[_SECOND] != 0:
            second = step[_SECOND] + pixel * step[_SECOND_PIXEL] + y_shift
            add_rows(out, count, 1, second, step[_SECOND_PIXEL])
            activate(step[_ACTIVATION_2], out, count * LANES)
        target = step[_Y] + pixel * step[_Y_PIXEL] + y_shift
        if step[_BFLOAT16]:
            for p in range(count):
                round_row(out + 4 * LANES * p, target + p * step[_Y_PIXEL], 1)
        else:
            store_rows(out, 4 * LANES, count, channels, target, step[_Y_PIXEL])


@kernel
def depthwise_rows(address, task, scratch):
    """Run one task of a DEPTHWISE_ROWS step: a share of the output rows, all channels.

    Scratch holds the finished tile, the record of `finish_in_registers` and the table of addresses, which is made once
    for as many output rows as it has room for. Tiles that differ in where they begin alone share it, so what is read
    at OUTSIDE is a whole row.
    """
    step = step_at(address)
    window, is_short = step[_MODE] // 2, step[_MODE] % 2 == 1
    pixels = SHORT if is_short else LONG
    stride, stride_y, kernel_h = _STRIDES[window], step[_STRIDE_Y], step[_KERNEL_H]
    columns = (pixels - 1) * stride + _WIDTHS[window]
    blocks = integers(step[_BLOCKS], step[_N_BLOCKS] * BLOCK_COLUMNS)
    record_at = scratch + 4 * LONG * LANES
    record = integers(record_at, RECORD)
    simple = may_finish(step) and may_finish_blocks(blocks, 0, step[_N_BLOCKS])
    # Not CHANNELS: of bfloat16 those are pairs.
    last_channels = blocks[(step[_N_BLOCKS] - 1) * BLOCK_COLUMNS + 2]
    table_at = record_at + 8 * RECORD
    rows = max(1, (_TABLE // columns - kernel_h) // stride_y + 1)
    table = integers(table_at, ((rows - 1) * stride_y + kernel_h) * columns)
    begin, end = step[_OUT_H] * task // step[_TASKS], step[_OUT_H] * (task + 1) // step[_TASKS]
    for first in range(begin, end, rows):
        last = min(first + rows, end)
        x = np.int64(0)
        while x < step[_OUT_W]:
            count, tiles = min(pixels, step[_OUT_W] - x), np.int64(1)
            finishes = simple and count == pixels
            if finishes:
                tiles = _tiles_from(step, x, pixels, columns, stride)
            read = (last - first - 1) * stride_y + kernel_h
            _find_columns(step, first * stride_y - step[_PAD_Y], read, x, columns, stride, table)
            for y in range(first, last):
                finish = np.int64(0)
                if finishes:
                    set_finish(record, step, y * step[_OUT_W] + x, 0, last_channels)
                    finish = record_at
                at = table_at + 8 * columns * stride_y * (y - first)
                _run_tiles(step, blocks, at, y, x, count, tiles, finish, pixels * stride * step[_X_PIXEL], scratch)
            x += tiles * pixels
