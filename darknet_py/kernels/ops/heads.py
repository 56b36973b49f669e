"""The heads: what [yolo], [Gaussian_yolo] and [region] do to the convolution before them."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.ops.call import pixel_share
from darknet_py.kernels.ops.pixelwise import softmax_row
from darknet_py.kernels.ops.steps import COLUMNS
from darknet_py.kernels.vector.activate import activate, clear_rest
from darknet_py.kernels.vector.lanes import I64, Lanes
from darknet_py.kernels.vector.pointers import floats, integers

__all__ = ["region", "yolo"]

_X, _X_PIXEL, _Y, _Y_PIXEL = COLUMNS["X"], COLUMNS["X_PIXEL"], COLUMNS["Y"], COLUMNS["Y_PIXEL"]
_CHANNELS, _PARAMETERS, _ACTIVATION, _RUN = (COLUMNS[name] for name in ("CHANNELS", "PARAMETERS", "ACTIVATION", "RUN"))
_TILES, _GROUPS = COLUMNS["TILES"], COLUMNS["TILE_ROWS"]


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


@kernel
def yolo(address, task, scratch):
    """y = (logistic(x) or x) * scale + offset by channel; PARAMETERS is (3, CHANNELS): keep x?, scale, offset."""
    step, first, last = pixel_share(address, task)
    for p in range(first, last):
        x, y = step[_X] + p * step[_X_PIXEL], step[_Y] + p * step[_Y_PIXEL]
        _yolo_pixel(x, step[_PARAMETERS], step[_CHANNELS], y)


@kernel
def region(address, task, scratch):
    """The region head: logistic on entry 4 of every block of RUN channels, softmax over groups of the entries after it.

    TILES is the address of the (start, count) of TILE_ROWS groups; no group leaves the classes as they are.
    """
    step, first, last = pixel_share(address, task)
    channels = step[_CHANNELS]
    groups = step[_GROUPS]
    bounds = integers(step[_TILES], 2 * groups)
    row = floats(scratch, channels)
    clear_rest(scratch, channels)
    for p in range(first, last):
        x = floats(step[_X] + p * step[_X_PIXEL], channels)
        y = floats(step[_Y] + p * step[_Y_PIXEL], channels)
        for c in range(channels):
            row[c] = x[c]
        activate(step[_ACTIVATION], scratch, channels)
        for start in range(0, channels, step[_RUN]):
            for c in range(start, start + step[_RUN]):
                y[c] = x[c]
            y[start + 4] = row[start + 4]
            for g in range(groups):
                softmax_row(x, y, start + bounds[2 * g], bounds[2 * g + 1], np.float32(1))
