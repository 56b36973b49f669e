"""The tile under depthwise convolutions of any window and max-pooling: every channel by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, MATRIX_TILES
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32
from darknet_py.kernels.vector.lanes import I64, Lanes, emit_cases

__all__ = ["MAXIMUM", "SUM", "channel_tile"]

#: What becomes of the taps of a channel.
SUM, MAXIMUM = 0, 1


def _larger(v: Lanes, a: ir.Value, b: ir.Value) -> ir.Value:
    return v.select(">", a, b, a, b)


#: The larger of joined values, by code of their format. Only with matrix tiles is anything but floats compared.
_LARGER: dict[int, Callable[[Lanes, ir.Value, ir.Value], ir.Value]] = {FLOAT32.code: _larger}
if MATRIX_TILES:
    _LARGER[BFLOAT16.code] = Lanes.larger_pairs


class _Operands(NamedTuple):
    """The values at run time of `channel_tile`."""

    table: ir.Value
    shift: ir.Value
    taps: ir.Value
    weights: ir.Value
    bias: ir.Value
    out: ir.Value


@intrinsic(prefer_literal=True)
def channel_tile(
    typingctx: Any,
    pixels: Any,
    kind: Any,
    format: Any,
    table: Any,
    shift: Any,
    taps: Any,
    weights: Any,
    bias: Any,
    out: Any,
) -> Any:
    """One vector of channels of each pixel, every channel by itself: the SUM of weighted taps, or their MAXIMUM.

    Sums are of floats, maxima of the format with that code, whose joined channels stand for one.
    `table` (taps, pixels) addresses, `weights` (taps, lanes), `bias` (lanes,), `out` (pixels, lanes).
    """
    n_pixels = pixels.literal_value

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind, code = args[1:3]
        v, it = Lanes(builder, LANES), _Operands(*args[3:])
        choice = builder.add(builder.mul(kind, ir.Constant(I64, 64)), code)
        cases = {64 * MAXIMUM + code: partial(_emit_tile, v, n_pixels, it, larger) for code, larger in _LARGER.items()}
        emit_cases(builder, choice, {SUM: partial(_emit_tile, v, n_pixels, it, None)} | cases)
        return context.get_dummy_value()

    return types.void(pixels, *([types.int64] * 8)), codegen


def _emit_tile(
    v: Lanes, n_pixels: int, it: _Operands, larger: Callable[[Lanes, ir.Value, ir.Value], ir.Value] | None
) -> None:
    """Emit a tile of maxima, or without `larger` of sums."""
    builder, width = v.builder, 4 * v.lanes
    start = v.load(it.bias)
    acc = [cgutils.alloca_once_value(builder, start) for _ in range(n_pixels)]
    with cgutils.for_range(builder, it.taps, intp=I64) as tap:
        row = builder.add(it.table, builder.mul(tap.index, ir.Constant(I64, 8 * n_pixels)))
        if larger is None:
            weight = v.load(builder.add(it.weights, builder.mul(tap.index, ir.Constant(I64, width))))
        for p in range(n_pixels):
            pointer = builder.inttoptr(builder.add(row, ir.Constant(I64, 8 * p)), I64.as_pointer())
            x = v.load(builder.add(builder.load(pointer), it.shift))
            held = builder.load(acc[p])
            builder.store(v.fma(x, weight, held) if larger is None else larger(v, x, held), acc[p])
    for p in range(n_pixels):
        v.store(builder.load(acc[p]), builder.add(it.out, ir.Constant(I64, p * width)))
