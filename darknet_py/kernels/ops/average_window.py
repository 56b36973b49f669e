"""Average pooling over a window."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["average_window"]

AVERAGE_WINDOW = arguments("size", "stride_y", "stride_x", "pad_y", "pad_x")


@operation(arguments=AVERAGE_WINDOW, cut=by_pixels, scratch=nothing)
def average_window(address, task, scratch):
    """The mean of the window's taps that lie inside the image."""
    step = step_at(address)
    own = record_at(step.arguments, AVERAGE_WINDOW)
    x_place, y_place, channels = step.x, step.y, step.y.c
    first, last = pixel_share(step, task)
    for p in range(first, last):
        py = p // y_place.w
        px = p - py * y_place.w
        top, left = py * own.stride_y - own.pad_y, px * own.stride_x - own.pad_x
        y = floats(y_place.at + p * y_place.pixel, channels)
        for c in range(channels):
            y[c] = np.float32(0)
        taps = 0
        for iy in range(max(top, 0), min(top + own.size, x_place.h)):
            for ix in range(max(left, 0), min(left + own.size, x_place.w)):
                taps += 1
                x = floats(x_place.at + iy * x_place.row + ix * x_place.pixel, channels)
                for c in range(channels):
                    y[c] += x[c]
        for c in range(channels):
            y[c] /= np.float32(taps)
