"""Convolution in bfloat16 by matrix tiles, channels last.

A tile multiplies pixels that lie a fixed number of bytes apart, so the input has a border of zeros as wide as the
padding, and there is no table of addresses: with stride 1 all positions of the padded input follow each other, and the
few results that belong to the border are dropped. With larger strides every output row has tiles of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.jit import LANES, inlined
from darknet_py.kernels.ops.convolve import FEW_TILES, task_range
from darknet_py.kernels.ops.cuts import by_tiles
from darknet_py.kernels.ops.operation import Cut, arguments, operation
from darknet_py.kernels.ops.step import BLOCK, record_at, records_at, step_at
from darknet_py.kernels.tiles.amx import CHUNK, HEIGHT, configure_tiles, multiply_tiles, release_tiles
from darknet_py.kernels.tiles.epilogue import FINISH, FINISH_BYTES, begin_finish, finish_products
from darknet_py.kernels.vector.activate import ACTIVATION_CODES, activate
from darknet_py.kernels.vector.approximate import QUICK
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.kernels.vector.pointers import floats
from darknet_py.kernels.vector.rows import add_as

__all__ = ["convolve_matrix"]

#: A reduction is `count` chunks of `pairs` pairs of channels, then `rests` of `rest` pairs, what is left of each tap;
#: `chunks` says where they are, `shapes` are those of both kinds of tiles (see `tile_shapes`).
CONVOLVE_MATRIX = arguments(
    *("kernel_h", "kernel_w", "stride_y", "stride_x", "run", "n_blocks", "activation", "after"),
    *("pairs", "count", "rest", "rests"),
    blocks=BLOCK,
    chunks=CHUNK,
    shapes="u1",
)

#: Pixels of a tile that lie in one row of the output: the first one's position in the tile, how many they are, and the
#: row and column of the first. A pixel may be one such run.
RUN = np.dtype([(name, "i8") for name in ("position", "count", "y", "x")], align=True)
_RUNS = 2 * HEIGHT
#: Bytes of scratch before a bias of zeros, the ends of a tile and the runs: products of 32 pixels x 32 filters first.
_ZEROS_AT = 4 * 2 * HEIGHT * 2 * LANES
_FINISH_AT = _ZEROS_AT + 4 * 2 * LANES
_RUNS_AT = _FINISH_AT + 2 * FINISH_BYTES
_SCRATCH_BYTES = _RUNS_AT + RUN.itemsize * _RUNS
_CHUNK_BYTES = CHUNK.itemsize

#: How many times as fast a matrix tile multiplies a pair of values as a vector multiplies one.
_SPEED = 5
_LINEAR, _FLOAT32 = ACTIVATION_CODES["linear"], FLOAT32.code
#: Activations that are applied while results are stored; others go over them in memory first.
_QUICK_CODES = tuple(ACTIVATION_CODES[name] for name in QUICK)


def _cut(step: Any, own: Any, threads: int, images: int) -> Cut:
    height, width = int(step["y"]["h"]), int(step["y"]["w"])
    if own["stride_y"] * own["stride_x"] == 1:
        halves = -(-((height - 1) * int(step["x"]["row"] // step["x"]["pixel"]) + width) // HEIGHT)
    else:
        halves = height * -(-width // HEIGHT)
    return by_tiles(
        step, threads, images, tiles=-(-halves // 2), pixels=2 * HEIGHT, blocks=int(own["n_blocks"]),
        reduction=int(own["kernel_h"] * own["kernel_w"] * own["run"]), lanes=2 * LANES, speed=_SPEED,
    )  # fmt: skip


def _scratch(step: Any, own: Any) -> int:
    return _SCRATCH_BYTES


def _beyond(step: Any, own: Any) -> int:
    # Tiles of HEIGHT pixels, of which the last may lie behind the output.
    return HEIGHT * int(own["stride_x"] * step["x"]["pixel"])


@inlined
def _find_runs(step, first, last, line_halves, line, row, runs):
    """Find which pixels of the halves `first` to `last` of a tile lie in one row of the output; how many runs."""
    found = 0
    for half in range(first, last + 1):
        # Where the half begins: the output row, and the position in the line.
        line_y = half // line_halves
        begin = (half - line_y * line_halves) * HEIGHT
        position, end = begin, min(begin + HEIGHT, line)
        while position < end:
            down = position // row
            across = position - down * row
            stop = min(end, down * row + step.y.w)
            if position < stop:
                run = runs[found]
                run.position, run.count = (half - first) * HEIGHT + position - begin, stop - position
                run.y, run.x = line_y + down, across
                found += 1
            position = (down + 1) * row
    return found


@inlined
def _is_quick(activation):
    """Whether `finish_products` knows an activation."""
    quick = False
    for code in _QUICK_CODES:
        quick |= activation == code
    return quick


@inlined
def _finish_run(step, own, finish, finish_at, out, run, block, zeros):
    """Finish the pixels of a run, of which `out` has the products of a block of filters."""
    rows, y, x, first, channels = run.count, run.y, run.x, block.y, block.count
    to, second, also, bias = step.y, step.second, step.also, block.bias
    vectors = 2 if channels > LANES else 1
    out += 4 * run.position * vectors * LANES
    beside = second.at + y * second.row + x * second.pixel + first * second.value if second.at != 0 else 0
    quick, adds_only = _is_quick(own.activation), beside == 0 or own.after == _LINEAR
    finish.activation = own.activation
    if not quick or not adds_only:
        # The same activation as where a shortcut is computed by itself.
        if quick:
            in_place = record_at(finish_at + FINISH_BYTES, FINISH)
            in_place.y, in_place.y_pixel, in_place.y_format = out, 4 * vectors * LANES, _FLOAT32
            in_place.second, in_place.also, in_place.activation = 0, 0, own.activation
            finish_products(finish_at + FINISH_BYTES, out, rows, vectors * LANES, bias)
        else:
            add_as(_FLOAT32, out, rows, vectors, bias, 0)
            activate(own.activation, out, rows * vectors * LANES)
        if beside != 0:
            add_as(second.format, out, rows, vectors, beside, second.pixel)
            activate(own.after, out, rows * vectors * LANES)
        finish.activation, bias, beside = _LINEAR, zeros, 0
    finish.y, finish.second = to.at + y * to.row + x * to.pixel + first * to.value, beside
    if also.at != 0:
        finish.also = also.at + y * also.row + x * also.pixel + first * also.value
    finish_products(finish_at, out, rows, channels, bias)


@inlined
def _multiply(channels, chunks, count, pairs, first, second, stride, weights, out, continues, ahead, ahead_step):
    """`multiply_tiles` for as many vectors as `channels` fill."""
    if channels > LANES:
        multiply_tiles(
            vectors=2, chunks=chunks, count=count, pairs=pairs, first=first, second=second, stride=stride,
            weights=weights, out=out, continues=continues, ahead=ahead, ahead_step=ahead_step,
        )  # fmt: skip
    else:
        multiply_tiles(
            vectors=1, chunks=chunks, count=count, pairs=pairs, first=first, second=second, stride=stride,
            weights=weights, out=out, continues=continues, ahead=ahead, ahead_step=ahead_step,
        )  # fmt: skip


@operation(arguments=CONVOLVE_MATRIX, cut=_cut, scratch=_scratch, beyond=_beyond)
def convolve_matrix(address, task, scratch):
    """Run one task: a range of tiles (two halves of HEIGHT positions) times a range of blocks. x is inside the border.

    What gained nothing in whole networks (a Xeon with AMX): finishing a block while the next one is multiplied; asking
    for the lines that are to be written, or in the first-level cache for the next weights; multiplying several tiles
    by as many weights as that cache holds before going on.
    """
    step = step_at(address)
    own = record_at(step.arguments, CONVOLVE_MATRIX)
    place, stride, zeros = step.x, own.stride_x * step.x.pixel, scratch + _ZEROS_AT
    floats(zeros, 2 * LANES)[:] = 0
    # With stride 1 all positions are one line, of which an output row takes `row`; else every row is a line.
    row = line = step.y.w
    lines, line_step = step.y.h, own.stride_y * place.row
    if own.stride_y * own.stride_x == 1:
        row = place.row // place.pixel
        lines, line = 1, (step.y.h - 1) * row + step.y.w
    line_halves = (line + HEIGHT - 1) // HEIGHT
    halves = lines * line_halves
    n_tiles = (halves + 1) // 2
    part_tiles = (n_tiles + step.parts - 1) // step.parts
    part, first_tile, last_tile, first_block, last_block = task_range(step, own.n_blocks, task, n_tiles, part_tiles)
    blocks = records_at(own.blocks, own.n_blocks, BLOCK)
    pairs, count, rest, rests, shapes = own.pairs, own.count, own.rest, own.rests, own.shapes
    # With few tiles the weights of the next group of blocks are fetched meanwhile, a share with every tile: without,
    # yolov4 at 416x416 takes 1.1 times as long.
    panel = 8 * (count * pairs + rests * rest) * LANES if part_tiles <= FEW_TILES else 0
    # With many, the pixels that the next tile is the first to read, a share with every block: the hardware's own
    # prefetcher does not see that pixels loaded one line at a time follow each other.
    n_blocks = last_block - first_block
    news = 2 * HEIGHT * stride
    ahead_step = panel // (count * part_tiles) if panel != 0 else news // (count * n_blocks)
    lowest = records_at(own.chunks, count, CHUNK)[count - 1].offset + news
    runs = records_at(scratch + _RUNS_AT, _RUNS, RUN)
    finish_at = scratch + _FINISH_AT
    finish = record_at(finish_at, FINISH)
    begin_finish(finish, step, own.activation)
    configure_tiles(shapes)
    for tile in range(first_tile, last_tile):
        first, last = 2 * tile, min(2 * tile + 1, halves - 1)
        y, last_y = first // line_halves, last // line_halves
        start = place.at + y * line_step + (first - y * line_halves) * HEIGHT * stride
        other = place.at + last_y * line_step + (last - last_y * line_halves) * HEIGHT * stride
        n_runs = _find_runs(step, first, last, line_halves, line, row, runs)
        for number in range(first_block, last_block):
            block = blocks[number]
            channels, weights = block.count, block.weights
            if panel != 0:
                ahead = weights + step.block_step * panel + panel * (tile - part * part_tiles) // part_tiles
            else:
                ahead = start + lowest + news * (number - first_block) // n_blocks
            _multiply(channels, own.chunks, count, pairs, start, other, stride, weights, scratch, 0, ahead, ahead_step)
            if rests != 0:
                left = own.chunks + _CHUNK_BYTES * count
                configure_tiles(shapes + 64)
                _multiply(channels, left, rests, rest, start, other, stride, weights, scratch, 1, weights, 0)
                configure_tiles(shapes)
            for n in range(n_runs):
                _finish_run(step, own, finish, finish_at, scratch, runs[n], block, zeros)
    release_tiles()
