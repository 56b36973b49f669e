"""Weights of the file → the order in which the register tile reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = ["pack_block", "pair_rows"]


@kernel
def pack_block(weights, scales, first, count, width, group, out_per_group, run, interleaved, out):
    """Write one block of output channels as (taps, run, width), scaled, zero where a channel is not read.

    Parameters
    ----------
    weights : ndarray, shape (filters, channels per group, kernel_h, kernel_w), float32
    scales : ndarray, shape (filters,), float64
        The batch norm's factor of each filter.
    first, count, width : int
        First filter, how many, and the lanes the block has.
    group, out_per_group : int
        First of the groups merged in this block's input channels, and filters per group.
    run : int
        Floats read per tap.
    interleaved : bool
        Whether a tap is a whole kernel row, (kernel_w, channels) floats in a dense input.
    out : ndarray, shape (taps * run * width,), float32
    """
    _, channels, kernel_h, kernel_w = weights.shape
    out[:] = np.float32(0)
    # Channel outermost: per channel the writes touch one line per tap, which stay in the first-level cache while
    # every filter of the block fills its lane.
    for c in range(channels):
        for lane in range(count):
            f = first + lane
            start = (f // out_per_group - group) * channels + c
            for ky in range(kernel_h):
                for kx in range(kernel_w):
                    at = ky * run + kx * channels + c if interleaved else (ky * kernel_w + kx) * run + start
                    out[at * width + lane] = np.float32(weights[f, c, ky, kx] * scales[f])


@intrinsic
def _round_row(typingctx: Any, source: Any, target: Any, vectors: Any) -> Any:
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
def pair_rows(source, target, work):
    """Join rows 2i and 2i + 1 of weights to pairs of bfloat16: what a tile multiplies at one address.

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
        _round_row(source[2 * i].ctypes.data, work[0].ctypes.data, vectors)
        _round_row(source[2 * i + 1].ctypes.data, work[1].ctypes.data, vectors)
        for lane in range(source.shape[1]):
            target[i, lane] = work[0, lane] | (work[1, lane] << 16)
