"""The machine's fused multiply-add peak, measured with the tile that convolutions use, its operands in registers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.tiles.register import BLOCKS, PIXELS
from darknet_py.kernels.vector.lanes import I64, Lanes

__all__ = ["FLOPS_PER_ROUND", "multiply_registers"]

#: Floating-point operations of one round of `multiply_registers`.
FLOPS_PER_ROUND = 2 * PIXELS * BLOCKS * LANES


@intrinsic
def _rounds(typingctx: Any, count: Any) -> Any:
    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        v = Lanes(builder, LANES)
        acc = [cgutils.alloca_once_value(builder, v.constant(0.01 * n)) for n in range(PIXELS * BLOCKS)]
        factor, term = v.constant(0.999), v.constant(1e-3)
        with cgutils.for_range(builder, args[0], intp=I64):
            for a in acc:
                builder.store(v.fma(builder.load(a), factor, term), a)
        total = builder.load(acc[0])
        for a in acc[1:]:
            total = builder.fadd(total, builder.load(a))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.int64), codegen


@kernel
def multiply_registers(count):
    """Run `count` rounds of one fused multiply-add on each accumulator; returns a value that depends on all."""
    return _rounds(count)
