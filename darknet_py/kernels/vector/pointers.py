"""Memory at an address, as arrays, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import kernel
from darknet_py.kernels.vector.lanes import I64

__all__ = ["bytes_at", "floats", "integers", "pointer", "store_progression"]


@intrinsic
def pointer(typingctx: Any, address: Any) -> Any:
    """The address as a pointer, for `numba.carray`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@kernel
def floats(address, count):
    """The `count` float32 values at `address` as an array (no copy)."""
    return carray(pointer(address), (count,), np.float32)


@kernel
def bytes_at(address, count):
    """The `count` bytes at `address` as an array (no copy)."""
    return carray(pointer(address), (count,), np.uint8)


@kernel
def integers(address, count):
    """The `count` int64 values at `address` as an array (no copy)."""
    return carray(pointer(address), (count,), np.int64)


@intrinsic(prefer_literal=True)
def store_progression(typingctx: Any, count: Any, address: Any, first: Any, step: Any) -> Any:
    """Write the int64 `first`, `first + step`, ... to `address`, `count` (a literal) of them.

    One by one, as they are read again soon; as a vector it was no faster.
    """
    n = count.literal_value

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        _, address, value, step = args
        for i in range(n):
            builder.store(value, builder.inttoptr(builder.add(address, ir.Constant(I64, 8 * i)), I64.as_pointer()))
            value = builder.add(value, step)
        return context.get_dummy_value()

    return types.void(count, types.int64, types.int64, types.int64), codegen
