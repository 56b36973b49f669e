"""The transforms of a Winograd tile by themselves: every kind of tile gives what a direct convolution gives."""

from __future__ import annotations

import numpy as np
import pytest

from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.tiles.cook_toom import TILES
from darknet_py.kernels.tiles.register import KINDS
from darknet_py.kernels.tiles.winograd_tile import combine_taps, input_tile, output_tile
from darknet_py.kernels.vector.formats import FLOAT32, FORMATS

random = np.random.default_rng(8)


@kernel
def _input(format, code, table, out, stride):
    input_tile(format, code, table, 0, out, stride, 0)


@kernel
def _output(code, source, stride, bias, out):
    output_tile(LANES, code, source, stride, bias, out)


@kernel
def _combine(a, b, c, factors, out, vectors):
    combine_taps(a, b, c, factors, out, vectors)


def elements_of(number: int) -> int:
    return 1 + max(max(row) for row in TILES[number].places)


@pytest.mark.parametrize("number", range(len(TILES)))
def test_a_convolution(number: int) -> None:
    down, across, places = TILES[number]
    image = random.standard_normal((down.n, across.n, LANES)).astype(np.float32)
    taps = random.standard_normal((3, 3))
    table = image.ctypes.data + image.strides[0] * np.arange(down.n)[:, None] + image.strides[1] * np.arange(across.n)
    elements = np.zeros((elements_of(number), LANES), np.float32)
    _input(FLOAT32.code, number, np.ascontiguousarray(table).ctypes.data, elements.ctypes.data, elements.strides[0])
    weights = np.array(down.g) @ taps @ np.array(across.g).T
    products = elements.copy()
    for row, factors in zip(places, weights, strict=True):
        products[list(row)] *= factors[:, None].astype(np.float32)
    bias, out = random.standard_normal(LANES).astype(np.float32), np.zeros((down.m, across.m, LANES), np.float32)
    _output(number, products.ctypes.data, products.strides[0], bias.ctypes.data, out.ctypes.data)
    wide = image.astype(np.float64)
    for i in range(down.m):
        for j in range(across.m):
            y, x = i * down.stride, j * across.stride
            expected = bias + np.einsum("yxl,yx->l", wide[y : y + 3, x : x + 3], taps)
            np.testing.assert_allclose(out[i, j], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("code", KINDS[1:])
def test_inputs_in_another_format(code: int) -> None:
    number = next(n for n, kind in enumerate(TILES) if kind.down.m == kind.across.m == 2)
    down, across, _ = TILES[number]
    image = random.standard_normal((down.n * across.n, LANES)).astype(np.float32)
    table = image.ctypes.data + image.strides[0] * np.arange(len(image))
    plain = np.zeros((elements_of(number), LANES), np.float32)
    other = np.zeros((len(plain), LANES), np.uint16)
    assert FORMATS[code].value_bytes == 2
    _input(FLOAT32.code, number, table.ctypes.data, plain.ctypes.data, plain.strides[0])
    _input(code, number, table.ctypes.data, other.ctypes.data, other.strides[0])
    found = (other.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(found, plain, rtol=2**-8, atol=1e-30)


@pytest.mark.parametrize("vectors", [1, 4, 7])
def test_weights_from_taps(vectors: int) -> None:
    a, b, c = random.standard_normal((3, vectors * LANES)).astype(np.float32)
    factors, out = np.array([0.25, -4], np.float32), np.zeros(vectors * LANES, np.float32)
    _combine(*(each.ctypes.data for each in (a, b, c, factors, out)), vectors)
    np.testing.assert_allclose(out, 0.25 * a + b - 4.0 * c, rtol=1e-5, atol=1e-5)
