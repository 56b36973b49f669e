"""The register tile under every dense convolution: PIXELS output pixels x `blocks` vectors of output channels.

The accumulators stay in registers over the whole reduction. Input pixels are reached through a table of addresses,
one per (tap, pixel), so that one kernel serves every size, stride, dilation and padding: a tap outside the image
points at a vector of zeros, and a tile may run over the end of a row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.tiles.finish import finish_in_registers
from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = [
    "BLOCKS",
    "DERIVED",
    "HEIGHTS",
    "PAIRS",
    "PIXELS",
    "PLAIN",
    "UNROLL",
    "Operands",
    "emit_tile",
    "multiply_tile",
]

#: What the weights of a tile are: floats, floats combined from three arrays, or pairs of bfloat16.
PLAIN, DERIVED, PAIRS = 0, 1, 2

#: Tile height and width (in vectors) per vector width: the accumulators, the weights and one broadcast fill the
#: register file (32 registers with AVX-512 and NEON, 16 with AVX2 and SSE).
PIXELS, BLOCKS = {16: (13, 2), 8: (6, 2), 4: (6, 2)}[LANES]

#: Heights for rows that are no multiple of PIXELS, the tallest first.
HEIGHTS = (PIXELS, *{16: (8, 4), 8: (4,), 4: (4,)}[LANES])

UNROLL = 4

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
        Vector width, tile size and what is multiplied (PLAIN or PAIRS), fixed at compile time.
    table : int64
        Address of ``(taps, pixels)`` int64 input addresses.
    shift : int64
        Bytes added to each of them (the first channel of a group).
    taps, channels : int64
        Extent of the reduction; `channels` floats are read at each address. With PAIRS everything that is a float
        among input and weights is a pair of bfloat16 values instead: 4 bytes again, two channels.
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
        operands, (finish, tiles, advance) = Operands(*args[4:13]), args[13:]
        groups = builder.sdiv(operands.channels, ir.Constant(I64, UNROLL))
        fetched = builder.mul(operands.ahead_step, builder.mul(operands.taps, groups))
        with cgutils.for_range(builder, tiles, intp=I64) as tile:
            ahead = None if size[1] == 1 else builder.add(operands.ahead, builder.mul(tile.index, fetched))
            shift = builder.add(operands.shift, builder.mul(tile.index, advance))
            before = builder.mul(tile.index, ir.Constant(I64, size[0]))
            here = operands._replace(shift=shift, ahead=ahead, finish=finish, pixels_before=before)
            emit_tile(Lanes(builder, n_lanes), which, size, here)
        return context.get_dummy_value()

    return signature, codegen


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
    is_derived, is_paired = kind == DERIVED, kind == PAIRS
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
        if is_paired:
            return v.load_pairs(address)
        if not is_derived:
            return v.load(address)
        a, c = v.load(builder.add(address, operands.to_a)), v.load(builder.add(address, operands.to_c))
        derived = v.fma(c, gamma, v.fma(a, alpha, v.load(address)))
        v.store(derived, builder.add(address, to_kept))
        return derived

    def accumulate(addresses: list[ir.Value], unroll: int) -> None:
        w = builder.load(cursor)
        held = [[builder.load(acc[p][b]) for b in range(n_blocks)] for p in range(n_pixels)]
        for u in range(unroll):
            row = [load_weights(at(w, u * step_bytes + b * vector_bytes)) for b in range(n_blocks)]
            for p in range(n_pixels):
                x = (v.broadcast_pair if is_paired else v.broadcast)(at(addresses[p], 4 * u))
                for b in range(n_blocks):
                    held[p][b] = (v.add_pairs if is_paired else v.fma)(x, row[b], held[p][b])
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
            if n_blocks == 1 and not is_paired:
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
