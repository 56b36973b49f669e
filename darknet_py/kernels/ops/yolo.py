"""What [yolo] and [Gaussian_yolo] do to the convolution before them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = ["yolo"]

YOLO = arguments(rules="f4")


@intrinsic
def _yolo_pixel(typingctx: Any, x: Any, rules: Any, channels: Any, y: Any) -> Any:
    """One pixel of `yolo`; as plain loops over the three rows of rules it took 4 times as long."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        x, rules, channels, y = args
        v = Lanes(builder, LANES)
        row = builder.mul(channels, ir.Constant(I64, 4))

        def value(offset: ir.Value) -> ir.Value:
            def rule(number: int) -> ir.Value:
                return v.load(builder.add(builder.add(rules, builder.mul(row, ir.Constant(I64, number))), offset))

            raw = v.load(builder.add(x, offset))
            kept = v.select(">", rule(0), v.constant(0.0), raw, v.logistic(raw))
            return builder.fadd(builder.fmul(kept, rule(1)), rule(2))

        whole = builder.sdiv(channels, ir.Constant(I64, LANES))
        with cgutils.for_range(builder, whole, intp=I64) as loop:
            offset = builder.mul(loop.index, ir.Constant(I64, 4 * LANES))
            v.store(value(offset), builder.add(y, offset))
        rest = builder.srem(channels, ir.Constant(I64, LANES))
        with builder.if_then(builder.icmp_signed(">", rest, ir.Constant(I64, 0))):
            offset = builder.mul(whole, ir.Constant(I64, 4 * LANES))
            v.store_first(value(offset), builder.add(y, offset), rest)
        return context.get_dummy_value()

    return types.void(*([types.int64] * 4)), codegen


def _beyond(step: Any, own: Any) -> int:
    return 4 * LANES  # whole vectors of a pixel's channels


@operation(arguments=YOLO, cut=by_pixels, scratch=nothing, beyond=_beyond)
def yolo(address, task, scratch):
    """y = (logistic(x) or x) * scale + offset by channel; `rules` are (3, channels): keep x?, scale, offset."""
    step = step_at(address)
    own = record_at(step.arguments, YOLO)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        _yolo_pixel(step.x.at + p * step.x.pixel, own.rules, step.y.c, step.y.at + p * step.y.pixel)
