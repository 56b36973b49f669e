"""Any fixed rearrangement."""

from __future__ import annotations

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.pointers import floats, integers

__all__ = ["gather"]

GATHER = arguments(sources="i8")


@operation(arguments=GATHER, cut=by_pixels, scratch=nothing)
def gather(address, task, scratch):
    """y[p, c] = the value sources[p, c] bytes after x."""
    step = step_at(address)
    own = record_at(step.arguments, GATHER)
    channels = step.y.c
    first, last = pixel_share(step, task)
    for p in range(first, last):
        offsets = integers(own.sources + 8 * p * channels, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            y[c] = floats(step.x.at + offsets[c], 1)[0]
