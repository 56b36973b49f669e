"""The tile under depthwise convolutions of any window and max-pooling: every channel by itself."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = ["MAXIMUM", "MAXIMUM_OF_PAIRS", "SUM", "channel_tile"]

#: What becomes of the taps of a channel.
SUM, MAXIMUM, MAXIMUM_OF_PAIRS = 0, 1, 2


@intrinsic(prefer_literal=True)
def channel_tile(
    typingctx: Any,
    lanes: Any,
    pixels: Any,
    kind: Any,
    table: Any,
    shift: Any,
    taps: Any,
    weights: Any,
    bias: Any,
    out: Any,
) -> Any:
    """One vector of channels of each pixel, every channel by itself: the sum of weighted taps, or their maximum.

    The maximum (`kind` MAXIMUM) may be one of pairs of bfloat16 (MAXIMUM_OF_PAIRS), twice as many channels.
    `table` (taps, pixels) addresses, `weights` (taps, lanes), `bias` (lanes,), `out` (pixels, lanes).
    """
    n_lanes, n_pixels, which = lanes.literal_value, pixels.literal_value, kind.literal_value
    signature = types.void(lanes, pixels, kind, *([types.int64] * 6))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        table, shift, taps, weights, bias, out = args[3:]
        v = Lanes(builder, n_lanes)
        width = 4 * n_lanes
        start = v.load(bias)
        acc = [cgutils.alloca_once_value(builder, start) for _ in range(n_pixels)]
        with cgutils.for_range(builder, taps, intp=I64) as tap:
            row = builder.add(table, builder.mul(tap.index, ir.Constant(I64, 8 * n_pixels)))
            if which == SUM:
                weight = v.load(builder.add(weights, builder.mul(tap.index, ir.Constant(I64, width))))
            for p in range(n_pixels):
                pointer = builder.inttoptr(builder.add(row, ir.Constant(I64, 8 * p)), I64.as_pointer())
                x = v.load(builder.add(builder.load(pointer), shift))
                held = builder.load(acc[p])
                if which == SUM:
                    held = v.fma(x, weight, held)
                else:
                    held = v.select(">", x, held, x, held) if which == MAXIMUM else v.larger_pairs(x, held)
                builder.store(held, acc[p])
        for p in range(n_pixels):
            v.store(builder.load(acc[p]), builder.add(out, ir.Constant(I64, p * width)))
        return context.get_dummy_value()

    return signature, codegen
