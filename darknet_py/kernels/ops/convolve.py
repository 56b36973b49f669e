"""Convolution, depthwise convolution and max-pooling of any size, stride, padding and dilation, channels last.

All three are one loop: tiles of PIXELS output pixels, a table of the addresses their taps read, and for every block
of output channels a register tile whose result is finished (activation, shortcut) while it is in the first-level
cache. They differ in the tile alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.jit import LANES, inlined, kernel
from darknet_py.kernels.ops.cuts import by_tiles
from darknet_py.kernels.ops.operation import Cut, arguments, operation
from darknet_py.kernels.ops.step import BLOCK, record_at, records_at, step_at
from darknet_py.kernels.tiles.channel import MAXIMUM, SUM, channel_tile
from darknet_py.kernels.tiles.epilogue import (
    FINISH,
    FINISH_BYTES,
    begin_finish,
    finish_tile,
    may_finish,
    may_finish_blocks,
    set_finish,
)
from darknet_py.kernels.tiles.merged_groups import separate_groups
from darknet_py.kernels.tiles.register import BLOCKS, PIXELS, UNROLL, multiply_strip
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.kernels.vector.pointers import integers, store_progression
from darknet_py.kernels.vector.rows import fetch_rows, store_rows

__all__ = ["DENSE", "DEPTHWISE", "FEW_TILES", "POOL", "convolve", "task_range"]

_WIDE = BLOCKS * LANES
#: With no more, weights are what comes from memory next; with more, pixels are.
FEW_TILES = 64
#: An output of more bytes, of all images, is not in a second-level cache when it is written. To ask for its lines costs
#: narrow layers whose output is there 5 %.
_CACHE_BYTES = 1 << 20
#: Pixels that every block of a 1x1 convolution goes through at once, which then are in the first-level cache.
_STRIP_BYTES = 16 << 10

#: What is computed of the taps: sums over all channels, sums of each channel, or the largest of each.
DENSE, DEPTHWISE, POOL = 0, 1, 2
_FLOAT32 = FLOAT32.code

#: The window; of how many values, joined ones as one, `run` a tap consists; the blocks of output channels; the address
#: of what is read outside the image; the activation, and the one after a shortcut; where groups were merged, the
#: channels and filters of each.
CONVOLVE = arguments(
    *("kind", "kernel_h", "kernel_w", "stride_y", "stride_x", "pad_y", "pad_x", "dilation", "run", "n_blocks"),
    *("activation", "after", "group_channels", "group_filters"),
    blocks=BLOCK,
    outside="f4",
)


def _cut(step: Any, own: Any, threads: int, images: int) -> Cut:
    return by_tiles(
        step, threads, images, tiles=-(-int(step["y"]["h"] * step["y"]["w"]) // PIXELS), pixels=PIXELS,
        blocks=int(own["n_blocks"]), reduction=int(own["kernel_h"] * own["kernel_w"] * own["run"]),
        lanes=_WIDE if own["kind"] == DENSE else LANES, speed=1,
    )  # fmt: skip


def _scratch(step: Any, own: Any) -> int:
    """The finished tile, the record of its end, the addresses of its pixels and of their taps."""
    return 4 * PIXELS * _WIDE + FINISH_BYTES + 8 * PIXELS * (1 + int(own["kernel_h"] * own["kernel_w"]))


def _beyond(step: Any, own: Any) -> int:
    # Whole vectors of a pixel's channels; of what is added, those of a block's.
    return 0 if own["kind"] == DENSE and not step["second"]["pixel"] else 4 * LANES


@kernel
def _fill_addresses(step, own, pixel, table, starts):
    """Write the (taps, PIXELS) input addresses of the tile that begins at output `pixel`.

    Pixels beyond the last repeat it: their results are computed and not stored. Returns how many tiles of the same
    row, this one included, read nothing outside the image and so differ in where they begin alone, or 1.
    """
    place, out_w = step.x, step.y.w
    last = step.y.h * out_w - 1
    kernel_h, kernel_w, dilation = own.kernel_h, own.kernel_w, own.dilation
    stride_y, stride_x, pad_y, pad_x = own.stride_y, own.stride_x, own.pad_y, own.pad_x
    x_at, x_pixel, x_row, in_top, in_h, in_w = place.at, place.pixel, place.row, place.top, place.h, place.w
    reach_y, reach_x = (kernel_h - 1) * dilation, (kernel_w - 1) * dilation
    y = pixel // out_w
    x = pixel - y * out_w
    iy = y * stride_y - pad_y
    ix = x * stride_x - pad_x
    if x + PIXELS <= out_w:
        start = x_at + iy * x_row + ix * x_pixel
        advance = stride_x * x_pixel
        for p in range(PIXELS):
            starts[p] = start + p * advance
        right = ix + (PIXELS - 1) * stride_x + reach_x
        inside = iy >= in_top and iy + reach_y < in_h and ix >= 0 and right < in_w
    else:
        inside = True
        at_y, at_x = y, x
        for p in range(PIXELS):
            iy = at_y * stride_y - pad_y
            ix = at_x * stride_x - pad_x
            starts[p] = x_at + iy * x_row + ix * x_pixel
            inside &= (iy >= in_top) & (iy + reach_y < in_h) & (ix >= 0) & (ix + reach_x < in_w)
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
        room = in_w - 1 - (ix + (PIXELS - 1) * stride_x + reach_x)
        return min((out_w - x) // PIXELS, room // (PIXELS * stride_x) + 1)
    outside = own.outside
    for p in range(PIXELS):
        iy = y * stride_y - pad_y
        ix = x * stride_x - pad_x
        for ky in range(kernel_h):
            row_inside = in_top <= iy + ky * dilation < in_h
            for kx in range(kernel_w):
                address = starts[p] + dilation * (ky * x_row + kx * x_pixel)
                if not (row_inside and 0 <= ix + kx * dilation < in_w):
                    address = outside
                table[(ky * kernel_w + kx) * PIXELS + p] = address
        if pixel + p < last:
            x += 1
            if x == out_w:
                x = 0
                y += 1
    return np.int64(1)


@inlined
def _store_tile(step, own, out, pixel, rows, vectors, first, channels, dense):
    """Finish the first `rows` pixels of a tile at `out` and store `channels` channels: of maxima, as they are."""
    done = np.int64(0)
    while done < rows:
        y, x, count = np.int64(0), pixel, rows  # of a dense output as if it were one row
        if not dense:
            y = (pixel + done) // step.y.w
            x = pixel + done - y * step.y.w
            count = min(rows - done, step.y.w - x)
        source = out + 4 * done * vectors * LANES
        if own.kind == POOL:
            target = step.y.at + y * step.y.row + x * step.y.pixel + first * step.y.value
            store_rows(source, 4 * LANES, count, channels * step.y.value // 4, target, step.y.pixel)
        else:
            finish_tile(step, own.activation, own.after, source, 0, 1, count, vectors, y, x, first, channels)
        done += count


@inlined
def task_range(step, n_blocks, task, n_tiles, part_tiles):
    """The part of the image that a task belongs to, its first tile, their end, its first block, their end."""
    tile_tasks = (part_tiles + step.tile_step - 1) // step.tile_step
    groups = (n_blocks + step.block_step - 1) // step.block_step
    part = task // (groups * tile_tasks)
    rest = task - part * groups * tile_tasks
    first_tile = part * part_tiles + rest % tile_tasks * step.tile_step
    last_tile = min(first_tile + step.tile_step, (part + 1) * part_tiles, n_tiles)
    first_block = rest // tile_tasks * step.block_step
    return part, first_tile, last_tile, first_block, min(first_block + step.block_step, n_blocks)


@operation(arguments=CONVOLVE, cut=_cut, scratch=_scratch, beyond=_beyond)
def convolve(address, task, scratch):
    """Run one task: a range of tiles times a range of blocks."""
    step = step_at(address)
    own = record_at(step.arguments, CONVOLVE)
    x_place, y_place, kind = step.x, step.y, own.kind
    n_pixels = y_place.h * y_place.w
    n_tiles = (n_pixels + PIXELS - 1) // PIXELS
    part_tiles = (n_tiles + step.parts - 1) // step.parts
    part, first_tile, last_tile, first_block, last_block = task_range(step, own.n_blocks, task, n_tiles, part_tiles)
    part_first = part * part_tiles
    blocks = records_at(own.blocks, own.n_blocks, BLOCK)
    taps, run = own.kernel_h * own.kernel_w, own.run
    out, finish_at = scratch, scratch + 4 * PIXELS * _WIDE
    record = record_at(finish_at, FINISH)
    begin_finish(record, step, own.activation)
    merged = kind == DENSE and own.group_channels != 0
    simple = kind == DENSE and y_place.format == _FLOAT32 and may_finish(step, own.activation, own.after)
    # What is added may lie where results go: it would be gone when they turn out to be NaN.
    simple = simple and not (merged and step.second.at != 0)
    starts_at = finish_at + FINISH_BYTES
    table_at = starts_at + 8 * PIXELS
    starts, table = integers(starts_at, PIXELS), integers(table_at, taps * PIXELS)
    # What comes from memory next is fetched while a tile is multiplied. With few tiles that is the weights of the next
    # group of blocks, a share with every tile; with many, the rows of pixels that the next tile is the first to read,
    # a share with every block (the hardware's own prefetcher loses track of PIXELS streams).
    panel = 4 * taps * run * _WIDE
    few = part_tiles <= FEW_TILES
    row_bytes = PIXELS * own.stride_x * x_place.pixel
    new_rows = min(own.stride_y, own.kernel_h)
    blocks_per_row = max(1, (last_block - first_block) // new_rows)
    share = row_bytes // blocks_per_row
    ahead_step = 4 * UNROLL * _WIDE // part_tiles if few else share * UNROLL // max(taps * run, UNROLL)
    # Where input and output pixels are the same there is nothing to find out about a tile. Without the call, 1x1
    # convolutions of 16 channels take 0.85 of the time, all of Yolo-Fastest-1.1-xl 0.96.
    in_place = taps * own.stride_y * own.stride_x == 1 and own.pad_y == 0 and own.pad_x == 0
    consecutive = in_place and x_place.row == y_place.w * x_place.pixel
    dense = step.also.at == 0 and y_place.row == y_place.w * y_place.pixel
    far = dense and step.images * n_pixels * y_place.pixel > _CACHE_BYTES
    strip = np.int64(1)
    if simple and may_finish_blocks(blocks, first_block, last_block):
        strip = max(1, _STRIP_BYTES // row_bytes)
    tile = first_tile
    while tile < last_tile:
        pixel = tile * PIXELS
        rows = min(PIXELS, n_pixels - pixel)
        tiles = min(strip, last_tile - tile)
        if consecutive and rows == PIXELS:
            starts[0] = x_place.at + pixel * x_place.pixel
            store_progression(PIXELS, table_at, starts[0], x_place.pixel)
            tiles = min(tiles, (n_pixels - pixel) // PIXELS)
        else:
            tiles = min(tiles, _fill_addresses(step, own, pixel, table, starts))
        for number in range(first_block, last_block):
            block = blocks[number]
            channels, weights = block.count, block.weights
            target = y_place.at + pixel * y_place.pixel + block.y * y_place.value
            if far:
                fetch_rows(target, rows + (tiles - 1) * PIXELS, channels, y_place.pixel)
            finish = finish_at if simple and rows == PIXELS else 0
            if finish != 0 and not set_finish(record, step, pixel, block.y, channels):
                finish = 0
            vectors = BLOCKS if kind == DENSE and channels > LANES else 1
            ahead = np.int64(0)
            if few and vectors > 1:
                ahead = weights + step.block_step * panel + panel * (tile - part_first) // part_tiles
            elif vectors > 1:
                new_row = (number - first_block) // blocks_per_row
                into_row = share * (number - first_block - new_row * blocks_per_row)
                below = (own.kernel_h - 1 - new_row) * own.dilation * x_place.row
                ahead = starts[0] + tiles * (row_bytes + into_row) + below
            if kind == DENSE:
                multiply_strip(
                    kind=x_place.format, filters=channels, table=table_at, shift=block.x * x_place.value, taps=taps,
                    channels=run, weights=weights, bias=block.bias, out=out, ahead=ahead, ahead_step=ahead_step,
                    finish=finish, tiles=tiles, advance=row_bytes,
                )  # fmt: skip
            else:
                channel_tile(
                    pixels=PIXELS, kind=MAXIMUM if kind == POOL else SUM, format=x_place.format, table=table_at,
                    shift=block.x * x_place.value, taps=taps, weights=weights, bias=block.bias, out=out,
                )  # fmt: skip
            if merged and finish == 0:
                separate_groups(step, own, block, pixel, rows, out, 4 * vectors * LANES, False)
            elif merged:
                separate_groups(step, own, block, pixel, tiles * PIXELS, target, y_place.pixel, True)
            if finish == 0:
                _store_tile(step, own, out, pixel, rows, vectors, block.y, channels, dense)
        tile += tiles
