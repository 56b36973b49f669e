"""The matrix tile by itself, by instructions where there are any and emulated, beside NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import emitted
import numpy as np
import pytest
from llvmlite import ir

from darknet_py.kernels.jit import HAS_AMX, LANES
from darknet_py.kernels.tiles.amx import CHUNK, HEIGHT, LONGEST, _call, _emulate, _multiply, _Operands, tile_shapes

pytestmark = pytest.mark.skipif(LANES != 16, reason="matrix tiles are of 16 lanes")
random = np.random.default_rng(5)


def stored(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((values.view(np.uint32) >> 16).astype(np.uint16))


@pytest.mark.parametrize(
    "way", ["emulated", pytest.param("amx", marks=pytest.mark.skipif(not HAS_AMX, reason="no AMX"))]
)
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize(("pairs", "chunks"), [(LONGEST, 3), (1, 2), (5, 4)])
@pytest.mark.parametrize("continues", [0, 1])
def test_products(way: str, vectors: int, pairs: int, chunks: int, continues: int) -> None:
    if way == "amx" and not HAS_AMX:
        pytest.skip("no AMX here")
    channels = 2 * pairs * chunks
    x = random.standard_normal((2 * HEIGHT + 3, channels)).astype(np.float32)
    w = random.standard_normal((channels, vectors, LANES)).astype(np.float32)
    x, w = ((each.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) for each in (x, w))
    pixels = stored(x)
    panel = stored(np.ascontiguousarray(w.reshape(-1, 2, vectors, LANES).transpose(0, 2, 3, 1)))
    order = random.permutation(chunks)
    table = np.array([(4 * pairs * n, pairs * n) for n in order], CHUNK)
    out = random.standard_normal((2 * HEIGHT, vectors, LANES)).astype(np.float32)
    before = out.astype(np.float64) * continues
    shapes = tile_shapes(pairs)

    def body(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        zero = emitted.constant(0)
        second = builder.add(at[1], emitted.constant((HEIGHT + 3) * pixels.strides[0]))
        operands = _Operands(
            at[3], emitted.constant(chunks), emitted.constant(pairs), at[1], second,
            emitted.constant(pixels.strides[0]), at[2], at[0], emitted.constant(continues), at[2], zero,
        )  # fmt: skip
        if way == "amx":
            _call(builder, "ldtilecfg", builder.inttoptr(at[4], ir.IntType(8).as_pointer()))
        (_multiply if way == "amx" else _emulate)(builder, vectors, operands)
        if way == "amx":
            _call(builder, "tilerelease")

    emitted.run(body, out, pixels, panel, table, shapes)
    read = np.concatenate([x[:HEIGHT], x[HEIGHT + 3 :]]).astype(np.float64)
    expected = before + np.einsum("pc,cbl->pbl", read, w.astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)
