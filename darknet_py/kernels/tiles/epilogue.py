"""The end of every tile: activation, shortcut, activation, storing in the formats that are wanted.

There are three ways there, of the same arithmetic. `finish_in_registers` goes straight from the registers a tile was
computed in, for the cheap activations that narrow layers use: a 1x1 convolution of 16 channels takes 0.75 of the time,
a depthwise 3x3 0.63. `finish_products` goes once over products in memory, as matrix tiles leave them, with activations
exact to what bfloat16 holds. `finish_tile` does all else, one pass after the other over a tile in scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, TARGET, inlined, kernel
from darknet_py.kernels.vector.activate import ACTIVATION_CODES, Emitter, activate
from darknet_py.kernels.vector.approximate import QUICK
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32, FORMATS, Format
from darknet_py.kernels.vector.lanes import I64, Lanes, emit_cases
from darknet_py.kernels.vector.rows import add_as, store_as

__all__ = [
    "FINISH",
    "FINISH_BYTES",
    "begin_finish",
    "finish_in_registers",
    "finish_products",
    "finish_tile",
    "may_finish",
    "may_finish_blocks",
    "set_finish",
]

#: Where the results of a tile go and what is done to them: address of its first value, bytes from pixel to pixel and
#: value to value, and format, of y; of what is added (address 0: nothing); of where they go as well (address 0:
#: nowhere). The activation, and how many lanes of the last vector are channels.
FINISH = np.dtype(
    [
        *((name, "i8") for name in ("y", "y_pixel", "y_value", "y_format", "second", "second_pixel", "second_format")),
        *((name, "i8") for name in ("also", "also_pixel", "also_format", "activation", "last")),
    ],
    align=True,
)

FINISH_BYTES = FINISH.itemsize

_LINEAR, _LEAKY = ACTIVATION_CODES["linear"], ACTIVATION_CODES["leaky"]
_FLOAT32 = FLOAT32.code
#: Storing part of a vector is an instruction with AVX-512, and a detour elsewhere.
_MASKED = TARGET.masks_stores


@kernel
def may_finish(step, activation, after):
    """Whether `finish_in_registers` knows the activations of a step, and what it adds."""
    simple = activation in (_LINEAR, _LEAKY)
    adds = step.second.format == _FLOAT32 and after == _LINEAR
    return simple and step.also.at == 0 and (step.second.at == 0 or adds)


@inlined
def may_finish_blocks(blocks, first, last):
    """Whether `set_finish` will be able to, for each block from `first` to `last`."""
    parts = 0
    for block in range(first, last):
        parts += blocks[block].count % LANES
    return _MASKED or parts == 0


@inlined
def begin_finish(finish, step, activation):
    """Fill a FINISH record with what all tiles of a step have in common."""
    y, second, also = step.y, step.second, step.also
    finish.y_pixel, finish.y_value, finish.y_format = y.pixel, y.value, y.format
    finish.second_pixel, finish.second_format = second.pixel, second.format
    finish.also_pixel, finish.also_format = also.pixel, also.format
    finish.activation, finish.second, finish.also = activation, 0, 0


@inlined
def set_finish(finish, step, pixel, first, channels):
    """Fill in where the results of a tile at output `pixel` and `channels` channels from `first` on go.

    Returns False where the channels end within a vector and that cannot be stored in one go.
    """
    last = channels % LANES
    if last != 0 and not _MASKED:
        return False
    finish.y = step.y.at + pixel * step.y.pixel + first * step.y.value
    if step.second.at != 0:
        finish.second = step.second.at + pixel * step.second.pixel + first * step.second.value
    finish.last = last if last != 0 else LANES
    return True


def _field(builder: ir.IRBuilder, record: ir.Value, name: str) -> ir.Value:
    assert FINISH.fields is not None
    at = builder.add(record, ir.Constant(I64, FINISH.fields[name][1]))
    return builder.load(builder.inttoptr(at, I64.as_pointer()))


# Registers ----------------------------------------------------------------------------------------------------


def finish_in_registers(
    v: Lanes,
    record: ir.Value,
    rows: Sequence[Sequence[ir.Value]],
    *,
    pixels_before: ir.Value | None = None,
    vectors_before: ir.Value | None = None,
    is_last: ir.Value | None = None,
    may_convert: bool = False,
) -> None:
    """Emit the end of a tile whose `rows` hold the vectors of a pixel each, as the FINISH record at an address says.

    Of a tile that is not the first the record is about, `pixels_before` and `vectors_before` say how far into the
    output it lies, and `is_last` whether its last vector is the one that may hold less than LANES channels. Only with
    `may_convert` is there a way to other formats than float32: whole vectors.
    """
    builder, zero = v.builder, ir.Constant(I64, 0)
    target, step, value_bytes, format_code, second, second_step, activation, last = (
        _field(builder, record, name)
        for name in ("y", "y_pixel", "y_value", "y_format", "second", "second_pixel", "activation", "last")
    )
    adds = builder.icmp_signed("!=", second, zero)
    if pixels_before is not None:
        target = builder.add(target, builder.mul(pixels_before, step))
        second = builder.add(second, builder.mul(pixels_before, second_step))
    if vectors_before is not None:
        lanes = builder.mul(vectors_before, ir.Constant(I64, v.lanes))
        second = builder.add(second, builder.mul(lanes, ir.Constant(I64, 4)))
        target = builder.add(target, builder.mul(lanes, value_bytes))
    if is_last is not None:
        last = builder.select(is_last, last, ir.Constant(I64, v.lanes))
    values = [x for row in rows for x in row]
    # The larger of x and 0.1 x: an instruction less than asking for the sign. Linear layers go around it: to multiply
    # by 1 costs narrow ones 5 %, as the multipliers are what a tile waits for.
    leaky = builder.icmp_signed("!=", activation, ir.Constant(I64, _LINEAR))
    values = _changed(v, leaky, values, lambda n: _leaky(v, values[n]))

    def add(n: int) -> ir.Value:
        at = builder.add(second, builder.mul(second_step, ir.Constant(I64, n // len(rows[0]))))
        return builder.fadd(values[n], v.load(builder.add(at, ir.Constant(I64, 4 * v.lanes * (n % len(rows[0]))))))

    # All that is added is loaded before anything is stored: of a shortcut in place, a load would wait for the store
    # of the pixel before wherever vectors reach into the next pixel.
    finished = _changed(v, adds, values, add)

    store = partial(_store_rows, v, finished, len(rows[0]), target, step, last)
    if not may_convert:
        store(FLOAT32)
        return
    with builder.if_else(builder.icmp_signed("==", format_code, ir.Constant(I64, _FLOAT32))) as (floats, others):
        with floats:
            store(FLOAT32)
        with others:
            rest = {format.code: partial(store, format) for format in FORMATS if format is not FLOAT32}
            emit_cases(builder, format_code, rest)


def _store_rows(
    v: Lanes,
    values: Sequence[ir.Value],
    vectors: int,
    target: ir.Value,
    step: ir.Value,
    last: ir.Value,
    format: Format,
) -> None:
    """Emit storing pixels of `vectors` of the `values` each, `step` bytes apart; of the last vector, `last` lanes."""
    vector_bytes = format.value_bytes * v.lanes
    for first in range(0, len(values), vectors):
        for n, x in enumerate(values[first : first + vectors]):
            to = v.builder.add(target, ir.Constant(I64, vector_bytes * n))
            is_part = format is FLOAT32 and _MASKED and n == vectors - 1
            format.store(v, x, to, last if is_part else None)
        target = v.builder.add(target, step)


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


# Products of matrix tiles in memory -----------------------------------------------------------------------------


@intrinsic
def _finish_products(typingctx: Any, record: Any, out: Any, rows: Any, channels: Any, bias: Any) -> Any:
    """As `finish_products`, which is the only one to call it: it is much code."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        record, out, rows, channels, bias = args
        it = {name: _field(builder, record, name) for name in FINISH.names or ()}
        it |= {"out": out, "rows": rows, "channels": channels, "bias": bias}
        v = Lanes(builder, LANES)

        def is_(name: str, value: int) -> ir.Value:
            return builder.icmp_signed("==", it[name], ir.Constant(I64, value))

        # Mostly all of two vectors go to bfloat16 alone: one store of a line then, and nothing to ask in the loop.
        alone = builder.and_(is_("y_format", BFLOAT16.code), is_("also", 0))
        adds_nothing = is_("second", 0)
        adds_same = builder.or_(adds_nothing, is_("second_format", BFLOAT16.code))
        is_quick = builder.and_(builder.and_(is_("channels", 2 * LANES), alone), adds_same)

        def finish(emit: Emitter) -> None:
            with builder.if_else(is_quick) as (lines, others):
                with lines, builder.if_else(adds_nothing) as (plain, added):
                    with plain:
                        _finish_lines(v, it, emit, adds=False)
                    with added:
                        _finish_lines(v, it, emit, adds=True)
                with others:
                    _finish_vectors(v, it, emit)

        emit_cases(builder, it["activation"], {ACTIVATION_CODES[n]: partial(finish, emit) for n, emit in QUICK.items()})
        return context.get_dummy_value()

    return types.void(*([types.int64] * 5)), codegen


def _finish_lines(v: Lanes, it: dict[str, ir.Value], emit: Emitter, adds: bool) -> None:
    """Emit the loop for rows of two whole vectors that go to bfloat16 alone."""
    builder = v.builder
    shifts = [ir.Constant(I64, 4 * LANES * n) for n in range(2)]
    biases = [v.load(builder.add(it["bias"], shift)) for shift in shifts]
    with cgutils.for_range(builder, it["rows"], intp=I64) as row:
        source = builder.add(it["out"], builder.mul(row.index, ir.Constant(I64, 8 * LANES)))
        found = [
            emit(v, builder.fadd(v.load(builder.add(source, shift)), bias))
            for shift, bias in zip(shifts, biases, strict=True)
        ]
        if adds:
            beside = builder.add(it["second"], builder.mul(row.index, it["second_pixel"]))
            others = (v.load_bfloat16(builder.add(beside, ir.Constant(I64, 2 * LANES * n))) for n in range(2))
            found = [builder.fadd(x, other) for x, other in zip(found, others, strict=True)]
        v.store_bfloat16_twice(found[0], found[1], builder.add(it["y"], builder.mul(row.index, it["y_pixel"])))


def _finish_vectors(v: Lanes, it: dict[str, ir.Value], emit: Emitter) -> None:
    """Emit the loops for any number of channels and any destination, one for each format of y."""
    cases = {format.code: partial(_finish_vectors_as, v, it, emit, format) for format in FORMATS}
    emit_cases(v.builder, it["y_format"], cases)


def _finish_vectors_as(v: Lanes, it: dict[str, ir.Value], emit: Emitter, y_format: Format) -> None:
    builder = v.builder
    lanes, vector_bytes = ir.Constant(I64, LANES), ir.Constant(I64, 4 * LANES)
    is_wide = builder.icmp_signed(">", it["channels"], lanes)
    vectors = builder.select(is_wide, ir.Constant(I64, 2), ir.Constant(I64, 1))
    pitch = builder.mul(vectors, vector_bytes)

    def at(name: str, row: ir.Value, done: ir.Value, format: Format) -> ir.Value:
        pixel = builder.add(it[name], builder.mul(row, it[f"{name}_pixel"]))
        return builder.add(pixel, builder.mul(done, ir.Constant(I64, format.value_bytes)))

    def if_there(name: str, do: Callable[[Format], None]) -> None:
        with builder.if_then(builder.icmp_signed("!=", it[name], ir.Constant(I64, 0))):
            emit_cases(builder, it[f"{name}_format"], {format.code: partial(do, format) for format in FORMATS})

    with cgutils.for_range(builder, vectors, intp=I64) as vector:
        done, shift = builder.mul(vector.index, lanes), builder.mul(vector.index, vector_bytes)
        left = builder.sub(it["channels"], done)
        is_whole = builder.icmp_signed(">=", left, lanes)
        bias = v.load(builder.add(it["bias"], shift))
        held = cgutils.alloca_once(builder, v.type)
        with cgutils.for_range(builder, it["rows"], intp=I64) as loop:
            row = loop.index
            source = builder.add(builder.add(it["out"], shift), builder.mul(row, pitch))
            builder.store(emit(v, builder.fadd(v.load(source), bias)), held)

            def add(format: Format) -> None:
                other = format.load(v, at("second", row, done, format))
                builder.store(builder.fadd(builder.load(held), other), held)

            if_there("second", add)
            x = builder.load(held)

            def store(name: str, format: Format) -> None:
                to = at(name, row, done, format)
                with builder.if_else(is_whole, likely=True) as (all_lanes, some):
                    with all_lanes:
                        format.store(v, x, to, None)
                    with some:
                        format.store(v, x, to, left)

            store("y", y_format)
            if_there("also", partial(store, "also"))


@kernel
def finish_products(record, out, rows, channels, bias):
    """y = act(out + bias) + second for `rows` pixels of `channels` channels, as the FINISH record at an address says.

    `out` are rows of one or two vectors, as many as `channels` fill. The activation is one of `QUICK`.
    """
    _finish_products(record, out, rows, channels, bias)


# Tiles in scratch -----------------------------------------------------------------------------------------------


@inlined
def finish_tile(step, activation, after, source, pitch, rows, columns, vectors, y, x, first, channels):
    """Finish `rows` rows of `columns` pixels from output (y, x) on, `channels` channels from `first` on.

    They are in scratch at `source`, rows `pitch` bytes apart and pixels `vectors` vectors; all of the tile is activated
    in place, add what is between its rows.
    """
    second, to, also = step.second, step.y, step.also
    values = (rows - 1) * pitch // 4 + columns * vectors * LANES
    activate(activation, source, values)
    if second.at != 0:
        for row in range(rows):
            beside = second.at + (y + row) * second.row + x * second.pixel + first * second.value
            add_as(second.format, source + row * pitch, columns, vectors, beside, second.pixel)
        activate(after, source, values)
    for row in range(rows):
        at = source + row * pitch
        target = to.at + (y + row) * to.row + x * to.pixel + first * to.value
        store_as(to.format, at, 4 * vectors * LANES, columns, channels, target, to.pixel)
        if also.at != 0:
            target = also.at + (y + row) * also.row + x * also.pixel + first * also.value
            store_as(also.format, at, 4 * vectors * LANES, columns, channels, target, also.pixel)
