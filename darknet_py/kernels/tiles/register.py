"""The register tile under every dense convolution: PIXELS output pixels x `blocks` vectors of output channels.

The accumulators stay in registers over the whole reduction. Input pixels are reached through a table of addresses,
one per (tap, pixel), so that one kernel serves every size, stride, dilation and padding: a tap outside the image
points at a vector of zeros, and a tile may run over the end of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, MATRIX_TILES, TARGET
from darknet_py.kernels.tiles.epilogue import finish_in_registers
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32
from darknet_py.kernels.vector.lanes import I64, Lanes, emit_cases

__all__ = [
    "BLOCKS",
    "DERIVED",
    "HEIGHTS",
    "KINDS",
    "PIXELS",
    "UNROLL",
    "Operands",
    "emit_tile",
    "multiply_strip",
]


class Product(NamedTuple):
    """How values of a format are multiplied: one of an input pixel in all lanes, the weights beside it, the sum.

    Where a multiplication may take one lane, four floats of a pixel are made `together` of its next `channels` (joined
    ones count as one), and `add_lane` takes the number of one of these. A format may do without.
    """

    broadcast: Callable[[Lanes, ir.Value], ir.Value]
    load: Callable[[Lanes, ir.Value], ir.Value]
    add: Callable[[Lanes, ir.Value, ir.Value, ir.Value], ir.Value]
    channels: int = 0
    together: Callable[[Lanes, ir.Value], ir.Value] | None = None
    add_lane: Callable[[Lanes, ir.Value, int, ir.Value, ir.Value], ir.Value] | None = None


#: By code of the format of inputs and weights; joined channels count as one.
PRODUCTS = {
    FLOAT32.code: Product(Lanes.broadcast, Lanes.load, Lanes.fma, 4, Lanes.load, Lanes.fma_lane),
    BFLOAT16.code: Product(
        Lanes.broadcast_pair, Lanes.load_pairs, Lanes.add_pairs, 2, Lanes.load_bfloat16, Lanes.add_pairs_lane
    ),
}

#: What a tile's weights are: of the format with this code, or floats that are combined from three arrays. With matrix
#: tiles, convolutions in other formats than float32 are steps of another kind.
DERIVED = 15
KINDS = (FLOAT32.code,) if MATRIX_TILES else tuple(PRODUCTS)

#: Tile height in pixels and width in vectors, and the heights for rows that are no multiple of it, the tallest first.
PIXELS, BLOCKS, HEIGHTS = TARGET.tile.pixels, TARGET.tile.vectors, TARGET.tile.heights

UNROLL = 4

#: Lanes that do for a block of as many channels: where AVX-512 takes two turns for a vector, half of one takes one. 1x1
#: from 16 channels to 8 takes 0.77 of the time on a Zen 4, Yolo-Fastest-1.1 0.95 in all.
_HALF = LANES // 2 if TARGET.halves_vectors else 0

#: Bytes of a vector, also where fewer lanes are computed.
_VECTOR_BYTES = 4 * LANES

#: Lines of weights fetched ahead per UNROLL channels.
_LINES = 4


@intrinsic
def multiply_strip(
    typingctx: Any,
    kind: Any,
    filters: Any,
    table: Any,
    shift: Any,
    taps: Any,
    channels: Any,
    weights: Any,
    bias: Any,
    out: Any,
    ahead: Any,
    ahead_step: Any,
    finish: Any,
    tiles: Any,
    advance: Any,
) -> Any:
    """out[p, b] = bias[b] + sum over tap, c of input[tap, p][c] * weights[tap, c, b], for a strip of tiles.

    Parameters
    ----------
    kind, filters : int64
        What is multiplied (one of KINDS), and how many output channels there are, on which the tile's width depends.
        There is code for each.
    table : int64
        Address of ``(taps, PIXELS)`` int64 input addresses.
    shift : int64
        Bytes added to each of them (the first channel of a group).
    taps, channels : int64
        Extent of the reduction; `channels` floats are read at each address, or as many groups of joined values of
        another format: 4 bytes again, two channels of bfloat16.
    weights : int64
        Address of ``(taps, channels, blocks, lanes)`` floats, read in order.
    bias : int64
        Address of ``(blocks, lanes)`` floats.
    out : int64
        Address of ``(PIXELS, blocks, lanes)`` floats.
    ahead, ahead_step : int64
        Address of weights or pixels to fetch into the second-level cache meanwhile, and how many bytes of them go by
        per UNROLL channels (_LINES lines are fetched each time). Tiles of one vector fetch nothing: what they wait for
        is loads, of which they make one per multiplication.
    finish : int64
        0, or the address of a record that says where results go instead of `out`: see `finish_in_registers`.
    tiles, advance : int64
        How many tiles follow each other, every input address `advance` bytes after that of the tile before. More than
        one only with `finish`. What every tile costs besides its multiplications falls from 300 instructions to 150
        without the calls and tables in between.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        _emit_strips(builder, *args)
        return context.get_dummy_value()

    return types.void(*([types.int64] * 14)), codegen


def _emit_strips(builder: ir.IRBuilder, kind: ir.Value, filters: ir.Value, *rest: ir.Value) -> None:
    """Emit the code of every kind and width."""
    wide = builder.zext(builder.icmp_signed(">", filters, ir.Constant(I64, LANES)), I64)
    half = builder.zext(builder.icmp_signed("<=", filters, ir.Constant(I64, _HALF)), I64)
    widths = {0: (LANES, 1), 1: (LANES, BLOCKS)} | ({2: (_HALF, 1)} if _HALF else {})
    code = builder.add(builder.mul(kind, ir.Constant(I64, 4)), wide)
    code = builder.add(code, builder.mul(half, ir.Constant(I64, 2)))
    cases = {
        4 * which + width: partial(_emit_strip, Lanes(builder, lanes), which, (PIXELS, blocks), rest)
        for which in KINDS
        for width, (lanes, blocks) in widths.items()
    }
    emit_cases(builder, code, cases)


def _emit_strip(v: Lanes, kind: int, size: tuple[int, int], args: Sequence[ir.Value]) -> None:
    """Emit the loop over tiles that follow each other."""
    builder = v.builder
    operands, (finish, tiles, advance) = Operands(*args[:9]), args[9:]
    groups = builder.sdiv(operands.channels, ir.Constant(I64, UNROLL))
    fetched = builder.mul(operands.ahead_step, builder.mul(operands.taps, groups))
    with cgutils.for_range(builder, tiles, intp=I64) as tile:
        ahead = None if size[1] == 1 else builder.add(operands.ahead, builder.mul(tile.index, fetched))
        shift = builder.add(operands.shift, builder.mul(tile.index, advance))
        before = builder.mul(tile.index, ir.Constant(I64, size[0]))
        here = operands._replace(shift=shift, ahead=ahead, finish=finish, pixels_before=before)
        emit_tile(v, kind, size, here)


class Operands(NamedTuple):
    """The values at run time of a register tile, see `multiply_strip`.

    Without `finish` results always go to `out`; `pixels_before` are those the record is about before this tile's.
    Without `ahead` nothing is fetched; with `beside` another stretch of memory (inputs) is fetched ahead as
    well, `beside_step` bytes each time. With DERIVED the weights are alpha * a + b + gamma * c of three arrays:
    `weights` is b, `to_a` and `to_c` are the bytes from it to the others, `factors` is the address of alpha and gamma,
    and the weights are written to `kept`.
    """

    table: ir.Value
    shift: ir.Value
    taps: ir.Value
    channels: ir.Value
    weights: ir.Value
    bias: ir.Value
    out: ir.Value
    ahead: ir.Value | None
    ahead_step: ir.Value
    beside: ir.Value | None = None
    beside_step: ir.Value | None = None
    to_a: ir.Value | None = None
    to_c: ir.Value | None = None
    factors: ir.Value | None = None
    kept: ir.Value | None = None
    finish: ir.Value | None = None
    pixels_before: ir.Value | None = None


def emit_tile(v: Lanes, kind: int, size: tuple[int, int], operands: Operands) -> None:
    """Emit a register tile of `size` (pixels, vectors of output channels)."""
    builder, n_pixels = v.builder, size[0]
    sums = _begin_sums(v, size, operands.bias)
    cursor = cgutils.alloca_once(builder, I64)
    builder.store(operands.weights, cursor)
    streams = _begin_streams(builder, operands)
    tile = _Tile(v, PRODUCTS[FLOAT32.code if kind == DERIVED else kind], sums, cursor, _loader(v, kind, operands))
    unrolled = builder.and_(operands.channels, ir.Constant(I64, -UNROLL))
    rest = builder.sub(operands.channels, unrolled)
    with cgutils.for_range(builder, operands.taps) as tap:
        row = builder.add(operands.table, builder.mul(tap.index, ir.Constant(I64, 8 * n_pixels)))
        starts = [
            builder.add(builder.load(builder.inttoptr(_at(builder, row, 8 * p), I64.as_pointer())), operands.shift)
            for p in range(n_pixels)
        ]
        begin, step = ir.Constant(I64, 0), ir.Constant(I64, UNROLL)
        with cgutils.for_range_slice(builder, begin, unrolled, step, intp=I64) as (channel, _):
            offset = builder.mul(channel, ir.Constant(I64, 4))
            if tile.is_narrow:
                # Else LLVM keeps `n_pixels` running addresses, mostly in memory, whose loads compete with those of a
                # tile that makes one per multiplication: 128 channels to 16 take 0.8 of the time. A wide tile is
                # slower by this (1.3), as LLVM then moves loads about until vectors have to be spilled.
                offset = v.opaque(offset)
            _fetch_lines(v, streams)
            _accumulate(tile, [builder.add(start, offset) for start in starts], UNROLL)
        tail = builder.mul(unrolled, ir.Constant(I64, 4))
        with cgutils.for_range(builder, rest, intp=I64) as one:
            offset = builder.add(tail, builder.mul(one.index, ir.Constant(I64, 4)))
            _accumulate(tile, [builder.add(start, offset) for start in starts], 1)
    _end(v, operands, [[builder.load(place) for place in row] for row in sums])


@dataclass(frozen=True)
class _Tile:
    """A register tile while it is emitted.

    What is multiplied; where the sums of each pixel and vector are, and the address of the weights that come next; and
    what emits a vector of weights at an address.
    """

    v: Lanes
    product: Product
    sums: list[list[ir.Value]]
    cursor: ir.Value
    load_weights: Callable[[ir.Value], ir.Value]

    @property
    def is_narrow(self) -> bool:
        """Whether a tile of floats is one vector wide."""
        return len(self.sums[0]) == 1 and self.product is PRODUCTS[FLOAT32.code]


def _at(builder: ir.IRBuilder, address: ir.Value, offset: int) -> ir.Value:
    return builder.add(address, ir.Constant(I64, offset))


def _begin_sums(v: Lanes, size: tuple[int, int], bias: ir.Value) -> list[list[ir.Value]]:
    """Emit the places of all sums, which begin with the biases."""
    n_pixels, n_blocks = size
    sums = [[cgutils.alloca_once(v.builder, v.type) for _ in range(n_blocks)] for _ in range(n_pixels)]
    for b in range(n_blocks):
        start = v.load(_at(v.builder, bias, b * _VECTOR_BYTES))
        for row in sums:
            v.builder.store(start, row[b])
    return sums


def _begin_streams(builder: ir.IRBuilder, operands: Operands) -> list[tuple[ir.Value, ir.Value | None]]:
    """Emit places of the addresses of what is fetched ahead; each with the bytes that go by every time."""
    streams = [(operands.ahead, operands.ahead_step), (operands.beside, operands.beside_step)]
    begun = [(cgutils.alloca_once(builder, I64), first, step) for first, step in streams if first is not None]
    for place, first, _ in begun:
        builder.store(first, place)
    return [(place, step) for place, _, step in begun]


def _fetch_lines(v: Lanes, streams: Sequence[tuple[ir.Value, ir.Value | None]]) -> None:
    """Emit asking for the next lines of every stream."""
    for place, step in streams:
        line = v.builder.load(place)
        for n in range(_LINES):
            v.prefetch(_at(v.builder, line, 64 * n))
        v.builder.store(v.builder.add(line, step), place)


def _loader(v: Lanes, kind: int, operands: Operands) -> Callable[[ir.Value], ir.Value]:
    """What emits the vector of weights at an address: loads it, or derives it of three and keeps it."""
    if kind != DERIVED:
        return partial(PRODUCTS[kind].load, v)
    builder = v.builder
    alpha, gamma = (v.broadcast(_at(builder, operands.factors, 4 * n)) for n in range(2))
    to_kept = builder.sub(operands.kept, operands.weights)

    def derive(address: ir.Value) -> ir.Value:
        a, c = v.load(builder.add(address, operands.to_a)), v.load(builder.add(address, operands.to_c))
        derived = v.fma(c, gamma, v.fma(a, alpha, v.load(address)))
        v.store(derived, builder.add(address, to_kept))
        return derived

    return derive


def _accumulate(tile: _Tile, addresses: Sequence[ir.Value], unroll: int) -> None:
    """Emit adding `unroll` channels of the pixels at `addresses`, times their weights, to the sums."""
    v, product, builder = tile.v, tile.product, tile.v.builder
    step_bytes = _VECTOR_BYTES * len(tile.sums[0])
    weights = builder.load(tile.cursor)
    held = [[builder.load(place) for place in row] for row in tile.sums]
    together, add_lane = product.together, product.add_lane
    if not TARGET.tile.by_lane or unroll < UNROLL:
        together = None
    for u in range(unroll):
        first = u * step_bytes
        row = [tile.load_weights(_at(builder, weights, first + n)) for n in range(0, step_bytes, _VECTOR_BYTES)]
        if together is not None and u % product.channels == 0:
            if u > 0:  # else LLVM loads everything first, and spills
                v.fence()
            inputs = [together(Lanes(builder, 4), _at(builder, address, 4 * u)) for address in addresses]
        for p, sums in enumerate(held):
            if together is not None and add_lane is not None:
                lane = u % product.channels
                held[p] = [add_lane(v, inputs[p], lane, w, total) for w, total in zip(row, sums, strict=True)]
                continue
            x = product.broadcast(v, _at(builder, addresses[p], 4 * u))
            held[p] = [product.add(v, x, w, total) for w, total in zip(row, sums, strict=True)]
    for places, sums in zip(tile.sums, held, strict=True):
        for place, total in zip(places, sums, strict=True):
            builder.store(total, place)
    builder.store(_at(builder, weights, unroll * step_bytes), tile.cursor)


def _end(v: Lanes, operands: Operands, done: Sequence[Sequence[ir.Value]]) -> None:
    """Emit storing the sums in `out`, or finishing them where there is a record that says how."""
    builder, finish = v.builder, operands.finish
    if finish is None:
        _store(v, operands.out, done)
        return
    with builder.if_else(builder.icmp_signed("==", finish, ir.Constant(I64, 0))) as (plainly, finished):
        with plainly:
            _store(v, operands.out, done)
        with finished:
            finish_in_registers(v, finish, done, pixels_before=operands.pixels_before)


def _store(v: Lanes, out: ir.Value, done: Sequence[Sequence[ir.Value]]) -> None:
    for p, row in enumerate(done):
        for b, total in enumerate(row):
            v.store(total, _at(v.builder, out, (p * len(row) + b) * _VECTOR_BYTES))
        if v.lanes < LANES:
            # What follows is done to whole vectors, in place. Left as they were, the other lanes would go through an
            # activation tile after tile: Mish takes 0.6 of a small value each time, until it is so small that an Intel
            # CPU needs 150 cycles for it. yolov4-codes took 37 ms there that way, and 6.5 now.
            v.store(v.constant(0.0), _at(v.builder, out, p * _VECTOR_BYTES + 4 * v.lanes))
