"""The blob in bfloat16, for a first layer that reads it by matrix tiles."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import arguments, nothing, operation
from darknet_py.kernels.ops.step import pixel_share, step_at
from darknet_py.kernels.vector.lanes import I32, I64, Lanes

__all__ = ["round_image"]


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


def _beyond(step: Any, own: Any) -> int:
    # As many pixels as fill a vector, of 4 or 8 values each whatever the channels are.
    return 4 * max((LANES // 4 - 1) * 3 + 4, 15)


@operation(arguments=arguments(), cut=by_pixels, scratch=nothing, beyond=_beyond)
def round_image(address, task, scratch):
    """y = x in bfloat16 for images whose pixels follow each other, of few channels; 4 or 8 values a pixel of y.

    May write, and read, some pixels more: as many as fill a vector.
    """
    step = step_at(address)
    first, last = pixel_share(step, task)
    source, target = step.x.at + first * step.x.pixel, step.y.at + first * step.y.pixel
    groups = ((last - first) * step.y.c + LANES - 1) // LANES
    if step.y.c == 4:
        _round_pixels(source, step.x.c, target, 4, groups)
    else:
        _round_pixels(source, step.x.c, target, 8, groups)
