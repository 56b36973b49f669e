"""Sums of two layers."""

from __future__ import annotations

from typing import Any

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.activate import activate, clear_rest
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.kernels.vector.pointers import floats
from darknet_py.kernels.vector.rows import load_row

__all__ = ["add"]

ADD = arguments("activation", "stride", "sample", factors="f4")

_FLOAT32 = FLOAT32.code


def _scratch(step: Any, own: Any) -> int:
    return 2 * 4 * (int(step["y"]["c"]) + LANES)


def _beyond(step: Any, own: Any) -> int:
    return 4 * LANES  # whole vectors of what is not float32


@operation(arguments=ADD, cut=by_pixels, scratch=_scratch, beyond=_beyond)
def add(address, task, scratch):
    """y = act(x * a + second * b) with (2, channels) factors (a, b), over the channels that `second` has.

    Where `second` has another size, pixel (j, i) of it goes to (j, i) / stride * sample, as pjreddie's shortcut does.
    """
    step = step_at(address)
    own = record_at(step.arguments, ADD)
    beside, channels = step.second, step.y.c
    stride, sample = own.stride, own.sample
    factors = floats(own.factors, 2 * channels)
    row = floats(scratch, channels)
    clear_rest(scratch, channels)
    shared = min(channels, beside.c)
    widened = scratch + 4 * (channels + LANES)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, channels)
        for c in range(channels):
            row[c] = x[c] * factors[c]
        py = p // step.y.w
        px = p - py * step.y.w
        sy, sx = py // sample * stride, px // sample * stride
        if py % sample == 0 and px % sample == 0 and sy < beside.h and sx < beside.w:
            at = beside.at + sy * beside.row + sx * beside.pixel
            if beside.format != _FLOAT32:
                load_row(beside.format, at, widened, (channels + LANES - 1) // LANES)
                at = widened
            second = floats(at, shared)
            for c in range(shared):
                row[c] += second[c] * factors[channels + c]
        activate(own.activation, scratch, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            y[c] = row[c]
