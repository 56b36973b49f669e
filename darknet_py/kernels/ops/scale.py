"""A factor and a term for each channel."""

from __future__ import annotations

from typing import Any

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.activate import activate, clear_rest
from darknet_py.kernels.vector.pointers import floats

__all__ = ["scale"]

SCALE = arguments("activation", factors="f4")


def _scratch(step: Any, own: Any) -> int:
    return 4 * (int(step["y"]["c"]) + LANES)


@operation(arguments=SCALE, cut=by_pixels, scratch=_scratch)
def scale(address, task, scratch):
    """y = act(x * a + b) with (2, channels) factors (a, b); rows of x may have gaps between them."""
    step = step_at(address)
    own = record_at(step.arguments, SCALE)
    x_place, channels = step.x, step.y.c
    factors = floats(own.factors, 2 * channels)
    row = floats(scratch, channels)
    clear_rest(scratch, channels)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        py = p // step.y.w
        px = p - py * step.y.w
        x = floats(x_place.at + py * x_place.row + px * x_place.pixel, channels)
        for c in range(channels):
            row[c] = x[c] * factors[c] + factors[channels + c]
        activate(own.activation, scratch, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            y[c] = row[c]
