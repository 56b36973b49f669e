"""Rounding to bfloat16: activations for a convolution that multiplies pairs, weights when they are packed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, MATRIX_TILES, kernel
from darknet_py.kernels.ops.call import pixel_share
from darknet_py.kernels.ops.steps import COLUMNS
from darknet_py.kernels.vector.lanes import I32, I64, Lanes

__all__ = ["pair_rows", "round_channels", "round_image", "round_row", "round_rows", "widen_row"]

_X, _X_PIXEL, _RUN, _MODE = (COLUMNS[name] for name in ("X", "X_PIXEL", "RUN", "MODE"))
_Y, _Y_PIXEL, _Y_ROW, _OUT_W = (COLUMNS[name] for name in ("Y", "Y_PIXEL", "Y_ROW", "OUT_W"))


@intrinsic
def round_row(typingctx: Any, source: Any, target: Any, vectors: Any) -> Any:
    """Round `vectors` vectors of floats at `source` to bfloat16 at `target`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, target, vectors = args
        v = Lanes(builder, LANES)
        with cgutils.for_range(builder, vectors, intp=I64) as loop:
            value = v.load(builder.add(source, builder.mul(loop.index, ir.Constant(I64, 4 * LANES))))
            v.store_bfloat16(value, builder.add(target, builder.mul(loop.index, ir.Constant(I64, 2 * LANES))))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def widen_row(typingctx: Any, source: Any, target: Any, vectors: Any) -> Any:
    """The floats at `target` of `vectors` vectors of bfloat16 at `source`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, target, vectors = args
        v = Lanes(builder, LANES)
        with cgutils.for_range(builder, vectors, intp=I64) as loop:
            value = v.load_bfloat16(builder.add(source, builder.mul(loop.index, ir.Constant(I64, 2 * LANES))))
            v.store(value, builder.add(target, builder.mul(loop.index, ir.Constant(I64, 4 * LANES))))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def round_rows(typingctx: Any, source: Any, pitch: Any, rows: Any, lanes: Any, target: Any, stride: Any) -> Any:
    """Round the first `lanes` floats of each of `rows` rows, `pitch` bytes apart, to rows `stride` bytes apart."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, pitch, rows, lanes, target, stride = args
        v = Lanes(builder, LANES)
        step = ir.Constant(I64, LANES)
        vectors = builder.sdiv(builder.add(lanes, ir.Constant(I64, LANES - 1)), step)
        with cgutils.for_range(builder, rows, intp=I64) as row:
            a = builder.add(source, builder.mul(row.index, pitch))
            b = builder.add(target, builder.mul(row.index, stride))
            with cgutils.for_range(builder, vectors, intp=I64) as vector:
                done = builder.mul(vector.index, step)
                value = v.load(builder.add(a, builder.mul(done, ir.Constant(I64, 4))))
                to = builder.add(b, builder.mul(done, ir.Constant(I64, 2)))
                v.store_bfloat16(value, to, builder.sub(lanes, done))
        return context.get_dummy_value()

    return types.void(*([types.int64] * 6)), codegen


@intrinsic(prefer_literal=True)
def _round_pixels(typingctx: Any, source: Any, channels: Any, target: Any, width: Any, groups: Any) -> Any:
    """Round pixels of `channels` floats to pixels of `width` (a literal) values, zeros behind the channels.

    A group is as many pixels as fill a vector; pixels follow each other.
    """
    n_values = width.literal_value

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        source, channels, target, _, groups = args
        v, narrow = Lanes(builder, LANES), Lanes(builder, n_values)
        lane = ir.Constant(narrow.int_type, [ir.Constant(I32, n) for n in range(n_values)])
        last = builder.trunc(channels, I32)
        limit = builder.insert_element(ir.Constant(narrow.int_type, ir.Undefined), last, ir.Constant(I32, 0))
        limit = builder.shuffle_vector(limit, limit, ir.Constant(narrow.int_type, [0] * n_values))
        is_channel = builder.icmp_signed("<", lane, limit)
        per_group = LANES // n_values
        with cgutils.for_range(builder, groups, intp=I64) as group:
            first = builder.mul(group.index, ir.Constant(I64, per_group))
            pixels = []
            for n in range(per_group):
                at = builder.mul(builder.add(first, ir.Constant(I64, n)), channels)
                value = narrow.load(builder.add(source, builder.mul(at, ir.Constant(I64, 4))))
                pixels.append(builder.select(is_channel, value, narrow.constant(0.0)))
            while len(pixels) > 1:
                order = ir.Constant(ir.VectorType(I32, 2 * pixels[0].type.count), list(range(2 * pixels[0].type.count)))
                pixels = [builder.shuffle_vector(a, b, order) for a, b in zip(pixels[::2], pixels[1::2], strict=True)]
            v.store_bfloat16(pixels[0], builder.add(target, builder.mul(group.index, ir.Constant(I64, 2 * LANES))))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, width, types.int64), codegen


@kernel
def round_image(address, task, scratch):
    """y = x in bfloat16 for images of RUN channels whose pixels follow each other, MODE (4 or 8) values a pixel of y.

    May write, and read, some pixels more: as many as fill a vector.
    """
    step, first, last = pixel_share(address, task)
    source, target = step[_X] + first * step[_X_PIXEL], step[_Y] + first * step[_Y_PIXEL]
    groups = ((last - first) * step[_MODE] + LANES - 1) // LANES
    if step[_MODE] == 4:
        _round_pixels(source, step[_RUN], target, 4, groups)
    else:
        _round_pixels(source, step[_RUN], target, 8, groups)


@kernel
def round_channels(address, task, scratch):
    """y = x in bfloat16, RUN channels a pixel.

    They are rounded up to whole vectors, for which Y_PIXEL has room, but in joint buffers, which there are with matrix
    tiles.
    """
    step, first, last = pixel_share(address, task)
    vectors = (step[_RUN] + LANES - 1) // LANES
    for p in range(first, last):
        y = p // step[_OUT_W]
        target = step[_Y] + y * step[_Y_ROW] + (p - y * step[_OUT_W]) * step[_Y_PIXEL]
        if MATRIX_TILES:
            round_rows(step[_X] + p * step[_X_PIXEL], 0, 1, step[_RUN], target, 0)
        else:
            round_row(step[_X] + p * step[_X_PIXEL], target, vectors)


@kernel
def pair_rows(source, target, work):
    """Join rows 2i and 2i + 1 of weights to pairs of bfloat16: what a PAIRS tile multiplies at one address.

    Parameters
    ----------
    source : ndarray, shape (2n, width), float32
        `width` a multiple of the vector width.
    target : ndarray, shape (n, width), uint32
        The even row in the lower half of each value.
    work : ndarray, shape (2, width), uint16
    """
    vectors = source.shape[1] // LANES
    for i in range(len(target)):
        round_row(source[2 * i].ctypes.data, work[0].ctypes.data, vectors)
        round_row(source[2 * i + 1].ctypes.data, work[1].ctypes.data, vectors)
        for lane in range(source.shape[1]):
            target[i, lane] = work[0, lane] | (work[1, lane] << 16)
