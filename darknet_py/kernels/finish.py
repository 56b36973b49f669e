"""The quick end of a tile: activation, shortcut and storing straight from the registers it was computed in.

Only for the cheap activations that narrow layers use; others, and tiles that run over the last pixel, go through
scratch memory. Straight from registers a 1x1 convolution of 16 channels takes 0.75 of that time, a depthwise 3x3 0.63.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.steps import ACTIVATION_CODES, COLUMNS
from darknet_py.kernels.vector import I64, Lanes

__all__ = ["RECORD", "finish_in_registers", "may_finish", "set_finish"]

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
    v: Lanes, record: ir.Value, rows: Sequence[Sequence[ir.Value]], may_round: bool = False
) -> None:
    """Emit the end of a tile whose `rows` hold the vectors of a pixel each, as the record at address `record` says.

    Only with `may_round` is there a way to bfloat16: whole vectors, to which nothing is added.
    """
    builder = v.builder
    target, step, second, second_step, leaky, last, rounds = (
        builder.load(builder.inttoptr(builder.add(record, ir.Constant(I64, 8 * n)), I64.as_pointer()))
        for n in range(RECORD)
    )
    zero = ir.Constant(I64, 0)
    is_leaky = builder.icmp_signed("!=", leaky, zero)
    slope = builder.select(is_leaky, v.constant(0.1), v.constant(1.0))

    def store(*, adds: bool = False, rounded: bool = False) -> None:
        # All that is added is loaded before anything is stored: of a shortcut in place, a load would wait for the store
        # of the pixel before wherever vectors reach into the next pixel.
        finished, other = [], second
        for row in rows:
            for n, x in enumerate(row):
                # The larger of x and 0.1 x, or of x and x: an instruction less than asking for the sign.
                scaled = builder.fmul(x, slope)
                x = v.select(">", x, scaled, x, scaled)
                if adds:
                    x = builder.fadd(x, v.load(builder.add(other, ir.Constant(I64, 4 * v.lanes * n))))
                finished.append(x)
            other = builder.add(other, second_step)
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

    def store_floats() -> None:
        with builder.if_else(builder.icmp_signed("==", second, zero)) as (alone, added):
            with alone:
                store()
            with added:
                store(adds=True)

    if not may_round:
        store_floats()
        return
    with builder.if_else(builder.icmp_signed("==", rounds, zero)) as (floats, halves):
        with floats:
            store_floats()
        with halves:
            store(rounded=True)
