"""The register tile under every dense convolution: PIXELS output pixels x `blocks` vectors of output channels.

The accumulators stay in registers over the whole reduction. Input pixels are reached through a table of addresses,
one per (tap, pixel), so that one kernel serves every size, stride, dilation and padding: a tap outside the image
points at a vector of zeros, and a tile may run over the end of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    "multiply_tile",
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

#: Lines of weights fetched ahead per UNROLL channels.
_LINES = 4


@intrinsic(prefer_literal=True)
def multiply_tile(
    typingctx: Any,
    lanes: Any,
    pixels: Any,
    blocks: Any,
    kind: Any,
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
    lanes, pixels, blocks, kind : literal int
        Vector width, tile size and what is multiplied (one of KINDS), fixed at compile time.
    table : int64
        Address of ``(taps, pixels)`` int64 input addresses.
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
        Address of ``(pixels, blocks, lanes)`` floats.
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
    size = (pixels.literal_value, blocks.literal_value)
    n_lanes, which = lanes.literal_value, kind.literal_value
    signature = types.void(lanes, pixels, blocks, kind, *([types.int64] * 12))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        _emit_strip(Lanes(builder, n_lanes), which, size, args[4:])
        return context.get_dummy_value()

    return signature, codegen


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
    """`multiply_tile` of that kind, of the width that `filters` output channels need."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind, filters, *rest = args
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
        return context.get_dummy_value()

    return types.void(*([types.int64] * 14)), codegen


def _emit_strip(v: Lanes, kind: int, size: tuple[int, int], args: Sequence[ir.Value]) -> None:
    """Emit the loop over tiles that follow each other, see `multiply_tile`."""
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
    """The values at run time of a register tile, see `multiply_tile`.

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
    builder = v.builder
    table, shift, taps, channels, weights, bias, out, ahead, ahead_step = operands[:9]
    finish = operands.finish
    n_pixels, n_blocks = size
    is_derived = kind == DERIVED
    product = PRODUCTS[FLOAT32.code if is_derived else kind]
    vector_bytes = 4 * LANES  # also where fewer lanes are computed
    step_bytes = vector_bytes * n_blocks
    acc = [[cgutils.alloca_once(builder, v.type) for _ in range(n_blocks)] for _ in range(n_pixels)]

    def at(address: ir.Value, offset: int) -> ir.Value:
        return builder.add(address, ir.Constant(I64, offset))

    for b in range(n_blocks):
        start = v.load(at(bias, b * vector_bytes))
        for p in range(n_pixels):
            builder.store(start, acc[p][b])
    cursor = cgutils.alloca_once(builder, I64)
    builder.store(weights, cursor)
    streams = [(ahead, ahead_step), (operands.beside, operands.beside_step)]
    fetched = [(cgutils.alloca_once(builder, I64), first, step) for first, step in streams if first is not None]
    for place, first, _ in fetched:
        builder.store(first, place)

    if is_derived:
        alpha, gamma = (v.broadcast(at(operands.factors, 4 * n)) for n in range(2))
        to_kept = builder.sub(operands.kept, weights)

    def load_weights(address: ir.Value) -> ir.Value:
        if not is_derived:
            return product.load(v, address)
        a, c = v.load(builder.add(address, operands.to_a)), v.load(builder.add(address, operands.to_c))
        derived = v.fma(c, gamma, v.fma(a, alpha, v.load(address)))
        v.store(derived, builder.add(address, to_kept))
        return derived

    def accumulate(addresses: list[ir.Value], unroll: int) -> None:
        w = builder.load(cursor)
        held = [[builder.load(acc[p][b]) for b in range(n_blocks)] for p in range(n_pixels)]
        together, add_lane = product.together, product.add_lane
        if not TARGET.tile.by_lane or unroll < UNROLL:
            together = None
        for u in range(unroll):
            row = [load_weights(at(w, u * step_bytes + b * vector_bytes)) for b in range(n_blocks)]
            if together is not None and u % product.channels == 0:
                if u > 0:  # else LLVM loads everything first, and spills
                    v.fence()
                inputs = [together(Lanes(builder, 4), at(address, 4 * u)) for address in addresses]
            for p in range(n_pixels):
                if together is not None and add_lane is not None:
                    lane = u % product.channels
                    held[p] = [add_lane(v, inputs[p], lane, row[b], held[p][b]) for b in range(n_blocks)]
                    continue
                x = product.broadcast(v, at(addresses[p], 4 * u))
                for b in range(n_blocks):
                    held[p][b] = product.add(v, x, row[b], held[p][b])
        for p in range(n_pixels):
            for b in range(n_blocks):
                builder.store(held[p][b], acc[p][b])
        builder.store(at(w, unroll * step_bytes), cursor)

    unrolled = builder.and_(channels, ir.Constant(I64, -UNROLL))
    rest = builder.sub(channels, unrolled)
    with cgutils.for_range(builder, taps) as tap:
        row = builder.add(table, builder.mul(tap.index, ir.Constant(I64, 8 * n_pixels)))
        starts = [
            builder.add(builder.load(builder.inttoptr(at(row, 8 * p), I64.as_pointer())), shift)
            for p in range(n_pixels)
        ]
        with cgutils.for_range_slice(builder, ir.Constant(I64, 0), unrolled, ir.Constant(I64, UNROLL), intp=I64) as (
            c,
            _,
        ):
            offset = builder.mul(c, ir.Constant(I64, 4))
            if n_blocks == 1 and product is PRODUCTS[FLOAT32.code]:
                # Else LLVM keeps `n_pixels` running addresses, mostly in memory, whose loads compete with those of a
                # tile that makes one per multiplication: 128 channels to 16 take 0.8 of the time. A wide tile is
                # slower by this (1.3), as LLVM then moves loads about until vectors have to be spilled.
                offset = v.opaque(offset)
            for place, _, step in fetched:
                line = builder.load(place)
                for n in range(_LINES):
                    v.prefetch(at(line, 64 * n))
                builder.store(builder.add(line, step), place)
            accumulate([builder.add(s, offset) for s in starts], UNROLL)
        tail = builder.mul(unrolled, ir.Constant(I64, 4))
        with cgutils.for_range(builder, rest, intp=I64) as one:
            offset = builder.add(tail, builder.mul(one.index, ir.Constant(I64, 4)))
            accumulate([builder.add(s, offset) for s in starts], 1)
    done = [[builder.load(acc[p][b]) for b in range(n_blocks)] for p in range(n_pixels)]

    def store() -> None:
        for p in range(n_pixels):
            for b in range(n_blocks):
                v.store(done[p][b], at(out, (p * n_blocks + b) * vector_bytes))
            if v.lanes < LANES:
                # What follows is done to whole vectors, in place. Left as they were, the other lanes would go through
                # an activation tile after tile: Mish takes 0.6 of a small value each time, until it is so small that
                # an Intel CPU needs 150 cycles for it. yolov4-codes took 37 ms there that way, and 6.5 now.
                v.store(v.constant(0.0), at(out, p * vector_bytes + 4 * v.lanes))

    if finish is None:
        store()
        return
    with builder.if_else(builder.icmp_signed("==", finish, ir.Constant(I64, 0))) as (plainly, finished):
        with plainly:
            store()
        with finished:
            finish_in_registers(v, finish, done, pixels_before=operands.pixels_before)
