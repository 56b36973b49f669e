"""8-bit pixels to a float32 blob: Darknet's align-corners bilinear interpolation, fused with the division by 255.

All kernels see flat rows: an image (h, w, c) is given as (h, w * c), and the blob as the flat memory that it lies in,
so that one compiled signature serves contiguous blobs and views into padded buffers alike.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import HAS_FMA, LANES, kernel
from darknet_py.kernels.vector import I64, Lanes

__all__ = ["PADDING", "resize_bilinear", "scale_to_unit"]

#: Elements that rows in scratch have beyond their last: whole vectors are read and written.
PADDING = 16


@intrinsic
def _vectors_to_unit(typingctx: Any, source: Any, out: Any, vectors: Any) -> Any:
    """LANES times `vectors` bytes divided by 255, to float32, from address `source` to `out`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, out, vectors = args
        v = Lanes(builder, LANES)
        bytes_type = ir.VectorType(ir.IntType(8), LANES)
        with cgutils.for_range(builder, vectors, intp=I64) as loop:
            first = builder.mul(loop.index, ir.Constant(I64, LANES))
            value = builder.load(builder.inttoptr(builder.add(source, first), bytes_type.as_pointer()))
            value.align = 1
            x = builder.sitofp(builder.zext(value, v.int_type), v.type)
            if HAS_FMA:
                # Correctly rounded, as the quotient is (Markstein); vectors divide slowly.
                inverse = v.constant(1 / 255)
                quotient = builder.fmul(x, inverse)
                rest = v.fma(quotient, v.constant(-255.0), x)
                quotient = v.fma(rest, inverse, quotient)
            else:
                quotient = builder.fdiv(x, v.constant(255.0))
            v.store(quotient, builder.add(out, builder.mul(first, ir.Constant(I64, 4))))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def _blend_colours(
    typingctx: Any, source: Any, left: Any, right: Any, near: Any, far: Any, pixels: Any, out: Any
) -> Any:
    """Pixels of three channels: near * source[left] + far * source[right], each product and the sum rounded.

    All but `pixels` are addresses; `left`, `right` (pixels,) int32 count floats, `near`, `far` (pixels,) float32. Four
    floats are read and written at each pixel, the fourth of no meaning.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, left, right, near, far, pixels, out = args
        v = Lanes(builder, 4)

        def at(base: ir.Value, index: ir.Value, step: int) -> ir.Value:
            return builder.add(base, builder.mul(index, ir.Constant(I64, step)))

        def share(position: ir.Value, weight: ir.Value, index: ir.Value) -> ir.Value:
            place = builder.load(builder.inttoptr(at(position, index, 4), ir.IntType(32).as_pointer()))
            return builder.fmul(v.load(at(source, builder.zext(place, I64), 4)), v.broadcast(at(weight, index, 4)))

        with cgutils.for_range(builder, pixels, intp=I64) as loop:
            total = builder.fadd(share(left, near, loop.index), share(right, far, loop.index))
            v.store(total, at(out, loop.index, 12))
        return context.get_dummy_value()

    return types.void(*([types.int64] * 7)), codegen


@kernel
def _row_to_unit(source: Any, unit: Any, out: Any) -> None:
    """Values of `source` (n,) uint8 as `unit` (256,) float32 has them, value / 255, to the first n of `out`."""
    vectors = source.size // LANES
    _vectors_to_unit(source.ctypes.data, out.ctypes.data, vectors)
    for i in range(vectors * LANES, source.size):
        out[i] = unit[source[i]]


@kernel
def interpolate_columns(
    source: Any, unit: Any, left: Any, right: Any, near: Any, far: Any, channels: int, row: Any, out: Any
) -> None:
    """One source row (w * c,) uint8 to one row (out_w * c,) float32 by way of `row`, the former in float32.

    `left`, `right`, `near`, `far` (out_w,); positions count elements of the row. `row` and `out` are PADDING longer.
    """
    # Looking values up where they are needed converts fewer, yet 768x576 to 416x416 took 1.5 ms so, and takes 0.6.
    _row_to_unit(source, unit, row)
    if channels == 3:
        _blend_colours(
            row.ctypes.data, left.ctypes.data, right.ctypes.data, near.ctypes.data, far.ctypes.data,
            left.size, out.ctypes.data,
        )  # fmt: skip
        return
    for x in range(left.size):
        for k in range(channels):
            out[x * channels + k] = near[x] * row[left[x] + k] + far[x] * row[right[x] + k]


@kernel
def store_row(
    upper: Any, lower: Any, near: Any, far: Any, channels: int, pixel_stride: int, start: int, out: Any
) -> None:
    """Blend two rows (out_w * c,) into the blob from element `start` on, `pixel_stride` elements between pixels."""
    if pixel_stride == channels:
        target = out[start : start + upper.size]
        for j in range(upper.size):
            target[j] = near * upper[j] + far * lower[j]
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
    scratch: Any,
    channels: int,
    row_stride: int,
    pixel_stride: int,
    out: Any,
) -> None:
    """Interpolate columns, then rows, each product and sum rounded to float32 in Darknet's order.

    image (h, w * c) uint8; unit (256,) float32; left, right (out_w,) int32, elements of a row; column_near, column_far
    (out_w,) float32; top (out_h,) int32; row_near, row_far (out_h,) float32; scratch of float32, twice out_w * c and
    once w * c elements, each with PADDING more; strides and out in float32 elements.
    """
    width = left.size * channels
    even, odd = scratch[: width + PADDING], scratch[width + PADDING : 2 * (width + PADDING)]
    source = scratch[2 * (width + PADDING) :]
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
                to = odd if row & 1 else even
                interpolate_columns(image[row], unit, left, right, column_near, column_far, channels, source, to)
                if row & 1:
                    held_odd = row
                else:
                    held_even = row
        upper, lower = (odd if first & 1 else even)[:width], (odd if last & 1 else even)[:width]
        store_row(upper, lower, row_near[y], row_far[y], channels, pixel_stride, y * row_stride, out)


@kernel
def scale_to_unit(image: Any, unit: Any, channels: int, row_stride: int, pixel_stride: int, out: Any) -> None:
    """Every value of image (h, w * c) uint8 as unit (256,) float32 has it, value / 255; strides count float32."""
    for y in range(image.shape[0]):
        start = y * row_stride
        if pixel_stride == channels:
            _row_to_unit(image[y], unit, out[start : start + image.shape[1]])
        else:
            for x in range(image.shape[1] // channels):
                for k in range(channels):
                    out[start + x * pixel_stride + k] = unit[image[y, x * channels + k]]
