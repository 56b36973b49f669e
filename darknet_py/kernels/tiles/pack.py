"""Weights of the file → the order in which the register tile reads them."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import kernel

__all__ = ["pack_block"]


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
