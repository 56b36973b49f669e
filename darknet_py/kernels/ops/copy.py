"""Values as they are, from one place to another."""

from __future__ import annotations

from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["copy"]


@operation(arguments=arguments(), cut=by_pixels, scratch=nothing)
def copy(address, task, scratch):
    """y = x of the same format, between buffers of different strides; whole groups of joined channels."""
    step = step_at(address)
    x_place, y_place = step.x, step.y
    words = y_place.c * y_place.value // 4
    first, last = pixel_share(step, task)
    for p in range(first, last):
        py = p // y_place.w
        px = p - py * y_place.w
        x = floats(x_place.at + py * x_place.row + px * x_place.pixel, words)
        y = floats(y_place.at + py * y_place.row + px * y_place.pixel, words)
        for c in range(words):
            y[c] = x[c]
