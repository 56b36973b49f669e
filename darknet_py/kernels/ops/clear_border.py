"""Zeros around an activation."""

from __future__ import annotations

from darknet_py.kernels.ops.cuts import whole
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import record_at, step_at
from darknet_py.kernels.vector.pointers import floats

__all__ = ["clear_border"]

CLEAR_BORDER = arguments("border")


@operation(arguments=CLEAR_BORDER, cut=whole, scratch=nothing)
def clear_border(address, task, scratch):
    """Zero the border, so many pixels wide, of an output whose inner part is y."""
    step = step_at(address)
    border, pixel, row = record_at(step.arguments, CLEAR_BORDER).border, step.y.pixel, step.y.row
    height, width = step.y.h, step.y.w
    begin = step.y.at - border * (row + pixel)
    floats(begin, (border * row + border * pixel) // 4)[:] = 0
    for y in range(height - 1):
        floats(step.y.at + y * row + width * pixel, 2 * border * pixel // 4)[:] = 0
    floats(step.y.at + (height - 1) * row + width * pixel, (border * row + border * pixel) // 4)[:] = 0
