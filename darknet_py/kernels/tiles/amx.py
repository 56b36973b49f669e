"""The matrix tile under convolutions in bfloat16 where the CPU multiplies whole tiles (AMX), emulated elsewhere.

A tile is 16 rows of 64 bytes: 16 pixels x 32 channels in bfloat16, 32 channels x 16 filters, or 16 pixels x 16 filters
in float32. One instruction multiplies two of the first kinds in 16 cycles, 16 times as fast as vectors of float32
(Sapphire Rapids and later). Of the eight tile registers four hold products, and each of the others is used twice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from darknet_py.kernels.jit import HAS_AMX, LANES
from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = ["CHUNK", "HEIGHT", "LONGEST", "configure_tiles", "multiply_tiles", "release_tiles", "tile_shapes"]

#: Pixels of a tile, and the most pairs of channels.
HEIGHT, LONGEST = 16, 16

#: Some pairs of channels that a tile holds: bytes from the input pixel at an output's position to them, and how many
#: pairs there are before them in the weights.
CHUNK = np.dtype([("offset", "i8"), ("before", "i8")], align=True)

#: Register numbers: products of either half of the pixels with either vector of filters, pixels, weights.
_PRODUCTS, _PIXELS, _WEIGHTS = ((0, 1), (2, 3)), (4, 5), (6, 7)

#: Lines fetched ahead per chunk.
_LINES = 6


class _Operands(NamedTuple):
    """The values at run time of `multiply_tiles`."""

    chunks: ir.Value
    count: ir.Value
    pairs: ir.Value
    first: ir.Value
    second: ir.Value
    stride: ir.Value
    weights: ir.Value
    out: ir.Value
    continues: ir.Value
    ahead: ir.Value
    ahead_step: ir.Value


_I8 = ir.IntType(8)
_BYTES = _I8.as_pointer()


def tile_shapes(pairs: int) -> NDArray[np.uint8]:
    """The memory operand of LDTILECFG, for tiles of `pairs` pairs of channels: palette 1, then bytes a row and rows."""
    shapes = np.zeros(64, np.uint8)
    shapes[0] = 1
    row_bytes, rows = shapes[16:32].view(np.uint16), shapes[48:56]
    row_bytes[:], rows[:] = 64, HEIGHT
    row_bytes[list(_PIXELS)] = 4 * pairs
    rows[list(_WEIGHTS)] = pairs
    return shapes


def _call(builder: ir.IRBuilder, name: str, *args: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in args])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), args)


def _number(tile: int) -> ir.Constant:
    return ir.Constant(_I8, tile)


@intrinsic
def configure_tiles(typingctx: Any, shapes: Any) -> Any:
    """Give this thread's tile registers the shapes at address `shapes` (see `tile_shapes`)."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if HAS_AMX:
            _call(builder, "ldtilecfg", builder.inttoptr(args[0], _BYTES))
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def release_tiles(typingctx: Any) -> Any:
    """Give the tile registers back, so that nobody has to save them."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if HAS_AMX:
            _call(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic(prefer_literal=True)
def multiply_tiles(
    typingctx: Any,
    vectors: Any,
    chunks: Any,
    count: Any,
    pairs: Any,
    first: Any,
    second: Any,
    stride: Any,
    weights: Any,
    out: Any,
    continues: Any,
    ahead: Any,
    ahead_step: Any,
) -> Any:
    """out[p, f] (+)= sum over chunk, channel of input[chunk, p, channel] * weights[chunk, channel, f], for 32 pixels.

    Parameters
    ----------
    vectors : literal int
        Vectors of filters: 1 or 2.
    chunks : int64
        Address of ``(count,)`` CHUNK.
    count, pairs : int64
        Chunks, and pairs of bfloat16 in each: those that the tile registers were configured for.
    first, second : int64
        Addresses of the first pixels of both halves.
    stride : int64
        Bytes from pixel to pixel within a half.
    weights : int64
        Address of ``(..., vectors, 16)`` pairs.
    out : int64
        Address of ``(32, vectors, 16)`` floats.
    continues : int64
        Whether to add to what `out` has.
    ahead, ahead_step : int64
        Address of what to fetch into the second-level cache meanwhile, and how many bytes of it go by per chunk; 0:
        nothing is fetched.
    """
    n_vectors = vectors.literal_value
    signature = types.void(vectors, *([types.int64] * 11))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        (_multiply if HAS_AMX else _emulate)(builder, n_vectors, _Operands(*args[1:]))
        return context.get_dummy_value()

    return signature, codegen


def _multiply(builder: ir.IRBuilder, n_vectors: int, it: _Operands) -> None:
    v = Lanes(builder, LANES)
    row_bytes = ir.Constant(I64, 64 * n_vectors)
    used = [(half, b, _PRODUCTS[half][b]) for half in range(2) for b in range(n_vectors)]
    places = {tile: _at(builder, it.out, 64 * (n_vectors * HEIGHT * half + b)) for half, b, tile in used}

    def move(name: str, tile: int, address: ir.Value, pitch: ir.Value) -> None:
        _call(builder, name, _number(tile), builder.inttoptr(address, _BYTES), pitch)

    with builder.if_else(builder.icmp_signed("==", it.continues, ir.Constant(I64, 0)), likely=True) as (anew, further):
        with anew:
            for tile in places:
                _call(builder, "tilezero", _number(tile))
        with further:
            for tile, place in places.items():
                move("tileloadd64", tile, place, row_bytes)
    line = cgutils.alloca_once_value(builder, it.ahead)
    with cgutils.for_range(builder, it.count, intp=I64) as chunk:
        with builder.if_then(builder.icmp_signed("!=", it.ahead_step, ir.Constant(I64, 0))):
            fetched = builder.load(line)
            for n in range(_LINES):
                v.prefetch(_at(builder, fetched, 64 * n))
            builder.store(builder.add(fetched, it.ahead_step), line)
        offset, panel = _find_chunk(builder, it, chunk.index, row_bytes)
        for b in range(n_vectors):
            move("tileloadd64", _WEIGHTS[b], _at(builder, panel, 64 * b), row_bytes)
        for half, start in enumerate((it.first, it.second)):
            move("tileloadd64", _PIXELS[half], builder.add(start, offset), it.stride)
            for b in range(n_vectors):
                numbers = (_PRODUCTS[half][b], _PIXELS[half], _WEIGHTS[b])
                _call(builder, "tdpbf16ps", *map(_number, numbers))
    for tile, place in places.items():
        move("tilestored64", tile, place, row_bytes)


def _emulate(builder: ir.IRBuilder, n_vectors: int, it: _Operands) -> None:
    """The same by vectors, one pixel after the other: for tests."""
    v = Lanes(builder, LANES)
    row_bytes = ir.Constant(I64, 64 * n_vectors)
    anew = builder.icmp_signed("==", it.continues, ir.Constant(I64, 0))
    for half, start in enumerate((it.first, it.second)):
        with cgutils.for_range(builder, ir.Constant(I64, HEIGHT), intp=I64) as row:
            pixel = builder.add(start, builder.mul(row.index, it.stride))
            to = builder.add(it.out, builder.mul(_at(builder, row.index, HEIGHT * half), row_bytes))
            places = [_at(builder, to, 64 * b) for b in range(n_vectors)]
            sums = [cgutils.alloca_once_value(builder, v.constant(0.0)) for _ in places]
            for held, place in zip(sums, places, strict=True):
                builder.store(builder.select(anew, v.constant(0.0), v.load(place)), held)
            with cgutils.for_range(builder, it.count, intp=I64) as chunk:
                offset, panel = _find_chunk(builder, it, chunk.index, row_bytes)
                source = builder.add(pixel, offset)
                with cgutils.for_range(builder, it.pairs, intp=I64) as pair:
                    x = v.broadcast_pair(builder.add(source, builder.mul(pair.index, ir.Constant(I64, 4))))
                    row_at = builder.add(panel, builder.mul(pair.index, row_bytes))
                    for b, held in enumerate(sums):
                        w = v.load_pairs(_at(builder, row_at, 64 * b))
                        builder.store(v.add_pairs(x, w, builder.load(held)), held)
            for held, place in zip(sums, places, strict=True):
                v.store(builder.load(held), place)


def _find_chunk(
    builder: ir.IRBuilder, it: _Operands, index: ir.Value, row_bytes: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Bytes from a pixel to what a chunk reads, and the address of its weights."""
    entry = builder.inttoptr(builder.add(it.chunks, builder.mul(index, ir.Constant(I64, 16))), I64.as_pointer())
    before = builder.load(builder.gep(entry, [ir.Constant(I64, 1)]))
    return builder.load(entry), builder.add(it.weights, builder.mul(before, row_bytes))


def _at(builder: ir.IRBuilder, address: ir.Value, offset: int) -> ir.Value:
    return builder.add(address, ir.Constant(I64, offset))
