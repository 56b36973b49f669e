"""The input of an xnor convolution."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["sign"]


@operation(arguments=arguments(), cut=by_pixels, scratch=nothing)
def sign(address, task, scratch):
    """y = 1 where x > 0, else -1."""
    step = step_at(address)
    channels = step.y.c
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            y[c] = np.float32(1) if x[c] > 0 else np.float32(-1)
