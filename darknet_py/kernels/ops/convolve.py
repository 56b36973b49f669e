"""Convolution, depthwise convolution and max-pooling of any size, stride, padding and dilation, channels last.

All three are one loop: tiles of PIXELS output pixels, a table of the addresses their taps read, and for every block
of output channels a register tile whose result is finished (activation, shortcut) while it is in the first-level
cache. They differ in the tile alone.
"""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import LANES, MATRIX_TILES, inlined, kernel
from darknet_py.kernels.ops.bfloat16 import round_rows
from darknet_py.kernels.ops.call import step_at
from darknet_py.kernels.ops.steps import BLOCK_COLUMNS, COLUMNS, Op
from darknet_py.kernels.tiles.channel import MAXIMUM, MAXIMUM_OF_PAIRS, SUM, channel_tile
from darknet_py.kernels.tiles.finish import RECORD, may_finish, may_finish_blocks, set_finish
from darknet_py.kernels.tiles.merged_groups import separate_groups
from darknet_py.kernels.tiles.register import BLOCKS, PAIRS, PIXELS, PLAIN, UNROLL, multiply_tile
from darknet_py.kernels.vector.activate import activate
from darknet_py.kernels.vector.pointers import integers, store_progression
from darknet_py.kernels.vector.rows import add_rows, fetch_rows, store_rows

__all__ = ["FEW_TILES", "convolve", "task_range"]

_WIDE = BLOCKS * LANES
#: Lanes that do for a block of as many channels: where AVX-512 takes two turns for a vector, half of one takes one. 1x1
#: from 16 channels to 8 takes 0.77 of the time on a Zen 4, Yolo-Fastest-1.1 0.95 in all.
_HALF = LANES // 2
#: With no more, weights are what comes from memory next; with more, pixels are.
FEW_TILES = 64
#: An output of more bytes, of all images, is not in a second-level cache when it is written. To ask for its lines costs
#: narrow layers whose output is there 5 %.
_CACHE_BYTES = 1 << 20
#: Pixels that every block of a 1x1 convolution goes through at once, which then are in the first-level cache.
_STRIP_BYTES = 16 << 10
_X, _X_PIXEL, _X_ROW = COLUMNS["X"], COLUMNS["X_PIXEL"], COLUMNS["X_ROW"]
_Y, _Y_PIXEL, _Y_ROW = COLUMNS["Y"], COLUMNS["Y_PIXEL"], COLUMNS["Y_ROW"]
_ROUNDED, _ROUNDED_PIXEL, _ROUNDED_ROW = COLUMNS["ROUNDED"], COLUMNS["ROUNDED_PIXEL"], COLUMNS["ROUNDED_ROW"]
_SECOND, _SECOND_PIXEL = COLUMNS["SECOND"], COLUMNS["SECOND_PIXEL"]
_IN_H, _IN_W, _OUT_H, _OUT_W = COLUMNS["IN_H"], COLUMNS["IN_W"], COLUMNS["OUT_H"], COLUMNS["OUT_W"]
_KERNEL_H, _KERNEL_W, _DILATION = COLUMNS["KERNEL_H"], COLUMNS["KERNEL_W"], COLUMNS["DILATION"]
_STRIDE_Y, _STRIDE_X, _PAD_Y, _PAD_X = COLUMNS["STRIDE_Y"], COLUMNS["STRIDE_X"], COLUMNS["PAD_Y"], COLUMNS["PAD_X"]
_RUN, _BLOCKS, _N_BLOCKS, _PARTS = COLUMNS["RUN"], COLUMNS["BLOCKS"], COLUMNS["N_BLOCKS"], COLUMNS["PARTS"]
_BLOCK_STEP, _TILE_STEP, _OUTSIDE = COLUMNS["BLOCK_STEP"], COLUMNS["TILE_STEP"], COLUMNS["OUTSIDE"]
_ACTIVATION, _ACTIVATION_2 = COLUMNS["ACTIVATION"], COLUMNS["ACTIVATION_2"]
_OP, _IMAGES, _BFLOAT16 = COLUMNS["OP"], COLUMNS["IMAGES"], COLUMNS["BFLOAT16"]
_GROUP_CHANNELS = COLUMNS["SIDE"]
_CONVOLVE, _DEPTHWISE, _MAXPOOL = int(Op.CONVOLVE), int(Op.DEPTHWISE), int(Op.MAXPOOL)


@kernel
def _fill_addresses(step, pixel, table, starts):
    """Write the (taps, PIXELS) input addresses of the tile that begins at output `pixel`.

    Pixels beyond the last repeat it: their results are computed and not stored. Returns how many tiles of the same
    row, this one included, read nothing outside the image and so differ in where they begin alone, or 1.
    """
    out_w = step[_OUT_W]
    last = step[_OUT_H] * out_w - 1
    kernel_h, kernel_w, dilation = step[_KERNEL_H], step[_KERNEL_W], step[_DILATION]
    x_pixel, x_row = step[_X_PIXEL], step[_X_ROW]
    reach_y, reach_x = (kernel_h - 1) * dilation, (kernel_w - 1) * dilation
    y = pixel // out_w
    x = pixel - y * out_w
    iy = y * step[_STRIDE_Y] - step[_PAD_Y]
    ix = x * step[_STRIDE_X] - step[_PAD_X]
    if x + PIXELS <= out_w:
        start = step[_X] + iy * x_row + ix * x_pixel
        advance = step[_STRIDE_X] * x_pixel
        for p in range(PIXELS):
            starts[p] = start + p * advance
        right = ix + (PIXELS - 1) * step[_STRIDE_X] + reach_x
        inside = iy >= 0 and iy + reach_y < step[_IN_H] and ix >= 0 and right < step[_IN_W]
    else:
        inside = True
        at_y, at_x = y, x
        for p in range(PIXELS):
            iy = at_y * step[_STRIDE_Y] - step[_PAD_Y]
            ix = at_x * step[_STRIDE_X] - step[_PAD_X]
            starts[p] = step[_X] + iy * x_row + ix * x_pixel
            inside &= (iy >= 0) & (iy + reach_y < step[_IN_H]) & (ix >= 0) & (ix + reach_x < step[_IN_W])
            if pixel + p < last:
                at_x += 1
                if at_x == out_w:
                    at_x = 0
                    at_y += 1
    if inside:
        for ky in range(kernel_h):
            for kx in range(kernel_w):
                offset = dilation * (ky * x_row + kx * x_pixel)
                row = (ky * kernel_w + kx) * PIXELS
                for p in range(PIXELS):
                    table[row + p] = starts[p] + offset
        if x + 2 * PIXELS > out_w:
            return np.int64(1)
        room = step[_IN_W] - 1 - (ix + (PIXELS - 1) * step[_STRIDE_X] + reach_x)
        return min((out_w - x) // PIXELS, room // (PIXELS * step[_STRIDE_X]) + 1)
    outside = step[_OUTSIDE]
    for p in range(PIXELS):
        iy = y * step[_STRIDE_Y] - step[_PAD_Y]
        ix = x * step[_STRIDE_X] - step[_PAD_X]
        for ky in range(kernel_h):
            row_inside = 0 <= iy + ky * dilation < step[_IN_H]
            for kx in range(kernel_w):
                address = starts[p] + dilation * (ky * x_row + kx * x_pixel)
                if not (row_inside and 0 <= ix + kx * dilation < step[_IN_W]):
                    address = outside
                table[(ky * kernel_w + kx) * PIXELS + p] = address
        if pixel + p < last:
            x += 1
            if x == out_w:
                x = 0
                y += 1
    return np.int64(1)


@inlined
def _store_by_rows(step, out, pixel, rows, vectors, shift, channels):
    """Store a tile to outputs with a border, in whichever formats are wanted."""
    pitch = 4 * vectors * LANES
    done = 0
    while done < rows:
        y = (pixel + done) // step[_OUT_W]
        x = pixel + done - y * step[_OUT_W]
        count = min(rows - done, step[_OUT_W] - x)
        source = out + done * pitch
        if step[_Y_PIXEL] != 0:
            target = step[_Y] + y * step[_Y_ROW] + x * step[_Y_PIXEL] + shift
            store_rows(source, pitch, count, channels, target, step[_Y_PIXEL])
        if step[_ROUNDED] != 0:
            target = step[_ROUNDED] + y * step[_ROUNDED_ROW] + x * step[_ROUNDED_PIXEL] + shift // 2
            round_rows(source, pitch, count, channels, target, step[_ROUNDED_PIXEL])
        done += count


@inlined
def _compute_tile(
    step, vectors, channels, table_at, shift, taps, weights, bias, out, ahead, ahead_step, finish, tiles, row_bytes
):
    """One block of the tiles that begin where the table says: multiplied, weighted, or their maximum."""
    op, run, paired = step[_OP], step[_RUN], step[_BFLOAT16]
    is_half = LANES == 16 and channels <= _HALF
    if op == _MAXPOOL:
        if not paired:
            channel_tile(LANES, PIXELS, MAXIMUM, table_at, shift, taps, weights, bias, out)
        elif MATRIX_TILES:
            channel_tile(LANES, PIXELS, MAXIMUM_OF_PAIRS, table_at, shift, taps, weights, bias, out)
    elif op == _DEPTHWISE:
        channel_tile(LANES, PIXELS, SUM, table_at, shift, taps, weights, bias, out)
    elif paired:
        if MATRIX_TILES:
            return  # those convolutions are steps of another kind
        if vectors > 1:
            multiply_tile(
                LANES, PIXELS, BLOCKS, PAIRS, table_at, 0, taps, run, weights, bias, out,
                ahead, ahead_step, finish, tiles, row_bytes,
            )  # fmt: skip
        elif is_half:
            multiply_tile(
                _HALF, PIXELS, 1, PAIRS, table_at, 0, taps, run, weights, bias, out, 0, 0, finish, tiles, row_bytes
            )
        else:
            multiply_tile(
                LANES, PIXELS, 1, PAIRS, table_at, 0, taps, run, weights, bias, out, 0, 0, finish, tiles, row_bytes
            )
    elif vectors > 1:
        multiply_tile(
            LANES, PIXELS, BLOCKS, PLAIN, table_at, shift, taps, run, weights, bias, out,
            ahead, ahead_step, finish, tiles, row_bytes,
        )  # fmt: skip
    elif is_half:
        multiply_tile(
            _HALF, PIXELS, 1, PLAIN, table_at, shift, taps, run, weights, bias, out, 0, 0, finish, tiles, row_bytes
        )
    else:
        multiply_tile(
            LANES, PIXELS, 1, PLAIN, table_at, shift, taps, run, weights, bias, out, 0, 0, finish, tiles, row_bytes
        )


@inlined
def _finish_tile(step, out, pixel, rows, vectors, shift, channels, dense):
    """Activate a tile at `out`, add the shortcut, and store the first `rows` pixels of `channels`."""
    activate(step[_ACTIVATION], out, rows * vectors * LANES)
    if step[_SECOND] != 0:
        add_rows(out, rows, vectors, step[_SECOND] + pixel * step[_SECOND_PIXEL] + shift, step[_SECOND_PIXEL])
        activate(step[_ACTIVATION_2], out, rows * vectors * LANES)
    if MATRIX_TILES and not dense:
        _store_by_rows(step, out, pixel, rows, vectors, shift, channels)
    else:
        target = step[_Y] + pixel * step[_Y_PIXEL] + shift
        store_rows(out, vectors * LANES * 4, rows, channels, target, step[_Y_PIXEL])


@inlined
def task_range(step, task, n_tiles, part_tiles):
    """The part of the image that a task belongs to, its first tile, their end, its first block, their end."""
    tile_tasks = (part_tiles + step[_TILE_STEP] - 1) // step[_TILE_STEP]
    groups = (step[_N_BLOCKS] + step[_BLOCK_STEP] - 1) // step[_BLOCK_STEP]
    part = task // (groups * tile_tasks)
    rest = task - part * groups * tile_tasks
    first_tile = part * part_tiles + rest % tile_tasks * step[_TILE_STEP]
    last_tile = min(first_tile + step[_TILE_STEP], (part + 1) * part_tiles, n_tiles)
    first_block = rest // tile_tasks * step[_BLOCK_STEP]
    return part, first_tile, last_tile, first_block, min(first_block + step[_BLOCK_STEP], step[_N_BLOCKS])


@kernel
def convolve(address, task, scratch):
    """Run one task of a CONVOLVE, DEPTHWISE or MAXPOOL step: a range of tiles times a range of blocks.

    Parameters
    ----------
    address : int64
        Of the step's row of the table.
    task : int64
        Which part.
    scratch : int64
        Address of this thread's scratch: the finished tile, the record of `finish_in_registers`, the addresses.
    """
    step = step_at(address)
    n_pixels = step[_OUT_H] * step[_OUT_W]
    n_tiles = (n_pixels + PIXELS - 1) // PIXELS
    part_tiles = (n_tiles + step[_PARTS] - 1) // step[_PARTS]
    part, first_tile, last_tile, first_block, last_block = task_range(step, task, n_tiles, part_tiles)
    part_first = part * part_tiles
    blocks = integers(step[_BLOCKS], step[_N_BLOCKS] * BLOCK_COLUMNS)
    taps = step[_KERNEL_H] * step[_KERNEL_W]
    out, op = scratch, step[_OP]
    record_at = scratch + 4 * PIXELS * _WIDE
    record, simple = integers(record_at, RECORD), op == _CONVOLVE and may_finish(step)
    simple = simple and step[_ROUNDED] == 0
    merged = op == _CONVOLVE and step[_GROUP_CHANNELS] != 0
    # What is added may lie where results go: it would be gone when they turn out to be NaN.
    simple = simple and not (merged and step[_SECOND] != 0)
    table_at = record_at + 8 * RECORD
    starts = integers(table_at, PIXELS)
    table_at += 8 * PIXELS
    table = integers(table_at, taps * PIXELS)
    run = step[_RUN]
    # What comes from memory next is fetched while a tile is multiplied. With few tiles that is the weights of the next
    # group of blocks, a share with every tile; with many, the rows of pixels that the next tile is the first to read,
    # a share with every block (the hardware's own prefetcher loses track of PIXELS streams).
    panel = 4 * taps * run * _WIDE
    few = part_tiles <= FEW_TILES
    row_bytes = PIXELS * step[_STRIDE_X] * step[_X_PIXEL]
    new_rows = min(step[_STRIDE_Y], step[_KERNEL_H])
    blocks_per_row = max(1, (last_block - first_block) // new_rows)
    share = row_bytes // blocks_per_row
    ahead_step = 4 * UNROLL * _WIDE // part_tiles if few else share * UNROLL // max(taps * run, UNROLL)
    # Where input and output pixels are the same there is nothing to find out about a tile. Without the call, 1x1
    # convolutions of 16 channels take 0.85 of the time, all of Yolo-Fastest-1.1-xl 0.96.
    in_place = taps * step[_STRIDE_Y] * step[_STRIDE_X] == 1 and step[_PAD_Y] == 0 and step[_PAD_X] == 0
    consecutive = in_place and step[_X_ROW] == step[_OUT_W] * step[_X_PIXEL]
    dense = step[_ROUNDED] == 0 and step[_Y_ROW] == step[_OUT_W] * step[_Y_PIXEL]
    far = dense and step[_IMAGES] * n_pixels * step[_Y_PIXEL] > _CACHE_BYTES
    strip = np.int64(1)
    if simple and may_finish_blocks(blocks, first_block, last_block):
        strip = max(1, _STRIP_BYTES // row_bytes)
    tile = first_tile
    while tile < last_tile:
        pixel = tile * PIXELS
        rows = min(PIXELS, n_pixels - pixel)
        tiles = min(strip, last_tile - tile)
        if consecutive and rows == PIXELS:
            starts[0] = step[_X] + pixel * step[_X_PIXEL]
            store_progression(PIXELS, table_at, starts[0], step[_X_PIXEL])
            tiles = min(tiles, (n_pixels - pixel) // PIXELS)
        else:
            tiles = min(tiles, _fill_addresses(step, pixel, table, starts))
        for block in range(first_block, last_block):
            row = block * BLOCK_COLUMNS
            x_shift, y_shift, channels = blocks[row], blocks[row + 1], blocks[row + 2]
            weights, bias = blocks[row + 3], blocks[row + 4]
            target = step[_Y] + pixel * step[_Y_PIXEL] + y_shift
            if far:
                fetch_rows(target, rows + (tiles - 1) * PIXELS, channels, step[_Y_PIXEL])
            finish = record_at if simple and rows == PIXELS else 0
            if finish != 0 and not set_finish(record, step, pixel, y_shift, channels):
                finish = 0
            vectors = BLOCKS if op == _CONVOLVE and channels > LANES else 1
            ahead = np.int64(0)
            if few and vectors > 1:
                ahead = weights + step[_BLOCK_STEP] * panel + panel * (tile - part_first) // part_tiles
            elif vectors > 1:
                new_row = (block - first_block) // blocks_per_row
                into_row = share * (block - first_block - new_row * blocks_per_row)
                below = (step[_KERNEL_H] - 1 - new_row) * step[_DILATION] * step[_X_ROW]
                ahead = starts[0] + tiles * (row_bytes + into_row) + below
            _compute_tile(
                step, vectors, channels, table_at, x_shift, taps, weights, bias, out,
                ahead, ahead_step, finish, tiles, row_bytes,
            )  # fmt: skip
            if merged:
                block_row, pitch = blocks[row : row + BLOCK_COLUMNS], 4 * vectors * LANES
                if finish == 0:
                    separate_groups(step, block_row, pixel, rows, out, pitch, False)
                else:
                    separate_groups(step, block_row, pixel, tiles * PIXELS, target, step[_Y_PIXEL], True)
            if finish == 0:
                _finish_tile(step, out, pixel, rows, vectors, y_shift, channels, dense)
        tile += tiles
