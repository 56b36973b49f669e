"""8-bit pixels to a float32 blob: Darknet's align-corners bilinear interpolation, fused with the division by 255.

Rows are flat: a pixel's channels follow each other, those of an image (h, w, c) as (h, w * c). Resizing is a step like
any other, so that threads share it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import HAS_AVX512, HAS_FMA, LANES, inlined, kernel
from darknet_py.kernels.ops.operation import Cut, arguments, nothing, operation
from darknet_py.kernels.ops.step import record_at, row_share, step_at
from darknet_py.kernels.vector.lanes import I64, Lanes
from darknet_py.kernels.vector.pointers import bytes_at, floats, integers

__all__ = ["GROUPS", "GROUP_BYTES", "PADDING", "resize_rows", "scale_to_unit"]

#: Elements that rows in scratch have beyond their last: whole vectors are read and written.
PADDING = 32

#: Whether pixels of three channels are interpolated in groups, and the bytes that say how a group is.
GROUPS = HAS_AVX512
GROUP_BYTES = 128

#: Whether three channels change their order. Of each output column, the elements of a row to its left and right and
#: their weights; of each output row, the row above it and the weights of that and of the next; the groups for
#: `_blend_groups`, if it is used, how many they are and the bytes of output of each. At `memory` every task has
#: `task_bytes`: twice a row of the output and once one of the input, as floats, each with PADDING more.
RESIZE_ROWS = arguments(
    *("reverses", "n_groups", "group_bytes", "memory", "task_bytes"),
    left="i8",
    right="i8",
    near="f4",
    far="f4",
    above="i8",
    row_near="f4",
    row_far="f4",
    groups="u1",
)


def _cut(step: Any, own: Any, threads: int, images: int) -> Cut:
    # Helpers come late to a run's first step.
    return Cut(min(1 if threads == 1 else _TASKS_PER_THREAD * threads, int(step["y"]["h"])))


_TASKS_PER_THREAD = 4


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


@intrinsic(prefer_literal=True)
def _blend_colours(
    typingctx: Any, source: Any, left: Any, right: Any, near: Any, far: Any, pixels: Any, out: Any, reverses: Any
) -> Any:
    """Pixels of three channels: near * source[left] + far * source[right], each product and the sum rounded.

    All but `pixels` are addresses; `left`, `right` (pixels,) int64 count floats, `near`, `far` (pixels,) float32. Four
    floats are read and written at each pixel, the fourth of no meaning. With `reverses`, a literal, the last channel
    comes first.
    """
    order = [2, 1, 0, 3] if reverses.literal_value else [0, 1, 2, 3]

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, left, right, near, far, pixels, out, _ = args
        v = Lanes(builder, 4)

        def at(base: ir.Value, index: ir.Value, step: int) -> ir.Value:
            return builder.add(base, builder.mul(index, ir.Constant(I64, step)))

        def share(position: ir.Value, weight: ir.Value, index: ir.Value) -> ir.Value:
            place = builder.load(builder.inttoptr(at(position, index, 8), I64.as_pointer()))
            return builder.fmul(v.load(at(source, place, 4)), v.broadcast(at(weight, index, 4)))

        with cgutils.for_range(builder, pixels, intp=I64) as loop:
            total = builder.fadd(share(left, near, loop.index), share(right, far, loop.index))
            total = builder.shuffle_vector(total, total, ir.Constant(v.int_type, order))
            v.store(total, at(out, loop.index, 12))
        return context.get_dummy_value()

    return types.void(*([types.int64] * 7), reverses), codegen


@intrinsic
def _blend_groups(typingctx: Any, source: Any, groups: Any, count: Any, step: Any, out: Any) -> Any:
    """`_blend_colours` for `count` groups of as many pixels as 16 lanes hold, `step` bytes of output each.

    At `groups` each group has GROUP_BYTES: the first of the 32 floats of `source` that it is made of, as int64; from
    byte 16 and 32 on the lanes to pick of these to the left and to the right, 16 bytes each; from byte 64 on the
    weights to the right, 16 float32. Its last lanes may have no meaning: the next group overwrites them.

    768x576 to 416x416 takes 0.70 of the time that single pixels take (Zen 4); with all of that and the other weights as
    float32 and int32, a table that fills the first-level cache, 1.0.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, groups, count, step, out = args
        v = Lanes(builder, LANES)

        def after(base: ir.Value, bytes: int) -> ir.Value:
            return builder.add(base, ir.Constant(I64, bytes))

        bytes_type = ir.VectorType(ir.IntType(8), LANES)

        def picked(lanes: ir.Value) -> ir.Value:
            value = builder.load(builder.inttoptr(lanes, bytes_type.as_pointer()))
            value.align = 1
            return v.pick(first, second, builder.zext(value, v.int_type))

        with cgutils.for_range(builder, count, intp=I64) as loop:
            group = builder.add(groups, builder.mul(loop.index, ir.Constant(I64, GROUP_BYTES)))
            base = builder.load(builder.inttoptr(group, I64.as_pointer()))
            begin = builder.add(source, builder.mul(base, ir.Constant(I64, 4)))
            first, second = v.load(begin), v.load(after(begin, 64))
            far = v.load(after(group, 64))
            left = builder.fmul(picked(after(group, 16)), builder.fsub(v.constant(1.0), far))
            right = builder.fmul(picked(after(group, 32)), far)
            v.store(builder.fadd(left, right), builder.add(out, builder.mul(loop.index, step)))
        return context.get_dummy_value()

    return types.void(*([types.int64] * 5)), codegen


@kernel
def _row_to_unit(source: Any, out: Any) -> None:
    """Values of `source` (n,) uint8 divided by 255 to the first n of `out`, float32."""
    vectors = source.size // LANES
    _vectors_to_unit(source.ctypes.data, out.ctypes.data, vectors)
    for i in range(vectors * LANES, source.size):
        out[i] = np.float32(source[i]) / np.float32(255)


@inlined
def _interpolate_colours(step, own, row, out):
    """A row of pixels of three channels, float32 at `row`, to one at `out`."""
    if GROUPS:
        _blend_groups(row, own.groups, own.n_groups, own.group_bytes, out)
    elif own.reverses:
        _blend_colours(row, own.left, own.right, own.near, own.far, step.y.w, out, 1)
    else:
        _blend_colours(row, own.left, own.right, own.near, own.far, step.y.w, out, 0)


@inlined
def _interpolate_columns(step, own, y, row, out):
    """Source row `y` to a row (out_w * c,) float32 at `out` by way of `row`, the former in float32."""
    # Looking values up where they are needed converts fewer, yet 768x576 to 416x416 took 1.5 ms so, and takes 0.6.
    channels, out_w = step.x.c, step.y.w
    source = bytes_at(step.x.at + y * step.x.row, step.x.w * channels)
    _row_to_unit(source, row)
    if channels == 3:
        _interpolate_colours(step, own, row.ctypes.data, out.ctypes.data)
        return
    left, right = integers(own.left, out_w), integers(own.right, out_w)
    near, far = floats(own.near, out_w), floats(own.far, out_w)
    for x in range(out_w):
        for k in range(channels):
            out[x * channels + k] = near[x] * row[left[x] + k] + far[x] * row[right[x] + k]


@kernel
def _store_row(upper: Any, lower: Any, near: Any, far: Any, channels: int, pixel_stride: int, out: Any) -> None:
    """Blend two rows (out_w * c,) into a row of the blob, `pixel_stride` elements between pixels."""
    if pixel_stride == channels:
        for j in range(upper.size):
            out[j] = near * upper[j] + far * lower[j]
        return
    for x in range(upper.size // channels):
        for k in range(channels):
            j = x * channels + k
            out[x * pixel_stride + k] = near * upper[j] + far * lower[j]


@operation(arguments=RESIZE_ROWS, cut=_cut, scratch=nothing)
def resize_rows(address, task, scratch):
    """A share of the output rows of a resize; works beside the thread's own scratch.

    Interpolates columns, then rows, each product and sum rounded to float32 in Darknet's order. x is the image, a byte
    a value.
    """
    step = step_at(address)
    own = record_at(step.arguments, RESIZE_ROWS)
    channels, out_w, out_h = step.x.c, step.y.w, step.y.h
    top, row_near, row_far = integers(own.above, out_h), floats(own.row_near, out_h), floats(own.row_far, out_h)
    width = out_w * channels
    memory = own.memory + task * own.task_bytes
    even, odd = floats(memory, width + PADDING), floats(memory + 4 * (width + PADDING), width + PADDING)
    source = floats(memory + 8 * (width + PADDING), step.x.w * channels + PADDING)
    pixel_stride = step.y.pixel // 4
    # A source row lives in the scratch row of its own parity: when shrinking by less than two, as is usual, the row
    # that two neighbouring output rows share is then interpolated once.
    held_even = -1
    held_odd = -1
    begin, end = row_share(step, task)
    for y in range(begin, end):
        first = top[y]
        # A row of weight zero is not touched: it may lie below the image.
        last = first if row_far[y] == 0 else first + 1
        for row in range(first, last + 1):
            held = held_odd if row & 1 else held_even
            if held != row:
                to = odd if row & 1 else even
                _interpolate_columns(step, own, row, source, to)
                if row & 1:
                    held_odd = row
                else:
                    held_even = row
        upper, lower = (odd if first & 1 else even)[:width], (odd if last & 1 else even)[:width]
        target = floats(step.y.at + y * step.y.row, (out_w - 1) * pixel_stride + channels)
        _store_row(upper, lower, row_near[y], row_far[y], channels, pixel_stride, target)


@kernel
def scale_to_unit(image: Any, unit: Any, channels: int, row_stride: int, pixel_stride: int, out: Any) -> None:
    """Every value of image (h, w * c) uint8 as unit (256,) float32 has it, value / 255; strides count float32."""
    for y in range(image.shape[0]):
        start = y * row_stride
        if pixel_stride == channels:
            _row_to_unit(image[y], out[start : start + image.shape[1]])
        else:
            for x in range(image.shape[1] // channels):
                for k in range(channels):
                    out[start + x * pixel_stride + k] = unit[image[y, x * channels + k]]
