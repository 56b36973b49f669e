"""Rounding to bfloat16: activations for a convolution that multiplies pairs, weights when they are packed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.steps import COLUMNS
from darknet_py.kernels.vector import I64, Lanes

__all__ = ["pair_rows", "round_channels", "round_row"]

_X, _X_PIXEL, _Y, _Y_PIXEL, _RUN = (COLUMNS[name] for name in ("X", "X_PIXEL", "Y", "Y_PIXEL", "RUN"))


@intrinsic
def round_row(typingctx: Any, source: Any, target: Any, vectors: Any) -> Any:
    """Round `vectors` vectors of floats at `source` to bfloat16 at `target`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, target, vectors = args
        v = Lanes(builder, LANES)
        with cgutils.for_range(builder, vectors, intp=I64) as loop:
            value = v.load(builder.add(source, builder.mul(loop.index, ir.Constant(I64, 4 * LANES))))
            v.store_bfloat16(value, builder.add(target, builder.mul(loop.index, ir.Constant(I64, 2 * LANES))))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@kernel
def round_channels(step, first, last):
    """y = x in bfloat16, RUN channels a pixel rounded up to whole vectors: Y_PIXEL has room for them."""
    vectors = (step[_RUN] + LANES - 1) // LANES
    for p in range(first, last):
        round_row(step[_X] + p * step[_X_PIXEL], step[_Y] + p * step[_Y_PIXEL], vectors)


@kernel
def pair_rows(source, target, work):
    """Join rows 2i and 2i + 1 of weights to pairs of bfloat16: what a PAIRS tile multiplies at one address.

    Parameters
    ----------
    source : ndarray, shape (2n, width), float32
        `width` a multiple of the vector width.
    target : ndarray, shape (n, width), uint32
        The even row in the lower half of each value.
    work : ndarray, shape (2, width), uint16
    """
    vectors = source.shape[1] // LANES
    for i in range(len(target)):
        round_row(source[2 * i].ctypes.data, work[0].ctypes.data, vectors)
        round_row(source[2 * i + 1].ctypes.data, work[1].ctypes.data, vectors)
        for lane in range(source.shape[1]):
            target[i, lane] = work[0, lane] | (work[1, lane] << 16)
