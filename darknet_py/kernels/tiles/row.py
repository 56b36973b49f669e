"""The tile under depthwise convolutions by rows: a run of pixels of one output row, every channel by itself."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, MATRIX_TILES, TARGET
from darknet_py.kernels.tiles.epilogue import finish_in_registers
from darknet_py.kernels.tiles.register import PIXELS
from darknet_py.kernels.vector.formats import FLOAT32, FORMATS, Format
from darknet_py.kernels.vector.lanes import I64, Lanes, emit_cases

__all__ = ["LONG", "ROW_FORMATS", "SHORT", "WINDOWS", "row_tiles"]

#: (kernel width, horizontal stride) that there is a tile for.
WINDOWS = ((3, 1), (3, 2), (5, 1))

#: Pixels of a tile: whichever wastes less of the last tile of a row (10 divides 320 and its halves, 13 divides 416's).
LONG, SHORT = PIXELS, TARGET.tile.short

#: What inputs may be: beside floats, what matrix tiles write.
ROW_FORMATS = FORMATS if MATRIX_TILES else (FLOAT32,)


@intrinsic(prefer_literal=True)
def row_tiles(
    typingctx: Any,
    window: Any,
    short: Any,
    format: Any,
    table: Any,
    shift: Any,
    rows: Any,
    weights: Any,
    bias: Any,
    out: Any,
    finish: Any,
    tiles: Any,
    advance: Any,
    blocks: Any,
    weight_step: Any,
    bias_step: Any,
) -> Any:
    """Neighbouring pixels, one vector of channels after the other, and as many pixels after them.

    Parameters
    ----------
    window, short, format : int64
        Which of WINDOWS, whether a tile is SHORT or LONG `pixels`, and the code of the input's format, one of
        ROW_FORMATS. There is code for each.
    table : int64
        Address of ``(rows, (pixels - 1) * stride + width)`` int64 addresses of input pixels.
    shift : int64
        Bytes added to each of them.
    rows : int64
        Height of the window.
    weights, bias : int64
        Addresses of ``(rows, width, lanes)`` and ``(lanes,)`` floats.
    out : int64
        Takes ``(pixels, lanes)`` floats unless `finish` is the address of a FINISH record.
    tiles, advance : int64
        How many tiles there are, with `finish`, and the bytes between the input addresses of one and the next.
    blocks, weight_step, bias_step : int64
        How many vectors of channels, with `finish`, and the bytes between the weights and biases of one and the next.
        Without a call and a table of addresses for each tile, rows of 160 pixels of 16 channels take 0.6 of the time,
        rows of 80 pixels of 64 channels 0.8.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        _emit_strips(builder, *args)
        return context.get_dummy_value()

    return types.void(*([types.int64] * 15)), codegen


def _emit_strips(builder: ir.IRBuilder, window: ir.Value, short: ir.Value, format: ir.Value, *rest: ir.Value) -> None:
    """Emit the code of every window, length and format."""
    operands = _Operands(*rest)
    v = Lanes(builder, LANES)

    def emit(size: tuple[int, int, int], which: Format) -> None:
        with (
            cgutils.for_range(builder, operands.tiles, intp=I64) as tile,
            cgutils.for_range(builder, operands.blocks, intp=I64) as block,
        ):
            _emit_tile(v, size, which, operands, tile.index, block.index)

    cases = {
        64 * which.code + 2 * number + (pixels == SHORT): partial(emit, (pixels, width, stride), which)
        for which in ROW_FORMATS
        for number, (width, stride) in enumerate(WINDOWS)
        for pixels in (LONG, SHORT)
    }
    code = builder.add(builder.mul(format, ir.Constant(I64, 64)), builder.mul(window, ir.Constant(I64, 2)))
    emit_cases(builder, builder.add(code, short), cases)


class _Operands(NamedTuple):
    """The values at run time of `row_tiles`."""

    table: ir.Value
    shift: ir.Value
    rows: ir.Value
    weights: ir.Value
    bias: ir.Value
    out: ir.Value
    finish: ir.Value
    tiles: ir.Value
    advance: ir.Value
    blocks: ir.Value
    weight_step: ir.Value
    bias_step: ir.Value


def _emit_tile(
    v: Lanes, size: tuple[int, int, int], format: Format, operands: _Operands, tile: ir.Value, block: ir.Value
) -> None:
    """Emit one tile of `size` (pixels, window width, stride)."""
    builder, (n_pixels, width, stride) = v.builder, size
    vector_bytes = 4 * v.lanes

    def at(address: ir.Value, index: ir.Value, step: ir.Value | int) -> ir.Value:
        return builder.add(address, builder.mul(index, ir.Constant(I64, step) if isinstance(step, int) else step))

    weights = at(operands.weights, block, operands.weight_step)
    shift = at(at(operands.shift, tile, operands.advance), block, format.value_bytes * v.lanes)
    start = v.load(at(operands.bias, block, operands.bias_step))
    accumulators = [cgutils.alloca_once(builder, v.type) for _ in range(n_pixels)]
    for accumulator in accumulators:
        builder.store(start, accumulator)
    with cgutils.for_range(builder, operands.rows, intp=I64) as row:
        addresses = at(operands.table, row.index, 8 * ((n_pixels - 1) * stride + width))
        first = at(weights, row.index, vector_bytes * width)
        taps = [v.load(builder.add(first, ir.Constant(I64, vector_bytes * k))) for k in range(width)]
        inputs: dict[int, ir.Value] = {}
        for p in range(n_pixels):
            total = builder.load(accumulators[p])
            for k in range(width):
                column = p * stride + k
                if column not in inputs:
                    entry = builder.add(addresses, ir.Constant(I64, 8 * column))
                    pointer = builder.load(builder.inttoptr(entry, I64.as_pointer()))
                    inputs[column] = format.load(v, builder.add(pointer, shift))
                total = v.fma(inputs[column], taps[k], total)
            builder.store(total, accumulators[p])
    done = [builder.load(accumulator) for accumulator in accumulators]
    with builder.if_else(builder.icmp_signed("==", operands.finish, ir.Constant(I64, 0))) as (plainly, finished):
        with plainly:
            for p in range(n_pixels):
                v.store(done[p], builder.add(operands.out, ir.Constant(I64, vector_bytes * p)))
        with finished:
            finish_in_registers(
                v, operands.finish, [[value] for value in done],
                pixels_before=builder.mul(tile, ir.Constant(I64, n_pixels)),
                vectors_before=block,
                is_last=builder.icmp_signed("==", block, builder.sub(operands.blocks, ir.Constant(I64, 1))),
                may_convert=True,
            )  # fmt: skip
