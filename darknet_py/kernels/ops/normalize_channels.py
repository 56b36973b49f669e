"""Activations that need the whole pixel, and its length."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["LENGTH", "normalize_channels"]

NORMALIZE_CHANNELS = arguments("of")

#: What is divided by its sum: max(x, 0), e^x or e^(x - max); in the order of `layers.base.CHANNEL_ACTIVATIONS`.
_POSITIVE, _EXPONENTIAL_BELOW_MAX = 0, 2

#: x itself is divided, by the root of the sum of its squares.
LENGTH = 3


@operation(arguments=NORMALIZE_CHANNELS, cut=by_pixels, scratch=nothing)
def normalize_channels(address, task, scratch):
    """Each pixel divided by its sum over channels: of max(x, 0) (0), e^x (1) or e^(x - max) (2), as `of` says.

    By its length instead where that is LENGTH; a pixel of zeros stays.
    """
    step = step_at(address)
    own = record_at(step.arguments, NORMALIZE_CHANNELS)
    channels, of = step.y.c, own.of
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        if of == LENGTH:
            squares = np.float32(0)
            for c in range(channels):
                squares += x[c] * x[c]
            length = np.float32(np.sqrt(squares))
            for c in range(channels):
                y[c] = x[c] / length if length != 0 else x[c]
            continue
        top = np.float32(0)
        if of == _EXPONENTIAL_BELOW_MAX:
            top = x[0]
            for c in range(1, channels):
                top = max(top, x[c])
        total = np.float32(1e-4)
        for c in range(channels):
            value = max(x[c], np.float32(0)) if of == _POSITIVE else np.float32(np.exp(x[c] - top))
            total += value
            y[c] = value
        for c in range(channels):
            y[c] /= total
