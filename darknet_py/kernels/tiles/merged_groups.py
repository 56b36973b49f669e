"""Groups of a convolution that are computed as one, kept apart where a value is not finite."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.ops.steps import ACTIVATION_CODES, COLUMNS
from darknet_py.kernels.tiles.register import BLOCKS
from darknet_py.kernels.vector.pointers import floats

__all__ = ["separate_groups"]

_X, _X_PIXEL, _X_ROW, _IN_H, _IN_W = (COLUMNS[name] for name in ("X", "X_PIXEL", "X_ROW", "IN_H", "IN_W"))
_KERNEL_H, _KERNEL_W, _DILATION = COLUMNS["KERNEL_H"], COLUMNS["KERNEL_W"], COLUMNS["DILATION"]
_STRIDE_Y, _STRIDE_X, _PAD_Y, _PAD_X = (COLUMNS[name] for name in ("STRIDE_Y", "STRIDE_X", "PAD_Y", "PAD_X"))
_OUT_W, _RUN, _ACTIVATION = COLUMNS["OUT_W"], COLUMNS["RUN"], COLUMNS["ACTIVATION"]
_GROUP_CHANNELS, _GROUP_FILTERS = COLUMNS["SIDE"], COLUMNS["TILE_ROWS"]
_LINEAR = ACTIVATION_CODES["linear"]
_WIDE = BLOCKS * LANES


@kernel
def _reduce_group(step, blocks, pixel, lane, weights, lanes):
    """The sum over taps and channels of its own group for a filter of a block and an output pixel."""
    channels, kernel_w = step[_GROUP_CHANNELS], step[_KERNEL_W]
    group = (blocks[1] // 4 + lane) // step[_GROUP_FILTERS]
    begin = group * channels - blocks[0] // 4
    y = pixel // step[_OUT_W]
    top, left = y * step[_STRIDE_Y] - step[_PAD_Y], (pixel - y * step[_OUT_W]) * step[_STRIDE_X] - step[_PAD_X]
    total = np.float32(0)
    for tap in range(step[_KERNEL_H] * kernel_w):
        row, column = top + tap // kernel_w * step[_DILATION], left + tap % kernel_w * step[_DILATION]
        if 0 <= row < step[_IN_H] and 0 <= column < step[_IN_W]:
            x = floats(step[_X] + row * step[_X_ROW] + column * step[_X_PIXEL] + 4 * group * channels, channels)
            for c in range(channels):
                total += x[c] * weights[(tap * step[_RUN] + begin + c) * lanes + lane]
    return total


@kernel
def separate_groups(step, blocks, pixel, rows, at, pitch, finished):
    """Compute anew, from their own group alone, those results of a block of merged groups that are NaN.

    Weights 0 stand between merged groups, and 0 times an infinity of another group is NaN. `at` are `rows` pixels,
    `pitch` bytes apart, from output `pixel` on; `blocks` is the block's row. If they are `finished`, so are new ones.
    """
    channels = blocks[2]
    lanes = _WIDE if channels > LANES else LANES
    taps = step[_KERNEL_H] * step[_KERNEL_W]
    weights, bias = floats(blocks[3], taps * step[_RUN] * lanes), floats(blocks[4], channels)
    for p in range(rows):
        values = floats(at + p * pitch, channels)
        wrong = 0
        for c in range(channels):
            wrong += values[c] != values[c]
        if wrong == 0:
            continue
        for c in range(channels):
            if values[c] != values[c]:
                x = bias[c] + _reduce_group(step, blocks, pixel + p, c, weights, lanes)
                # `finish_in_registers` knows no other activation than leaky.
                if finished and step[_ACTIVATION] != _LINEAR and x < 0:
                    x *= np.float32(0.1)
                values[c] = x
