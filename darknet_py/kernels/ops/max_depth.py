"""Max-pooling over channels."""

from __future__ import annotations

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["max_depth"]


@operation(arguments=arguments(), cut=by_pixels, scratch=nothing)
def max_depth(address, task, scratch):
    """y[g] = the maximum of x[g], x[g + n], x[g + 2 n], ..., where n are the channels of y."""
    step = step_at(address)
    channels = step.y.c
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, step.x.c)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for g in range(channels):
            best = x[g]
            for c in range(g + channels, step.x.c, channels):
                if x[c] > best:
                    best = x[c]
            y[g] = best
