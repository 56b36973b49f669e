"""Steps that treat every pixel by itself, or gather values from elsewhere: everything that is not a window of weights.

Each takes a row of the step table, a range of output pixels and a scratch row with room for one pixel's channels.
"""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.ops.bfloat16 import widen_row
from darknet_py.kernels.ops.call import pixel_share
from darknet_py.kernels.ops.steps import COLUMNS
from darknet_py.kernels.vector.activate import activate, clear_rest
from darknet_py.kernels.vector.pointers import floats, integers

__all__ = [
    "add",
    "copy",
    "gather",
    "max_depth",
    "multiply",
    "normalize_channels",
    "sign",
    "softmax",
    "softmax_row",
    "upsample",
]

_X, _X_PIXEL, _X_ROW = COLUMNS["X"], COLUMNS["X_PIXEL"], COLUMNS["X_ROW"]
_Y, _Y_PIXEL, _Y_ROW = COLUMNS["Y"], COLUMNS["Y_PIXEL"], COLUMNS["Y_ROW"]
_OUT_W, _CHANNELS = COLUMNS["OUT_W"], COLUMNS["CHANNELS"]
_SECOND, _SECOND_PIXEL, _SECOND_H = COLUMNS["SECOND"], COLUMNS["SECOND_PIXEL"], COLUMNS["SECOND_H"]
_SECOND_W, _SECOND_CHANNELS = COLUMNS["SECOND_W"], COLUMNS["SECOND_CHANNELS"]
_SECOND_ROW, _SECOND_BFLOAT16 = COLUMNS["SECOND_ROW"], COLUMNS["SECOND_BFLOAT16"]
_STRIDE, _SAMPLE = COLUMNS["STRIDE_Y"], COLUMNS["STRIDE_X"]
_MODE, _PARAMETERS, _ACTIVATION, _RUN = COLUMNS["MODE"], COLUMNS["PARAMETERS"], COLUMNS["ACTIVATION"], COLUMNS["RUN"]
_TILES, _GROUPS = COLUMNS["TILES"], COLUMNS["TILE_ROWS"]


@kernel
def copy(address, task, scratch):
    """y = x, between buffers of different strides."""
    step, first, last = pixel_share(address, task)
    for p in range(first, last):
        py = p // step[_OUT_W]
        px = p - py * step[_OUT_W]
        x = floats(step[_X] + py * step[_X_ROW] + px * step[_X_PIXEL], step[_CHANNELS])
        y = floats(step[_Y] + py * step[_Y_ROW] + px * step[_Y_PIXEL], step[_CHANNELS])
        for c in range(step[_CHANNELS]):
            y[c] = x[c]


@kernel
def sign(address, task, scratch):
    """y = 1 where x > 0, else -1: the input of an xnor convolution."""
    step, first, last = pixel_share(address, task)
    for p in range(first, last):
        x = floats(step[_X] + p * step[_X_PIXEL], step[_CHANNELS])
        y = floats(step[_Y] + p * step[_Y_PIXEL], step[_CHANNELS])
        for c in range(step[_CHANNELS]):
            y[c] = np.float32(1) if x[c] > 0 else np.float32(-1)


@kernel
def add(address, task, scratch):
    """y = act(x * a + second * b) with (2, CHANNELS) factors (a, b), over the channels that `second` has.

    With SECOND_BFLOAT16 `second` is bfloat16, of x's shape. Where it has another size, pixel (j, i) of it goes to
    (j, i) / STRIDE * SAMPLE, as pjreddie's shortcut does.
    """
    step, first, last = pixel_share(address, task)
    channels = step[_CHANNELS]
    stride, sample = step[_STRIDE], step[_SAMPLE]
    factors = floats(step[_PARAMETERS], 2 * channels)
    row = floats(scratch, channels)
    clear_rest(scratch, channels)
    shared = channels if step[_SECOND_BFLOAT16] else min(channels, step[_SECOND_CHANNELS])
    beside = scratch + 4 * (channels + LANES)
    for p in range(first, last):
        x = floats(step[_X] + p * step[_X_PIXEL], channels)
        for c in range(channels):
            row[c] = x[c] * factors[c]
        py = p // step[_OUT_W]
        px = p - py * step[_OUT_W]
        sy, sx = py // sample * stride, px // sample * stride
        if py % sample == 0 and px % sample == 0 and sy < step[_SECOND_H] and sx < step[_SECOND_W]:
            at = step[_SECOND] + sy * step[_SECOND_ROW] + sx * step[_SECOND_PIXEL]
            if step[_SECOND_BFLOAT16]:
                widen_row(at, beside, (channels + LANES - 1) // LANES)
                at = beside
            second = floats(at, shared)
            for c in range(shared):
                row[c] += second[c] * factors[channels + c]
        activate(step[_ACTIVATION], scratch, channels)
        y = floats(step[_Y] + p * step[_Y_PIXEL], channels)
        for c in range(channels):
            y[c] = row[c]


@kernel
def multiply(address, task, scratch):
    """y = act(x * second): second is one value per channel (MODE 0), per pixel (1), or has x's shape (2)."""
    step, first, last = pixel_share(address, task)
    channels, mode = step[_CHANNELS], step[_MODE]
    row = floats(scratch, channels)
    clear_rest(scratch, channels)
    for p in range(first, last):
        x = floats(step[_X] + p * step[_X_PIXEL], channels)
        second = floats(step[_SECOND] + (0 if mode == 0 else p * step[_SECOND_PIXEL]), channels)
        if mode == 1:
            for c in range(channels):
                row[c] = x[c] * second[0]
        else:
            for c in range(channels):
                row[c] = x[c] * second[c]
        activate(step[_ACTIVATION], scratch, channels)
        y = floats(step[_Y] + p * step[_Y_PIXEL], channels)
        for c in range(channels):
            y[c] = row[c]


@kernel
def upsample(address, task, scratch):
    """Nearest neighbour times PARAMETERS[0]; MODE 1 sums each STRIDE x STRIDE block instead.

    Values that stay as they are may be pairs of bfloat16: they are not touched.
    """
    step, first, last = pixel_share(address, task)
    channels, stride = step[_CHANNELS], step[_STRIDE]
    scale = floats(step[_PARAMETERS], 1)[0]
    for p in range(first, last):
        py = p // step[_OUT_W]
        px = p - py * step[_OUT_W]
        y = floats(step[_Y] + py * step[_Y_ROW] + px * step[_Y_PIXEL], channels)
        if step[_MODE] == 0:
            x = floats(step[_X] + (py // stride) * step[_X_ROW] + (px // stride) * step[_X_PIXEL], channels)
            if scale == np.float32(1):
                for c in range(channels):
                    y[c] = x[c]
            else:
                for c in range(channels):
                    y[c] = x[c] * scale
        else:
            for c in range(channels):
                y[c] = np.float32(0)
            for j in range(stride):
                for i in range(stride):
                    at = step[_X] + (py * stride + j) * step[_X_ROW] + (px * stride + i) * step[_X_PIXEL]
                    x = floats(at, channels)
                    for c in range(channels):
                        y[c] += x[c] * scale


@kernel
def gather(address, task, scratch):
    """y[p, c] = the value PARAMETERS[p, c] bytes after x: any fixed rearrangement."""
    step, first, last = pixel_share(address, task)
    channels = step[_CHANNELS]
    for p in range(first, last):
        offsets = integers(step[_PARAMETERS] + 8 * p * channels, channels)
        y = floats(step[_Y] + p * step[_Y_PIXEL], channels)
        for c in range(channels):
            y[c] = floats(step[_X] + offsets[c], 1)[0]


@kernel
def max_depth(address, task, scratch):
    """y[g] = the maximum of x[g], x[g + CHANNELS], x[g + 2 CHANNELS], ... below RUN channels."""
    step, first, last = pixel_share(address, task)
    channels = step[_CHANNELS]
    for p in range(first, last):
        x = floats(step[_X] + p * step[_X_PIXEL], step[_RUN])
        y = floats(step[_Y] + p * step[_Y_PIXEL], channels)
        for g in range(channels):
            best = x[g]
            for c in range(g + channels, step[_RUN], channels):
                if x[c] > best:
                    best = x[c]
            y[g] = best


@kernel
def softmax_row(x, y, start, count, temperature):
    """y = softmax(x / temperature) over [start, start + count), the maximum subtracted."""
    top = np.float32(-np.inf)
    for c in range(start, start + count):
        if x[c] > top:
            top = x[c]
    total = np.float32(0)
    for c in range(start, start + count):
        e = np.float32(np.exp(x[c] / temperature - top / temperature))
        total += e
        y[c] = e
    for c in range(start, start + count):
        y[c] /= total


@kernel
def softmax(address, task, scratch):
    """Softmax over TILE_ROWS groups, whose (start, count) are at TILES; PARAMETERS is the temperature."""
    step, first, last = pixel_share(address, task)
    temperature = floats(step[_PARAMETERS], 1)[0]
    groups = integers(step[_TILES], 2 * step[_GROUPS])
    for p in range(first, last):
        x = floats(step[_X] + p * step[_X_PIXEL], step[_CHANNELS])
        y = floats(step[_Y] + p * step[_Y_PIXEL], step[_CHANNELS])
        for g in range(step[_GROUPS]):
            softmax_row(x, y, groups[2 * g], groups[2 * g + 1], temperature)


@kernel
def normalize_channels(address, task, scratch):
    """Each pixel divided by its sum over channels: of max(x, 0) (MODE 0), e^x (1) or e^(x - max) (2)."""
    step, first, last = pixel_share(address, task)
    channels, mode = step[_CHANNELS], step[_MODE]
    for p in range(first, last):
        x = floats(step[_X] + p * step[_X_PIXEL], channels)
        y = floats(step[_Y] + p * step[_Y_PIXEL], channels)
        top = np.float32(0)
        if mode == 2:
            top = x[0]
            for c in range(1, channels):
                top = max(top, x[c])
        total = np.float32(1e-4)
        for c in range(channels):
            value = max(x[c], np.float32(0)) if mode == 0 else np.float32(np.exp(x[c] - top))
            total += value
            y[c] = value
        for c in range(channels):
            y[c] /= total
