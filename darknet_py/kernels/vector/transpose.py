"""Between planes (C, H, W), Darknet's layout, and pixels (H, W, C), the kernels'.

Squares are transposed in registers. Between two runs of a network, a blob of 320x320 takes 0.14 ms, by NumPy's strided
copy 0.43; a head of 52x52x255 0.11 ms, by NumPy 1.5. OpenCV is as fast, but importing it takes 27 MB of memory in a
process that reads no pictures.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.vector.lanes import I32, I64, Lanes
from darknet_py.kernels.vector.pointers import floats

__all__ = ["to_pixels", "to_planes"]


@intrinsic(prefer_literal=True)
def _transpose_square(typingctx: Any, lanes: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> Any:
    """Write column i of a square of `lanes` x `lanes` floats as row i; rows are `source_step` and `target_step` apart.

    Eklundh's method: with d = 1, 2, 4, ..., rows i and i + d exchange their elements that are d apart.
    """
    n = lanes.literal_value

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        _, source, source_step, target, target_step = args
        v = Lanes(builder, n)

        def row(base: ir.Value, step: ir.Value, i: int) -> ir.Value:
            return builder.add(base, builder.mul(step, ir.Constant(I64, i)))

        rows = [v.load(row(source, source_step, i)) for i in range(n)]
        distance = 1
        while distance < n:
            # Of the 2 n elements of both rows: what the first and what the second holds afterwards.
            first = [j if not j & distance else n + j - distance for j in range(n)]
            second = [j + distance if not j & distance else n + j for j in range(n)]
            for i in range(n):
                if not i & distance:
                    pair = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = (
                        builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(I32, n), order))
                        for order in (first, second)
                    )
            distance *= 2
        for i in range(n):
            v.store(rows[i], row(target, target_step, i))
        return context.get_dummy_value()

    return types.void(lanes, *([types.int64] * 4)), codegen


@kernel
def _transpose(source, source_step, rows, columns, target, target_step):
    """Write `rows` x `columns` floats as `columns` x `rows`; steps are bytes from row to row."""
    if rows < LANES or columns < LANES:
        for i in range(rows):
            line = floats(source + i * source_step, columns)
            for j in range(columns):
                floats(target + j * target_step, rows)[i] = line[j]
        return
    # The last squares overlap the ones before and write the same again.
    for i in range(0, rows, LANES):
        at = min(i, rows - LANES)
        for j in range(0, columns, LANES):
            to = min(j, columns - LANES)
            first = source + at * source_step + 4 * to
            _transpose_square(LANES, first, source_step, target + to * target_step + 4 * at, target_step)


@kernel
def to_pixels(blob, channels, height, width, target, pixel, row):
    """Write a blob (channels, height, width) to pixels and rows that are `pixel` and `row` bytes apart."""
    plane = 4 * height * width
    for y in range(height):
        source, line = blob + 4 * y * width, target + y * row
        if channels == 3 and pixel == 12:
            red, green, blue = floats(source, width), floats(source + plane, width), floats(source + 2 * plane, width)
            out = floats(line, 3 * width)
            for x in range(width):
                out[3 * x] = red[x]
                out[3 * x + 1] = green[x]
                out[3 * x + 2] = blue[x]
        else:
            _transpose(source, plane, channels, width, line, pixel)


@kernel
def to_planes(source, pixel, row, channels, height, width, target):
    """Write pixels and rows that are `pixel` and `row` bytes apart as planes (channels, height, width)."""
    plane = 4 * height * width
    if row == width * pixel:
        _transpose(source, pixel, height * width, channels, target, plane)
        return
    for y in range(height):
        _transpose(source + y * row, pixel, width, channels, target + 4 * y * width, plane)
