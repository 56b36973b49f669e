"""Constants."""

from __future__ import annotations

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["fill"]

FILL = arguments(values="f4")


@operation(arguments=FILL, cut=by_pixels, scratch=nothing)
def fill(address, task, scratch):
    """y = (h, w, channels) `values`; x is not read."""
    step = step_at(address)
    own = record_at(step.arguments, FILL)
    channels = step.y.c
    first, last = pixel_share(step, task)
    for p in range(first, last):
        values = floats(own.values + 4 * p * channels, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            y[c] = values[c]
