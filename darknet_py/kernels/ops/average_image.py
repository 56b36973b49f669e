"""Average pooling over the whole image."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_channels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["average_image"]


@operation(arguments=arguments(), cut=by_channels, scratch=nothing)
def average_image(address, task, scratch):
    """LANES channels from `task` * LANES: their mean over all pixels."""
    step = step_at(address)
    first = task * LANES
    count = min(LANES, step.y.c - first)
    pixels = step.x.h * step.x.w
    y = floats(step.y.at + 4 * first, count)
    for c in range(count):
        y[c] = np.float32(0)
    for p in range(pixels):
        x = floats(step.x.at + p * step.x.pixel + 4 * first, count)
        for c in range(count):
            y[c] += x[c]
    for c in range(count):
        y[c] /= np.float32(pixels)
