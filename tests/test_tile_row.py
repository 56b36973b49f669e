"""The tile of a run of pixels by itself: every window and length beside NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import emitted
import numpy as np
import pytest
from llvmlite import ir

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.tiles.row import LONG, ROW_FORMATS, SHORT, WINDOWS, _emit_tile, _Operands
from darknet_py.kernels.vector.formats import FLOAT32, Format
from darknet_py.kernels.vector.lanes import Lanes

random = np.random.default_rng(4)


@pytest.mark.parametrize("pixels", [SHORT, LONG])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("format", ROW_FORMATS)
@pytest.mark.parametrize("rows", [1, 3, 5])
def test_windows(pixels: int, window: tuple[int, int], format: Format, rows: int) -> None:
    width, stride = window
    columns = (pixels - 1) * stride + width
    values = random.standard_normal((rows, columns, 2 * LANES)).astype(np.float32)
    values = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    x = values if format is FLOAT32 else np.ascontiguousarray((values.view(np.uint32) >> 16).astype(np.uint16))
    weights = random.standard_normal((rows, width, LANES)).astype(np.float32)
    bias, out = random.standard_normal(LANES).astype(np.float32), np.zeros((pixels, LANES), np.float32)
    table = x.ctypes.data + x.strides[0] * np.arange(rows)[:, None] + x.strides[1] * np.arange(columns)

    def body(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        zero, one = emitted.constant(0), emitted.constant(1)
        shift = emitted.constant(format.value_bytes * LANES)
        operands = _Operands(at[1], shift, at[4], at[2], at[3], at[0], zero, one, zero, one, zero, zero)
        _emit_tile(Lanes(builder, LANES), (pixels, width, stride), format, operands, zero, zero)

    emitted.run(body, out, table, weights, bias, rows)
    wide = values[:, :, LANES:].astype(np.float64)
    expected = np.stack([
        bias + (wide[:, p * stride : p * stride + width] * weights).sum(axis=(0, 1)) for p in range(pixels)
    ])  # fmt: skip
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
