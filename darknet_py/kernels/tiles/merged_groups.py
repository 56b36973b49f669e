"""Groups of a convolution that are computed as one, kept apart where a value is not finite."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.tiles.register import BLOCKS
from darknet_py.kernels.vector.activate import ACTIVATION_CODES
from darknet_py.kernels.vector.pointers import floats

__all__ = ["separate_groups"]

_LINEAR = ACTIVATION_CODES["linear"]
_WIDE = BLOCKS * LANES


@kernel
def _reduce_group(step, own, block, pixel, lane, weights, lanes):
    """The sum over taps and channels of its own group for a filter of a block and an output pixel."""
    place, channels, kernel_w = step.x, own.group_channels, own.kernel_w
    group = (block.y + lane) // own.group_filters
    begin = group * channels - block.x
    y = pixel // step.y.w
    top, left = y * own.stride_y - own.pad_y, (pixel - y * step.y.w) * own.stride_x - own.pad_x
    total = np.float32(0)
    for tap in range(own.kernel_h * kernel_w):
        row, column = top + tap // kernel_w * own.dilation, left + tap % kernel_w * own.dilation
        if place.top <= row < place.h and 0 <= column < place.w:
            x = floats(place.at + row * place.row + column * place.pixel + 4 * group * channels, channels)
            for c in range(channels):
                total += x[c] * weights[(tap * own.run + begin + c) * lanes + lane]
    return total


@kernel
def separate_groups(step, own, block, pixel, rows, at, pitch, finished):
    """Compute anew, from their own group alone, those results of a block of merged groups that are NaN.

    Weights 0 stand between merged groups, and 0 times an infinity of another group is NaN. `at` are `rows` pixels,
    `pitch` bytes apart, from output `pixel` on. If they are `finished`, so are new ones.
    """
    channels = block.count
    lanes = _WIDE if channels > LANES else LANES
    taps = own.kernel_h * own.kernel_w
    weights, bias = floats(block.weights, taps * own.run * lanes), floats(block.bias, channels)
    for p in range(rows):
        values = floats(at + p * pitch, channels)
        wrong = 0
        for c in range(channels):
            wrong += values[c] != values[c]
        if wrong == 0:
            continue
        for c in range(channels):
            if values[c] != values[c]:
                x = bias[c] + _reduce_group(step, own, block, pixel + p, c, weights, lanes)
                # `finish_in_registers` knows no other activation than leaky.
                if finished and own.activation != _LINEAR and x < 0:
                    x *= np.float32(0.1)
                values[c] = x
