"""The end of a matrix tile: bias, activation, shortcut, and storing as floats, in bfloat16 or both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.ops.steps import ACTIVATION_CODES
from darknet_py.kernels.vector.activate import Emitter
from darknet_py.kernels.vector.approximate import QUICK
from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = ["finish_rows"]


class _Rows(NamedTuple):
    """Arguments of `finish_rows`."""

    out: ir.Value
    rows: ir.Value
    channels: ir.Value
    bias: ir.Value
    activation: ir.Value
    second: ir.Value
    second_pixel: ir.Value
    second_rounded: ir.Value
    y: ir.Value
    y_pixel: ir.Value
    rounded: ir.Value
    rounded_pixel: ir.Value


@intrinsic
def _finish_rows(
    typingctx: Any,
    out: Any,
    rows: Any,
    channels: Any,
    bias: Any,
    activation: Any,
    second: Any,
    second_pixel: Any,
    second_rounded: Any,
    y: Any,
    y_pixel: Any,
    rounded: Any,
    rounded_pixel: Any,
) -> Any:
    """As `finish_rows`, which is the only one to call it: it is much code."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        v, it = Lanes(builder, LANES), _Rows(*args)
        zero = ir.Constant(I64, 0)

        def is_zero(value: ir.Value) -> ir.Value:
            return builder.icmp_signed("==", value, zero)

        # Mostly all of two vectors go to bfloat16 alone: one store of a line then, and nothing to ask in the loop.
        fills_line = builder.icmp_signed("==", it.channels, ir.Constant(I64, 2 * LANES))
        simple = builder.and_(fills_line, is_zero(it.y))
        adds_nothing = is_zero(it.second)
        is_quick = builder.and_(simple, builder.or_(adds_nothing, builder.not_(is_zero(it.second_rounded))))
        done = builder.append_basic_block("finished")
        switch = builder.switch(it.activation, done)
        for name, emit in QUICK.items():
            block = builder.append_basic_block(f"finish_{name}")
            switch.add_case(ir.Constant(I64, ACTIVATION_CODES[name]), block)
            builder.position_at_end(block)
            with builder.if_else(is_quick) as (lines, others):
                with lines, builder.if_else(adds_nothing) as (alone, added):
                    with alone:
                        _finish_lines(v, it, emit, adds=False)
                    with added:
                        _finish_lines(v, it, emit, adds=True)
                with others:
                    _finish_vectors(v, it, emit)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*([types.int64] * len(_Rows._fields))), codegen


def _each_row(v: Lanes, it: _Rows, body: Callable[[ir.Value], None]) -> None:
    with cgutils.for_range(v.builder, it.rows, intp=I64) as row:
        body(row.index)


def _finish_lines(v: Lanes, it: _Rows, emit: Emitter, adds: bool) -> None:
    """Emit the loop for rows of two whole vectors that go to bfloat16 alone."""
    builder = v.builder
    shifts = [ir.Constant(I64, 4 * LANES * n) for n in range(2)]
    biases = [v.load(builder.add(it.bias, shift)) for shift in shifts]

    def finish(row: ir.Value) -> None:
        source = builder.add(it.out, builder.mul(row, ir.Constant(I64, 8 * LANES)))
        found = [
            emit(v, builder.fadd(v.load(builder.add(source, shift)), bias))
            for shift, bias in zip(shifts, biases, strict=True)
        ]
        if adds:
            beside = builder.add(it.second, builder.mul(row, it.second_pixel))
            others = (v.load_bfloat16(builder.add(beside, ir.Constant(I64, 2 * LANES * n))) for n in range(2))
            found = [builder.fadd(x, other) for x, other in zip(found, others, strict=True)]
        v.store_bfloat16_twice(found[0], found[1], builder.add(it.rounded, builder.mul(row, it.rounded_pixel)))

    _each_row(v, it, finish)


def _finish_vectors(v: Lanes, it: _Rows, emit: Emitter) -> None:
    """Emit the loops for any number of channels and any destination."""
    builder = v.builder
    zero, lanes, vector_bytes = ir.Constant(I64, 0), ir.Constant(I64, LANES), ir.Constant(I64, 4 * LANES)
    vectors = builder.select(builder.icmp_signed(">", it.channels, lanes), ir.Constant(I64, 2), ir.Constant(I64, 1))
    pitch = builder.mul(vectors, vector_bytes)
    adds, rounds_second, stores_floats, rounds = (
        builder.icmp_signed("!=", each, zero) for each in (it.second, it.second_rounded, it.y, it.rounded)
    )
    with cgutils.for_range(builder, vectors, intp=I64) as vector:
        shift = builder.mul(vector.index, vector_bytes)
        half_shift = builder.lshr(shift, ir.Constant(I64, 1))
        left = builder.sub(it.channels, builder.mul(vector.index, lanes))
        is_whole = builder.icmp_signed(">=", left, lanes)
        bias = v.load(builder.add(it.bias, shift))
        held = cgutils.alloca_once(builder, v.type)

        def finish(row: ir.Value) -> None:
            x = emit(v, builder.fadd(v.load(builder.add(builder.add(it.out, shift), builder.mul(row, pitch))), bias))
            builder.store(x, held)
            with builder.if_then(adds):
                beside = builder.add(it.second, builder.mul(row, it.second_pixel))
                with builder.if_else(rounds_second) as (half, whole):
                    with half:
                        builder.store(builder.fadd(x, v.load_bfloat16(builder.add(beside, half_shift))), held)
                    with whole:
                        builder.store(builder.fadd(x, v.load(builder.add(beside, shift))), held)
            x = builder.load(held)
            with builder.if_then(stores_floats):
                to = builder.add(builder.add(it.y, shift), builder.mul(row, it.y_pixel))
                _store_lanes(builder, is_whole, partial(v.store, x, to), partial(v.store_first, x, to, left))
            with builder.if_then(rounds):
                to = builder.add(builder.add(it.rounded, half_shift), builder.mul(row, it.rounded_pixel))
                _store_lanes(
                    builder, is_whole, partial(v.store_bfloat16, x, to), partial(v.store_bfloat16, x, to, left)
                )

        _each_row(v, it, finish)


def _store_lanes(
    builder: ir.IRBuilder, is_whole: ir.Value, store: Callable[[], None], store_first: Callable[[], None]
) -> None:
    with builder.if_else(is_whole, likely=True) as (all_lanes, some):
        with all_lanes:
            store()
        with some:
            store_first()


@kernel
def finish_rows(
    out, rows, channels, bias, activation, second, second_pixel, second_rounded, y, y_pixel, rounded, rounded_pixel
):
    """Store y = act(out + bias) + second for `rows` pixels of `channels` channels, in float32, bfloat16 or both.

    `out` are rows of one or two vectors, as many as `channels` fill. `second`, `y` and `rounded` may be 0: none.
    With `second_rounded` what is added is bfloat16. The activation is one of `QUICK`.
    """
    _finish_rows(
        out, rows, channels, bias, activation, second, second_pixel, second_rounded, y, y_pixel, rounded, rounded_pixel
    )
