"""Winograd convolution with 3 x 3 kernels, channels last, in two phases; the schemes are in `cook_toom`.

The first transforms all input tiles of a band of the image. The second takes one block of filters after the other:
multiplies for each tile element a (tiles, C) by a (C, filters) matrix and transforms the products, which are still in
the second-level cache, back to outputs.

The weights of an element are stored, or (lean) combined from the nine taps of the direct algorithm: first those of a
column of elements from the taps of each row, then those of an element from that column. So no more memory is read than
by the direct algorithm, a ninth to a quarter of what stored weights take.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.jit import LANES, inlined, kernel
from darknet_py.kernels.ops.operation import Cut, arguments, operation
from darknet_py.kernels.ops.step import BLOCK, STEP, TOGETHER, record_at, records_at, step_at
from darknet_py.kernels.ops.winograd_input import TILE
from darknet_py.kernels.tiles.cook_toom import TILES
from darknet_py.kernels.tiles.epilogue import finish_tile
from darknet_py.kernels.tiles.register import BLOCKS, DERIVED, HEIGHTS, UNROLL
from darknet_py.kernels.tiles.winograd_tile import combine_taps, multiply_rows, output_tile
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.kernels.vector.pointers import integers
from darknet_py.kernels.vector.rows import fetch_rows

__all__ = ["HEIGHT", "LINE", "RUNS", "product_stride", "winograd_filters"]

#: One of a scheme's multiplications: the tap that its weights are (-1: combined), or the taps a, b and c, and whether
#: only large tiles have it.
LINE = np.dtype([(name, "i8") for name in ("tap", "a", "b", "c", "only_large")], align=True)
#: A register tile: its first tile of the image, and how many it holds.
HEIGHT = np.dtype([("tile", "i8"), ("height", "i8")], align=True)
#: The register tiles of a part of the band and a group of elements: the first one, and how many.
RUNS = np.dtype([("first", "i8"), ("count", "i8")], align=True)

#: `lean` weights are 9 taps, others all elements, (..., run, lanes). `lines` and the `factors` alpha and gamma are of
#: the `side` multiplications of the scheme. `runs` are (parts, 4): for elements that all tiles have, that large ones
#: across, down or both ways have; `rows` the tiles of each part, `outside` zeros.
WINOGRAD_FILTERS = arguments(
    *("run", "n_blocks", "lean", "side", "parts", "rows", "activation", "after"),
    blocks=BLOCK,
    outside="f4",
    lines=LINE,
    factors="f4",
    tiles=TILE,
    runs=RUNS,
    heights=HEIGHT,
)

_M_DOWN = tuple(kind.down.m for kind in TILES)
_M_ACROSS = tuple(kind.across.m for kind in TILES)
_FLOAT32 = FLOAT32.code

#: Scratch: the addresses of a register tile or a tile of outputs, the step as it is for one image, the products, then
#: the weights of a column of elements (3, run, lanes) and of one.
_STEP_AT = -(-max(8 * HEIGHTS[0], 4 * LANES * max(m * n for m, n in zip(_M_DOWN, _M_ACROSS, strict=True))) // 64) * 64
_PRODUCTS_AT = -(-(_STEP_AT + STEP.itemsize) // 64) * 64
_STEP_WORDS = STEP.itemsize // 8


@kernel
def product_stride(rows, lanes):
    """Bytes from the products of an element to those of the next: an odd number of lines, to spread over the cache."""
    return ((4 * rows * lanes + 63) // 64 | 1) * 64


def _cut(step: Any, own: Any, threads: int, images: int) -> Cut:
    parts = int(own["parts"])
    return Cut(parts * int(own["n_blocks"]), TOGETHER, parts)


def _scratch(step: Any, own: Any) -> int:
    side, combined = int(own["side"]), 4 * 4 * int(own["run"]) * BLOCKS * LANES
    return int(_PRODUCTS_AT + side * side * product_stride(int(own["rows"]), BLOCKS * LANES) + combined)


def _beyond(step: Any, own: Any) -> int:
    return 4 * LANES if step["second"]["pixel"] else 0  # whole vectors of a block's channels


@operation(arguments=WINOGRAD_FILTERS, cut=_cut, scratch=_scratch, beyond=_beyond)
def winograd_filters(address, task, scratch):
    """Multiply a block of filters with the tiles of a part of the band and transform the products back.

    x is (elements, tiles, run).
    """
    step = step_at(address)
    own = record_at(step.arguments, WINOGRAD_FILTERS)
    part, number = task // own.n_blocks, task % own.n_blocks
    block = records_at(own.blocks, own.n_blocks, BLOCK)[number]
    words, copied = integers(address, _STEP_WORDS), integers(scratch + _STEP_AT, _STEP_WORDS)
    for n in range(_STEP_WORDS):
        copied[n] = words[n]
    _multiply_block(step, own, part, block, scratch)
    _finish_block(step, own, part, block, scratch)


@inlined
def _combine_column(taps, panel, by, factors, ready, wanted, sums, vectors):
    """Combine the weights of a column of elements for those rows of the kernel in `wanted` that are not `ready`."""
    for n in range(3):
        if wanted & ~ready & (1 << n):
            row = taps + 3 * n * panel
            a, b, c = row + by.a * panel, row + by.b * panel, row + by.c * panel
            combine_taps(a, b, c, factors, sums + n * panel, vectors)


@inlined
def _multiply_block(step, own, part, block, scratch):
    """The products (elements, tiles, lanes) of a block of filters.

    Lean weights are combined by the first register tile that needs them, which writes them down for the others: alone
    it takes 35 cycles a channel instead of 27 (Zen 4), where `combine_taps` would take 16 beside it.
    """
    side, run, lean = own.side, own.run, own.lean
    vectors = BLOCKS if block.count > LANES else 1
    taps = block.weights
    panel = 4 * run * vectors * LANES
    sums = scratch + _PRODUCTS_AT + side * side * product_stride(own.rows, BLOCKS * LANES)
    whole = sums + 3 * panel
    lines = records_at(own.lines, side, LINE)
    runs = records_at(own.runs, 4 * step.parts, RUNS)
    for j in range(side):
        across, across_factors = lines[j], own.factors + 8 * j
        # The weights of this column of elements: where those for the first row of the kernel are, how far apart the
        # three are, and which of them (bits) are there already, as they are taps.
        combines = lean and across.tap < 0
        base, apart = (sums, panel) if combines else (taps + max(across.tap, 0) * panel, 3 * panel)
        ready = 0 if combines else 7
        for i in range(side):
            down = lines[i]
            group = runs[4 * part + 2 * down.only_large + across.only_large]
            if group.count == 0:
                continue
            kind, weights, kept = step.x.format, taps + (j * side + i) * panel, whole
            factors, to_a, to_c = own.factors + 8 * i, 0, 0
            if lean and down.tap >= 0:
                weights = kept = base + down.tap * apart
                if not ready & (1 << down.tap):
                    ready |= 1 << down.tap
                    kind, factors = DERIVED, across_factors
                    weights = taps + (3 * down.tap + across.b) * panel
                    to_a, to_c = (across.a - across.b) * panel, (across.c - across.b) * panel
            elif lean:
                wanted = 1 << down.a | 1 << down.b | 1 << down.c
                _combine_column(taps, panel, across, across_factors, ready, wanted, base, run * vectors)
                ready |= wanted
                kind, weights = DERIVED, base + down.b * apart
                to_a, to_c = (down.a - down.b) * apart, (down.c - down.b) * apart
            _multiply_element(
                step, own, part, j * side + i, group, vectors, kind, taps, weights, to_a, to_c, factors, kept, scratch
            )


@inlined
def _multiply_element(
    step, own, part, element, group, vectors, kind, taps, weights, to_a, to_c, factors, kept, scratch
):
    """The products of one element, in the register tiles of its group of elements."""
    place, rows_of_part, run, lanes = step.x, own.rows, own.run, vectors * LANES
    heights = records_at(own.heights, group.first + group.count, HEIGHT)
    begin, end = heights[group.first], heights[group.first + group.count - 1]
    first = begin.tile
    rows = end.tile + end.height - first
    elements, panel = own.side * own.side, 4 * run * lanes
    starts = integers(scratch, HEIGHTS[0])
    inputs = step.parts * rows_of_part * place.pixel
    source = place.at + part * rows_of_part * place.pixel + element * inputs
    out = scratch + _PRODUCTS_AT + element * product_stride(rows_of_part, lanes)
    for n in range(group.first, group.first + group.count):
        tile, height = heights[n].tile, heights[n].height
        # What comes from memory next is fetched meanwhile, a share with every register tile: inputs of the next
        # element, and weights of the next one or (lean) taps of the next block.
        done = panel * (tile - first) // rows
        ahead = taps + (element + 1) * panel + done
        ahead_step = 4 * UNROLL * BLOCKS * LANES * height // rows
        if own.lean:
            ahead = taps + 9 * panel + 9 * (panel * element + done) // elements
            ahead_step = 9 * ahead_step // elements
        for p in range(height):
            starts[p] = source + (tile + p) * place.pixel
        multiply_rows(
            lanes=LANES, kind=kind, vectors=vectors, height=height, table=scratch, channels=run, weights=weights,
            bias=own.outside, out=out + 4 * tile * lanes, ahead=ahead, ahead_step=ahead_step,
            beside=starts[0] + inputs, beside_step=UNROLL * height * place.pixel // run, to_a=to_a, to_c=to_c,
            factors=factors, kept=kept,
        )  # fmt: skip
        if kind == DERIVED:
            kind, weights = _FLOAT32, kept


@inlined
def _finish_block(step, own, part, block, scratch):
    """Transform the products of a block back to (H, W, filters), with bias, activation and shortcut."""
    channels = block.count
    lanes = BLOCKS * LANES if channels > LANES else LANES
    stride = product_stride(own.rows, lanes)
    tiles, end = records_at(own.tiles, step.parts * own.rows, TILE), (part + 1) * own.rows
    whole = record_at(scratch + _STEP_AT, STEP)
    for row in range(part * own.rows, end):
        tile = tiles[row]
        code, image, y, x = tile.kind, tile.image, tile.y, tile.x
        if code < 0:
            continue
        if row + 1 < end:
            _fetch_tile(step, tiles[row + 1], block.y, channels)
        down, across = _M_DOWN[code], _M_ACROSS[code]
        rows, pixels = min(down, step.y.h - y), min(across, step.y.w - x)
        whole.y.at, whole.second.at = step.y.at + image * step.y.image, step.second.at
        if step.second.at != 0:
            whole.second.at += image * step.second.image
        source = scratch + _PRODUCTS_AT + 4 * (row - part * own.rows) * lanes
        for start in range(0, channels, LANES):
            output_tile(
                lanes=LANES, code=code, source=source + 4 * start, stride=stride, bias=block.bias + 4 * start,
                out=scratch,
            )  # fmt: skip
            finish_tile(
                whole, own.activation, own.after, scratch, 4 * across * LANES, rows, pixels, 1, y, x,
                block.y + start, min(LANES, channels - start),
            )  # fmt: skip


@inlined
def _fetch_tile(step, tile, first, channels):
    """Ask for the lines that a tile is to be written to."""
    to, code = step.y, tile.kind
    if code >= 0:
        target = to.at + tile.image * to.image + tile.y * to.row + tile.x * to.pixel + first * to.value
        pixels = min(_M_ACROSS[code], to.w - tile.x)
        for i in range(min(_M_DOWN[code], to.h - tile.y)):
            fetch_rows(target + i * to.row, pixels, channels, to.pixel)
