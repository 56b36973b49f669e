"""The end of a tile beside NumPy: in registers (see `test_tile_register`), of products, and of tiles in scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from one_step import place_of

from darknet_py.kernels.jit import HAS_AMX, LANES, kernel
from darknet_py.kernels.ops.step import STEP
from darknet_py.kernels.tiles.epilogue import FINISH, finish_products, finish_tile
from darknet_py.kernels.vector.activate import ACTIVATION_CODES
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32, FORMATS, Format

random = np.random.default_rng(6)
Array = NDArray[Any]


def written(shape: tuple[int, ...], format: Format, values: Array | None = None) -> Array:
    """An array in a format; of given floats, or of what nobody wrote."""
    if values is None:
        return np.full(shape, 7, np.float32 if format is FLOAT32 else np.uint16)
    values = np.ascontiguousarray(values, np.float32)
    return values if format is FLOAT32 else (values.view(np.uint32) >> 16).astype(np.uint16)


def read(array: Array) -> Array:
    return array if array.dtype == np.float32 else (array.astype(np.uint32) << 16).view(np.float32)


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.1 * x)


def tolerance(*formats: Format | None) -> dict[str, float]:
    coarse = any(format is BFLOAT16 for format in formats)
    return {"rtol": 4e-3 if coarse else 1e-5, "atol": 4e-3 if coarse else 1e-5}


@pytest.mark.parametrize("channels", [2 * LANES, 2 * LANES - 3, LANES, 5])
@pytest.mark.parametrize("to", [(FLOAT32, None), (BFLOAT16, None), (FLOAT32, BFLOAT16)])
@pytest.mark.parametrize("adds", [None, FLOAT32, BFLOAT16])
def test_products(channels: int, to: tuple[Format, Format | None], adds: Format | None) -> None:
    rows, vectors = 5, 2 if channels > LANES else 1
    out = random.standard_normal((rows, vectors * LANES)).astype(np.float32)
    bias = random.standard_normal(vectors * LANES).astype(np.float32)
    beside = (random.standard_normal((rows, 3 * LANES)).astype(np.float32).view(np.uint32) & 0xFFFF0000).view(
        np.float32
    )
    record = np.zeros(1, FINISH)
    targets = [written((rows, 2 * LANES + 1), format) for format in to if format is not None]
    for name, format, array in zip(("y", "also"), to, targets, strict=False):
        assert format is not None
        record[name], record[f"{name}_pixel"] = array.ctypes.data, array.strides[0]
        record[f"{name}_format"] = format.code
    if adds is not None:
        second = written(beside.shape, adds, beside)
        record["second"], record["second_pixel"] = second.ctypes.data, second.strides[0]
        record["second_format"] = adds.code
    record["activation"] = ACTIVATION_CODES["leaky"]
    finish_products(record.ctypes.data, out.ctypes.data, rows, channels, bias.ctypes.data)
    expected = leaky(out + bias)[:, :channels] + (0 if adds is None else beside[:, :channels])
    for format, array in zip(to, targets, strict=False):
        np.testing.assert_allclose(read(array)[:, :channels], expected, **tolerance(format))
        assert (array[:, channels:] == 7).all()


@kernel
def _finish(steps, activation, after, source, pitch, rows, columns, vectors, y, x, first, channels):
    finish_tile(steps[0], activation, after, source, pitch, rows, columns, vectors, y, x, first, channels)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("vectors", "channels"), [(1, LANES), (2, LANES + 4), (2, 2 * LANES)])
@pytest.mark.parametrize("adds", [False, True])
def test_tiles_in_scratch(format: Format, vectors: int, channels: int, adds: bool) -> None:
    """Two rows of three pixels from (1, 2) on, channels from 2 on."""
    shape = (4, 6, -(-(channels + 2) // LANES) * LANES + LANES)
    y, beside = written(shape, format), random.standard_normal(shape).astype(np.float32)
    tile = random.standard_normal((2, 4, vectors * LANES)).astype(np.float32)
    expected = leaky(tile.astype(np.float64))[:, :3, :channels]
    step = np.zeros(1, STEP)
    step["y"] = place_of(y, format)
    if adds:
        step["second"] = place_of(beside)
        expected = np.maximum(expected + beside[1:3, 2:5, 2 : 2 + channels], 0)
    codes = ACTIVATION_CODES["leaky"], ACTIVATION_CODES["relu"]
    _finish(step, *codes, tile.ctypes.data, tile.strides[0], 2, 3, vectors, 1, 2, 2, channels)
    found = read(y)
    np.testing.assert_allclose(found[1:3, 2:5, 2 : 2 + channels], expected, **tolerance(format))
    y[1:3, 2:5, 2 : 2 + vectors * LANES] = 7  # formats with room for them are written by whole vectors
    assert (y == 7).all()


def test_approximations_are_near() -> None:
    """Activations of matrix tiles are exact to what bfloat16 holds."""
    x = np.linspace(-20, 20, 64 * LANES, dtype=np.float32).reshape(-1, LANES)
    zeros, y = np.zeros(LANES, np.float32), np.zeros_like(x)
    for name, twin in (
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("logistic", lambda x: 1 / (1 + np.exp(-x))),
    ):
        record = np.zeros(1, FINISH)
        record["y"], record["y_pixel"], record["activation"] = y.ctypes.data, y.strides[0], ACTIVATION_CODES[name]
        finish_products(record.ctypes.data, x.ctypes.data, len(x), LANES, zeros.ctypes.data)
        wanted = twin(x.astype(np.float64))
        np.testing.assert_allclose(y, wanted, rtol=2e-4 if HAS_AMX else 1e-5, atol=1e-6)
