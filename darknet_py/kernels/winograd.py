"""Winograd convolution with 3 x 3 kernels, channels last, in three phases; the schemes are in `cook_toom`.

Transform the n x n input tiles, multiply for each of the n x n tile elements a (tiles, C) by a (C, filters) matrix,
transform back to m x m outputs. Each phase runs over all tiles of a band of the image, so that a panel of transformed
weights is read once per band: 1.4 to 1.9 times as fast on one core as all three phases per block of 28 tiles.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from darknet_py.kernels.activate import activate
from darknet_py.kernels.convolve import BLOCK_COLUMNS, add_rows, store_rows
from darknet_py.kernels.cook_toom import SCHEMES
from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.steps import COLUMNS
from darknet_py.kernels.tile import BLOCKS, DERIVED, PAIRS, PIXELS, PLAIN, UNROLL, multiply_tile
from darknet_py.kernels.transform import transform
from darknet_py.kernels.vector import I64, Lanes, integers

__all__ = ["PANEL_COLUMNS", "winograd_input", "winograd_multiply", "winograd_output"]

_X, _X_PIXEL, _X_ROW, _IN_H, _IN_W = (COLUMNS[name] for name in ("X", "X_PIXEL", "X_ROW", "IN_H", "IN_W"))
_Y, _Y_PIXEL, _OUT_H, _OUT_W = (COLUMNS[name] for name in ("Y", "Y_PIXEL", "OUT_H", "OUT_W"))
_SECOND, _SECOND_PIXEL, _PAD, _OUTSIDE = (COLUMNS[name] for name in ("SECOND", "SECOND_PIXEL", "PAD_Y", "OUTSIDE"))
_RUN, _BLOCK_TABLE, _N_BLOCKS, _WIDTH = (COLUMNS[name] for name in ("RUN", "BLOCKS", "N_BLOCKS", "CHANNELS"))
_BLOCK_STEP, _TILE_STEP, _MODE, _BFLOAT16 = (COLUMNS[name] for name in ("BLOCK_STEP", "TILE_STEP", "MODE", "BFLOAT16"))
_TILES_X, _TILE_FIRST, _TILE_COUNT, _TILE_PITCH = (
    COLUMNS[name] for name in ("TILES_X", "TILE_FIRST", "TILE_COUNT", "TILE_PITCH")
)
_X_IMAGE, _Y_IMAGE, _SECOND_IMAGE, _TILES_IMAGE = (
    COLUMNS[name] for name in ("X_IMAGE", "Y_IMAGE", "SECOND_IMAGE", "TILES_IMAGE")
)
_ACTIVATION, _ACTIVATION_2, _PARAMETERS = (COLUMNS[name] for name in ("ACTIVATION", "ACTIVATION_2", "PARAMETERS"))

#: A row of the panel table: element, whether derived, panels a, b and c, address of alpha and gamma.
PANEL_COLUMNS = 6

_BY_CODE = tuple(SCHEMES.values())
_M = tuple(scheme.m for scheme in _BY_CODE)
_N = tuple(scheme.n for scheme in _BY_CODE)
_STRIDE = tuple(scheme.stride for scheme in _BY_CODE)


@intrinsic(prefer_literal=True)
def _input_tile(
    typingctx: Any, lanes: Any, code: Any, rounded: Any, table: Any, shift: Any, out: Any, stride: Any, ahead: Any
) -> Any:
    """BT d B of one vector of channels: n x n inputs at the addresses in `table`, results `stride` bytes apart.

    With literal `rounded` 1 the results are bfloat16.

    The columns that the next tile adds, `ahead` bytes further, are fetched: 6 % less time on yolov4's inputs.
    """
    n_lanes, scheme = lanes.literal_value, _BY_CODE[code.literal_value]
    signature = types.void(lanes, code, rounded, *([types.int64] * 5))
    is_rounded = bool(rounded.literal_value)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        table, shift, out, stride, ahead = args[3:]
        v = Lanes(builder, n_lanes)
        n = scheme.n

        def read(element: int) -> ir.Value:
            pointer = builder.inttoptr(builder.add(table, ir.Constant(I64, 8 * element)), I64.as_pointer())
            at = builder.add(builder.load(pointer), shift)
            if element % n >= n - scheme.m * scheme.stride:
                v.prefetch(builder.add(at, ahead))
            return v.load(at)

        grid = [[read(i * n + j) for j in range(n)] for i in range(n)]
        for i, row in enumerate(transform(v, scheme.bt, grid)):
            for j, value in enumerate(row):
                at = builder.add(out, builder.mul(stride, ir.Constant(I64, i * n + j)))
                if is_rounded:
                    v.store_bfloat16(value, at)
                else:
                    v.store(value, at)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def _output_tile(typingctx: Any, lanes: Any, code: Any, source: Any, stride: Any, bias: Any, out: Any) -> Any:
    """AT p A + bias of one vector of filters: n x n products `stride` bytes apart to (m, m, lanes) at `out`.

    Fetching the next tile's products ahead gained nothing here, unlike in `_input_tile`: 11.79 against 11.85 ms.
    """
    n_lanes, scheme = lanes.literal_value, _BY_CODE[code.literal_value]
    signature = types.void(lanes, code, *([types.int64] * 4))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, stride, bias, out = args[2:]
        v = Lanes(builder, n_lanes)
        n = scheme.n

        def read(element: int) -> ir.Value:
            return v.load(builder.add(source, builder.mul(stride, ir.Constant(I64, element))))

        grid = [[read(i * n + j) for j in range(n)] for i in range(n)]
        start = v.load(bias)
        for i, row in enumerate(transform(v, scheme.at, grid)):
            for j, value in enumerate(row):
                at = builder.add(out, ir.Constant(I64, (i * scheme.m + j) * 4 * n_lanes))
                v.store(builder.fadd(value, start), at)
        return context.get_dummy_value()

    return signature, codegen


@kernel
def winograd_input(step, task, scratch):
    """Transform a share of the band's tiles: (H, W, C) at X to (n * n, TILE_PITCH, RUN) at Y."""
    code = step[_MODE]
    n = _N[code]
    advance = _M[code] * _STRIDE[code]
    ahead = advance * step[_X_PIXEL]
    addresses = integers(scratch, n * n)
    first = step[_TILE_FIRST] + task * step[_TILE_STEP]
    last = min(first + step[_TILE_STEP], step[_TILE_FIRST] + step[_TILE_COUNT])
    stride = step[_TILE_PITCH] * step[_Y_PIXEL]
    for tile in range(first, last):
        image = tile // step[_TILES_IMAGE]
        place = tile - image * step[_TILES_IMAGE]
        tile_y = place // step[_TILES_X]
        top = tile_y * advance - step[_PAD]
        left = (place - tile_y * step[_TILES_X]) * advance - step[_PAD]
        for i in range(n):
            row = step[_X] + image * step[_X_IMAGE] + (top + i) * step[_X_ROW]
            inside = 0 <= top + i < step[_IN_H]
            for j in range(n):
                address = row + (left + j) * step[_X_PIXEL]
                addresses[i * n + j] = address if inside and 0 <= left + j < step[_IN_W] else step[_OUTSIDE]
        out = step[_Y] + (tile - step[_TILE_FIRST]) * step[_Y_PIXEL]
        if step[_BFLOAT16]:
            for shift in range(0, 8 * step[_RUN], 4 * LANES):
                if code == 0:
                    _input_tile(LANES, 0, 1, scratch, shift, out + shift // 2, stride, ahead)
                else:
                    _input_tile(LANES, 4, 1, scratch, shift, out + shift // 2, stride, ahead)
            continue
        for shift in range(0, 4 * step[_RUN], 4 * LANES):
            if code == 2:
                _input_tile(LANES, 2, 0, scratch, shift, out + shift, stride, ahead)
            elif code == 0:
                _input_tile(LANES, 0, 0, scratch, shift, out + shift, stride, ahead)
            elif code == 1:
                _input_tile(LANES, 1, 0, scratch, shift, out + shift, stride, ahead)
            elif code == 3:
                _input_tile(LANES, 3, 0, scratch, shift, out + shift, stride, ahead)
            elif code == 4:
                _input_tile(LANES, 4, 0, scratch, shift, out + shift, stride, ahead)
            else:
                _input_tile(LANES, 5, 0, scratch, shift, out + shift, stride, ahead)


@kernel
def _multiply(paired, derived, narrow, table, run, weights, bias, at, ahead, step, to_a, to_c, factors):
    """The register tile of this kind and width; see `multiply_tile`."""
    if paired:
        if narrow:
            multiply_tile(LANES, PIXELS, 1, PAIRS, table, 0, 1, run, weights, bias, at, ahead, step, 0, 0, 0, 0)
        else:
            multiply_tile(LANES, PIXELS, BLOCKS, PAIRS, table, 0, 1, run, weights, bias, at, ahead, step, 0, 0, 0, 0)
    elif derived:
        if narrow:
            multiply_tile(
                LANES, PIXELS, 1, DERIVED, table, 0, 1, run, weights, bias, at, ahead, step, to_a, to_c, factors, 0
            )
        else:
            multiply_tile(
                LANES, PIXELS, BLOCKS, DERIVED, table, 0, 1, run, weights, bias, at, ahead, step, to_a, to_c, factors, 0
            )
    elif narrow:
        multiply_tile(LANES, PIXELS, 1, PLAIN, table, 0, 1, run, weights, bias, at, ahead, step, 0, 0, 0, 0)
    else:
        multiply_tile(LANES, PIXELS, BLOCKS, PLAIN, table, 0, 1, run, weights, bias, at, ahead, step, 0, 0, 0, 0)


@kernel
def winograd_multiply(step, task, scratch):
    """Multiply some blocks of filters of one tile element with all tiles of the band.

    X is (n * n, TILE_PITCH, RUN), the weights (panels, blocks, RUN, lanes), Y (n * n, blocks, TILE_PITCH, lanes).
    PARAMETERS is the (n * n, PANEL_COLUMNS) int64 table of `lay_out_panels`, the address of alpha and gamma at the end.
    """
    groups = (step[_N_BLOCKS] + step[_BLOCK_STEP] - 1) // step[_BLOCK_STEP]
    panels = integers(step[_PARAMETERS] + 8 * PANEL_COLUMNS * (task // groups), PANEL_COLUMNS)
    element, derived = panels[0], panels[1]
    first = (task - task // groups * groups) * step[_BLOCK_STEP]
    blocks = integers(step[_BLOCK_TABLE], step[_N_BLOCKS] * BLOCK_COLUMNS)
    starts = integers(scratch, PIXELS)
    pitch, width, run = step[_TILE_PITCH], step[_WIDTH], step[_RUN]
    rows = (step[_TILE_COUNT] + PIXELS - 1) // PIXELS * PIXELS
    panel_bytes = 4 * run * width
    to_a, to_c = (panels[2] - panels[3]) * panel_bytes, (panels[4] - panels[3]) * panel_bytes
    factors = panels[5]
    # The next block's weights are fetched while this one's are multiplied, a share with every row of tiles; without
    # that memory idles after the first row: 512 -> 512 at 13 x 13, F2, 2.18 ms against 1.79 ms.
    ahead_step = 4 * UNROLL * BLOCKS * LANES * PIXELS // rows
    source = step[_X] + element * pitch * step[_X_PIXEL]
    for block in range(first, min(first + step[_BLOCK_STEP], step[_N_BLOCKS])):
        row = block * BLOCK_COLUMNS
        lane = blocks[row]
        channels, bias = blocks[row + 2], step[_OUTSIDE]
        weights = blocks[row + 3] + panels[3] * panel_bytes
        lanes = BLOCKS * LANES if channels > LANES else LANES
        out = step[_Y] + 4 * (element * width + lane) * pitch
        block_bytes = 4 * run * lanes
        for tile in range(0, step[_TILE_COUNT], PIXELS):
            ahead = weights + block_bytes + block_bytes * tile // rows
            for p in range(PIXELS):
                starts[p] = source + (tile + p) * step[_X_PIXEL]
            at = out + 4 * tile * lanes
            _multiply(
                step[_BFLOAT16], derived, channels <= LANES,
                scratch, run, weights, bias, at, ahead, ahead_step, to_a, to_c, factors,
            )  # fmt: skip


@kernel
def winograd_output(step, task, scratch):
    """Transform a share of the band's tiles back to (H, W, filters), with bias, activation and shortcut."""
    code = step[_MODE]
    m = _M[code]
    pitch, width = step[_TILE_PITCH], step[_WIDTH]
    blocks = integers(step[_BLOCK_TABLE], step[_N_BLOCKS] * BLOCK_COLUMNS)
    first = step[_TILE_FIRST] + task * step[_TILE_STEP]
    last = min(first + step[_TILE_STEP], step[_TILE_FIRST] + step[_TILE_COUNT])
    stride = 4 * width * pitch
    for block in range(step[_N_BLOCKS]):
        row = block * BLOCK_COLUMNS
        lane, channels = blocks[row], blocks[row + 2]
        lanes = BLOCKS * LANES if channels > LANES else LANES
        for tile in range(first, last):
            image = tile // step[_TILES_IMAGE]
            place = tile - image * step[_TILES_IMAGE]
            tile_y = place // step[_TILES_X]
            y = tile_y * m
            x = (place - tile_y * step[_TILES_X]) * m
            rows, pixels = min(m, step[_OUT_H] - y), min(m, step[_OUT_W] - x)
            source = step[_X] + 4 * (lane * pitch + (tile - step[_TILE_FIRST]) * lanes)
            for start in range(0, channels, LANES):
                bias = blocks[row + 4] + 4 * start
                if code == 2:
                    _output_tile(LANES, 2, source + 4 * start, stride, bias, scratch)
                elif code == 0:
                    _output_tile(LANES, 0, source + 4 * start, stride, bias, scratch)
                elif code == 1:
                    _output_tile(LANES, 1, source + 4 * start, stride, bias, scratch)
                elif code == 3:
                    _output_tile(LANES, 3, source + 4 * start, stride, bias, scratch)
                elif code == 4:
                    _output_tile(LANES, 4, source + 4 * start, stride, bias, scratch)
                else:
                    _output_tile(LANES, 5, source + 4 * start, stride, bias, scratch)
                activate(step[_ACTIVATION], scratch, m * m * LANES)
                shift = blocks[row + 1] + 4 * start
                into, beside = step[_Y] + image * step[_Y_IMAGE], step[_SECOND] + image * step[_SECOND_IMAGE]
                if step[_SECOND] != 0:
                    for i in range(rows):
                        pixel = (y + i) * step[_OUT_W] + x
                        second = beside + pixel * step[_SECOND_PIXEL] + shift
                        add_rows(scratch + 4 * i * m * LANES, pixels, 1, second, step[_SECOND_PIXEL])
                    activate(step[_ACTIVATION_2], scratch, m * m * LANES)
                for i in range(rows):
                    target = into + ((y + i) * step[_OUT_W] + x) * step[_Y_PIXEL] + shift
                    count = min(LANES, channels - start)
                    store_rows(scratch + 4 * i * m * LANES, 4 * LANES, pixels, count, target, step[_Y_PIXEL])
