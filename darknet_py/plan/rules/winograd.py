"""The steps of a Winograd convolution: two phases per band of tiles."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import slices
from darknet_py.kernels.ops.winograd_filters import HEIGHT, LINE, RUNS, winograd_filters
from darknet_py.kernels.ops.winograd_input import TILE, winograd_input
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS, TILES, Algorithm, Derived, Scheme, TileKind
from darknet_py.kernels.tiles.register import BLOCKS, HEIGHTS, PIXELS
from darknet_py.layers import Convolutional
from darknet_py.plan.blocks import Packed
from darknet_py.plan.buffers import Buffer, View
from darknet_py.plan.lowering import Lowering
from darknet_py.shape import Shape

__all__ = ["winograd"]

#: Products of a block of filters: of one part of a band, in a second-level cache beside weights and inputs. With 256 KB
#: yolov4 takes 1.03 times as long at 608 or in a batch, with 1 MB 1.02 and 0.98 times; 768 KB is within 1 % of best.
_PRODUCT_BYTES = 768 << 10

Tiles = NDArray[np.int64]


def winograd(
    lower: Lowering,
    layer: Convolutional,
    packed: Packed,
    x: View,
    y: View,
    second: View | None,
    activation: int,
    after: int,
) -> None:
    """Emit the steps of one convolution."""
    algorithm, format = ALGORITHMS[packed.algorithm], packed.format
    channels = -(-x.shape.c // LANES) * LANES
    # Strides of 4 KB would collide in the first-level cache.
    pixel = channels * format.value_bytes + 4 * LANES
    tiles = _cover(algorithm, y.shape.h, y.shape.w, lower.images_of(layer))
    values = algorithm.elements * len(tiles) * pixel
    parts, _ = slices(lower.threads, len(tiles) // PIXELS, len(packed.blocks), packed.owners[0].nbytes, values)
    each = -(-len(tiles) // parts)
    bands = -(-each * algorithm.elements * 4 * BLOCKS * LANES // _PRODUCT_BYTES)
    band = -(-each // bands)
    of_bands = [
        _arrange(algorithm, [tiles[at + first : at + min(first + band, each)] for at in range(0, parts * each, each)])
        for first in range(0, each, band)
    ]
    rows = max(found.rows for found in of_bands)
    buffer = Buffer(algorithm.elements * parts * rows * pixel, shared=True)
    lower.buffers[buffer] = None
    inputs = View(buffer, Shape(x.shape.c, 1, algorithm.elements * parts * rows), format, pixel, buffer.size)
    outside = lower.filled(0.0, max(x.shape.c, BLOCKS * LANES))
    lines, factors = _line_table(algorithm)
    for arranged in of_bands:
        table = _tile_table(arranged, rows)
        both: dict[str, Any] = {"parts": parts, "rows": rows, "tiles": table, "outside": outside}
        lower.emit(winograd_input, layer, x, inputs, pad=layer.pad, **both)
        runs, heights = _run_tables(arranged)
        lower.emit(
            winograd_filters, layer, inputs, y, second, alive=packed.owners, run=packed.run, blocks=packed.blocks,
            n_blocks=len(packed.blocks), lean=algorithm.lean, side=algorithm.scheme.n, lines=lines, factors=factors,
            runs=runs, heights=heights, activation=activation, after=after, **both,
        )  # fmt: skip


# Tiles --------------------------------------------------------------------------------------------------------


def _starts(length: int, scheme: Scheme, smaller: Scheme) -> list[tuple[int, bool]]:
    """Where tiles begin that cover a length with the fewest multiplications, and which of them are small."""
    counts = [(large, max(0, -(-(length - large * scheme.m) // smaller.m))) for large in range(length // scheme.m + 2)]
    if scheme is smaller:
        counts = [(-(-length // scheme.m), 0)]
    large, small = min(counts, key=lambda count: (count[0] * scheme.n + count[1] * smaller.n, sum(count)))
    starts = [(n * scheme.m, False) for n in range(large)]
    return starts + [(large * scheme.m + n * smaller.m, True) for n in range(small)]


def _cover(algorithm: Algorithm, height: int, width: int, images: int) -> Tiles:
    """All tiles (kind, image, first output row, column), image by image and row by row."""
    scheme, smaller, _ = algorithm
    down, across = _starts(height, scheme, smaller), _starts(width, scheme, smaller)
    kinds = {
        (small_down, small_across): TILES.index(TileKind.of(algorithm, small_down, small_across))
        for small_down in {small for _, small in down}
        for small_across in {small for _, small in across}
    }
    one = [(kinds[small_down, small_across], 0, y, x) for y, small_down in down for x, small_across in across]
    tiles = np.tile(np.array(one, np.int64), (images, 1))
    tiles[:, 1] = np.repeat(np.arange(images), len(one))
    return tiles


class _Arranged(NamedTuple):
    """The tiles of a band by part, in an order in which those that have an element follow each other.

    `runs` are, of each part and each of four groups of elements, the (first row, height) of register tiles; no part
    reaches beyond `rows`.
    """

    tiles: list[Tiles]
    runs: list[list[list[tuple[int, int]]]]
    rows: int


def _arrange(algorithm: Algorithm, parts: list[Tiles]) -> _Arranged:
    ordered, runs, rows = [], [], 1
    for tiles in parts:
        tiles, ranges = _sort(algorithm, tiles)
        groups = [_register_tiles(first, count) for first, count in ranges]
        ordered.append(tiles)
        runs.append(groups)
        rows = max(rows, len(tiles), *(first + height for group in groups for first, height in group))
    return _Arranged(ordered, runs, rows)


def _sort(algorithm: Algorithm, tiles: Tiles) -> tuple[Tiles, list[tuple[int, int]]]:
    """Order tiles so that those which have an element follow each other; (first, count) for each group of elements.

    Groups: what all tiles have, what those have that are large across, down, both ways.
    """
    kinds = [TILES[code] for code in tiles[:, 0]]
    down = np.array([kind.down is algorithm.scheme for kind in kinds], bool)
    across = np.array([kind.across is algorithm.scheme for kind in kinds], bool)
    rank = np.select([down & ~across, down & across, across], [0, 1, 2], 3)
    alone, both, beside = (int(np.count_nonzero(rank == n)) for n in range(3))
    ranges = [(0, len(tiles)), (alone, both + beside), (0, alone + both), (alone, both)]
    return tiles[np.argsort(rank, kind="stable")], ranges


def _register_tiles(first: int, count: int) -> list[tuple[int, int]]:
    """Heights of register tiles that cover `count` rows from row `first`."""
    found = []
    for height in _heights(count):
        found.append((first, height))
        first += height
    return found


@cache
def _heights(count: int) -> tuple[int, ...]:
    """The heights with the fewest rows in all, each counted as a row more; the tallest first."""
    whole = max(0, count // HEIGHTS[0] - 2)
    best: list[tuple[int, ...]] = [()]
    for left in range(1, count - whole * HEIGHTS[0] + 1):
        options = [(height, *best[max(0, left - height)]) for height in HEIGHTS]
        best.append(min(options, key=lambda heights: (sum(heights) + len(heights), len(heights))))
    return (HEIGHTS[0],) * whole + tuple(sorted(best[-1], reverse=True))


# Tables -------------------------------------------------------------------------------------------------------


def _tile_table(arranged: _Arranged, rows: int) -> NDArray[Any]:
    """The tiles, `rows` of each part."""
    table = np.full((len(arranged.tiles), rows, 4), -1, np.int64)
    for part, tiles in zip(table, arranged.tiles, strict=True):
        part[: len(tiles)] = tiles
    return table.view(TILE)


def _run_tables(arranged: _Arranged) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which register tiles each part and group of elements has, and the register tiles."""
    groups = [group for part in arranged.runs for group in part]
    first = np.cumsum([0, *map(len, groups)])
    runs = np.array(list(zip(first[:-1], map(len, groups), strict=True)), RUNS)
    return runs, np.array([run for group in groups for run in group], HEIGHT)


def _line_table(algorithm: Algorithm) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Where the weights of each of the scheme's multiplications are, and their factors."""
    in_all = set(algorithm.places)
    table = np.zeros(len(algorithm.scheme.rows), LINE)
    factors = np.zeros((len(table), 2), np.float32)
    for number, row in enumerate(algorithm.scheme.rows):
        only_large = number not in in_all
        if isinstance(row, Derived):
            table[number] = (-1, row.a, row.b, row.c, only_large)
            factors[number] = row.alpha, row.gamma
        else:
            table[number] = (row, 0, 0, 0, only_large)
    return table, factors
