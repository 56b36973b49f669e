"""Kernels are called by their address, which a column of the step table holds.

So each is compiled once and by itself, and of all kernels only those that a plan has steps of: compiled into the
executor, which LLVM then optimises as a whole, a first start with yolov4-tiny took 29 s instead of 17 (Zen 4).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from darknet_py.kernels.jit import inlined, one_at_a_time
from darknet_py.kernels.ops.steps import COLUMNS
from darknet_py.kernels.vector.lanes import I64
from darknet_py.kernels.vector.pointers import integers

__all__ = ["call_kernel", "kernel_address", "pixel_share", "step_at"]

_SIGNATURE = (types.int64, types.int64, types.int64)
_N_COLUMNS, _TASKS, _OUT_H, _OUT_W = len(COLUMNS), COLUMNS["TASKS"], COLUMNS["OUT_H"], COLUMNS["OUT_W"]


@cache
def kernel_address(function: Any) -> int:
    """Where the machine code of a kernel of a step lies in this process; compiles it if that was not done yet."""
    with one_at_a_time():
        function.compile(_SIGNATURE)
        result = function.overloads[_SIGNATURE]
        return int(result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name))


@intrinsic
def call_kernel(typingctx: Any, function: Any, row: Any, task: Any, scratch: Any) -> Any:
    """Run task `task` of the step whose row of the table is at address `row` by the kernel at address `function`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        function_type = ir.FunctionType(ir.VoidType(), [I64] * 3)
        builder.call(builder.inttoptr(args[0], function_type.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*([types.int64] * 4)), codegen


@inlined
def step_at(address):
    """The row of the step table at `address`."""
    return integers(address, _N_COLUMNS)


@inlined
def pixel_share(address, task):
    """The step at `address`, and the first of the output pixels that are one of its tasks, and their end."""
    step = step_at(address)
    pixels = step[_OUT_H] * step[_OUT_W]
    return step, pixels * task // step[_TASKS], pixels * (task + 1) // step[_TASKS]
