"""Convolution in bfloat16 by matrix tiles, channels last.

A tile multiplies pixels that lie a fixed number of bytes apart, so the input has a border of zeros as wide as the
padding, and there is no table of addresses: with stride 1 all positions of the padded input follow each other, and the
few results that belong to the border are dropped. With larger strides every output row has tiles of its own.
"""

from __future__ import annotations

from darknet_py.kernels.jit import LANES, inlined, kernel
from darknet_py.kernels.ops.call import step_at
from darknet_py.kernels.ops.convolve import FEW_TILES, task_range
from darknet_py.kernels.ops.steps import ACTIVATION_CODES, BLOCK_COLUMNS, COLUMNS
from darknet_py.kernels.tiles.amx import HEIGHT, configure_tiles, multiply_tiles, release_tiles
from darknet_py.kernels.tiles.finish_tiles import finish_rows
from darknet_py.kernels.vector.activate import activate
from darknet_py.kernels.vector.approximate import QUICK
from darknet_py.kernels.vector.pointers import floats, integers
from darknet_py.kernels.vector.rows import add_rows

__all__ = ["SCRATCH_BYTES", "clear_border", "convolve_matrix"]

_X, _X_PIXEL, _X_ROW = COLUMNS["X"], COLUMNS["X_PIXEL"], COLUMNS["X_ROW"]
_Y, _Y_PIXEL, _OUT_H, _OUT_W = COLUMNS["Y"], COLUMNS["Y_PIXEL"], COLUMNS["OUT_H"], COLUMNS["OUT_W"]
_Y_ROW, _SECOND, _SECOND_PIXEL = COLUMNS["Y_ROW"], COLUMNS["SECOND"], COLUMNS["SECOND_PIXEL"]
_SECOND_ROW, _SECOND_BFLOAT16 = COLUMNS["SECOND_ROW"], COLUMNS["SECOND_BFLOAT16"]
_ROUNDED, _ROUNDED_PIXEL, _ROUNDED_ROW = COLUMNS["ROUNDED"], COLUMNS["ROUNDED_PIXEL"], COLUMNS["ROUNDED_ROW"]
_STRIDE_Y, _STRIDE_X, _PAD_Y = COLUMNS["STRIDE_Y"], COLUMNS["STRIDE_X"], COLUMNS["PAD_Y"]
_BLOCKS, _N_BLOCKS, _PARTS, _BLOCK_STEP = (COLUMNS[name] for name in ("BLOCKS", "N_BLOCKS", "PARTS", "BLOCK_STEP"))
_PAIRS, _SHAPES = COLUMNS["MODE"], COLUMNS["PARAMETERS"]
_CHUNKS, _COUNT, _REST, _RESTS = (COLUMNS[name] for name in ("TILES", "RUNS", "SIDE", "TILE_ROWS"))
_ACTIVATION, _ACTIVATION_2 = COLUMNS["ACTIVATION"], COLUMNS["ACTIVATION_2"]

#: Runs of a tile: a pixel may be one.
_RUNS = 2 * HEIGHT
#: Bytes of scratch before a bias of zeros and the runs: products of 32 pixels x 32 filters first.
_ZEROS_AT = 4 * 2 * HEIGHT * 2 * LANES
_RUNS_AT = _ZEROS_AT + 4 * 2 * LANES
SCRATCH_BYTES = _RUNS_AT + 8 * 4 * _RUNS

_LINEAR = ACTIVATION_CODES["linear"]
#: Activations that are applied while results are stored; others go over them in memory first.
_QUICK_CODES = tuple(ACTIVATION_CODES[name] for name in QUICK)


@kernel
def clear_border(address, task, scratch):
    """Zero the border, PAD_Y pixels wide, of an output whose inner part begins at Y."""
    step = step_at(address)
    pad, pixel, row = step[_PAD_Y], step[_Y_PIXEL], step[_Y_ROW]
    height, width = step[_OUT_H], step[_OUT_W]
    begin = step[_Y] - pad * (row + pixel)
    floats(begin, (pad * row + pad * pixel) // 4)[:] = 0
    for y in range(height - 1):
        floats(step[_Y] + y * row + width * pixel, 2 * pad * pixel // 4)[:] = 0
    floats(step[_Y] + (height - 1) * row + width * pixel, (pad * row + pad * pixel) // 4)[:] = 0


@inlined
def _find_runs(step, first, last, line_halves, line, row, runs):
    """Find which pixels of the halves `first` to `last` of a tile lie in one row of the output.

    Of each such run: its first position in the tile, the number of pixels, the row and column of the first.
    """
    found = 0
    for half in range(first, last + 1):
        # Where the half begins: the output row, and the position in the line.
        line_y = half // line_halves
        begin = (half - line_y * line_halves) * HEIGHT
        position, end = begin, min(begin + HEIGHT, line)
        while position < end:
            down = position // row
            across = position - down * row
            stop = min(end, down * row + step[_OUT_W])
            if position < stop:
                run = runs[found]
                run[0], run[1] = (half - first) * HEIGHT + position - begin, stop - position
                run[2], run[3] = line_y + down, across
                found += 1
            position = (down + 1) * row
    return found


@inlined
def _is_quick(activation):
    """Whether `finish_rows` knows an activation."""
    quick = False
    for code in _QUICK_CODES:
        quick |= activation == code
    return quick


@inlined
def _finish_run(step, out, run, shift, channels, bias, zeros):
    """Finish the pixels of a run, of which `out` has the products of `channels` filters."""
    rows, y, x = run[1], run[2], run[3]
    pixel = y * step[_OUT_W] + x
    vectors = 2 if channels > LANES else 1
    out += 4 * run[0] * vectors * LANES
    second = 0
    if step[_SECOND_BFLOAT16]:
        second = step[_SECOND] + y * step[_SECOND_ROW] + x * step[_SECOND_PIXEL] + shift // 2
    elif step[_SECOND] != 0:
        second = step[_SECOND] + pixel * step[_SECOND_PIXEL] + shift
    target = step[_Y] + pixel * step[_Y_PIXEL] + shift if step[_Y_PIXEL] != 0 else 0
    rounded = 0
    if step[_ROUNDED] != 0:
        rounded = step[_ROUNDED] + y * step[_ROUNDED_ROW] + x * step[_ROUNDED_PIXEL] + shift // 2
    activation, pitch = step[_ACTIVATION], 4 * vectors * LANES
    quick, adds_only = _is_quick(activation), second == 0 or step[_ACTIVATION_2] == _LINEAR
    if not quick or not adds_only:
        # The same activation as where a shortcut is computed by itself.
        if quick:
            finish_rows(out, rows, vectors * LANES, bias, activation, 0, 0, 0, out, pitch, 0, 0)
        else:
            add_rows(out, rows, vectors, bias, 0)
            activate(activation, out, rows * vectors * LANES)
        if second != 0:
            add_rows(out, rows, vectors, second, step[_SECOND_PIXEL])
            activate(step[_ACTIVATION_2], out, rows * vectors * LANES)
        activation, bias, second = _LINEAR, zeros, 0
    finish_rows(
        out, rows, channels, bias, activation, second, step[_SECOND_PIXEL], step[_SECOND_BFLOAT16],
        target, step[_Y_PIXEL], rounded, step[_ROUNDED_PIXEL],
    )  # fmt: skip


@inlined
def _multiply(channels, chunks, count, pairs, first, second, stride, weights, out, continues, ahead, ahead_step):
    """`multiply_tiles` for as many vectors as `channels` fill."""
    if channels > LANES:
        multiply_tiles(2, chunks, count, pairs, first, second, stride, weights, out, continues, ahead, ahead_step)
    else:
        multiply_tiles(1, chunks, count, pairs, first, second, stride, weights, out, continues, ahead, ahead_step)


@kernel
def convolve_matrix(address, task, scratch):
    """Run one task of a MATRIX step: a range of tiles (two halves of HEIGHT positions) times a range of blocks.

    X is the first pixel inside the border. A reduction is RUNS chunks of MODE pairs of channels, then TILE_ROWS of SIDE
    pairs, what is left of each tap; TILES is the address of the table that says where they are (see `multiply_tiles`),
    PARAMETERS that of the shapes of both kinds of tiles.

    What gained nothing in whole networks (a Xeon with AMX): finishing a block while the next one is multiplied; asking
    for the lines that are to be written, or in the first-level cache for the next weights; multiplying several tiles
    by as many weights as that cache holds before going on.
    """
    step = step_at(address)
    stride, zeros = step[_STRIDE_X] * step[_X_PIXEL], scratch + _ZEROS_AT
    floats(zeros, 2 * LANES)[:] = 0
    # With stride 1 all positions are one line, of which an output row takes `row`; else every row is a line.
    row = line = step[_OUT_W]
    lines, line_step = step[_OUT_H], step[_STRIDE_Y] * step[_X_ROW]
    if step[_STRIDE_Y] * step[_STRIDE_X] == 1:
        row = step[_X_ROW] // step[_X_PIXEL]
        lines, line = 1, (step[_OUT_H] - 1) * row + step[_OUT_W]
    line_halves = (line + HEIGHT - 1) // HEIGHT
    halves = lines * line_halves
    part_tiles = ((halves + 1) // 2 + step[_PARTS] - 1) // step[_PARTS]
    part, first_tile, last_tile, first_block, last_block = task_range(step, task, (halves + 1) // 2, part_tiles)
    blocks = integers(step[_BLOCKS], step[_N_BLOCKS] * BLOCK_COLUMNS).reshape(step[_N_BLOCKS], BLOCK_COLUMNS)
    pairs, count, rest, rests = step[_PAIRS], step[_COUNT], step[_REST], step[_RESTS]
    # With few tiles the weights of the next group of blocks are fetched meanwhile, a share with every tile: without,
    # yolov4 at 416x416 takes 1.1 times as long.
    panel = 8 * (count * pairs + rests * rest) * LANES if part_tiles <= FEW_TILES else 0
    # With many, the pixels that the next tile is the first to read, a share with every block: the hardware's own
    # prefetcher does not see that pixels loaded one line at a time follow each other.
    n_blocks = last_block - first_block
    news = 2 * HEIGHT * stride
    ahead_step = panel // (count * part_tiles) if panel != 0 else news // (count * n_blocks)
    lowest = integers(step[_CHUNKS] + 16 * (count - 1), 1)[0] + news
    runs = integers(scratch + _RUNS_AT, 4 * _RUNS).reshape(_RUNS, 4)
    configure_tiles(step[_SHAPES])
    for tile in range(first_tile, last_tile):
        first, last = 2 * tile, min(2 * tile + 1, halves - 1)
        y, last_y = first // line_halves, last // line_halves
        start = step[_X] + y * line_step + (first - y * line_halves) * HEIGHT * stride
        other = step[_X] + last_y * line_step + (last - last_y * line_halves) * HEIGHT * stride
        n_runs = _find_runs(step, first, last, line_halves, line, row, runs)
        for block in range(first_block, last_block):
            shift, channels, weights, bias = blocks[block, 1], blocks[block, 2], blocks[block, 3], blocks[block, 4]
            if panel != 0:
                ahead = weights + step[_BLOCK_STEP] * panel + panel * (tile - part * part_tiles) // part_tiles
            else:
                ahead = start + lowest + news * (block - first_block) // n_blocks
            _multiply(
                channels, step[_CHUNKS], count, pairs, start, other, stride, weights, scratch, 0, ahead, ahead_step
            )
            if rests != 0:
                left = step[_CHUNKS] + 16 * count
                configure_tiles(step[_SHAPES] + 64)
                _multiply(channels, left, rests, rest, start, other, stride, weights, scratch, 1, weights, 0)
                configure_tiles(step[_SHAPES])
            for n in range(n_runs):
                _finish_run(step, scratch, runs[n], shift, channels, bias, zeros)
    release_tiles()
