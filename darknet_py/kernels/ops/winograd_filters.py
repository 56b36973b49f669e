"""Winograd convolution with 3 x 3 kernels, channels last, in two phases; the schemes are in `cook_toom`.

The first transforms all input tiles of a band of the image. The second takes one block of filters after the other:
multiplies for each tile element a (tiles, C) by a (C, filters) matrix and transforms the products, which are still in
the second-level cache, back to outputs.

The weights of an element are stored, or (lean) combined from the nine taps of the direct algorithm: first those of a
column of elements from the taps of each row, then those of an element from that column. So no more memory is read than
by the direct algorithm, a ninth to a quarter of what stored weights take.
"""

from __future__ import annotations

from darknet_py.kernels.jit import LANES, MATRIX_TILES, inlined, kernel
from darknet_py.kernels.ops.call import step_at
from darknet_py.kernels.ops.steps import BLOCK_COLUMNS, COLUMNS
from darknet_py.kernels.tiles.cook_toom import TILES
from darknet_py.kernels.tiles.register import BLOCKS, DERIVED, HEIGHTS, PAIRS, PLAIN, UNROLL
from darknet_py.kernels.tiles.winograd_tile import combine_taps, input_tile, multiply_rows, output_tile
from darknet_py.kernels.vector.activate import activate
from darknet_py.kernels.vector.pointers import integers
from darknet_py.kernels.vector.rows import add_rows, fetch_rows, store_rows

__all__ = ["LINE_COLUMNS", "TILE_COLUMNS", "product_stride", "winograd_filters", "winograd_input"]

_X, _X_PIXEL, _X_ROW, _IN_H, _IN_W = (COLUMNS[name] for name in ("X", "X_PIXEL", "X_ROW", "IN_H", "IN_W"))
_Y, _Y_PIXEL, _OUT_H, _OUT_W = (COLUMNS[name] for name in ("Y", "Y_PIXEL", "OUT_H", "OUT_W"))
_SECOND, _SECOND_PIXEL, _PAD, _OUTSIDE = (COLUMNS[name] for name in ("SECOND", "SECOND_PIXEL", "PAD_Y", "OUTSIDE"))
_RUN, _BLOCK_TABLE, _N_BLOCKS, _LEAN = (COLUMNS[name] for name in ("RUN", "BLOCKS", "N_BLOCKS", "MODE"))
_TILE_STEP, _BFLOAT16 = COLUMNS["TILE_STEP"], COLUMNS["BFLOAT16"]
_TILES, _RUNS, _ROWS, _SIDE = (COLUMNS[name] for name in ("TILES", "RUNS", "TILE_ROWS", "SIDE"))
_TASKS, _PARTS, _SCRATCH = COLUMNS["TASKS"], COLUMNS["PARTS"], COLUMNS["SCRATCH"]
_X_IMAGE, _Y_IMAGE, _SECOND_IMAGE = (COLUMNS[name] for name in ("X_IMAGE", "Y_IMAGE", "SECOND_IMAGE"))
_ACTIVATION, _ACTIVATION_2, _PARAMETERS = (COLUMNS[name] for name in ("ACTIVATION", "ACTIVATION_2", "PARAMETERS"))

#: A row of the table of a scheme's multiplications: tap that the weights are (-1: combined), taps a, b and c, address
#: of alpha and gamma, whether only large tiles have it.
LINE_COLUMNS = 6

#: A row of the tile table: kind (-1: no tile here), image, first output row and column.
TILE_COLUMNS = 4

_DOWN = tuple(kind.down.n for kind in TILES)
_ACROSS = tuple(kind.across.n for kind in TILES)
_M_DOWN = tuple(kind.down.m for kind in TILES)
_M_ACROSS = tuple(kind.across.m for kind in TILES)
_STRIDE = tuple(kind.down.stride for kind in TILES)


@kernel
def product_stride(rows, lanes):
    """Bytes from the products of an element to those of the next: an odd number of lines, to spread over the cache."""
    return ((4 * rows * lanes + 63) // 64 | 1) * 64


@kernel
def winograd_input(address, task, scratch):
    """Transform a share of the band's tiles: (H, W, C) at X to (elements, tiles, RUN) at Y."""
    step = step_at(address)
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
            if not MATRIX_TILES:
                for shift in range(0, 8 * step[_RUN], 4 * LANES):
                    input_tile(LANES, 1, code, scratch, shift, out + shift // 2, stride, ahead)
        else:
            for shift in range(0, 4 * step[_RUN], 4 * LANES):
                input_tile(LANES, 0, code, scratch, shift, out + shift, stride, ahead)


@kernel
def winograd_filters(address, task, scratch):
    """Multiply a block of filters with the tiles of a part of the band and transform the products back.

    X is (elements, tiles, RUN), the weights of a block (9 taps with MODE 1, lean, or all elements, RUN, lanes).
    PARAMETERS is the (SIDE, LINE_COLUMNS) table of the scheme. RUNS is (parts, 4, 2): for elements that all tiles have,
    that large ones across, down or both ways have, the address and number of rows (first tile, height) for register
    tiles. SCRATCH is where in scratch there is room for products, for a column of combined weights (3, RUN, lanes) and
    for an element's.
    """
    step = step_at(address)
    part, block = task // step[_N_BLOCKS], task % step[_N_BLOCKS]
    _multiply_block(step, part, block, scratch)
    _finish_block(step, part, block, scratch)


@inlined
def _combine_column(taps, panel, by, ready, wanted, sums, vectors):
    """Combine the weights of a column of elements for those rows of the kernel in `wanted` that are not `ready`."""
    for n in range(3):
        if wanted & ~ready & (1 << n):
            row = taps + 3 * n * panel
            a, b, c = row + by[1] * panel, row + by[2] * panel, row + by[3] * panel
            combine_taps(a, b, c, by[4], sums + n * panel, vectors)


@inlined
def _multiply_block(step, part, block, scratch):
    """The products (elements, tiles, lanes) of a block of filters.

    Lean weights are combined by the first register tile that needs them, which writes them down for the others: alone
    it takes 35 cycles a channel instead of 27 (Zen 4), where `combine_taps` would take 16 beside it.
    """
    side, run = step[_SIDE], step[_RUN]
    blocks = integers(step[_BLOCK_TABLE] + 8 * BLOCK_COLUMNS * block, BLOCK_COLUMNS)
    vectors = BLOCKS if blocks[2] > LANES else 1
    taps = blocks[3]
    panel = 4 * run * vectors * LANES
    sums = scratch + step[_SCRATCH] + side * side * product_stride(step[_ROWS], BLOCKS * LANES)
    whole = sums + 3 * panel
    lines = integers(step[_PARAMETERS], side * LINE_COLUMNS)
    lean = step[_LEAN]
    for j in range(side):
        across = lines[j * LINE_COLUMNS : (j + 1) * LINE_COLUMNS]
        # The weights of this column of elements: where those for the first row of the kernel are, how far apart the
        # three are, and which of them (bits) are there already, as they are taps.
        combines = lean and across[0] < 0
        base, apart = (sums, panel) if combines else (taps + max(across[0], 0) * panel, 3 * panel)
        ready = 0 if combines else 7
        for i in range(side):
            down = lines[i * LINE_COLUMNS : (i + 1) * LINE_COLUMNS]
            group = step[_RUNS] + 16 * (4 * part + 2 * down[5] + across[5])
            if integers(group, 2)[1] == 0:
                continue
            kind, weights, kept = PLAIN, taps + (j * side + i) * panel, whole
            by, to_a, to_c = down, 0, 0
            if step[_BFLOAT16]:
                kind = PAIRS
            elif lean and down[0] >= 0:
                weights = kept = base + down[0] * apart
                if not ready & (1 << down[0]):
                    ready |= 1 << down[0]
                    kind, by, weights = DERIVED, across, taps + (3 * down[0] + across[2]) * panel
                    to_a, to_c = (across[1] - across[2]) * panel, (across[3] - across[2]) * panel
            elif lean:
                wanted = 1 << down[1] | 1 << down[2] | 1 << down[3]
                _combine_column(taps, panel, across, ready, wanted, base, run * vectors)
                ready |= wanted
                kind, weights = DERIVED, base + down[2] * apart
                to_a, to_c = (down[1] - down[2]) * apart, (down[3] - down[2]) * apart
            _multiply_element(
                step, part, j * side + i, group, vectors, kind, taps, weights, to_a, to_c, by[4], kept, scratch
            )


@inlined
def _multiply_element(step, part, element, group, vectors, kind, taps, weights, to_a, to_c, factors, kept, scratch):
    """The products of one element, in the register tiles of its group of elements."""
    count = integers(group, 2)[1]
    heights = integers(integers(group, 2)[0], 2 * count)
    first, rows = heights[0], heights[2 * count - 2] + heights[2 * count - 1] - heights[0]
    run, lanes = step[_RUN], vectors * LANES
    elements, panel = step[_SIDE] * step[_SIDE], 4 * run * lanes
    starts = integers(scratch, HEIGHTS[0])
    inputs = step[_PARTS] * step[_ROWS] * step[_X_PIXEL]
    source = step[_X] + part * step[_ROWS] * step[_X_PIXEL] + element * inputs
    out = scratch + step[_SCRATCH] + element * product_stride(step[_ROWS], lanes)
    for n in range(count):
        tile, height = heights[2 * n], heights[2 * n + 1]
        # What comes from memory next is fetched meanwhile, a share with every register tile: inputs of the next
        # element, and weights of the next one or (lean) taps of the next block.
        done = panel * (tile - first) // rows
        ahead = taps + (element + 1) * panel + done
        ahead_step = 4 * UNROLL * BLOCKS * LANES * height // rows
        if step[_LEAN]:
            ahead = taps + 9 * panel + 9 * (panel * element + done) // elements
            ahead_step = 9 * ahead_step // elements
        for p in range(height):
            starts[p] = source + (tile + p) * step[_X_PIXEL]
        multiply_rows(
            LANES, kind, vectors, height, scratch, run, weights, step[_OUTSIDE], out + 4 * tile * lanes,
            ahead, ahead_step, starts[0] + inputs, UNROLL * height * step[_X_PIXEL] // run, to_a, to_c, factors, kept,
        )  # fmt: skip
        if kind == DERIVED:
            kind, weights = PLAIN, kept


@inlined
def _finish_block(step, part, block, scratch):
    """Transform the products of a block back to (H, W, filters), with bias, activation and shortcut."""
    blocks = integers(step[_BLOCK_TABLE] + 8 * BLOCK_COLUMNS * block, BLOCK_COLUMNS)
    channels, shift = blocks[2], blocks[1]
    lanes = BLOCKS * LANES if channels > LANES else LANES
    stride = product_stride(step[_ROWS], lanes)
    end = (part + 1) * step[_ROWS]
    for row in range(part * step[_ROWS], end):
        tile = integers(step[_TILES] + 8 * TILE_COLUMNS * row, TILE_COLUMNS)
        code, image, y, x = tile[0], tile[1], tile[2], tile[3]
        if code < 0:
            continue
        if row + 1 < end:
            _fetch_tile(step, integers(step[_TILES] + 8 * TILE_COLUMNS * (row + 1), TILE_COLUMNS), shift, channels)
        down, across = _M_DOWN[code], _M_ACROSS[code]
        rows, pixels = min(down, step[_OUT_H] - y), min(across, step[_OUT_W] - x)
        into, beside = step[_Y] + image * step[_Y_IMAGE] + shift, step[_SECOND] + image * step[_SECOND_IMAGE] + shift
        source = scratch + step[_SCRATCH] + 4 * (row - part * step[_ROWS]) * lanes
        for start in range(0, channels, LANES):
            output_tile(LANES, code, source + 4 * start, stride, blocks[4] + 4 * start, scratch)
            activate(step[_ACTIVATION], scratch, down * across * LANES)
            if step[_SECOND] != 0:
                for i in range(rows):
                    second = beside + ((y + i) * step[_OUT_W] + x) * step[_SECOND_PIXEL] + 4 * start
                    add_rows(scratch + 4 * i * across * LANES, pixels, 1, second, step[_SECOND_PIXEL])
                activate(step[_ACTIVATION_2], scratch, down * across * LANES)
            count = min(LANES, channels - start)
            for i in range(rows):
                target = into + ((y + i) * step[_OUT_W] + x) * step[_Y_PIXEL] + 4 * start
                store_rows(scratch + 4 * i * across * LANES, 4 * LANES, pixels, count, target, step[_Y_PIXEL])


@inlined
def _fetch_tile(step, tile, shift, channels):
    """Ask for the lines that a tile is to be written to."""
    code, y, x = tile[0], tile[2], tile[3]
    if code >= 0:
        target = step[_Y] + tile[1] * step[_Y_IMAGE] + (y * step[_OUT_W] + x) * step[_Y_PIXEL] + shift
        pixels = min(_M_ACROSS[code], step[_OUT_W] - x)
        for i in range(min(_M_DOWN[code], step[_OUT_H] - y)):
            fetch_rows(target + i * step[_OUT_W] * step[_Y_PIXEL], pixels, channels, step[_Y_PIXEL])
