"""Between Darknet's planes (C, H, W) and the pixels (H, W, C) of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.vector.transpose import to_pixels, to_planes

__all__ = ["read_planes", "write_pixels"]

Floats = NDArray[np.float32]


def write_pixels(blob: Floats, target: Floats) -> None:
    """Copy a blob (C, H, W) to `target` (H, W, C), which may be a view with gaps between its pixels and rows."""
    height, width, channels = target.shape
    row, pixel, _ = target.strides
    blob = np.ascontiguousarray(blob)
    to_pixels(blob.ctypes.data, channels, height, width, target.ctypes.data, pixel, row)


def read_planes(output: Floats) -> Floats:
    """A copy of an (H, W, C) output as (C, H, W)."""
    height, width, channels = output.shape
    row, pixel, _ = output.strides
    planes = np.empty((channels, height, width), np.float32)
    to_planes(output.ctypes.data, pixel, row, channels, height, width, planes.ctypes.data)
    return planes
