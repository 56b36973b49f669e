"""Vector code of a Winograd convolution: the transforms of a tile, its multiplication, and weights from taps."""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.tiles.cook_toom import TILES
from darknet_py.kernels.tiles.register import BLOCKS, DERIVED, HEIGHTS, KINDS, Operands, emit_tile
from darknet_py.kernels.tiles.transform import transform
from darknet_py.kernels.vector.formats import FORMATS
from darknet_py.kernels.vector.lanes import I64, Lanes, emit_cases

__all__ = ["combine_taps", "input_tile", "multiply_rows", "output_tile"]

#: Kinds of tiles whose inputs may be stored in other formats than float32.
_SMALL = tuple(code for code, kind in enumerate(TILES) if kind.down.m == kind.across.m == 2)


@intrinsic
def input_tile(
    typingctx: Any, format: Any, code: Any, table: Any, shift: Any, out: Any, stride: Any, ahead: Any
) -> Any:
    """BT d B of one vector of channels of a tile of kind `code`, stored in the format with that code.

    Inputs are at the addresses in `table`, results of an element `stride` bytes after those of the one before.

    The columns that the next tile adds, `ahead` bytes further, are fetched: 6 % less time on yolov4's inputs.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        format, code, table, shift, out, stride, ahead = args
        v = Lanes(builder, LANES)

        def emit(number: int, which: int) -> None:
            down, across, places = TILES[number]

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
                    FORMATS[which].store(v, value, at, None)

        cases = {
            64 * which + number: partial(emit, number, which)
            for which in KINDS
            for number in (range(len(TILES)) if which == KINDS[0] else _SMALL)
        }
        emit_cases(builder, builder.add(builder.mul(format, ir.Constant(I64, 64)), code), cases)
        return context.get_dummy_value()

    return types.void(*([types.int64] * 7)), codegen


@intrinsic(prefer_literal=True)
def output_tile(typingctx: Any, lanes: Any, code: Any, source: Any, stride: Any, bias: Any, out: Any) -> Any:
    """AT p A + bias of one vector of filters of a tile of kind `code`.

    Products of an element are `stride` bytes after those of the one before; results go to (m, m, lanes) at `out`.
    """
    n_lanes = lanes.literal_value
    signature = types.void(lanes, *([types.int64] * 5))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        code, source, stride, bias, out = args[1:]
        v = Lanes(builder, n_lanes)

        def emit(number: int) -> None:
            down, across, places = TILES[number]

            def read(element: int) -> ir.Value:
                return v.load(builder.add(source, builder.mul(stride, ir.Constant(I64, element))))

            grid = [[read(element) for element in row] for row in places]
            start = v.load(bias)
            for i, row in enumerate(transform(v, down.at, across.at, grid)):
                for j, value in enumerate(row):
                    at = builder.add(out, ir.Constant(I64, (i * across.m + j) * 4 * n_lanes))
                    v.store(builder.fadd(value, start), at)

        emit_cases(builder, code, {number: partial(emit, number) for number in range(len(TILES))})
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def multiply_rows(
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
    beside: Any,
    beside_step: Any,
    to_a: Any,
    to_c: Any,
    factors: Any,
    kept: Any,
) -> Any:
    """The register tile of that kind, of one or BLOCKS vectors and one of HEIGHTS; see `Operands`."""
    n_lanes = lanes.literal_value
    signature = types.void(lanes, *([types.int64] * 16))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind, vectors, height, table = args[1:5]
        operands = Operands(table, ir.Constant(I64, 0), ir.Constant(I64, 1), *args[5:])
        v = Lanes(builder, n_lanes)
        cases = {
            (which * 2 + (wide == BLOCKS)) * 64 + tall: partial(emit_tile, v, which, (tall, wide), operands)
            for which in (*KINDS, DERIVED)
            for tall in HEIGHTS
            for wide in (1, BLOCKS)
        }
        is_wide = builder.zext(builder.icmp_signed("==", vectors, ir.Constant(I64, BLOCKS)), I64)
        code = builder.add(builder.mul(kind, ir.Constant(I64, 2)), is_wide)
        emit_cases(builder, builder.add(builder.mul(code, ir.Constant(I64, 64)), height), cases)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def combine_taps(typingctx: Any, a: Any, b: Any, c: Any, factors: Any, out: Any, vectors: Any) -> Any:
    """out = alpha * a + b + gamma * c for arrays of `vectors` vectors; `factors` is the address of alpha and gamma."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        a, b, c, factors, out, vectors = args
        v = Lanes(builder, LANES)
        alpha, gamma = (v.broadcast(builder.add(factors, ir.Constant(I64, 4 * n))) for n in range(2))

        def combine(first: ir.Value, count: int) -> None:
            offset = builder.mul(first, ir.Constant(I64, 4 * LANES))
            for n in range(count):
                at = builder.add(offset, ir.Constant(I64, 4 * LANES * n))
                x, y, z = (v.load(builder.add(array, at)) for array in (a, b, c))
                v.store(v.fma(z, gamma, v.fma(x, alpha, y)), builder.add(out, at))

        whole = builder.and_(vectors, ir.Constant(I64, -4))
        with cgutils.for_range_slice(builder, ir.Constant(I64, 0), whole, ir.Constant(I64, 4), intp=I64) as (n, _):
            combine(n, 4)
        with cgutils.for_range_slice(builder, whole, vectors, ir.Constant(I64, 1), intp=I64) as (n, _):
            combine(n, 1)
        return context.get_dummy_value()

    return types.void(*([types.int64] * 6)), codegen
