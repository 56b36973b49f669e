"""Products of two layers."""

from __future__ import annotations

from typing import Any

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.activate import activate, clear_rest
from darknet_py.kernels.vector.pointers import floats

__all__ = ["BY_CHANNEL", "BY_PIXEL", "BY_VALUE", "multiply"]

MULTIPLY = arguments("by", "activation")

#: What a factor is for: a channel of all pixels, a pixel, or one value.
BY_CHANNEL, BY_PIXEL, BY_VALUE = 0, 1, 2


def _scratch(step: Any, own: Any) -> int:
    return 4 * (int(step["y"]["c"]) + LANES)


@operation(arguments=MULTIPLY, cut=by_pixels, scratch=_scratch)
def multiply(address, task, scratch):
    """y = act(x * second)."""
    step = step_at(address)
    own = record_at(step.arguments, MULTIPLY)
    channels, by = step.y.c, own.by
    row = floats(scratch, channels)
    clear_rest(scratch, channels)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, channels)
        second = floats(step.second.at + (0 if by == BY_CHANNEL else p * step.second.pixel), channels)
        if by == BY_PIXEL:
            for c in range(channels):
                row[c] = x[c] * second[0]
        else:
            for c in range(channels):
                row[c] = x[c] * second[c]
        activate(own.activation, scratch, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            y[c] = row[c]
