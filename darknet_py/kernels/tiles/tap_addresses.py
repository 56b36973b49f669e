"""The table of addresses that the taps of a tile of output pixels read, one per (tap, pixel)."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import inlined, kernel
from darknet_py.kernels.tiles.register import PIXELS

__all__ = ["fill_addresses"]


@kernel
def fill_addresses(step, own, pixel, table, starts):
    """Write the (taps, PIXELS) input addresses of the tile that begins at output `pixel`.

    `own` is about the window; `starts` takes the addresses of the pixels' first taps. Pixels beyond the last repeat it:
    their results are computed and not stored. Returns how many tiles of the same row, this one included, read nothing
    outside the image and so differ in where they begin alone, or 1.
    """
    out_w = step.y.w
    y = pixel // out_w
    x = pixel - y * out_w
    if x + PIXELS <= out_w:
        inside = _start_in_row(step, own, y, x, starts)
    else:
        inside = _start_in_rows(step, own, pixel, y, x, starts)
    if not inside:
        _fill_partly_inside(step, own, pixel, y, x, table, starts)
        return np.int64(1)
    _fill_inside(step, own, table, starts)
    if x + 2 * PIXELS > out_w:
        return np.int64(1)
    right = x * own.stride_x - own.pad_x + (PIXELS - 1) * own.stride_x + (own.kernel_w - 1) * own.dilation
    room = step.x.w - 1 - right
    return min((out_w - x) // PIXELS, room // (PIXELS * own.stride_x) + 1)


@inlined
def _start_in_row(step, own, y, x, starts):
    """The first taps of pixels of one row; whether all that they read is inside the image."""
    place, stride_x = step.x, own.stride_x
    top, left = y * own.stride_y - own.pad_y, x * stride_x - own.pad_x
    start, advance = place.at + top * place.row + left * place.pixel, stride_x * place.pixel
    for p in range(PIXELS):
        starts[p] = start + p * advance
    bottom = top + (own.kernel_h - 1) * own.dilation
    right = left + (PIXELS - 1) * stride_x + (own.kernel_w - 1) * own.dilation
    return top >= place.top and bottom < place.h and left >= 0 and right < place.w


@inlined
def _start_in_rows(step, own, pixel, y, x, starts):
    """As `_start_in_row`, where pixels go on in rows below or end."""
    place, out_w, last = step.x, step.y.w, step.y.h * step.y.w - 1
    at, x_row, x_pixel, in_top, in_h, in_w = place.at, place.row, place.pixel, place.top, place.h, place.w
    stride_y, stride_x, pad_y, pad_x = own.stride_y, own.stride_x, own.pad_y, own.pad_x
    reach_y, reach_x = (own.kernel_h - 1) * own.dilation, (own.kernel_w - 1) * own.dilation
    inside = True
    for p in range(PIXELS):
        top, left = y * stride_y - pad_y, x * stride_x - pad_x
        starts[p] = at + top * x_row + left * x_pixel
        inside &= (top >= in_top) & (top + reach_y < in_h) & (left >= 0) & (left + reach_x < in_w)
        if pixel + p < last:
            x += 1
            if x == out_w:
                x = 0
                y += 1
    return inside


@inlined
def _fill_inside(step, own, table, starts):
    """The addresses of taps that all are inside the image."""
    x_row, x_pixel, kernel_h, kernel_w, dilation = step.x.row, step.x.pixel, own.kernel_h, own.kernel_w, own.dilation
    for ky in range(kernel_h):
        for kx in range(kernel_w):
            offset = dilation * (ky * x_row + kx * x_pixel)
            row = (ky * kernel_w + kx) * PIXELS
            for p in range(PIXELS):
                table[row + p] = starts[p] + offset


@inlined
def _fill_partly_inside(step, own, pixel, y, x, table, starts):
    """The addresses of taps, of which some are outside the image."""
    place, out_w, last, outside = step.x, step.y.w, step.y.h * step.y.w - 1, own.outside
    x_row, x_pixel, in_top, in_h, in_w = place.row, place.pixel, place.top, place.h, place.w
    kernel_h, kernel_w, dilation = own.kernel_h, own.kernel_w, own.dilation
    stride_y, stride_x, pad_y, pad_x = own.stride_y, own.stride_x, own.pad_y, own.pad_x
    for p in range(PIXELS):
        top, left = y * stride_y - pad_y, x * stride_x - pad_x
        for ky in range(kernel_h):
            row_inside = in_top <= top + ky * dilation < in_h
            for kx in range(kernel_w):
                address = starts[p] + dilation * (ky * x_row + kx * x_pixel)
                if not (row_inside and 0 <= left + kx * dilation < in_w):
                    address = outside
                table[(ky * kernel_w + kx) * PIXELS + p] = address
        if pixel + p < last:
            x += 1
            if x == out_w:
                x = 0
                y += 1
