"""For tests: one step of one operation, on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.operation import Operation
from darknet_py.kernels.ops.step import PLACE, STEP
from darknet_py.kernels.vector.formats import FLOAT32, Format

Array = NDArray[Any]


def place_of(array: Array, format: Format = FLOAT32) -> Array:
    """The place of an activation (H, W, C), whose pixels and rows may have gaps."""
    h, w, c = array.shape
    row, pixel, _ = array.strides
    return np.array((array.ctypes.data, format.value_bytes, pixel, row, 0, 0, h, w, c, format.code), PLACE)


def step_of(
    operation: Operation,
    x: Array,
    y: Array,
    second: Array | None = None,
    also: Array | None = None,
    *,
    formats: dict[str, Format] | None = None,
    threads: int = 1,
    **own: Any,
) -> tuple[Array, Array]:
    """The record (1,) of a step, cut into tasks, and that of its arguments, which must live as long."""
    formats = formats or {}
    arguments = operation.encode("a test", own)
    step = np.zeros(1, STEP)
    for name, array in (("x", x), ("y", y), ("second", second), ("also", also)):
        if array is not None:
            step[name] = place_of(array, formats.get(name, FLOAT32))
    step["images"], step["arguments"] = 1, arguments.ctypes.data
    cut = operation.cut(step[0], arguments[0], threads, 1)
    for field, value in zip(("tasks", "order", "parts", "tile_step", "block_step"), cut, strict=True):
        step[field] = value
    return step, arguments


def run_task(
    operation: Operation, x: Array, y: Array, *others: Array, scratch: Array | None = None, **own: Any
) -> None:
    """Run all tasks of a step."""
    step, arguments = step_of(operation, x, y, *others, **own)
    need = operation.scratch(step[0], arguments[0])
    memory = np.full(need // 4 + 16, np.nan, np.float32) if scratch is None else scratch
    at = -(-memory.ctypes.data // 64) * 64 if scratch is None else memory.ctypes.data
    for task in range(int(step["tasks"][0])):
        operation.kernel(step.ctypes.data, task, at)
