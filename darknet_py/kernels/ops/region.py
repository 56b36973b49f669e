"""What [region] does to the convolution before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, operation
from darknet_py.kernels.ops.softmax import GROUP, softmax_row
from darknet_py.kernels.ops.step import pixel_share, record_at, records_at, step_at
from darknet_py.kernels.vector.activate import ACTIVATION_CODES, activate
from darknet_py.kernels.vector.pointers import floats

__all__ = ["region"]

REGION = arguments("entries", "count", groups=GROUP)

_LOGISTIC = ACTIVATION_CODES["logistic"]


def _scratch(step: Any, own: Any) -> int:
    return 4 * (int(step["y"]["c"]) + LANES)


@operation(arguments=REGION, cut=by_pixels, scratch=_scratch)
def region(address, task, scratch):
    """Logistic on entry 4 of every block of `entries` channels, softmax over `count` groups of the entries after it.

    No group leaves the classes as they are.
    """
    step = step_at(address)
    own = record_at(step.arguments, REGION)
    channels = step.y.c
    groups = records_at(own.groups, own.count, GROUP)
    row = floats(scratch, channels)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, channels)
        y = floats(step.y.at + p * step.y.pixel, channels)
        for c in range(channels):
            row[c] = x[c]
        activate(_LOGISTIC, scratch, channels)
        for start in range(0, channels, own.entries):
            for c in range(start, start + own.entries):
                y[c] = x[c]
            y[start + 4] = row[start + 4]
            for g in range(own.count):
                softmax_row(x, y, start + groups[g].start, groups[g].count, np.float32(1))
