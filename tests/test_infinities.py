"""Infinities and NaN stay where Darknet has them, in their own group; what nobody wrote is not computed with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, assert_close, eager_chains
from one_step import run_task

from darknet_py import Network
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.add import add
from darknet_py.kernels.ops.multiply import BY_VALUE, multiply
from darknet_py.kernels.ops.operation import Operation
from darknet_py.kernels.vector.activate import ACTIVATION_CODES

NOT_FINITE = pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])


def check(tiny: TinyNetwork, folder: Path, **options: object) -> None:
    """Compare with naive layers: not finite at the same places, close at the others."""
    expected = tiny.outputs[-1]
    found = Network(*tiny.write(folder), threads=2, **options).run(tiny.blob)[0]  # type: ignore[arg-type]
    finite = np.isfinite(expected)
    assert finite.any() and not finite.all()
    np.testing.assert_array_equal(np.isfinite(found), finite)
    assert_close(np.where(finite, found, 0).astype(np.float32), np.where(finite, expected, 0))


def spoilt(shape: tuple[int, int, int], value: float, channel: int = 1) -> TinyNetwork:
    tiny = TinyNetwork(shape)
    tiny.blob[channel, shape[1] // 2, shape[2] // 2] = value
    return tiny


@NOT_FINITE
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("channels", "groups", "filters"), [(8, 4, 12), (64, 32, 64), (6, 2, 66), (48, 12, 24)])
@pytest.mark.parametrize("activation", ["linear", "leaky", "mish", "swish"])
def test_groups(folder: Path, value: float, channels: int, groups: int, filters: int, activation: str) -> None:
    for size, stride in ((1, 1), (3, 1), (3, 2)):
        tiny = spoilt((channels, 9, 31), value)
        options = {"filters": filters, "groups": groups, "size": size, "stride": stride, "pad": 1}
        tiny.add("convolutional", {**options, "activation": activation, "batch_normalize": 1})
        tiny.add("route", {"layers": -1})
        check(tiny, folder)


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_any_groups(folder: Path, data: st.DataObject) -> None:
    groups, each = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 5))
    filters, size = groups * data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    shape = (groups * each, data.draw(st.integers(size, 12)), data.draw(st.integers(size, 40)))
    tiny = spoilt(shape, np.inf, data.draw(st.integers(0, shape[0] - 1)))
    tiny.add(
        "convolutional",
        {"filters": filters, "groups": groups, "size": size, "padding": data.draw(st.integers(0, size - 1)),
         "stride": data.draw(st.integers(1, 3)), "dilation": data.draw(st.integers(1, 2)) if shape[1] > 2 * size else 1,
         "activation": data.draw(st.sampled_from(["linear", "leaky", "mish"]))},
    )  # fmt: skip
    expected = tiny.outputs[-1]
    found = Network(*tiny.write(folder), threads=1).run(tiny.blob)[0]
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    assert_close(np.where(finite, found, 0).astype(np.float32), np.where(finite, expected, 0))


@NOT_FINITE
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_groups_with_a_shortcut_in_place_and_in_chains(folder: Path, value: float) -> None:
    for eager in (False, True):
        tiny = spoilt((12, 16, 17), value)
        tiny.add("convolutional", {"filters": 12, "groups": 6, "size": 3, "pad": 1, "activation": "leaky"})
        tiny.add("convolutional", {"filters": 12, "groups": 4, "activation": "leaky"})
        tiny.add("shortcut", {"from": -2, "activation": "linear"})
        if eager:
            with eager_chains():
                check(tiny, folder)
        else:
            check(tiny, folder)


@pytest.mark.parametrize("largest", [88.5, 89.0, 3000.0])
def test_exponentials_that_overflow_as_in_darknet(folder: Path, largest: float) -> None:
    """NaN where e^x is beyond float32, 0 beside it: its channel takes all."""
    tiny = TinyNetwork((5, 3, 4))
    tiny.blob[2, 1, 3] = largest
    tiny.add("activation", {"activation": "normalize_channels_softmax"})
    if largest > 88.7:
        assert np.isnan(tiny.outputs[-1][2, 1, 3]) and not tiny.outputs[-1][[0, 1, 3, 4], 1, 3].any()
        check(tiny, folder)
    else:
        assert_close(Network(*tiny.write(folder)).run(tiny.blob)[0], tiny.outputs[-1])


@pytest.mark.parametrize("operation", [add, multiply])
def test_rest_of_a_vector_is_zero_whoever_had_the_scratch(operation: Operation) -> None:
    """It would shrink pixel by pixel until it takes an Intel CPU 150 cycles."""
    channels, pixels, stale = LANES + 3, 5, 7.0
    x, second, y = np.ones((3, 1, pixels, channels), np.float32)
    scratch = np.full(4 * channels + 8 * LANES, stale, np.float32)
    own = {
        "activation": ACTIVATION_CODES["mish"], "stride": 1, "sample": 1, "factors": np.ones((2, channels), np.float32),
        "by": BY_VALUE,
    }  # fmt: skip
    run_task(operation, x, y, second, scratch=scratch, **{name: own[name] for name in operation.arguments.names or ()})
    assert (scratch[:channels] != stale).all()
    assert not scratch[channels : 2 * LANES].any()
