"""Convolutions in bfloat16 by matrix tiles: formats and borders of what layers store, and networks of all kinds.

On a CPU without AMX `DARKNET_PY_AMX=emulated` runs the same kernels, as `test_kernels` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, arguments_of, eager_chains, steps_of
from test_bfloat16 import rounded

from darknet_py import Network
from darknet_py.kernels.jit import MATRIX_TILES
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32

pytestmark = pytest.mark.skipif(not MATRIX_TILES, reason="no AMX here, nor DARKNET_PY_AMX=emulated")


def conv(filters: int, size: int = 3, **options: object) -> tuple[str, dict[str, object]]:
    whole = {"filters": filters, "size": size, "pad": 1, "activation": "leaky"} | options
    return "convolutional", whole


def built(shape: tuple[int, int, int], layers: Sequence[tuple[str, dict[str, object]]], seed: int = 0) -> TinyNetwork:
    tiny = TinyNetwork(shape, seed=seed)
    for kind, options in layers:
        tiny.add(kind, options)
    return tiny


def check_close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert np.abs(found - wanted).max() <= 0.03 * np.abs(wanted).max()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(("size", "stride", "pad"), [(3, 1, 1), (3, 2, 1), (7, 2, 3), (1, 1, 0), (5, 3, 0)])
def test_first_layer(folder: Path, channels: int, size: int, stride: int, pad: int) -> None:
    options = {"size": size, "stride": stride, "padding": pad, "filters": 19, "activation": "linear"}
    tiny = built((channels, 23, 37), [("convolutional", options)])
    found = Network(*tiny.write(folder), threads=2, precision="bfloat16").run(tiny.blob)[0]
    arrays = tiny.convolutions[0]
    wanted = naive.convolution(
        rounded(tiny.blob), rounded(arrays["weights"]), stride_y=stride, stride_x=stride, pad=pad
    ) + arrays["biases"][:, None, None].astype(np.float64)
    assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_first_layer_keeps_to_its_window(folder: Path, value: float) -> None:
    """What stands behind a pixel's channels is the next pixel's, and must not be multiplied."""
    tiny = built((3, 9, 21), [conv(8, activation="linear")])
    tiny.blob[:, 4, 10] = value
    found = Network(*tiny.write(folder), threads=1, precision="bfloat16").run(tiny.blob)[0]
    touched = np.zeros((9, 21), bool)
    touched[3:6, 9:12] = True
    np.testing.assert_array_equal(~np.isfinite(found).all(axis=0), touched)


@pytest.mark.parametrize(
    ("dilation", "size", "padding", "border", "height", "width"),
    [(1, 3, 1, 1, 5, 7), (2, 3, 1, 2, 12, 17), (3, 5, 2, 6, 20, 19), (2, 3, 0, 2, 9, 12), (3, 3, 0, 4, 9, 12)],
)
def test_border(folder: Path, dilation: int, size: int, padding: int, border: int, height: int, width: int) -> None:
    """As wide as the padding, or as windows reach where the output's shape does not know of dilation."""
    tiny = built((12, height, width), [conv(34, 1), conv(22, size, dilation=dilation, pad=0, padding=padding)])
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    assert arguments_of(network.plan, steps_of(network.plan, "clear_border"), "border") == [border]
    for _ in range(2):  # the second run finds memory that the first one used
        check_close(network.run(tiny.blob)[0], tiny.outputs[-1])


def test_a_border_wider_than_the_image_is_not_made(folder: Path) -> None:
    tiny = built((12, 9, 12), [conv(34, 1), conv(22, 3, dilation=50, pad=0)])
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    assert len(steps_of(network.plan, "convolve_matrix")) == 1
    check_close(network.run(tiny.blob)[0], tiny.outputs[-1])


def test_rounding_into_a_joint_buffer_with_a_border(folder: Path) -> None:
    """It is no link of a chain, whose rows follow each other without a border."""
    layers = [conv(32, 1), conv(32, 1), conv(32, groups=32), ("route", {"layers": "-1,-3"}), conv(16)]
    tiny = built((16, 24, 40), layers)
    with eager_chains():
        network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    check_close(network.run(tiny.blob)[0], tiny.outputs[-1])


@pytest.mark.parametrize("activation", ["mish", "leaky", "elu"])
@pytest.mark.parametrize("after", ["leaky", "mish", "linear"])
def test_shortcuts_with_activations(folder: Path, activation: str, after: str) -> None:
    """Alone or with the convolution: the same bits."""
    tiny = built(
        (8, 7, 19), [conv(40), conv(40, activation=activation), ("shortcut", {"from": 0, "activation": after})]
    )
    network = Network(*tiny.write(folder), threads=1, precision="bfloat16")
    kept = network.run(tiny.blob, taps=[1, 2])
    np.testing.assert_array_equal(network.run(tiny.blob)[0], kept[2])
    check_close(kept[2], tiny.outputs[-1])


def test_pools_outside_the_image(folder: Path) -> None:
    """Their maximum is the lowest float, which bfloat16 rounds to infinity, before the pool or after it."""
    layers = [conv(16, 1), ("maxpool", {"size": 1, "stride": 1, "padding": 2}), conv(8, 1, activation="linear")]
    tiny = built((16, 6, 6), layers)
    network = Network(*tiny.write(folder), threads=1, precision="bfloat16")
    np.testing.assert_array_equal(network.run(tiny.blob)[0], network.run(tiny.blob, taps=[0, 1, 2])[2])


@pytest.mark.parametrize("channels", [8, 30, 32, 34, 36, 62, 64, 68, 94, 130])
@pytest.mark.parametrize("size", [1, 3])
def test_channels_that_fill_no_tile(folder: Path, channels: int, size: int) -> None:
    options = {"filters": 23, "size": size, "pad": 1, "activation": "linear"}
    tiny = built((channels, 7, 11), [("convolutional", options)])
    found = Network(*tiny.write(folder), threads=2, precision="bfloat16").run(tiny.blob)[0]
    arrays = tiny.convolutions[0]
    wanted = naive.convolution(rounded(tiny.blob), rounded(arrays["weights"]), pad=size // 2)
    wanted += arrays["biases"][:, None, None]
    assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()


def test_what_is_stored_as_floats(folder: Path) -> None:
    """A network of convolutions, pools, routes and shortcuts rounds its image and stores nothing twice."""
    layers = [
        conv(32, activation="mish"), conv(64, stride=2), ("route", {"layers": "-1", "groups": 2, "group_id": 1}),
        conv(32), conv(32), ("route", {"layers": "-1,-2"}), conv(64, 1), ("shortcut", {"from": -6}),
        ("maxpool", {"size": 2, "stride": 2}), conv(32, 1), ("upsample", {"stride": 2}), ("route", {"layers": "-1,-4"}),
        conv(18, activation="linear"),
    ]  # fmt: skip
    tiny = built((3, 24, 40), layers)
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    assert len(steps_of(network.plan, "round_image")) == 1
    assert len(steps_of(network.plan, "convert")) == 0
    matrix = steps_of(network.plan, "convolve_matrix")
    assert len(matrix) == 7
    assert not matrix["also"]["pixel"].any()
    assert matrix["y"]["format"].tolist() == [BFLOAT16.code] * 6 + [FLOAT32.code]
    check_close(network.run(tiny.blob)[0], tiny.outputs[-1])


def test_slices_that_begin_with_an_odd_channel(folder: Path) -> None:
    layers = [
        conv(18), ("route", {"layers": "-1", "groups": 2, "group_id": 1}), ("route", {"layers": "-1,0,-1"}),
        conv(10, 1), conv(15), ("route", {"layers": "-1,-2,-1"}), conv(8),
    ]  # fmt: skip
    tiny = built((4, 11, 13), layers)
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    check_close(network.run(tiny.blob)[0], tiny.outputs[-1])


def test_depthwise_reads_what_matrix_tiles_store(folder: Path) -> None:
    layers = [conv(24, 1), conv(24, 3, groups=24, stride=2), conv(36, 1), conv(36, 5, groups=36), conv(10, 1)]
    tiny = built((8, 21, 33), layers)
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    assert steps_of(network.plan, "depthwise_rows")["x"]["format"].tolist() == [BFLOAT16.code] * 2
    check_close(network.run(tiny.blob)[0], tiny.outputs[-1])


LAYERS = st.sampled_from(["conv", "depthwise", "route", "group", "shortcut", "maxpool", "upsample", "dropout"])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_networks(folder: Path, data: st.DataObject) -> None:
    """Whatever is kept, batched or shared between threads: the same bits, near the naive layers."""
    draw = data.draw
    tiny = TinyNetwork((draw(st.integers(1, 20)), draw(st.integers(3, 15)), draw(st.integers(3, 36))), seed=1)
    for _ in range(draw(st.integers(2, 9), "layers")):
        _add(tiny, draw)
    cfg, weights = tiny.write(folder)
    with eager_chains():
        network = Network(cfg, weights, threads=draw(st.integers(1, 3), "threads"), precision="bfloat16")
    last = len(tiny.outputs) - 1
    (alone,) = network.run(tiny.blob)
    kept = network.run(tiny.blob, taps=range(last + 1))
    (together,) = network.run(np.stack([tiny.blob[..., ::-1], tiny.blob]))
    np.testing.assert_array_equal(alone, kept[last])
    np.testing.assert_array_equal(together[1], alone)
    for index, found in kept.items():
        scale = max(np.abs(tiny.outputs[index]).max(), 1.0)
        assert np.abs(found - tiny.outputs[index]).max() <= 0.05 * scale, f"layer {index}"


def _add(tiny: TinyNetwork, draw) -> None:  # type: ignore[no-untyped-def]
    kind = draw(LAYERS, "kind")
    shapes = [output.shape for output in tiny.outputs]
    channels, height, width = tiny.x.shape
    activation = draw(st.sampled_from(["leaky", "mish", "linear", "logistic", "elu"]), "activation")
    if kind == "depthwise" and channels > 1:
        size, stride = draw(st.sampled_from([(3, 1), (3, 2), (5, 1), (1, 1)]), "window")
        tiny.add(*conv(channels, size, groups=channels, stride=stride, activation=activation))
    elif kind == "route" and [n for n, shape in enumerate(shapes) if shape[1:] == (height, width)]:
        same = [n for n, shape in enumerate(shapes) if shape[1:] == (height, width)]
        chosen = draw(st.lists(st.sampled_from(same), min_size=1, max_size=3), "inputs")
        tiny.add("route", {"layers": ",".join(map(str, chosen))})
    elif kind == "group" and shapes and channels > 1:
        groups = next(n for n in (2, 3, 5, 7, channels) if channels % n == 0)
        tiny.add("route", {"layers": -1, "groups": groups, "group_id": draw(st.integers(0, groups - 1), "group")})
    elif kind == "shortcut" and shapes[-1:] and shapes[:-1].count(shapes[-1]):
        same = [n for n, shape in enumerate(shapes[:-1]) if shape == shapes[-1]]
        tiny.add("shortcut", {"from": draw(st.sampled_from(same), "from"), "activation": activation})
    elif kind == "maxpool" and shapes:
        size, stride = draw(st.sampled_from([(2, 2), (3, 1), (5, 1), (2, 1)]), "window")
        tiny.add("maxpool", {"size": size, "stride": stride})
    elif kind == "upsample" and shapes and height * width < 400:
        tiny.add("upsample", {"stride": 2})
    elif kind == "dropout" and shapes:
        tiny.add("dropout")
    else:
        size = draw(st.sampled_from([1, 1, 3, 3, 5]), "size")
        filters = draw(st.integers(1, 70) | st.sampled_from([channels, *(shape[0] for shape in shapes)]), "filters")
        stride = draw(st.sampled_from([1, 1, 1, 2]), "stride")
        options = {"stride": stride, "activation": activation, "batch_normalize": 1}
        options["dilation"] = draw(st.sampled_from([1, 1, 1, 2]), "dilation") if stride == 1 else 1
        tiny.add(*conv(filters, size, **options))
