"""Kernels are called by their address, which the record of a step holds.

So each is compiled once and by itself, and of all kernels only those that a plan has steps of: compiled into the
executor, which LLVM then optimises as a whole, a first start with yolov4-tiny took 29 s instead of 17 (Zen 4).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from darknet_py.kernels.jit import one_at_a_time
from darknet_py.kernels.vector.lanes import I64

__all__ = ["call_kernel", "kernel_address"]

_SIGNATURE = (types.int64, types.int64, types.int64)


@cache
def kernel_address(function: Any) -> int:
    """Where the machine code of a kernel of a step lies in this process; compiles it if that was not done yet."""
    with one_at_a_time():
        function.compile(_SIGNATURE)
        result = function.overloads[_SIGNATURE]
        return int(result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name))


@intrinsic
def call_kernel(typingctx: Any, function: Any, step: Any, task: Any, scratch: Any) -> Any:
    """Run task `task` of the step whose record is at an address, by the kernel at address `function`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        function_type = ir.FunctionType(ir.VoidType(), [I64] * 3)
        builder.call(builder.inttoptr(args[0], function_type.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*([types.int64] * 4)), codegen
