"""For tests: vector code by itself, compiled without Numba and called on arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core.codegen import initialize_llvm
from numpy.typing import NDArray

from darknet_py.kernels.jit import TARGET
from darknet_py.kernels.vector.lanes import I64

Array = NDArray[Any]

_engines: list[Any] = []


def run(emit: Callable[[ir.IRBuilder, Sequence[ir.Value]], None], *values: Array | int) -> None:
    """Call what `emit` emits with the addresses of arrays, and numbers, as int64."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * len(values)), "emitted")
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, function.args)
    builder.ret_void()
    initialize_llvm()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=TARGET.cpu, features=TARGET.flags, opt=2)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    _engines.append(engine)  # pytest shows values of a failed test after all that ran
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(values))(engine.get_function_address("emitted"))
    call(*(value.ctypes.data if isinstance(value, np.ndarray) else int(value) for value in values))


def constant(value: int) -> ir.Constant:
    return ir.Constant(I64, value)
