"""Planes to pixels and back, against NumPy: tails of squares, gaps between pixels and rows, single pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from darknet_py.kernels.vector.transpose import to_pixels, to_planes

few_or_many = st.one_of(st.integers(1, 6), st.integers(7, 70))


@settings(deadline=None)  # the first example compiles
@given(few_or_many, st.integers(1, 9), few_or_many, st.integers(0, 3), st.integers(0, 5))
def test_planes_to_pixels_and_back(channels: int, height: int, width: int, pixel_gap: int, row_gap: int) -> None:
    pixel = channels + pixel_gap
    row = width * pixel + row_gap
    planes = np.random.default_rng(0).random((channels, height, width), np.float32)
    memory = np.full(height * row + 1, -1, np.float32)
    expected = memory.copy()
    shape, strides = (height, width, channels), (4 * row, 4 * pixel, 4)
    as_strided(expected, shape, strides)[:] = planes.transpose(1, 2, 0)
    to_pixels(planes.ctypes.data, channels, height, width, memory.ctypes.data, 4 * pixel, 4 * row)
    np.testing.assert_array_equal(memory, expected)
    back = np.full(planes.size + 1, -1, np.float32)
    to_planes(memory.ctypes.data, 4 * pixel, 4 * row, channels, height, width, back.ctypes.data)
    np.testing.assert_array_equal(back[:-1].reshape(planes.shape), planes)
    assert back[-1] == -1
