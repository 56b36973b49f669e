"""The tile of single channels by itself: weighted sums and maxima beside NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import emitted
import numpy as np
import pytest
from llvmlite import ir

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.tiles.channel import _LARGER, _emit_tile, _Operands
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32
from darknet_py.kernels.vector.lanes import Lanes

random = np.random.default_rng(3)


@pytest.mark.parametrize("pixels", [1, 6, 13])
@pytest.mark.parametrize("taps", [1, 4, 25])
@pytest.mark.parametrize("code", [None, *_LARGER])
def test_taps(pixels: int, taps: int, code: int | None) -> None:
    values = random.standard_normal((40, 4 * LANES)).astype(np.float32)
    if code == BFLOAT16.code:
        values = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        x = np.ascontiguousarray((values.view(np.uint32) >> 16).astype(np.uint16))
    else:
        x = values
    joined = 2 if code == BFLOAT16.code else 1
    weights, bias = random.standard_normal((taps, LANES)).astype(np.float32), np.full(LANES, -9, np.float32)
    if joined == 2:
        bias = np.full(LANES, 0xFF7FFF7F, np.uint32).view(np.float32)
    picked = random.integers(0, len(x), (taps, pixels))
    table = x.ctypes.data + x.strides[0] * picked
    out = np.zeros((pixels, LANES), np.float32)

    def body(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        operands = _Operands(at[1], emitted.constant(4 * LANES), at[4], at[2], at[3], at[0])
        _emit_tile(Lanes(builder, LANES), pixels, operands, None if code is None else _LARGER[code])

    emitted.run(body, out, table, weights, bias, taps)
    wide = values[picked][..., joined * LANES : 2 * joined * LANES].astype(np.float64)  # (taps, pixels, values)
    if code is None:
        np.testing.assert_allclose(out, bias + (wide * weights[:, None]).sum(axis=0), rtol=1e-5, atol=1e-5)
    elif code == FLOAT32.code:
        np.testing.assert_array_equal(out, np.maximum(wide.max(axis=0), -9).astype(np.float32))
    else:
        found = (out.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_array_equal(found, wide.max(axis=0).astype(np.float32))
