"""Activations over a run of vectors, in place."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.vector import ACTIVATIONS, I64, Lanes

__all__ = ["activate"]


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
