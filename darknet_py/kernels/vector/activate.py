"""Darknet's activations as vector code, and their application to a run of vectors in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, inlined, kernel
from darknet_py.kernels.vector.lanes import I64, Lanes
from darknet_py.kernels.vector.pointers import floats

__all__ = ["ACTIVATIONS", "ACTIVATION_CODES", "Emitter", "activate", "clear_rest"]

Emitter = Callable[[Lanes, ir.Value], ir.Value]


def _slope(v: Lanes, x: ir.Value, slope: float) -> ir.Value:
    return v.select(">", x, v.constant(0.0), x, v.builder.fmul(x, v.constant(slope)))


def _mish(v: Lanes, x: ir.Value) -> ir.Value:
    # tanh(ln(1+e)) = e(e+2) / (e(e+2)+2): one exp and one division instead of exp, log and tanh. With e^x capped at
    # e^20 the quotient is 1, so x > 20 gives x, as Darknet's clipped softplus does. A vector of 16 takes 4.0 ns on a
    # Zen 4, 5.3 with `Lanes.exp`, and 4.5 by AVX-512's approximate reciprocal with a Newton step (Zen 5: 11.6).
    b = v.builder
    e = v.exp_of_activation(v.clip(x, -80.0, 20.0))
    n = b.fmul(e, b.fadd(e, v.constant(2.0)))
    return b.fdiv(b.fmul(x, n), b.fadd(n, v.constant(2.0)))


def _expm1(v: Lanes, x: ir.Value) -> ir.Value:
    return v.builder.fsub(v.exp(x), v.constant(1.0))


def _elu(v: Lanes, x: ir.Value) -> ir.Value:
    return v.select(">=", x, v.constant(0.0), x, _expm1(v, x))


def _selu(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    negative = b.fmul(v.constant(1.0507 * 1.6732), _expm1(v, x))
    return v.select(">=", x, v.constant(0.0), b.fmul(x, v.constant(1.0507)), negative)


def _gelu(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    cube = b.fmul(b.fmul(x, x), x)
    t = v.tanh(v.fma(cube, v.constant(0.035677), b.fmul(x, v.constant(0.797885))))
    return b.fmul(b.fmul(v.constant(0.5), x), b.fadd(v.constant(1.0), t))


def _plse(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    low = b.fmul(v.constant(0.01), b.fadd(x, v.constant(4.0)))
    high = v.fma(v.constant(0.01), b.fsub(x, v.constant(4.0)), v.constant(1.0))
    middle = v.fma(v.constant(0.125), x, v.constant(0.5))
    return v.select("<", x, v.constant(-4.0), low, v.select(">", x, v.constant(4.0), high, middle))


def _stair(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    n = v.floor(x)
    half = v.floor(b.fmul(x, v.constant(0.5)))
    even = b.fmul(v.floor(b.fmul(n, v.constant(0.5))), v.constant(2.0))
    return v.select("==", even, n, half, b.fadd(b.fsub(x, n), half))


def _lhtan(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    low = b.fmul(v.constant(0.001), x)
    high = v.fma(v.constant(0.001), b.fsub(x, v.constant(1.0)), v.constant(1.0))
    return v.select("<", x, v.constant(0.0), low, v.select(">", x, v.constant(1.0), high, x))


def _hard_mish(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    middle = v.fma(b.fmul(x, x), v.constant(0.5), x)
    negative = v.select(">", x, v.constant(-2.0), middle, v.constant(0.0))
    return v.select(">", x, v.constant(0.0), x, negative)


def _ramp(v: Lanes, x: ir.Value) -> ir.Value:
    tenth = v.builder.fmul(x, v.constant(0.1))
    return v.select(">", x, v.constant(0.0), v.builder.fadd(x, tenth), tenth)


def _loggy(v: Lanes, x: ir.Value) -> ir.Value:
    return v.builder.fsub(v.builder.fmul(v.constant(2.0), v.logistic(x)), v.constant(1.0))


#: Name in a cfg → formula, in Darknet's definitions; the position is the code used in steps.
ACTIVATIONS: dict[str, Emitter] = {
    "linear": lambda v, x: x,
    "leaky": lambda v, x: _slope(v, x, 0.1),
    "mish": _mish,
    "logistic": Lanes.logistic,
    "swish": lambda v, x: v.logistic(x, x),
    "relu": lambda v, x: v.select(">", x, v.constant(0.0), x, v.constant(0.0)),
    "relu6": lambda v, x: v.clip(x, 0.0, 6.0),
    "revleaky": lambda v, x: _slope(v, x, 0.1),
    "relie": lambda v, x: _slope(v, x, 0.01),
    "ramp": _ramp,
    "tanh": Lanes.tanh,
    "loggy": _loggy,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "plse": _plse,
    "stair": _stair,
    "hardtan": lambda v, x: v.clip(x, -1.0, 1.0),
    "lhtan": _lhtan,
    "hard_mish": _hard_mish,
}


#: Name in a cfg → the code used in steps.
ACTIVATION_CODES: dict[str, int] = {name: code for code, name in enumerate(ACTIVATIONS)}


@intrinsic
def _activate_vectors(typingctx: Any, code: Any, address: Any, count: Any) -> Any:
    """Apply activation number `code` to `count` vectors from `address`: one switch, then a loop per activation."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        code, address, count = args
        v = Lanes(builder, LANES)
        done = builder.append_basic_block("activated")
        switch = builder.switch(code, done)
        for number, emit in enumerate(ACTIVATIONS.values()):
            if number == 0:
                continue  # linear
            block = builder.append_basic_block(f"activation_{number}")
            switch.add_case(ir.Constant(I64, number), block)
            builder.position_at_end(block)
            with cgutils.for_range(builder, count, intp=I64) as loop:
                at = builder.add(address, builder.mul(loop.index, ir.Constant(I64, 4 * LANES)))
                v.store(emit(v, v.load(at)), at)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@kernel
def activate(code, address, count):
    """Apply the activation with this code (see `ACTIVATION_CODES`) to `count` floats, rounded up to whole vectors."""
    if code != 0:
        _activate_vectors(code, address, (count + LANES - 1) // LANES)


@inlined
def clear_rest(address, count):
    """Zero what `activate` goes over behind `count` floats, for a row that is filled and activated again and again.

    Nobody writes it: in place, Mish would take 0.6 of what is there each time, until it is so small that an Intel CPU
    needs 150 cycles for it.
    """
    whole = (count + LANES - 1) // LANES * LANES
    floats(address, whole)[count:] = 0
