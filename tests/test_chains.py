"""Chains of convolutions, computed band by band: naive layers, and the same network with every layer kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, arguments_of, check, eager_chains, steps_of

from darknet_py import Network
from darknet_py.kernels.jit import MATRIX_TILES
from darknet_py.plan import chains


def lengths(network: Network) -> list[int]:
    """Links of each chain of a network."""
    return arguments_of(network.plan, steps_of(network.plan, "run_chain"), "length")


def bottlenecks(height: int, width: int, channels: int, wide: int, blocks: int = 2) -> TinyNetwork:
    """MobileNet's blocks: widen, depthwise, narrow, add; then one with stride 2."""
    tiny = TinyNetwork((3, height, width), seed=height * width)
    tiny.add("convolutional", {"filters": channels, "size": 3, "pad": 1, "activation": "leaky"})
    for number in range(blocks + 1):
        stride = 1 + (number == blocks)
        tiny.add("convolutional", {"filters": wide, "size": 1, "activation": "leaky", "batch_normalize": 1})
        both = {"filters": wide, "groups": wide, "size": 3, "pad": 1, "stride": stride, "activation": "leaky"}
        tiny.add("convolutional", both)
        tiny.add("convolutional", {"filters": channels, "size": 1, "activation": "linear"})
        if stride == 1:
            tiny.add("shortcut", {"from": -4, "activation": "linear"})
    return tiny


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [(17, 13), (40, 5), (2, 30), (1, 1)])
def test_bottlenecks(folder: Path, size: tuple[int, int], threads: int) -> None:
    tiny = bottlenecks(*size, channels=9, wide=20)
    with eager_chains():
        check(tiny, folder, threads=threads)
        network = Network(*tiny.write(folder))
    assert lengths(network) == [3, 3, 3]


@pytest.mark.parametrize("groups", [1, 12])
def test_shortcut_adds_what_the_link_before_wrote(folder: Path, groups: int) -> None:
    """The map is read twice by one step, the second time not by way of the chain."""
    tiny = TinyNetwork((3, 20, 13), seed=5)
    tiny.add("convolutional", {"filters": 12, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 12, "groups": groups, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    with eager_chains():
        check(tiny, folder, threads=2)
        assert lengths(Network(*tiny.write(folder))) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_windows(folder: Path, data: st.DataObject) -> None:
    """Every layer kept, where nothing is chained, none kept, and in a batch: the same to the bit."""
    draw = data.draw
    tiny = TinyNetwork((draw(st.integers(1, 5)), draw(st.integers(1, 40)), draw(st.integers(1, 20))), seed=1)
    for _ in range(draw(st.integers(2, 5), "links")):
        channels, height, width = tiny.outputs[-1].shape if tiny.outputs else tiny.blob.shape
        size = draw(st.sampled_from([1, 3, 5]), "size")
        dilation = draw(st.integers(1, 2), "dilation") if size == 3 else 1
        reach = (size - 1) * dilation + 1
        options = {
            "size": size,
            "dilation": dilation,
            "padding": draw(st.integers(max(0, -(-(reach - min(height, width)) // 2)), 4), "pad") if size > 1 else 0,
            "stride_x": draw(st.integers(1, 2), "stride_x"),
            "stride_y": draw(st.integers(1, 3), "stride_y"),
            "activation": draw(st.sampled_from(["linear", "leaky", "mish"]), "activation"),
        }
        if draw(st.booleans(), "depthwise") and channels > 1:
            tiny.add("convolutional", options | {"filters": channels, "groups": channels})
        else:
            tiny.add("convolutional", options | {"filters": draw(st.integers(2, 40), "filters")})
        same = [n for n, output in enumerate(tiny.outputs[:-1]) if output.shape == tiny.outputs[-1].shape]
        if same and draw(st.booleans(), "shortcut"):
            tiny.add("shortcut", {"from": draw(st.sampled_from(same), "from"), "activation": "linear"})
    cfg, weights = tiny.write(folder)
    band_bytes = draw(st.sampled_from([1, 2000, 20000]), "band_bytes")
    with eager_chains(band_bytes), pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKNET_PY_CONVOLUTION", "direct")
        precision = draw(st.sampled_from(["float32", "bfloat16"]), "precision")
        network = Network(cfg, weights, threads=draw(st.integers(1, 2), "threads"), precision=precision)
        (alone,) = network.run(tiny.blob)
        last = len(tiny.outputs) - 1
        kept = network.run(tiny.blob, taps=range(last + 1))
        (together,) = network.run(np.stack([tiny.blob[..., ::-1], tiny.blob]))
    np.testing.assert_array_equal(alone, kept[last])
    np.testing.assert_array_equal(together[1], alone)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batches(folder: Path, precision: str) -> None:
    tiny = bottlenecks(18, 11, channels=12, wide=36)
    with eager_chains():
        network = Network(*tiny.write(folder), threads=2, precision=precision)
        # Matrix tiles are no links of chains.
        assert bool(lengths(network)) == (precision == "float32" or not MATRIX_TILES)
        blobs = np.random.default_rng(0).random((3, *tiny.blob.shape), np.float32)
        (together,) = network.run(blobs)
        for blob, found in zip(blobs, together, strict=True):
            np.testing.assert_array_equal(found, network.run(blob)[0])
            kept = network.run(blob, taps=range(len(tiny.outputs)))
            np.testing.assert_array_equal(found, kept[len(tiny.outputs) - 1])


def test_what_is_not_chained(folder: Path) -> None:
    """A map with two readers, one that is kept, one in a joint buffer; maps that fit the cache; heavy weights."""
    tiny = bottlenecks(8, 8, channels=4, wide=8, blocks=0)
    cfg, weights = tiny.write(folder)
    assert lengths(Network(cfg, weights)) == []
    with eager_chains():
        assert lengths(Network(cfg, weights)) == [4]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chains, "_WEIGHT_BYTES", 100)
            assert lengths(Network(cfg, weights)) == []
        tiny = TinyNetwork((3, 9, 9), seed=2)
        for _ in range(3):
            tiny.add("convolutional", {"filters": 8, "size": 1, "activation": "leaky"})
        tiny.add("route", {"layers": "-1,-3"})
        network = Network(*tiny.write(folder))
        assert lengths(network) == []
        check(tiny, folder)


def test_arena_is_smaller(folder: Path) -> None:
    """What lies between links needs no place in memory."""
    tiny = bottlenecks(30, 32, channels=4, wide=48, blocks=1)
    files = tiny.write(folder)
    plain = Network(*files).plan.arena_bytes
    with eager_chains():
        assert Network(*files).plan.arena_bytes < 0.5 * plain


def test_long_chains_are_cut_rather_than_banded_by_single_rows(folder: Path) -> None:
    tiny = TinyNetwork((16, 60, 90), seed=0)
    for _ in range(12):
        tiny.add("convolutional", {"filters": 16, "groups": 16, "size": 3, "pad": 1, "activation": "leaky"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "_BAND_BYTES", 200 << 10)  # 35 rows in all: 12 links would leave a band of one
        network = Network(*tiny.write(folder), threads=1)
        found = lengths(network)
        assert found
        assert max(found) < 12
        assert min(arguments_of(network.plan, steps_of(network.plan, "run_chain"), "band")) >= 4
        check(tiny, folder)
