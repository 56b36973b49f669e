"""8-bit pixels to a float32 blob: Darknet's align-corners bilinear interpolation, fused with the division by 255.

All kernels see flat rows: an image (h, w, c) is given as (h, w * c), and the blob as the flat memory that it lies in,
so that one compiled signature serves contiguous blobs and views into padded buffers alike.
"""

from __future__ import annotations

from typing import Any

from darknet_py.kernels.jit import kernel

__all__ = ["resize_bilinear", "scale_to_unit"]


@kernel
def interpolate_columns(source: Any, unit: Any, left: Any, right: Any, near: Any, far: Any, out: Any) -> None:
    """One source row (w * c,) uint8 to one row (out_w * c,) float32; `left`, `right` are flat element positions."""
    # Looking values up while gathering beats converting the whole row first when the source is wider than the blob.
    for j in range(out.size):
        out[j] = near[j] * unit[source[left[j]]] + far[j] * unit[source[right[j]]]


@kernel
def store_row(
    upper: Any, lower: Any, near: Any, far: Any, channels: int, pixel_stride: int, start: int, out: Any
) -> None:
    """Blend two rows (out_w * c,) into the blob from element `start` on, `pixel_stride` elements between pixels."""
    if pixel_stride == channels:
        for j in range(upper.size):
            out[start + j] = near * upper[j] + far * lower[j]
        return
    for x in range(upper.size // channels):
        for k in range(channels):
            j = x * channels + k
            out[start + x * pixel_stride + k] = near * upper[j] + far * lower[j]


@kernel
def resize_bilinear(
    image: Any,
    unit: Any,
    left: Any,
    right: Any,
    column_near: Any,
    column_far: Any,
    top: Any,
    row_near: Any,
    row_far: Any,
    rows: Any,
    channels: int,
    row_stride: int,
    pixel_stride: int,
    out: Any,
) -> None:
    """Interpolate columns, then rows, each product and sum rounded to float32 in Darknet's order.

    image (h, w * c) uint8; unit (256,) float32; left, right (out_w * c,) int32; column_near, column_far (out_w * c,)
    float32; top (out_h,) int32; row_near, row_far (out_h,) float32; rows (2, out_w * c) float32 scratch; strides
    and out in float32 elements.
    """
    # A source row lives in the scratch row of its own parity: when shrinking by less than two, as is usual, the row
    # that two neighbouring output rows share is then interpolated once.
    held_even = -1
    held_odd = -1
    for y in range(top.size):
        first = top[y]
        # A row of weight zero is not touched: it may lie below the image.
        last = first if row_far[y] == 0 else first + 1
        for row in range(first, last + 1):
            held = held_odd if row & 1 else held_even
            if held != row:
                interpolate_columns(image[row], unit, left, right, column_near, column_far, rows[row & 1])
                if row & 1:
                    held_odd = row
                else:
                    held_even = row
        store_row(rows[first & 1], rows[last & 1], row_near[y], row_far[y], channels, pixel_stride, y * row_stride, out)


@kernel
def scale_to_unit(image: Any, unit: Any, channels: int, row_stride: int, pixel_stride: int, out: Any) -> None:
    """Look up every value of image (h, w * c) uint8 in unit (256,) float32; strides and out in float32 elements."""
    for y in range(image.shape[0]):
        start = y * row_stride
        if pixel_stride == channels:
            for j in range(image.shape[1]):
                out[start + j] = unit[image[y, j]]
        else:
            for x in range(image.shape[1] // channels):
                for k in range(channels):
                    out[start + x * pixel_stride + k] = unit[image[y, x * channels + k]]
