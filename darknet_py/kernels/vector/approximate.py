"""Activations exact to 13 bits, for convolutions in bfloat16, whose results have 8: Mish in 14 instructions.

Beside matrix tiles exact ones would take much of the time: yolov4 at 416x416 is a million vectors of Mish. They need
AVX-512 and are used together with AMX; elsewhere the usual ones take their place.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from darknet_py.kernels.jit import HAS_AMX
from darknet_py.kernels.vector.activate import ACTIVATIONS, Emitter
from darknet_py.kernels.vector.lanes import I32, Lanes

__all__ = ["QUICK"]

#: Polynomial of least relative error, 7.5e-5, for 2**f with 0 <= f < 1.
_POWER = (0.07802452147, 0.22606715560, 0.69583356380, 0.99992519617)

_LOG2_E = 1.4426950408889634

_I16 = ir.IntType(16)
#: Of VREDUCEPS: the distance to the next lower integer.
_TO_FLOOR = 1
_ALL_LANES = -1
_CURRENT_ROUNDING = 4


def _call(v: Lanes, name: str, args: list[ir.Value]) -> ir.Value:
    kind = ir.FunctionType(v.type, [value.type for value in args])
    return v.builder.call(cgutils.get_or_insert_function(v.builder.module, kind, f"llvm.x86.avx512.{name}"), args)


def _power(v: Lanes, x: ir.Value) -> ir.Value:
    """2**x for -126 <= x < 128: smaller results, denormal numbers, would take a hundred cycles each. NaN stays NaN."""
    zero, mask = v.constant(0.0), ir.Constant(_I16, _ALL_LANES)
    rounding = ir.Constant(I32, _CURRENT_ROUNDING)
    f = _call(v, "mask.reduce.ps.512", [x, ir.Constant(I32, _TO_FLOOR), zero, mask, rounding])
    p = v.constant(_POWER[0])
    for c in _POWER[1:]:
        p = v.fma(p, f, v.constant(c))
    return _call(v, "mask.scalef.ps.512", [p, x, zero, mask, rounding])


def _reciprocal(v: Lanes, x: ir.Value) -> ir.Value:
    return _call(v, "rcp14.ps.512", [x, v.constant(0.0), ir.Constant(_I16, _ALL_LANES)])


def _mish(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    e = _power(v, b.fmul(v.clip(x, -80.0, 20.0), v.constant(_LOG2_E)))
    n = b.fmul(e, b.fadd(e, v.constant(2.0)))
    return b.fmul(b.fmul(x, n), _reciprocal(v, b.fadd(n, v.constant(2.0))))


def _logistic(v: Lanes, x: ir.Value) -> ir.Value:
    b = v.builder
    e = _power(v, b.fmul(v.clip(x, -80.0, 80.0), v.constant(-_LOG2_E)))
    return _reciprocal(v, b.fadd(e, v.constant(1.0)))


def _swish(v: Lanes, x: ir.Value) -> ir.Value:
    return v.builder.fmul(x, _logistic(v, x))


_APPROXIMATE: dict[str, Emitter] = {"mish": _mish, "logistic": _logistic, "swish": _swish} if HAS_AMX else {}

#: Name → formula of the activations that `finish_rows` applies while it stores.
QUICK: dict[str, Emitter] = {
    name: _APPROXIMATE.get(name, ACTIVATIONS[name]) for name in ("linear", "leaky", "mish", "swish", "logistic", "relu")
}
