"""Winograd convolution with 3 x 3 kernels, channels last, in three phases; the schemes are in `cook_toom`.

Transform the input tiles, multiply for each tile element a (tiles, C) by a (C, filters) matrix, transform back. Each
phase runs over all tiles of a band of the image, so that a panel of transformed weights is read once per band: 1.4 to
1.9 times as fast on one core as all three phases per block of 28 tiles.

Which tiles there are, and which of them have an element, is in tables (see `plan.winograd`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from darknet_py.kernels.activate import activate
from darknet_py.kernels.convolve import BLOCK_COLUMNS, add_rows, store_rows
from darknet_py.kernels.cook_toom import TILES
from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.steps import COLUMNS
from darknet_py.kernels.tile import BLOCKS, DERIVED, HEIGHTS, PAIRS, PLAIN, UNROLL, Operands, emit_tile
from darknet_py.kernels.transform import transform
from darknet_py.kernels.vector import I64, Lanes, integers

__all__ = ["PANEL_COLUMNS", "TILE_COLUMNS", "winograd_input", "winograd_multiply", "winograd_output"]

_X, _X_PIXEL, _X_ROW, _IN_H, _IN_W = (COLUMNS[name] for name in ("X", "X_PIXEL", "X_ROW", "IN_H", "IN_W"))
_Y, _Y_PIXEL, _OUT_H, _OUT_W = (COLUMNS[name] for name in ("Y", "Y_PIXEL", "OUT_H", "OUT_W"))
_SECOND, _SECOND_PIXEL, _PAD, _OUTSIDE = (COLUMNS[name] for name in ("SECOND", "SECOND_PIXEL", "PAD_Y", "OUTSIDE"))
_RUN, _BLOCK_TABLE, _N_BLOCKS, _WIDTH = (COLUMNS[name] for name in ("RUN", "BLOCKS", "N_BLOCKS", "CHANNELS"))
_BLOCK_STEP, _TILE_STEP, _BFLOAT16 = (COLUMNS[name] for name in ("BLOCK_STEP", "TILE_STEP", "BFLOAT16"))
_TILES, _RUNS, _ROWS, _ELEMENTS = (COLUMNS[name] for name in ("TILES", "RUNS", "TILE_ROWS", "ELEMENTS"))
_TASKS, _PARTS, _FILTER_PARTS = (COLUMNS[name] for name in ("TASKS", "PARTS", "FILTER_PARTS"))
_X_IMAGE, _Y_IMAGE, _SECOND_IMAGE = (COLUMNS[name] for name in ("X_IMAGE", "Y_IMAGE", "SECOND_IMAGE"))
_ACTIVATION, _ACTIVATION_2, _PARAMETERS = (COLUMNS[name] for name in ("ACTIVATION", "ACTIVATION_2", "PARAMETERS"))

#: A row of the panel table: element, whether derived, panels a, b and c, address of alpha and gamma, which tiles have
#: the element.
PANEL_COLUMNS = 7

#: A row of the tile table: kind (-1: no tile here), image, first output row and column.
TILE_COLUMNS = 4

_DOWN = tuple(kind.down.n for kind in TILES)
_ACROSS = tuple(kind.across.n for kind in TILES)
_M_DOWN = tuple(kind.down.m for kind in TILES)
_M_ACROSS = tuple(kind.across.m for kind in TILES)
_STRIDE = tuple(kind.down.stride for kind in TILES)
_PAIRED = tuple(code for code, kind in enumerate(TILES) if kind.down.m == 2)


def _emit_cases(builder: ir.IRBuilder, code: ir.Value, cases: dict[int, Callable[[], None]]) -> None:
    """Emit a switch; a `code` of none of the cases does nothing."""
    after = builder.append_basic_block("after")
    switch = builder.switch(code, after)
    for value, emit in cases.items():
        block = builder.append_basic_block(f"case{value}")
        switch.add_case(ir.Constant(I64, value), block)
        builder.position_at_end(block)
        emit()
        builder.branch(after)
    builder.position_at_end(after)


@intrinsic(prefer_literal=True)
def _input_tile(
    typingctx: Any, lanes: Any, rounded: Any, code: Any, table: Any, shift: Any, out: Any, stride: Any, ahead: Any
) -> Any:
    """BT d B of one vector of channels of a tile of kind `code`.

    Inputs are at the addresses in `table`, results of an element `stride` bytes after those of the one before. With
    literal `rounded` 1 they are bfloat16.

    The columns that the next tile adds, `ahead` bytes further, are fetched: 6 % less time on yolov4's inputs.
    """
    n_lanes, is_rounded = lanes.literal_value, bool(rounded.literal_value)
    signature = types.void(lanes, rounded, *([types.int64] * 6))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        code, table, shift, out, stride, ahead = args[2:]
        v = Lanes(builder, n_lanes)

        def emit(number: int) -> None:
            down, across, places, _ = TILES[number]

            def read(i: int, j: int) -> ir.Value:
                entry = builder.add(table, ir.Constant(I64, 8 * (i * across.n + j)))
                at = builder.add(builder.load(builder.inttoptr(entry, I64.as_pointer())), shift)
                if j >= across.n - across.m * across.stride:
                    v.prefetch(builder.add(at, ahead))
                return v.load(at)

            grid = [[read(i, j) for j in range(across.n)] for i in range(down.n)]
            for elements, row in zip(places, transform(v, down.bt, across.bt, grid), strict=True):
                for element, value in zip(elements, row, strict=True):
                    at = builder.add(out, builder.mul(stride, ir.Constant(I64, element)))
                    if is_rounded:
                        v.store_bfloat16(value, at)
                    else:
                        v.store(value, at)

        codes = _PAIRED if is_rounded else range(len(TILES))
        _emit_cases(builder, code, {number: lambda number=number: emit(number) for number in codes})
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def _output_tile(typingctx: Any, lanes: Any, code: Any, source: Any, stride: Any, bias: Any, out: Any) -> Any:
    """AT p A + bias of one vector of filters of a tile of kind `code`.

    Products of an element are `stride` bytes after those of the one before; results go to (m, m, lanes) at `out`.

    Fetching the next tile's products ahead gained nothing here, unlike in `_input_tile`: 11.79 against 11.85 ms.
    """
    n_lanes = lanes.literal_value
    signature = types.void(lanes, *([types.int64] * 5))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        code, source, stride, bias, out = args[1:]
        v = Lanes(builder, n_lanes)

        def emit(number: int) -> None:
            down, across, places, _ = TILES[number]

            def read(element: int) -> ir.Value:
                return v.load(builder.add(source, builder.mul(stride, ir.Constant(I64, element))))

            grid = [[read(element) for element in row] for row in places]
            start = v.load(bias)
            for i, row in enumerate(transform(v, down.at, across.at, grid)):
                for j, value in enumerate(row):
                    at = builder.add(out, ir.Constant(I64, (i * across.m + j) * 4 * n_lanes))
                    v.store(builder.fadd(value, start), at)

        _emit_cases(builder, code, {number: lambda number=number: emit(number) for number in range(len(TILES))})
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def _multiply(
    typingctx: Any,
    lanes: Any,
    kind: Any,
    vectors: Any,
    height: Any,
    table: Any,
    channels: Any,
    weights: Any,
    bias: Any,
    out: Any,
    ahead: Any,
    ahead_step: Any,
    to_a: Any,
    to_c: Any,
    factors: Any,
) -> Any:
    """The register tile of that kind, of one or BLOCKS vectors and one of HEIGHTS; see `multiply_tile`."""
    n_lanes = lanes.literal_value
    signature = types.void(lanes, *([types.int64] * 13))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind, vectors, height, table = args[1:5]
        operands = Operands(table, ir.Constant(I64, 0), ir.Constant(I64, 1), *args[5:])
        v = Lanes(builder, n_lanes)
        sizes = [(tall, wide) for tall in HEIGHTS for wide in (1, BLOCKS)]
        cases = {
            (which * 2 + int(wide == BLOCKS)) * 64 + tall: lambda which=which, tall=tall, wide=wide: emit_tile(
                v, which, (tall, wide), operands
            )
            for which in (PLAIN, DERIVED, PAIRS)
            for tall, wide in sizes
        }
        wide = builder.zext(builder.icmp_signed("==", vectors, ir.Constant(I64, BLOCKS)), I64)
        code = builder.add(builder.mul(kind, ir.Constant(I64, 2)), wide)
        _emit_cases(builder, builder.add(builder.mul(code, ir.Constant(I64, 64)), height), cases)
        return context.get_dummy_value()

    return signature, codegen


@kernel
def winograd_input(step, task, scratch):
    """Transform a share of the band's tiles: (H, W, C) at X to (elements, tiles, RUN) at Y."""
    per_part = step[_TASKS] // step[_PARTS]
    part = task // per_part
    first = (task - part * per_part) * step[_TILE_STEP]
    last = min(first + step[_TILE_STEP], step[_ROWS])
    stride = step[_PARTS] * step[_ROWS] * step[_Y_PIXEL]
    for row in range(part * step[_ROWS] + first, part * step[_ROWS] + last):
        tile = integers(step[_TILES] + 8 * TILE_COLUMNS * row, TILE_COLUMNS)
        code = tile[0]
        if code < 0:
            continue
        down, across = _DOWN[code], _ACROSS[code]
        addresses = integers(scratch, down * across)
        top = tile[2] * _STRIDE[code] - step[_PAD]
        left = tile[3] * _STRIDE[code] - step[_PAD]
        ahead = _M_ACROSS[code] * _STRIDE[code] * step[_X_PIXEL]
        for i in range(down):
            begin = step[_X] + tile[1] * step[_X_IMAGE] + (top + i) * step[_X_ROW]
            inside = 0 <= top + i < step[_IN_H]
            for j in range(across):
                address = begin + (left + j) * step[_X_PIXEL]
                addresses[i * across + j] = address if inside and 0 <= left + j < step[_IN_W] else step[_OUTSIDE]
        out = step[_Y] + row * step[_Y_PIXEL]
        if step[_BFLOAT16]:
            for shift in range(0, 8 * step[_RUN], 4 * LANES):
                _input_tile(LANES, 1, code, scratch, shift, out + shift // 2, stride, ahead)
        else:
            for shift in range(0, 4 * step[_RUN], 4 * LANES):
                _input_tile(LANES, 0, code, scratch, shift, out + shift, stride, ahead)


@kernel
def winograd_multiply(step, task, scratch):
    """Multiply some blocks of filters of one tile element with all tiles of a part of the band that have it.

    X is (elements, tiles, RUN), the weights (panels, blocks, RUN, lanes), Y (elements, blocks, tiles, lanes).
    PARAMETERS is the (elements, PANEL_COLUMNS) int64 table of `lay_out_panels`. RUNS is (parts, 4, 2): for each of
    the four groups of elements, the address and number of rows (first tile, height) for register tiles.
    """
    per_slice = step[_TASKS] // (step[_PARTS] * step[_FILTER_PARTS])
    number = task // per_slice
    part, filter_part = number // step[_FILTER_PARTS], number % step[_FILTER_PARTS]
    groups = per_slice // step[_ELEMENTS]
    rest = task - number * per_slice
    panels = integers(step[_PARAMETERS] + 8 * PANEL_COLUMNS * (rest // groups), PANEL_COLUMNS)
    part_blocks = (step[_N_BLOCKS] + step[_FILTER_PARTS] - 1) // step[_FILTER_PARTS]
    end = min((filter_part + 1) * part_blocks, step[_N_BLOCKS])
    first = filter_part * part_blocks + (rest - rest // groups * groups) * step[_BLOCK_STEP]
    last = min(first + step[_BLOCK_STEP], end)
    runs = integers(step[_RUNS] + 16 * (4 * part + panels[6]), 2)
    heights = integers(runs[0], 2 * runs[1])
    rows = 0
    for n in range(runs[1]):
        rows += heights[2 * n + 1]
    element = panels[0]
    kind = PAIRS if step[_BFLOAT16] else panels[1]
    blocks = integers(step[_BLOCK_TABLE], step[_N_BLOCKS] * BLOCK_COLUMNS)
    starts = integers(scratch, HEIGHTS[0])
    width, run = step[_WIDTH], step[_RUN]
    pitch = step[_PARTS] * step[_ROWS]
    panel_bytes = 4 * run * width
    to_a, to_c = (panels[2] - panels[3]) * panel_bytes, (panels[4] - panels[3]) * panel_bytes
    source = step[_X] + (element * pitch + part * step[_ROWS]) * step[_X_PIXEL]
    for block in range(first, last):
        row = block * BLOCK_COLUMNS
        lane = blocks[row]
        channels, bias = blocks[row + 2], step[_OUTSIDE]
        weights = blocks[row + 3] + panels[3] * panel_bytes
        vectors = BLOCKS if channels > LANES else 1
        lanes = vectors * LANES
        out = step[_Y] + 4 * (element * width + lane) * pitch + 4 * part * step[_ROWS] * lanes
        block_bytes = 4 * run * lanes
        # The next block's weights are fetched while this one's are multiplied, a share with every row of tiles; without
        # that memory idles after the first row: 512 -> 512 at 13 x 13, F2, 2.18 ms against 1.79 ms.
        done = 0
        for n in range(runs[1]):
            tile, height = heights[2 * n], heights[2 * n + 1]
            ahead = weights + block_bytes + block_bytes * done // rows
            ahead_step = 4 * UNROLL * BLOCKS * LANES * height // rows
            done += height
            for p in range(height):
                starts[p] = source + (tile + p) * step[_X_PIXEL]
            _multiply(
                LANES, kind, vectors, height,
                scratch, run, weights, bias, out + 4 * tile * lanes, ahead, ahead_step, to_a, to_c, panels[5],
            )  # fmt: skip


@kernel
def winograd_output(step, task, scratch):
    """Transform a share of the band's tiles back to (H, W, filters), with bias, activation and shortcut."""
    per_slice = step[_TASKS] // (step[_PARTS] * step[_FILTER_PARTS])
    number = task // per_slice
    part, filter_part = number // step[_FILTER_PARTS], number % step[_FILTER_PARTS]
    first = (task - number * per_slice) * step[_TILE_STEP]
    last = min(first + step[_TILE_STEP], step[_ROWS])
    part_blocks = (step[_N_BLOCKS] + step[_FILTER_PARTS] - 1) // step[_FILTER_PARTS]
    blocks = integers(step[_BLOCK_TABLE], step[_N_BLOCKS] * BLOCK_COLUMNS)
    pitch, width = step[_PARTS] * step[_ROWS], step[_WIDTH]
    stride = 4 * width * pitch
    for block in range(filter_part * part_blocks, min((filter_part + 1) * part_blocks, step[_N_BLOCKS])):
        lane, channels = blocks[block * BLOCK_COLUMNS], blocks[block * BLOCK_COLUMNS + 2]
        lanes = BLOCKS * LANES if channels > LANES else LANES
        for row in range(part * step[_ROWS] + first, part * step[_ROWS] + last):
            tile = integers(step[_TILES] + 8 * TILE_COLUMNS * row, TILE_COLUMNS)
            code, image, y, x = tile[0], tile[1], tile[2], tile[3]
            if code < 0:
                continue
            down, across = _M_DOWN[code], _M_ACROSS[code]
            rows, pixels = min(down, step[_OUT_H] - y), min(across, step[_OUT_W] - x)
            source = step[_X] + 4 * (lane * pitch + row * lanes)
            for start in range(0, channels, LANES):
                bias = blocks[block * BLOCK_COLUMNS + 4] + 4 * start
                _output_tile(LANES, code, source + 4 * start, stride, bias, scratch)
                activate(step[_ACTIVATION], scratch, down * across * LANES)
                shift = blocks[block * BLOCK_COLUMNS + 1] + 4 * start
                into, beside = step[_Y] + image * step[_Y_IMAGE], step[_SECOND] + image * step[_SECOND_IMAGE]
                if step[_SECOND] != 0:
                    for i in range(rows):
                        pixel = (y + i) * step[_OUT_W] + x
                        second = beside + pixel * step[_SECOND_PIXEL] + shift
                        add_rows(scratch + 4 * i * across * LANES, pixels, 1, second, step[_SECOND_PIXEL])
                    activate(step[_ACTIVATION_2], scratch, down * across * LANES)
                for i in range(rows):
                    target = into + ((y + i) * step[_OUT_W] + x) * step[_Y_PIXEL] + shift
                    count = min(LANES, channels - start)
                    store_rows(scratch + 4 * i * across * LANES, 4 * LANES, pixels, count, target, step[_Y_PIXEL])
