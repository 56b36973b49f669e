"""What threads that share memory need: atomic operations on int64, and a pause while they wait.

All are sequentially consistent: every thread sees all of them in one order. To acquire and to release would not do.
Whoever closes a run writes CLOSED and then reads INSIDE, a helper writes INSIDE and then reads CLOSED, and at least one
of them must see what the other wrote. A load that acquires may pass an earlier store that releases (ldapr does on ARM,
and so does every load on x86): then both see the old values, and the helper works on a run that is over.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import TARGET
from darknet_py.kernels.vector.lanes import I32, I64

__all__ = ["fetch_add", "load_seq_cst", "pause", "store_seq_cst"]


@intrinsic
def fetch_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add `value` to the int64 at `address` and return what it was, atomically."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], I64.as_pointer()), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def load_seq_cst(typingctx: Any, address: Any) -> Any:
    """The int64 at `address`, read after what this thread stored so before; all that its writer had done is seen."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.load_atomic(builder.inttoptr(args[0], I64.as_pointer()), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def store_seq_cst(typingctx: Any, address: Any, value: Any) -> Any:
    """Write the int64 at `address`, after all that was done before, and before this thread next reads so."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        builder.store_atomic(args[1], builder.inttoptr(args[0], I64.as_pointer()), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


#: The intrinsic, and its argument, by which a spinning thread gives way. On ARM it is a barrier (isb sy): the hint that
#: is meant for it (yield) does nothing on most CPUs, so that the loop would hammer the line that it waits for.
_PAUSES: dict[str, tuple[str, list[int]]] = {"x86": ("llvm.x86.sse2.pause", []), "arm64": ("llvm.aarch64.isb", [15])}


@intrinsic
def pause(typingctx: Any) -> Any:
    """Tell the CPU that this is a spin loop, and spend some time."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if TARGET.isa in _PAUSES:
            name, values = _PAUSES[TARGET.isa]
            function_type = ir.FunctionType(ir.VoidType(), [I32] * len(values))
            function = cgutils.get_or_insert_function(builder.module, function_type, name)
            builder.call(function, [ir.Constant(I32, value) for value in values])
        return context.get_dummy_value()

    return types.void(), codegen
