"""precision="bfloat16": rounding, convolutions of pairs and whole networks, against naive layers on rounded numbers."""

from __future__ import annotations

from pathlib import Path

import naive
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, steps_of
from numpy.typing import NDArray

from darknet_py import Detector, Network, OptionError
from darknet_py.cli.main import main as cli
from darknet_py.graph import load_graph
from darknet_py.kernels.jit import HAS_AMX, LANES, MATRIX_TILES
from darknet_py.kernels.tiles.pack import pair_rows
from darknet_py.shipped import resolve_cfg
from darknet_py.weights import SeededWeights

#: (channels, filters, size, stride, height, width): tails in filters and pixels, even channels only.
SHAPES = (
    (8, 17, 3, 1, 11, 13),
    (10, 33, 1, 1, 7, 9),
    (22, 5, 3, 2, 14, 17),
    (64, 40, 5, 1, 6, 4),
    (130, 72, 1, 1, 13, 13),
    (16, 16, 3, 3, 20, 8),
    (16, 8, 1, 1, 5, 43),  # half a vector of filters
    (24, 3, 3, 1, 6, 30),
    (16, 41, 1, 1, 4, 29),  # wide blocks and half a vector
)


def rounded(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The nearer of the two bfloat16 neighbours, the even one of equal distances: found by trying both."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    low = bits & np.uint32(0xFFFF0000)
    high = low + np.uint32(0x10000)
    below, above = low.view(np.float32).astype(np.float64), high.view(np.float32).astype(np.float64)
    to_below, to_above = np.abs(values - below), np.abs(values - above)
    even_is_low = (low >> 16) % 2 == 0
    return np.where((to_below < to_above) | ((to_below == to_above) & even_is_low), below, above)


def pairs_of(rows: NDArray[np.float32]) -> NDArray[np.uint32]:
    target = np.zeros((len(rows) // 2, rows.shape[1]), np.uint32)
    pair_rows(rows, target, np.zeros((2, rows.shape[1]), np.uint16))
    return target


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=2 * LANES))
def test_rounding_is_to_the_nearest_even(values: list[float]) -> None:
    rows = np.ones((2, LANES), np.float32)
    rows.ravel()[: len(values)] = values
    rows[np.abs(rows) < 1e-37] = 0  # the instruction takes denormals for zero
    found = pairs_of(rows)[0]
    low, high = (found << 16).view(np.float32), (found & np.uint32(0xFFFF0000)).view(np.float32)
    np.testing.assert_array_equal(np.stack([low, high]), rounded(rows))


def test_ties_infinities_and_nan() -> None:
    tie = np.array([0x3F808000, 0x3F818000, 0x7F800000, 0xFF800000, 0x7F800001, 0x7FC00000], np.uint32)
    rows = np.zeros((2, LANES), np.float32)
    rows.ravel()[:4] = tie[:4].view(np.float32)
    rows[1, :2] = tie[4:].view(np.float32)
    found = pairs_of(rows)[0]
    assert [hex(value & 0xFFFF) for value in found[:4]] == ["0x3f80", "0x3f82", "0x7f80", "0xff80"]
    assert np.isnan((found[:2] & np.uint32(0xFFFF0000)).view(np.float32)).all()


def expected(tiny: TinyNetwork, options: dict[str, object]) -> NDArray[np.float64]:
    """The convolution of rounded weights and inputs, exactly, from the arrays that `tiny` stored."""
    arrays = tiny.convolutions[0]
    weights = arrays["weights"].astype(np.float64)
    factor = arrays["scales"] / np.sqrt(arrays["variance"].astype(np.float64) + 1e-5)
    folded = rounded((weights * factor[:, None, None, None]).astype(np.float32))
    size, stride = int(str(options["size"])), int(str(options["stride"]))
    found = naive.convolution(rounded(tiny.blob), folded, stride_y=stride, stride_x=stride, pad=size // 2)
    bias = arrays["biases"] - factor * arrays["mean"]
    return naive.activate(found + bias[:, None, None], str(options["activation"]))


@pytest.mark.parametrize("activation", ["leaky", "mish", "swish", "logistic", "elu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolution_of_rounded_numbers(folder: Path, shape: tuple[int, ...], activation: str) -> None:
    channels, filters, size, stride, height, width = shape
    tiny = TinyNetwork((channels, height, width), seed=filters)
    options = {"filters": filters, "size": size, "pad": 1, "stride": stride, "batch_normalize": 1}
    options["activation"] = activation
    tiny.add("convolutional", options)
    found = Network(*tiny.write(folder), threads=2, exact=True, precision="bfloat16").run(tiny.blob)[0]
    wanted = expected(tiny, options)
    # Products of 16 bits of mantissa are exact; sums are rounded as in float32. With AMX some activations are exact to
    # 13 bits (see `quick`).
    tolerance = 2e-4 if HAS_AMX and activation in ("mish", "swish", "logistic") else 2e-5
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()
    assert np.abs(found - tiny.outputs[0]).max() > 1e-4 * np.abs(wanted).max(), "nothing was rounded"


@pytest.mark.skipif(MATRIX_TILES, reason="matrix tiles leave nothing to Winograd")
@pytest.mark.parametrize("stride", [1, 2])
def test_winograd(folder: Path, monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    name = {1: "F2", 2: "S2"}[stride]
    monkeypatch.setenv("DARKNET_PY_CONVOLUTION", name)
    tiny = TinyNetwork((34, 45 * stride, 53 * stride), seed=5)
    options = {"filters": 55, "size": 3, "pad": 1, "stride": stride, "activation": "leaky", "batch_normalize": 1}
    tiny.add("convolutional", options)
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    assert network.algorithms == {0: name}
    found = network.run(tiny.blob)[0]
    error = np.abs(found - tiny.outputs[0])
    direct = np.abs(expected(tiny, options) - tiny.outputs[0])
    # The transforms round sums of four numbers, where the direct way rounds each: nearly the same error.
    assert error.max() <= 0.02 * np.abs(tiny.outputs[0]).max()
    assert error.mean() <= 2 * direct.mean()


def company() -> TinyNetwork:
    """Float and bfloat16 layers side by side, slices, a fused shortcut in place, one input for several layers."""
    tiny = TinyNetwork((3, 30, 46), seed=2)
    tiny.add("convolutional", {"filters": 40, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("route", {"layers": 0, "groups": 2, "group_id": 1})
    tiny.add("convolutional", {"filters": 24, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 24, "size": 1, "activation": "mish"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("convolutional", {"filters": 13, "size": 1, "activation": "linear"})
    tiny.add("convolutional", {"filters": 26, "groups": 13, "size": 3, "pad": 1, "activation": "linear"})
    tiny.add("route", {"layers": "-1,0"})
    tiny.add("convolutional", {"filters": 18, "size": 3, "pad": 1, "stride": 2, "activation": "logistic"})
    return tiny


def test_in_company(folder: Path) -> None:
    tiny = company()
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    for taps in (range(9), [4], [8]):
        for index, found in network.run(tiny.blob, taps=taps).items():
            scale = np.abs(tiny.outputs[index]).max()
            assert np.abs(found - tiny.outputs[index]).max() <= 0.02 * scale, f"layer {index} with taps {list(taps)}"


@pytest.mark.parametrize("activation", ["leaky", "mish"])
@pytest.mark.parametrize(("channels", "size", "stride"), [(24, 3, 1), (34, 3, 2), (16, 5, 1)])
def test_depthwise_rounds_what_a_convolution_alone_reads(
    folder: Path, channels: int, size: int, stride: int, activation: str
) -> None:
    tiny = TinyNetwork((8, 21, 23), seed=channels)
    depthwise = {"filters": channels, "groups": channels, "size": size, "stride": stride, "pad": 1}
    tiny.add("convolutional", {"filters": channels, "size": 1, "activation": "leaky"})
    tiny.add("convolutional", depthwise | {"activation": activation})
    tiny.add("convolutional", {"filters": 19, "size": 1, "activation": "linear"})
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    # Of both convolutions' inputs only the blob is rounded by a step of its own, unless somebody looks at the other.
    assert len(steps_of(network.plan, "convert")) == 1
    tapped = network.run(tiny.blob, taps=[1, 2])
    np.testing.assert_array_equal(network.run(tiny.blob)[0], tapped[2])
    np.testing.assert_array_equal(network.run(np.stack([tiny.blob] * 3))[0][2], tapped[2])
    assert np.abs(tapped[2] - tiny.outputs[2]).max() <= 0.02 * np.abs(tiny.outputs[2]).max()


def test_blur_rounds_too(folder: Path) -> None:
    tiny = TinyNetwork((8, 21, 23), seed=3)
    blurred = {"filters": 24, "size": 3, "stride": 2, "pad": 1, "antialiasing": 1, "activation": "leaky"}
    tiny.add("convolutional", blurred)
    tiny.add("convolutional", {"filters": 19, "size": 1, "activation": "linear"})
    network = Network(*tiny.write(folder), threads=2, precision="bfloat16")
    assert len(steps_of(network.plan, "convert")) == 1
    tapped = network.run(tiny.blob, taps=[0, 1])
    np.testing.assert_array_equal(network.run(tiny.blob)[0], tapped[1])
    assert np.abs(tapped[1] - tiny.outputs[1]).max() <= 0.02 * np.abs(tiny.outputs[1]).max()


def test_depthwise_has_as_many_tasks_as_in_float32(folder: Path) -> None:
    tiny = TinyNetwork((64, 20, 40), seed=1)
    tiny.add("convolutional", {"filters": 64, "groups": 64, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 8, "size": 1, "activation": "linear"})
    files = tiny.write(folder)
    plans = [Network(*files, threads=2, precision=precision).plan for precision in ("float32", "bfloat16")]
    tasks = [steps_of(plan, "depthwise_rows")["tasks"].tolist() for plan in plans]
    assert tasks == [[4], [4]]


@pytest.mark.skipif(MATRIX_TILES, reason="matrix tiles are no links of chains")
def test_rounding_before_a_chain_is_a_line_of_its_own(tmp_path: Path) -> None:
    cfg = tmp_path / "net.cfg"
    layers = ("8\nsize=3\npad=1\nactivation=mish", "13\nsize=1\nactivation=leaky", "8\nsize=1\nactivation=leaky")
    sections = [f"[convolutional]\nfilters={layer}" for layer in layers]
    sections += ["[route]\nlayers=-1,0", "[convolutional]\nfilters=6\nsize=1\nactivation=linear"]
    cfg.write_text("[net]\nwidth=80\nheight=80\nchannels=3\n" + "\n".join(sections))
    options = ["bench", "--layers", "--repeat", "1", "--threads", "1", "--precision", "bfloat16"]
    result = CliRunner().invoke(cli, [*options, str(cfg)])
    assert result.exit_code == 0, result.output
    rows = [line.split()[:2] for line in result.stdout.splitlines()]
    assert ["1", "rounding"] in rows
    assert ["2", "layers"] in rows


def test_threads_do_not_change_a_bit(folder: Path) -> None:
    tiny = company()
    files = tiny.write(folder)
    one, three = (Network(*files, threads=n, precision="bfloat16").run(tiny.blob)[0] for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_a_whole_detector_keeps_its_boxes() -> None:
    graph = load_graph(resolve_cfg("yolov4-tiny"), (224, 160))
    blob = np.random.default_rng(0).random((3, 160, 224), np.float32)
    exact, fast = (Network(graph, SeededWeights(graph), precision=p).run(blob) for p in ("float32", "bfloat16"))
    for one, other in zip(exact, fast, strict=True):
        assert 1e-4 < np.abs(one - other).max() / np.abs(one).max() < 0.05


def test_memory_of_weights_is_halved() -> None:
    graph = load_graph(resolve_cfg("yolov4-tiny"), (96, 64))
    full, half = (Network(graph, SeededWeights(graph), exact=True, precision=p) for p in ("float32", "bfloat16"))
    assert half.plan.weights.nbytes < 0.52 * full.plan.weights.nbytes


@pytest.mark.parametrize("command", [["bench", "--repeat", "1", "--threads", "1", "--layers"], ["warmup"]])
def test_on_the_command_line(command: list[str], tmp_path: Path) -> None:
    cfg = tmp_path / "small.cfg"
    cfg.write_text(company().cfg())
    done = CliRunner().invoke(cli, [*command, str(cfg), "--precision", "bfloat16"])
    assert done.exit_code == 0, done.output
    if command[0] == "bench":
        assert "bfloat16" in done.output and " round " not in done.output


def test_unknown_precision() -> None:
    with pytest.raises(OptionError, match="expected one of float32, bfloat16"):
        Detector("yolov4-tiny", "missing.weights", precision="float16")
