"""Depthwise convolutions, computed row by row where a tile for the window exists, against the naive layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, arguments_of, check, steps_of

from darknet_py import Network
from darknet_py.kernels.tiles.row import LONG, SHORT


def depthwise(channels: int, height: int, width: int, **options: object) -> TinyNetwork:
    tiny = TinyNetwork((channels, height, width), seed=channels)
    both = {"filters": channels, "groups": channels, "activation": "leaky", "batch_normalize": 1, **options}
    tiny.add("convolutional", both)
    return tiny


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(2, 40),
    height=st.integers(1, 9),
    width=st.integers(1, 2 * LONG + 3),
    size=st.sampled_from([1, 2, 3, 5]),
    stride_x=st.integers(1, 2),
    stride_y=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
)
def test_any_window(folder: Path, height: int, width: int, size: int, padding: int, **options: int) -> None:
    # Darknet, too, reads beyond the image there, and the cfg is refused.
    assume(not (size == 1 and options["stride_x"] == options["stride_y"] == 1 and padding))
    channels, dilation = options.pop("channels"), options.pop("dilation")
    reach = (size - 1) * dilation + 1
    height, width = max(height, reach), max(width, reach)
    tiny = depthwise(channels, height, width, size=size, padding=padding, dilation=dilation, **options)
    check(tiny, folder)


@pytest.mark.parametrize("width", [LONG, SHORT, 2 * SHORT, LONG + SHORT, 1])
def test_the_tile_that_wastes_less(folder: Path, width: int) -> None:
    tiny = depthwise(18, 5, width, size=3, pad=1)
    check(tiny, folder)
    plan = Network(*tiny.write(folder)).plan
    assert arguments_of(plan, steps_of(plan, "depthwise_rows"), "short") == [-width % SHORT < -width % LONG]


def test_shortcut_and_slices(folder: Path) -> None:
    tiny = TinyNetwork((3, 9, 23), seed=1)
    tiny.add("convolutional", {"filters": 21, "size": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 21, "groups": 21, "size": 5, "pad": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "relu"})
    tiny.add("route", {"layers": "-1,0"})
    tiny.add("convolutional", {"filters": 42, "groups": 42, "size": 3, "pad": 1, "stride": 2, "activation": "linear"})
    check(tiny, folder, kept=[[1], [2, 3]])


def test_threads_do_not_change_a_bit(folder: Path) -> None:
    tiny = depthwise(70, 61, 67, size=3, pad=1)
    files = tiny.write(folder)
    one, three = (Network(*files, threads=n).run(tiny.blob)[0] for n in (1, 3))
    np.testing.assert_array_equal(one, three)
