"""Pictures into blobs: as they are, or by Darknet's resizing, which is prepared here as a step of a run."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from darknet_py.kernels.resize import PADDING, resize_rows, scale_to_unit
from darknet_py.kernels.steps import COLUMNS, Op

__all__ = ["Resizing", "scale_into"]

#: Darknet divides in double and stores float32.
_UNIT = (np.arange(256) / 255.0).astype(np.float32)


class Resizing:
    """A resize that waits to be computed: one row of a step table, and the memory that its addresses point into.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
    out : ndarray, shape (h, w, C), float32
        Where the picture goes; its last axis is contiguous.
    reverses : bool
        Whether the three channels are to change their order.

    Attributes
    ----------
    row : ndarray, shape (columns,), int64
        All but the kernel's address, how many tasks there are and where their memory is.
    task_bytes : int
        Memory that each task needs.
    """

    def __init__(self, image: npt.NDArray[np.uint8], out: npt.NDArray[np.float32], reverses: bool) -> None:
        height, width, channels = image.shape
        new_height, new_width, _ = out.shape
        self._image, self._out = np.ascontiguousarray(image), out
        tables = _resize_tables(width, new_width, channels, height, new_height)
        self.task_bytes = 4 * (2 * (new_width * channels + PADDING) + width * channels + PADDING)
        fields = {
            "OP": Op.RESIZE, "LAYER": -1,
            "X": self._image.ctypes.data, "X_ROW": width * channels, "IN_H": height, "IN_W": width,
            "Y": out.ctypes.data, "Y_PIXEL": out.strides[1], "Y_ROW": out.strides[0],
            "OUT_H": new_height, "OUT_W": new_width, "CHANNELS": channels, "MODE": int(reverses),
            "PARAMETERS": tables[0].ctypes.data, "IMAGES": 1, "SECOND_ROW": self.task_bytes,
        }  # fmt: skip
        self.row = np.zeros(len(COLUMNS), np.int64)
        for name, value in fields.items():
            self.row[COLUMNS[name]] = value
        self._tables = tables

    def run(self) -> None:
        """Compute it here and now."""
        memory = np.empty(self.task_bytes // 4, np.float32)
        self.row[COLUMNS["TASKS"]], self.row[COLUMNS["SECOND"]] = 1, memory.ctypes.data
        resize_rows(self.row.ctypes.data, 0, 0)


def scale_into(image: npt.NDArray[np.uint8], out: npt.NDArray[np.float32]) -> None:
    """The picture as it is, in [0, 1]."""
    # Read-only arrays are another type to Numba: copying one is cheaper than a second compiled signature.
    image = np.require(image, requirements=["C", "W"])
    steps = [0 if length == 1 else stride // 4 for length, stride in zip(out.shape, out.strides, strict=True)]
    span = 1 + sum((length - 1) * step for length, step in zip(out.shape, steps, strict=True))
    memory = as_strided(out, (span,), (4,))
    scale_to_unit(image.reshape(len(image), -1), _UNIT, image.shape[2], steps[0], steps[1], memory)


@lru_cache(maxsize=32)
def _resize_tables(width: int, new_width: int, channels: int, height: int, new_height: int) -> tuple[Any, ...]:
    """What PARAMETERS of a RESIZE step is, then the seven arrays that it holds the addresses of."""
    arrays = (*_column_taps(width, new_width, channels), *_row_taps(height, new_height))
    return np.array([array.ctypes.data for array in arrays], np.int64), arrays


def _taps(length: int, new_length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Index and fraction of every output position along one axis, rounded as C rounds its floats."""
    step = np.float32(length - 1) / np.float32(max(new_length - 1, 1))
    position = np.arange(new_length, dtype=np.float32) * step
    index = position.astype(np.int64)
    return index, position - index.astype(np.float32)


def _column_taps(width: int, new_width: int, channels: int) -> tuple[npt.NDArray[Any], ...]:
    index, far = _taps(width, new_width)
    index[-1], far[-1] = width - 1, 0  # the last column is exact, unlike the last row
    right = np.minimum(index + 1, width - 1) * channels
    return index * channels, right, np.float32(1) - far, far


def _row_taps(height: int, new_height: int) -> tuple[npt.NDArray[Any], ...]:
    index, far = _taps(height, new_height)
    near = np.float32(1) - far
    far[-1] = 0  # resize_image() leaves the last row without its lower neighbour's share, also where near is 0
    return index, near, far
