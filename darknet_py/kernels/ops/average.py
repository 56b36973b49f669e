"""Average pooling: over a window, or over the whole image."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.ops.call import pixel_share, step_at
from darknet_py.kernels.ops.steps import COLUMNS
from darknet_py.kernels.vector.pointers import floats

__all__ = ["average_image", "average_window"]

_X, _X_PIXEL, _X_ROW, _IN_H, _IN_W = (COLUMNS[name] for name in ("X", "X_PIXEL", "X_ROW", "IN_H", "IN_W"))
_Y, _Y_PIXEL, _OUT_W, _CHANNELS = COLUMNS["Y"], COLUMNS["Y_PIXEL"], COLUMNS["OUT_W"], COLUMNS["CHANNELS"]
_KERNEL, _STRIDE_Y, _STRIDE_X = COLUMNS["KERNEL_H"], COLUMNS["STRIDE_Y"], COLUMNS["STRIDE_X"]
_PAD_Y, _PAD_X = COLUMNS["PAD_Y"], COLUMNS["PAD_X"]


@kernel
def average_window(address, task, scratch):
    """A share of the output pixels: the mean of the window's taps that lie inside the image."""
    step, first, last = pixel_share(address, task)
    channels = step[_CHANNELS]
    for p in range(first, last):
        py = p // step[_OUT_W]
        px = p - py * step[_OUT_W]
        top, left = py * step[_STRIDE_Y] - step[_PAD_Y], px * step[_STRIDE_X] - step[_PAD_X]
        y = floats(step[_Y] + p * step[_Y_PIXEL], channels)
        for c in range(channels):
            y[c] = np.float32(0)
        taps = 0
        for iy in range(max(top, 0), min(top + step[_KERNEL], step[_IN_H])):
            for ix in range(max(left, 0), min(left + step[_KERNEL], step[_IN_W])):
                taps += 1
                x = floats(step[_X] + iy * step[_X_ROW] + ix * step[_X_PIXEL], channels)
                for c in range(channels):
                    y[c] += x[c]
        for c in range(channels):
            y[c] /= np.float32(taps)


@kernel
def average_image(address, task, scratch):
    """LANES channels from `task` * LANES: their mean over all pixels."""
    step = step_at(address)
    first = task * LANES
    count = min(LANES, step[_CHANNELS] - first)
    pixels = step[_IN_H] * step[_IN_W]
    y = floats(step[_Y] + 4 * first, count)
    for c in range(count):
        y[c] = np.float32(0)
    for p in range(pixels):
        x = floats(step[_X] + p * step[_X_PIXEL] + 4 * first, count)
        for c in range(count):
            y[c] += x[c]
    for c in range(count):
        y[c] /= np.float32(pixels)
