"""Pictures into blobs: as they are, or by Darknet's resizing, which is prepared here as a step of a run."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from darknet_py.kernels.ops.resize_rows import GROUP_BYTES, GROUPS, PADDING, resize_rows, scale_to_unit
from darknet_py.kernels.ops.step import STEP, TOGETHER

__all__ = ["Resizing", "Window", "scale_into"]

#: Darknet divides in double and stores float32.
_UNIT = (np.arange(256) / 255.0).astype(np.float32)


class Window(NamedTuple):
    """What of a resized picture is wanted: the whole is `width` x `height`, and the window begins at (`left`, `top`).

    Positions outside repeat the nearest edge.
    """

    width: int
    height: int
    left: int
    top: int


class Resizing:
    """A resize that waits to be computed: the record of a step, and the memory that its addresses point into.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
    out : ndarray, shape (h, w, C), float32
        Where the picture goes; its last axis is contiguous.
    reverses : bool
        Whether the three channels are to change their order.
    window : Window, optional
        The part of the resized picture that `out` is; by default all of it.

    Attributes
    ----------
    step : ndarray, shape (1,), STEP
        All but which operation it is and how many tasks there are.
    own : ndarray, shape (1,)
        Its arguments, but for where the tasks' memory is.
    task_bytes : int
        Memory that each task needs.
    """

    def __init__(
        self,
        image: npt.NDArray[np.uint8],
        out: npt.NDArray[np.float32],
        reverses: bool,
        window: Window | None = None,
    ) -> None:
        self._image, self._out = np.ascontiguousarray(image), out
        height, width = out.shape[:2]
        whole = Window(width, height, 0, 0)
        own, self.task_bytes, self._tables = _prepared(image.shape, (height, width), reverses, window or whole)
        self.own, self.step = own.copy(), np.zeros(1, STEP)
        in_height, in_width, channels = image.shape
        step = self.step[0]
        step["layer"], step["images"], step["order"], step["arguments"] = -1, 1, TOGETHER, self.own.ctypes.data
        step["x"] = (self._image.ctypes.data, 1, channels, in_width * channels, 0, 0, in_height, in_width, channels, 0)
        step["y"] = (out.ctypes.data, 4, out.strides[1], out.strides[0], 0, 0, height, width, channels, 0)

    def run(self) -> None:
        """Compute it here and now."""
        memory = np.empty(self.task_bytes // 4, np.float32)
        self.step["tasks"], self.own["memory"] = 1, memory.ctypes.data
        resize_rows.kernel(self.step.ctypes.data, 0, 0)


def scale_into(image: npt.NDArray[np.uint8], out: npt.NDArray[np.float32]) -> None:
    """The picture as it is, in [0, 1]."""
    # Read-only arrays are another type to Numba: copying one is cheaper than a second compiled signature.
    image = np.require(image, requirements=["C", "W"])
    steps = [0 if length == 1 else stride // 4 for length, stride in zip(out.shape, out.strides, strict=True)]
    span = 1 + sum((length - 1) * step for length, step in zip(out.shape, steps, strict=True))
    memory = as_strided(out, (span,), (4,))
    scale_to_unit(image.reshape(len(image), -1), _UNIT, image.shape[2], steps[0], steps[1], memory)


@lru_cache(maxsize=32)
def _prepared(
    shape: tuple[int, int, int], new_shape: tuple[int, int], reverses: bool, window: Window
) -> tuple[npt.NDArray[Any], int, tuple[npt.NDArray[Any], ...]]:
    """A resize's own arguments, the memory of a task, and what the arguments have the address of."""
    height, width, channels = shape
    new_height, new_width = new_shape
    columns = np.clip(np.arange(new_width) + window.left, 0, window.width - 1)
    rows = np.clip(np.arange(new_height) + window.top, 0, window.height - 1)
    left, right, near, far = _column_taps(width, window.width, columns, channels)
    groups, pixels = _groups(left, right, far, reverses) if channels == 3 and GROUPS else (np.empty(0, np.uint8), 1)
    above, row_near, row_far = _row_taps(height, window.height, rows)
    arrays = {
        "left": left, "right": right, "near": near, "far": far, "above": above, "row_near": row_near,
        "row_far": row_far, "groups": groups,
    }  # fmt: skip
    task_bytes = 4 * (2 * (new_width * channels + PADDING) + width * channels + PADDING)
    numbers = {"reverses": reverses, "n_groups": len(groups), "group_bytes": 12 * pixels, "task_bytes": task_bytes}
    own = resize_rows.encode("a picture", {"memory": 0} | numbers | arrays)
    return own, task_bytes, tuple(arrays.values())


def _groups(
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    far: npt.NDArray[np.float32],
    reverses: bool,
) -> tuple[npt.NDArray[np.uint8], int]:
    """The table of `_blend_groups`, and how many pixels of output a group is: all its inputs are 32 floats."""
    order = np.array([2, 1, 0] if reverses else [0, 1, 2])
    for pixels in range(5, 0, -1):
        first = np.arange(0, len(left), pixels)
        last = np.minimum(first + pixels, len(left)) - 1
        if (right[last] + 3 - left[first] <= 32).all():
            break
    each = np.minimum(first[:, None] + np.arange(pixels), len(left) - 1)
    table = np.zeros((len(first), GROUP_BYTES), np.uint8)
    table[:, :8] = left[first][:, None].view(np.uint8)
    for at, elements in ((16, left), (32, right)):
        picked = elements[each][:, :, None] + order - left[first][:, None, None]
        table[:, at : at + 3 * pixels] = picked.reshape(len(first), -1)
    table[:, 64 : 64 + 12 * pixels] = np.repeat(far[each], 3, axis=1).view(np.uint8)
    return table, pixels


def _taps(
    length: int, new_length: int, places: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Index and fraction of some output positions along one axis, rounded as C rounds its floats.

    Of millions of rows or columns C would look beyond the last, to which its floats are rounded: here it ends there.
    """
    step = np.float32(length - 1) / np.float32(max(new_length - 1, 1))
    position = places.astype(np.float32) * step
    index = position.astype(np.int64)
    fraction = position - index.astype(np.float32)
    last = places == new_length - 1
    fraction[np.where(last, index >= length, index >= length - 1)] = 0
    return np.minimum(index, length - 1), fraction


def _column_taps(
    width: int, new_width: int, columns: npt.NDArray[np.int64], channels: int
) -> tuple[npt.NDArray[Any], ...]:
    index, far = _taps(width, new_width, columns)
    last = columns == new_width - 1
    index[last], far[last] = width - 1, 0  # the last column is exact, unlike the last row
    right = np.minimum(index + 1, width - 1) * channels
    return index * channels, right, np.float32(1) - far, far


def _row_taps(height: int, new_height: int, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], ...]:
    index, far = _taps(height, new_height, rows)
    near = np.float32(1) - far
    # resize_image() leaves the last row without its lower neighbour's share, also where near is 0
    far[rows == new_height - 1] = 0
    return index, near, far
