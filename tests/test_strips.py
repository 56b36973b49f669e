"""Tiles that follow each other inside a kernel: narrow convolutions on rows wide enough to have several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, check

from darknet_py import Network
from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.tiles.register import KINDS, PIXELS, multiply_strip
from darknet_py.kernels.tiles.row import LONG, SHORT

_HALF = LANES // 2
_FLOATS = KINDS[0]
QUICK = st.sampled_from(["leaky", "linear", "relu"])  # the last one does not finish in registers


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 6), st.integers(2 * PIXELS, 9 * PIXELS)),
    filters=st.integers(1, 70),
    size=st.sampled_from([1, 1, 3]),
    stride=st.integers(1, 2),
    activation=QUICK,
)
def test_any_narrow_convolution(
    folder: Path, shape: tuple[int, int, int], filters: int, size: int, stride: int, activation: str
) -> None:
    tiny = TinyNetwork(shape, seed=filters)
    tiny.add("convolutional", {"filters": 5, "size": 1, "activation": "linear"})  # the first layer reads otherwise
    window = {"size": size, "pad": int(size > 1), "stride": stride}
    tiny.add("convolutional", {"filters": filters, "activation": activation, "batch_normalize": 1, **window})
    check(tiny, folder, kept=[(0,), (1,)])


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 50),
    height=st.integers(1, 7),
    width=st.integers(2 * LONG, 6 * LONG + SHORT),
    size=st.sampled_from([3, 5]),
    stride=st.integers(1, 2),
    activation=QUICK,
)
def test_any_depthwise_convolution(
    folder: Path, channels: int, height: int, width: int, size: int, stride: int, activation: str
) -> None:
    height, width = max(height, size), max(width, size)
    tiny = TinyNetwork((3, height, width), seed=channels)
    tiny.add("convolutional", {"filters": channels, "size": 1, "activation": "linear"})
    window = {"size": size, "pad": 1, "stride": stride, "groups": channels}
    tiny.add("convolutional", {"filters": channels, "activation": activation, **window})
    tiny.add("convolutional", {"filters": 3, "size": 1, "activation": "linear"})
    check(tiny, folder)


@pytest.mark.parametrize("activation", ["leaky", "linear", "mish"])
@pytest.mark.parametrize("filters", [1, LANES // 2 - 1, LANES // 2, LANES // 2 + 1, 2 * LANES + 3])
def test_half_a_vector_of_filters(folder: Path, filters: int, activation: str) -> None:
    tiny = TinyNetwork((9, 5, 3 * PIXELS + 4), seed=filters)
    tiny.add("convolutional", {"filters": filters, "size": 3, "pad": 1, "activation": activation})
    tiny.add("convolutional", {"filters": filters, "size": 1, "activation": activation, "batch_normalize": 1})
    tiny.add("shortcut", {"from": 0, "activation": "linear"})
    tiny.add("convolutional", {"filters": 2 * filters, "size": 1, "groups": filters, "activation": activation})
    check(tiny, folder, kept=[(2,)])


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_blocks_that_end_within_a_vector(folder: Path, groups: int) -> None:
    tiny = TinyNetwork((12, 3, 61), seed=groups)
    tiny.add("convolutional", {"filters": 54, "size": 1, "groups": groups, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 21, "size": 1, "activation": "linear"})
    check(tiny, folder)


def test_shortcuts_and_slices_of_a_joint_buffer(folder: Path) -> None:
    tiny = TinyNetwork((9, 5, 83), seed=1)
    tiny.add("convolutional", {"filters": 24, "size": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 24, "size": 1, "activation": "linear"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("convolutional", {"filters": 24, "groups": 24, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("route", {"layers": "-1,-3"})
    tiny.add("convolutional", {"filters": 48, "groups": 48, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 18, "size": 1, "activation": "leaky"})
    check(tiny, folder, kept=[(1,), (2, 4)])


def test_rows_outside_are_zeros_along_a_whole_row(folder: Path) -> None:
    """The window is higher than the image, so strips of tiles read more zeros than pixels."""
    tiny = TinyNetwork((3, 2, 8 * SHORT), seed=2)
    tiny.add("convolutional", {"filters": 20, "size": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 20, "groups": 20, "size": 5, "pad": 1, "activation": "leaky"})
    check(tiny, folder)


def test_threads_do_not_change_a_bit(folder: Path) -> None:
    tiny = TinyNetwork((3, 33, 90), seed=3)
    tiny.add("convolutional", {"filters": 16, "size": 3, "pad": 1, "stride": 2, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 40, "size": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 40, "groups": 40, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 8, "size": 1, "activation": "linear"})
    files = tiny.write(folder)
    alone = Network(*files, threads=1).run(tiny.blob)[0]
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(Network(*files, threads=threads).run(tiny.blob)[0], alone)


@pytest.mark.skipif(LANES != 16, reason="half vectors are computed with AVX-512 only")
def test_lanes_that_half_a_vector_leaves_out_are_zero() -> None:
    # What follows goes over whole vectors: stale values would shrink tile by tile until they take an Intel CPU 150
    # cycles each.
    channels, stale = 5, 7.0
    random = np.random.default_rng(0)
    x = random.random((PIXELS, channels), np.float32)
    weights, bias = random.random((channels, LANES), np.float32), random.random(LANES, np.float32)
    table = x.ctypes.data + 4 * channels * np.arange(PIXELS)
    out = np.full((PIXELS, LANES), stale, np.float32)
    _half_tile(table.ctypes.data, channels, weights.ctypes.data, bias.ctypes.data, out.ctypes.data)
    np.testing.assert_allclose(out[:, : LANES // 2], (x @ weights + bias)[:, : LANES // 2], rtol=1e-6)
    assert not out[:, LANES // 2 :].any()


@kernel
def _half_tile(table, channels, weights, bias, out):
    multiply_strip(_FLOATS, _HALF, table, 0, 1, channels, weights, bias, out, 0, 0, 0, 1, 0)
