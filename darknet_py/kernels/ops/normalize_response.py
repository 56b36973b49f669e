"""Local response normalisation."""

from __future__ import annotations

import math

import numpy as np

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["normalize_response"]

NORMALIZE_RESPONSE = arguments("size", floats=["alpha", "beta", "kappa"])


@operation(arguments=NORMALIZE_RESPONSE, cut=by_pixels, scratch=nothing)
def normalize_response(address, task, scratch):
    """y = x / norm^beta: norm is kappa + alpha * the squares of channels around, kept from channel to channel.

    As Darknet's loops have it: it begins with the first size / 2 channels; the next one enters with the channel that it
    is size / 2 ahead of, but for channel 0, whose is never added.
    """
    step = step_at(address)
    own = record_at(step.arguments, NORMALIZE_RESPONSE)
    channels, ahead, behind = step.y.c, own.size // 2, (own.size - 1) // 2 + 1
    alpha = np.float32(own.alpha)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        norm = np.float32(own.kappa)
        for c in range(min(ahead, channels)):
            norm += alpha * (x[c] * x[c])
        for c in range(channels):
            if c > 0 and c >= behind:
                norm -= alpha * (x[c - behind] * x[c - behind])
            if c > 0 and c + ahead < channels:
                norm += alpha * (x[c + ahead] * x[c + ahead])
            y[c] = x[c] * np.float32(math.pow(np.float64(norm), -own.beta))
