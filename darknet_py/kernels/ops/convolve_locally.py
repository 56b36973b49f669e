"""A window over the image with other weights at each of its positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.operation import Cut, arguments, operation
from darknet_py.kernels.ops.step import BY_TASK, pixel_share, record_at, step_at
from darknet_py.kernels.vector.activate import activate, clear_rest
from darknet_py.kernels.vector.pointers import floats

__all__ = ["convolve_locally"]

CONVOLVE_LOCALLY = arguments("weights", "size", "stride", "pad", "activation")

#: A task reads so many weights, unless one position has more.
_TASK_WEIGHTS = 64 << 10


def _by_positions(step: Any, own: Any, threads: int, images: int) -> Cut:
    """A share of the output pixels, each of which reads weights of its own: once for all images."""
    y = step["y"]
    pixels = int(y["h"] * y["w"])
    each = int(step["x"]["c"] * own["size"] ** 2 * y["c"])
    return Cut(max(1, min(pixels, pixels * each // _TASK_WEIGHTS)), BY_TASK)


def _scratch(step: Any, own: Any) -> int:
    return 4 * (int(step["y"]["c"]) + LANES)


@operation(arguments=CONVOLVE_LOCALLY, cut=_by_positions, scratch=_scratch)
def convolve_locally(address, task, scratch):
    """y = act(bias + the sum of weights times taps): (positions, 1 + taps, filters), the biases first.

    Taps are (channel, row, column), those outside the image are 0. Filters are what the loop inside goes over: the
    weights, which are most of what is read, are read once and in order.
    """
    step = step_at(address)
    own = record_at(step.arguments, CONVOLVE_LOCALLY)
    x_place, y_place, size = step.x, step.y, own.size
    filters = y_place.c
    total = floats(scratch, filters)
    clear_rest(scratch, filters)
    taps = x_place.c * size * size
    first, last = pixel_share(step, task)
    for p in range(first, last):
        py = p // y_place.w
        top, left = py * own.stride - own.pad, (p - py * y_place.w) * own.stride - own.pad
        at = own.weights + 4 * p * (1 + taps) * filters
        bias = floats(at, filters)
        for f in range(filters):
            total[f] = bias[f]
        for c in range(x_place.c):
            for j in range(max(0, -top), min(size, x_place.h - top)):
                for i in range(max(0, -left), min(size, x_place.w - left)):
                    value = floats(x_place.at + (top + j) * x_place.row + (left + i) * x_place.pixel, x_place.c)[c]
                    weights = floats(at + 4 * (1 + (c * size + j) * size + i) * filters, filters)
                    for f in range(filters):
                        total[f] += np.float32(value * weights[f])
        activate(own.activation, scratch, filters)
        y = floats(y_place.at + p * y_place.pixel, filters)
        for f in range(filters):
            y[f] = total[f]
