"""Convolution, depthwise convolution and max-pooling of any size, stride, padding and dilation, channels last.

All three are one loop: tiles of PIXELS output pixels, a table of the addresses their taps read, and for every block
of output channels a register tile whose result is finished (activation, shortcut) while it is in the first-level
cache. They differ in the tile alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from darknet_py.kernels.jit import LANES, inlined
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
from darknet_py.kernels.tiles.tap_addresses import fill_addresses
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

#: Scratch: the finished tile, the record of its end, the addresses of its pixels, then those of their taps.
_FINISH_AT = 4 * PIXELS * _WIDE
_STARTS_AT = _FINISH_AT + FINISH_BYTES
_TABLE_AT = _STARTS_AT + 8 * PIXELS

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
    return _TABLE_AT + 8 * PIXELS * int(own["kernel_h"] * own["kernel_w"])


def _beyond(step: Any, own: Any) -> int:
    # Whole vectors of a pixel's channels; of what is added, those of a block's.
    return 0 if own["kind"] == DENSE and not step["second"]["pixel"] else 4 * LANES


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


class _Manner(NamedTuple):
    """What is the same for all tiles of a step: found out once."""

    kind: int
    taps: int
    run: int
    in_place: bool  # a pixel is computed of the input pixel with the same number, and those follow each other
    in_registers: bool  # whole tiles end as `finish_in_registers` has it
    merged: bool  # groups that were merged are kept apart
    dense: bool  # the output is one, whose rows follow each other without a gap
    far: bool  # where results go has to come from memory first


@inlined
def _manner_of(step, own):
    """The _Manner of a step."""
    x, y, kind, taps = step.x, step.y, own.kind, own.kernel_h * own.kernel_w
    moves = taps * own.stride_y * own.stride_x != 1 or own.pad_y != 0 or own.pad_x != 0
    in_place = not moves and x.row == y.w * x.pixel
    merged = kind == DENSE and own.group_channels != 0
    simple = kind == DENSE and y.format == _FLOAT32 and may_finish(step, own.activation, own.after)
    # What is added may lie where results go: it would be gone when they turn out to be NaN.
    simple = simple and not (merged and step.second.at != 0)
    dense = step.also.at == 0 and y.row == y.w * y.pixel
    far = dense and step.images * y.h * y.w * y.pixel > _CACHE_BYTES
    return _Manner(kind, taps, own.run, in_place, simple, merged, dense, far)


class _Coming(NamedTuple):
    """What is fetched from memory while a tile is multiplied, as it is needed next; sizes are bytes.

    With few tiles that is the weights of the next group of blocks, a share with every tile; with many, the rows of
    pixels that the next tile is the first to read, a share with every block (the hardware's own prefetcher loses track
    of PIXELS streams).
    """

    weights: bool
    panel: int  # weights of a block
    row: int  # from the pixels of a tile to those of the next
    blocks: int  # as many blocks fetch a row
    share: int  # of a row that each of them fetches
    step: int  # per UNROLL channels


@inlined
def _coming_of(step, own, manner, part_tiles, blocks):
    """The _Coming of a task of so many blocks."""
    reduction, few = manner.taps * manner.run, part_tiles <= FEW_TILES
    row = PIXELS * own.stride_x * step.x.pixel
    blocks_per_row = max(1, blocks // min(own.stride_y, own.kernel_h))
    share = row // blocks_per_row
    per_step = 4 * UNROLL * _WIDE // part_tiles if few else share * UNROLL // max(reduction, UNROLL)
    return _Coming(few, 4 * reduction * _WIDE, row, blocks_per_row, share, per_step)


@inlined
def _address_ahead(step, own, coming, block, number, done, start, tiles):
    """Where that begins which is fetched with the `number`th block of a task and `tiles` whose first tap is at `start`.

    Of weights, the tiles before have fetched `done` bytes.
    """
    if coming.weights:
        return block.weights + step.block_step * coming.panel + done
    # Divided only where that comes to something. With a division for every block here and for every strip in
    # `convolve`, Yolo-Fastest-1.1-xl takes 1.02 of the time.
    new_row = number // coming.blocks if number >= coming.blocks else 0
    into_row = coming.share * (number - new_row * coming.blocks)
    below = (own.kernel_h - 1 - new_row) * own.dilation * step.x.row
    return start + tiles * (coming.row + into_row) + below


class _Strip(NamedTuple):
    """Tiles that follow each other: the first output pixel, the pixels of the first tile, and how many tiles."""

    pixel: int
    rows: int
    tiles: int


@inlined
def _convolve_block(step, own, block, manner, strip, scratch, ahead, ahead_step, advance):
    """A block of output channels of a strip of tiles."""
    y, channels, finish_at = step.y, block.count, scratch + _FINISH_AT
    pixel, rows, tiles = strip.pixel, strip.rows, strip.tiles
    target = y.at + pixel * y.pixel + block.y * y.value
    if manner.far:
        fetch_rows(target, rows + (tiles - 1) * PIXELS, channels, y.pixel)
    finish = finish_at if manner.in_registers and rows == PIXELS else 0
    if finish != 0 and not set_finish(record_at(finish_at, FINISH), step, pixel, block.y, channels):
        finish = 0
    vectors = BLOCKS if manner.kind == DENSE and channels > LANES else 1
    if manner.kind == DENSE:
        multiply_strip(
            kind=step.x.format, filters=channels, table=scratch + _TABLE_AT, shift=block.x * step.x.value,
            taps=manner.taps, channels=manner.run, weights=block.weights, bias=block.bias, out=scratch,
            ahead=ahead, ahead_step=ahead_step, finish=finish, tiles=tiles, advance=advance,
        )  # fmt: skip
    else:
        channel_tile(
            pixels=PIXELS, kind=MAXIMUM if manner.kind == POOL else SUM, format=step.x.format,
            table=scratch + _TABLE_AT, shift=block.x * step.x.value, taps=manner.taps, weights=block.weights,
            bias=block.bias, out=scratch,
        )  # fmt: skip
    if manner.merged and finish == 0:
        separate_groups(step, own, block, pixel, rows, scratch, 4 * vectors * LANES, False)
    elif manner.merged:
        separate_groups(step, own, block, pixel, tiles * PIXELS, target, y.pixel, True)
    if finish == 0:
        _store_tile(step, own, scratch, pixel, rows, vectors, block.y, channels, manner.dense)


@operation(arguments=CONVOLVE, cut=_cut, scratch=_scratch, beyond=_beyond)
def convolve(address, task, scratch):
    """Run one task: a range of tiles times a range of blocks."""
    step = step_at(address)
    own = record_at(step.arguments, CONVOLVE)
    x, n_pixels = step.x, step.y.h * step.y.w
    n_tiles = (n_pixels + PIXELS - 1) // PIXELS
    part_tiles = (n_tiles + step.parts - 1) // step.parts
    part, first_tile, last_tile, first_block, last_block = task_range(step, own.n_blocks, task, n_tiles, part_tiles)
    blocks = records_at(own.blocks, own.n_blocks, BLOCK)
    manner = _manner_of(step, own)
    coming = _coming_of(step, own, manner, part_tiles, last_block - first_block)
    begin_finish(record_at(scratch + _FINISH_AT, FINISH), step, own.activation)
    starts, table = integers(scratch + _STARTS_AT, PIXELS), integers(scratch + _TABLE_AT, manner.taps * PIXELS)
    longest = np.int64(1)
    if manner.in_registers and may_finish_blocks(blocks, first_block, last_block):
        longest = max(1, _STRIP_BYTES // coming.row)
    tile = first_tile
    while tile < last_tile:
        pixel = tile * PIXELS
        rows = min(PIXELS, n_pixels - pixel)
        tiles = min(longest, last_tile - tile)
        if manner.in_place and rows == PIXELS:
            # There is nothing to find out. Without the call, 1x1 convolutions of 16 channels take 0.85 of the time, all
            # of Yolo-Fastest-1.1-xl 0.96.
            starts[0] = x.at + pixel * x.pixel
            store_progression(PIXELS, scratch + _TABLE_AT, starts[0], x.pixel)
            tiles = min(tiles, (n_pixels - pixel) // PIXELS)
        else:
            tiles = min(tiles, fill_addresses(step, own, pixel, table, starts))
        strip, fetched = _Strip(pixel, rows, tiles), np.int64(0)
        if coming.weights:
            fetched = coming.panel * (tile - part * part_tiles) // part_tiles
        for number in range(first_block, last_block):
            block, ahead = blocks[number], np.int64(0)
            if manner.kind == DENSE and block.count > LANES:
                ahead = _address_ahead(step, own, coming, block, number - first_block, fetched, starts[0], tiles)
            _convolve_block(step, own, block, manner, strip, scratch, ahead, coming.step, coming.row)
        tile += tiles
