"""How far kernels read beyond the values that they are about: by design, and no further.

What is read there changes no result. It may lie in the next buffer of the arena, whose end has room for it.

====================  ==============================================  ==============================================
step                  reads                                           and at most beyond the last value
====================  ==============================================  ==============================================
DEPTHWISE, MAXPOOL,   whole vectors of a pixel's channels             LANES - 1 floats
DEPTHWISE_ROWS,
ROUND, YOLO,
WINOGRAD_INPUT
any with SECOND       whole vectors of a block's channels (as         LANES - 1 floats
                      bfloat16 half as many bytes)
ROUND_IMAGE           as many pixels as fill a vector, of 4 or 8      (LANES / 4 - 1) * 3 + 4 floats, or 15
                      values each, whatever the channels are
MATRIX                tiles of HEIGHT pixels, of which the last may   HEIGHT * stride pixels
                      lie behind the output
CHAIN                 as its links; rows move as whole vectors        LANES - 1 floats, in its own scratch: 64 bytes
RESIZE                groups of 32 floats in its own memory           PADDING floats, which its rows have
all                   tables, weights and biases by whole vectors     a vector, which `Lowering.constant`, `filled` and
                                                                      `pack` leave behind them
====================  ==============================================  ==============================================

Written beyond is only into what nobody else has: ROUND, DEPTHWISE_ROWS in bfloat16 and WINOGRAD_INPUT write whole
vectors, for which their pixels have room; ROUND_IMAGE writes pixels of the next task, with the same values, and behind
the last up to LANES / 2 floats that its buffer has. Prefetches, which never fault, may be of any address.
"""

from __future__ import annotations

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.steps import Op
from darknet_py.kernels.tiles.amx import HEIGHT
from darknet_py.plan.lowering import Step

__all__ = ["floats_beyond"]

_WHOLE_VECTORS = {
    Op.DEPTHWISE, Op.MAXPOOL, Op.DEPTHWISE_ROWS, Op.ROUND, Op.ROUND_IMAGE, Op.YOLO, Op.WINOGRAD_INPUT,
}  # fmt: skip


def floats_beyond(step: Step) -> int:
    """How far a step may read beyond the end of its inputs."""
    if step.op == Op.MATRIX:
        return HEIGHT * step.fields["STRIDE_X"] * step.x.pixel
    return LANES if step.op in _WHOLE_VECTORS or step.second is not None else 0
