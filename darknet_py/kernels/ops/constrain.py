"""Values kept within bounds."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, record_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["constrain"]

CONSTRAIN = arguments("limit")


@operation(arguments=CONSTRAIN, cut=by_pixels, scratch=nothing)
def constrain(address, task, scratch):
    """y = x between -limit and limit where there is one (not 0); 0 where that is no finite number."""
    step = step_at(address)
    own = record_at(step.arguments, CONSTRAIN)
    channels, limit = step.y.c, np.float32(own.limit)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            value = x[c]
            if limit > 0:
                value = min(max(value, -limit), limit) if value == value else np.float32(0)
            y[c] = value if np.isfinite(value) else np.float32(0)
