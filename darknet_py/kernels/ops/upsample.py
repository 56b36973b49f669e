"""Nearest neighbours, or sums of blocks."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["upsample"]

UPSAMPLE = arguments("stride", "sums", floats=["scale"])


@operation(arguments=UPSAMPLE, cut=by_pixels, scratch=nothing)
def upsample(address, task, scratch):
    """Nearest neighbour times `scale`, or with `sums` the sum of each `stride` x `stride` block.

    Values that stay as they are may be of any format: they are not touched.
    """
    step = step_at(address)
    own = record_at(step.arguments, UPSAMPLE)
    x_place, y_place = step.x, step.y
    channels, stride, scale = y_place.c * y_place.value // 4, own.stride, np.float32(own.scale)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        py = p // y_place.w
        px = p - py * y_place.w
        y = floats(y_place.at + py * y_place.row + px * y_place.pixel, channels)
        if own.sums == 0:
            x = floats(x_place.at + (py // stride) * x_place.row + (px // stride) * x_place.pixel, channels)
            if scale == np.float32(1):
                for c in range(channels):
                    y[c] = x[c]
            else:
                for c in range(channels):
                    y[c] = x[c] * scale
        else:
            for c in range(channels):
                y[c] = np.float32(0)
            for j in range(stride):
                for i in range(stride):
                    at = x_place.at + (py * stride + j) * x_place.row + (px * stride + i) * x_place.pixel
                    x = floats(at, channels)
                    for c in range(channels):
                        y[c] += x[c] * scale
