"""Values in another format."""

from __future__ import annotations

from typing import Any

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, step_at
from darknet_py.kernels.vector.rows import store_as

__all__ = ["convert"]


def _beyond(step: Any, own: Any) -> int:
    return 4 * LANES  # whole vectors of a pixel's channels


@operation(arguments=arguments(), cut=by_pixels, scratch=nothing, beyond=_beyond)
def convert(address, task, scratch):
    """y = x, floats, in the format of y."""
    step = step_at(address)
    x, y = step.x, step.y
    first, last = pixel_share(step, task)
    for p in range(first, last):
        py = p // y.w
        target = y.at + py * y.row + (p - py * y.w) * y.pixel
        store_as(y.format, x.at + p * x.pixel, 0, 1, x.c, target, 0)
