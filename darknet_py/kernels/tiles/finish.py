"""The quick end of a tile: activation, shortcut and storing straight from the registers it was computed in.

Only for the cheap activations that narrow layers use; others, and tiles that run over the last pixel, go through
scratch memory. Straight from registers a 1x1 convolution of 16 channels takes 0.75 of that time, a depthwise 3x3 0.63.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from darknet_py.kernels.jit import LANES, inlined, kernel
from darknet_py.kernels.ops.steps import ACTIVATION_CODES, BLOCK_COLUMNS, COLUMNS
from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = ["RECORD", "finish_in_registers", "may_finish", "may_finish_blocks", "set_finish"]

#: Int64 in the record that tells a tile where its results go: address of the first pixel, bytes from pixel to pixel,
#: the same of what is added (address 0: nothing), whether the activation is leaky (else linear), how many lanes of
#: the last vector are channels, and whether to store bfloat16.
RECORD = 7

_LINEAR, _LEAKY = ACTIVATION_CODES["linear"], ACTIVATION_CODES["leaky"]
_Y, _Y_PIXEL, _SECOND, _SECOND_PIXEL = (COLUMNS[name] for name in ("Y", "Y_PIXEL", "SECOND", "SECOND_PIXEL"))
_ACTIVATION, _ACTIVATION_2, _BFLOAT16 = (COLUMNS[name] for name in ("ACTIVATION", "ACTIVATION_2", "BFLOAT16"))
#: Storing part of a vector is an instruction with AVX-512, and a detour elsewhere.
_MASKED = LANES == 16


@kernel
def may_finish(step):
    """Whether the step's activations are among those that `finish_in_registers` knows."""
    simple = step[_ACTIVATION] == _LINEAR or step[_ACTIVATION] == _LEAKY
    return simple and (step[_SECOND] == 0 or step[_ACTIVATION_2] == _LINEAR)


@inlined
def may_finish_blocks(blocks, first, last):
    """Whether `set_finish` will be able to, for each block from `first` to `last` of a block table."""
    parts = 0
    for block in range(first, last):
        parts += blocks[block * BLOCK_COLUMNS + 2] % LANES
    return _MASKED or parts == 0


@kernel
def set_finish(record, step, pixel, shift, channels):
    """Fill `record` for a tile at output `pixel` and a block of `channels` channels that begins `shift` bytes in.

    Returns False where the block ends within a vector and that cannot be stored in one go.
    """
    last = channels % LANES
    if last != 0 and not _MASKED:
        return False
    record[0] = step[_Y] + pixel * step[_Y_PIXEL] + shift
    record[1] = step[_Y_PIXEL]
    record[2] = step[_SECOND] + pixel * step[_SECOND_PIXEL] + shift if step[_SECOND] != 0 else 0
    record[3] = step[_SECOND_PIXEL]
    record[4] = step[_ACTIVATION]
    record[5] = last if last != 0 else LANES
    record[6] = step[_BFLOAT16]
    return True


def finish_in_registers(
    v: Lanes,
    record: ir.Value,
    rows: Sequence[Sequence[ir.Value]],
    *,
    pixels_before: ir.Value | None = None,
    vectors_before: ir.Value | None = None,
    is_last: ir.Value | None = None,
    may_round: bool = False,
) -> None:
    """Emit the end of a tile whose `rows` hold the vectors of a pixel each, as the record at address `record` says.

    Of a tile that is not the first the record is about, `pixels_before` and `vectors_before` say how far into the
    output it lies, and `is_last` whether its last vector is the one that may hold less than LANES channels. Only with
    `may_round` is there a way to bfloat16: whole vectors, to which nothing is added.
    """
    builder = v.builder
    target, step, second, second_step, leaky, last, rounds = (
        builder.load(builder.inttoptr(builder.add(record, ir.Constant(I64, 8 * n)), I64.as_pointer()))
        for n in range(RECORD)
    )
    zero = ir.Constant(I64, 0)
    adds = builder.icmp_signed("!=", second, zero)
    if pixels_before is not None:
        target = builder.add(target, builder.mul(pixels_before, step))
        second = builder.add(second, builder.mul(pixels_before, second_step))
    if vectors_before is not None:
        float_bytes = builder.mul(vectors_before, ir.Constant(I64, 4 * v.lanes))
        second = builder.add(second, float_bytes)
        target = builder.add(target, builder.ashr(float_bytes, rounds))
    if is_last is not None:
        last = builder.select(is_last, last, ir.Constant(I64, v.lanes))
    values = [x for row in rows for x in row]
    # The larger of x and 0.1 x: an instruction less than asking for the sign. Linear layers go around it: to multiply
    # by 1 costs narrow ones 5 %, as the multipliers are what a tile waits for.
    values = _changed(v, builder.icmp_signed("!=", leaky, zero), values, lambda n: _leaky(v, values[n]))

    def add(n: int) -> ir.Value:
        at = builder.add(second, builder.mul(second_step, ir.Constant(I64, n // len(rows[0]))))
        return builder.fadd(values[n], v.load(builder.add(at, ir.Constant(I64, 4 * v.lanes * (n % len(rows[0]))))))

    # All that is added is loaded before anything is stored: of a shortcut in place, a load would wait for the store
    # of the pixel before wherever vectors reach into the next pixel.
    finished = _changed(v, adds, values, add)

    def store(*, rounded: bool = False) -> None:
        at, vector_bytes = target, (2 if rounded else 4) * v.lanes
        for p, row in enumerate(rows):
            for n in range(len(row)):
                x, to = finished[p * len(row) + n], builder.add(at, ir.Constant(I64, vector_bytes * n))
                if rounded:
                    v.store_bfloat16(x, to)
                elif _MASKED and n == len(row) - 1:
                    v.store_first(x, to, last)
                else:
                    v.store(x, to)
            at = builder.add(at, step)

    if not may_round:
        store()
        return
    with builder.if_else(builder.icmp_signed("==", rounds, zero)) as (floats, halves):
        with floats:
            store()
        with halves:
            store(rounded=True)


def _leaky(v: Lanes, x: ir.Value) -> ir.Value:
    scaled = v.builder.fmul(x, v.constant(0.1))
    return v.select(">", x, scaled, x, scaled)


def _changed(
    v: Lanes, condition: ir.Value, values: Sequence[ir.Value], change: Callable[[int], ir.Value]
) -> list[ir.Value]:
    """`values`, or where `condition` holds what `change` makes of each number of them."""
    builder = v.builder
    before = builder.block
    with builder.if_then(condition):
        changed = [change(n) for n in range(len(values))]
        inside = builder.block
    chosen = [builder.phi(v.type) for _ in values]
    for phi, value, other in zip(chosen, values, changed, strict=True):
        phi.add_incoming(value, before)
        phi.add_incoming(other, inside)
    return chosen
