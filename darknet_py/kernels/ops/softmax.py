"""Softmax over groups of channels."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import kernel
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, records_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["GROUP", "softmax", "softmax_row"]

#: Some channels that follow each other.
GROUP = np.dtype([("start", "i8"), ("count", "i8")], align=True)

SOFTMAX = arguments("count", floats=["temperature"], groups=GROUP)


@kernel
def softmax_row(x, y, start, count, temperature):
    """y = softmax(x / temperature) over [start, start + count), the maximum subtracted."""
    top = np.float32(-np.inf)
    for c in range(start, start + count):
        if x[c] > top:
            top = x[c]
    total = np.float32(0)
    for c in range(start, start + count):
        e = np.float32(np.exp(x[c] / temperature - top / temperature))
        total += e
        y[c] = e
    for c in range(start, start + count):
        y[c] /= total


@operation(arguments=SOFTMAX, cut=by_pixels, scratch=nothing)
def softmax(address, task, scratch):
    """Softmax over each of `count` groups."""
    step = step_at(address)
    own = record_at(step.arguments, SOFTMAX)
    groups, temperature = records_at(own.groups, own.count, GROUP), np.float32(own.temperature)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, step.y.c)
        y = floats(step.y.at + p * step.y.pixel, step.y.c)
        for g in range(own.count):
            softmax_row(x, y, groups[g].start, groups[g].count, temperature)
