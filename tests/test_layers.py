"""Every layer type and option against the naive layers, on shapes that leave tails in vectors, tiles and tasks."""

from __future__ import annotations

from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import Options, TinyNetwork, check

from darknet_py import CfgError
from darknet_py.cfg import parse_cfg
from darknet_py.graph import build_graph, load_graph
from darknet_py.layers import Softmax

CHANNELS = (1, 3, 5, 8, 13, 16, 17, 24, 32, 33, 40)
MAPS = ((5, 7), (13, 9), (1, 1), (19, 19), (26, 14))  # (height, width)


def run_one(
    folder: Path, shape: tuple[int, int, int], kind: str, options: Options | None = None, *, first: bool = True
) -> None:
    """Compare one layer, first in its network or behind another: the first convolution has a path of its own."""
    tiny = TinyNetwork(shape, seed=sum(shape))
    if not first:
        tiny.add("dropout")
    tiny.add(kind, options)
    check(tiny, folder)


@pytest.mark.parametrize("filters", CHANNELS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_convolution_of_any_width(folder: Path, channels: int, filters: int) -> None:
    n = CHANNELS.index(channels) + CHANNELS.index(filters)
    options = {"filters": filters, "size": (3, 1)[n % 2], "pad": 1, "activation": "leaky", "batch_normalize": 1}
    run_one(folder, (channels, *MAPS[n % len(MAPS)]), "convolutional", options, first=n % 3 == 0)


CONVOLUTIONS: dict[str, tuple[tuple[int, int, int], Options]] = {
    "1x1 stride 2": ((8, 13, 9), {"size": 1, "stride": 2}),
    "1x1 stride 2 padded": ((5, 5, 7), {"size": 1, "stride": 2, "padding": 1}),
    "2x2 no padding": ((5, 5, 7), {"size": 2}),
    "2x2 grows the map": ((5, 5, 7), {"size": 2, "pad": 1}),
    "3x3 no padding": ((17, 13, 9), {"size": 3}),
    "3x3 padding 3": ((3, 5, 7), {"size": 3, "padding": 3}),
    "3x3 padding 3 behind": ((9, 5, 7), {"size": 3, "padding": 3}),
    "pad wins over padding": ((3, 5, 7), {"size": 5, "padding": 1, "pad": 1}),
    "3x3 stride 2": ((3, 19, 19), {"size": 3, "stride": 2, "pad": 1}),
    "3x3 stride 2 even": ((24, 26, 14), {"size": 3, "stride": 2, "pad": 1}),
    "3x3 stride 3": ((33, 13, 9), {"size": 3, "stride": 3, "pad": 1}),
    "stride_x only": ((3, 13, 9), {"size": 3, "stride_x": 2, "pad": 1}),
    "stride_y only": ((16, 13, 9), {"size": 3, "stride_y": 3, "pad": 1}),
    "stride_x below 1 is stride": ((4, 13, 9), {"size": 3, "stride": 2, "stride_x": 0, "pad": 1}),
    "unequal strides": ((1, 26, 14), {"size": 3, "stride_x": 1, "stride_y": 2, "pad": 1}),
    "5x5": ((13, 13, 9), {"size": 5, "pad": 1}),
    "7x7 stride 2": ((3, 26, 14), {"size": 7, "stride": 2, "pad": 1}),
    "window larger than the map": ((3, 1, 1), {"size": 7, "pad": 1}),
    "11x11 stride 4": ((3, 26, 14), {"size": 11, "stride": 4}),
    "1x1 map": ((40, 1, 1), {"size": 3, "pad": 1}),
    "one row": ((8, 1, 23), {"size": 3, "pad": 1}),
    "one column": ((8, 23, 1), {"size": 3, "pad": 1}),
    "dilation 2": ((5, 13, 9), {"size": 3, "pad": 1, "dilation": 2}),
    "dilation 4 beyond the map": ((33, 5, 7), {"size": 3, "pad": 1, "dilation": 4}),
    "dilation 3 stride 2": ((8, 19, 19), {"size": 3, "pad": 1, "dilation": 3, "stride": 2}),
    "dilation of a 1x1 means nothing": ((8, 5, 7), {"size": 1, "dilation": 5}),
    "batch norm": ((13, 5, 7), {"size": 3, "pad": 1, "batch_normalize": 1}),
    "flipped": ((5, 5, 7), {"size": 3, "pad": 1, "flipped": 1}),
    "binary is ordinary": ((5, 5, 7), {"size": 3, "pad": 1, "binary": 1}),
    "logistic by default": ((5, 5, 7), {"size": 3, "pad": 1, "activation": "logistic"}),
}


@pytest.mark.parametrize("first", [True, False], ids=["first", "behind"])
@pytest.mark.parametrize("filters", [1, 19])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_options(folder: Path, case: str, filters: int, first: bool) -> None:
    shape, options = CONVOLUTIONS[case]
    run_one(folder, shape, "convolutional", {"filters": filters, "activation": "linear", **options}, first=first)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(
    ("channels", "filters", "groups"),
    [(c, c, c) for c in CHANNELS]  # depthwise
    + [(c, 2 * c, c) for c in (3, 8, 17)]  # depthwise with a multiplier
    + [(6, 3, 3), (12, 18, 6), (32, 32, 2), (40, 24, 4), (64, 32, 8), (34, 34, 17), (16, 48, 16), (66, 99, 33)],
)
def test_grouped_convolution(folder: Path, channels: int, filters: int, groups: int, size: int) -> None:
    shape = (channels, *MAPS[(channels + size) % len(MAPS)])
    options = {"filters": filters, "groups": groups, "size": size, "pad": 1, "activation": "mish", "stride": 1}
    run_one(folder, shape, "convolutional", options)
    run_one(folder, (channels, 13, 9), "convolutional", {**options, "stride": 2, "batch_normalize": 1}, first=False)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_convolution(folder: Path, data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from((1, 1, 1, 2, 3, 5, 8, 17)), "groups")
    channels, filters = (groups * data.draw(st.integers(1, 40 // groups), name) for name in ("channels", "filters"))
    height, width = (data.draw(st.integers(1, 20), name) for name in ("height", "width"))
    size, dilation = data.draw(st.integers(1, 7), "size"), data.draw(st.integers(1, 3), "dilation")
    if dilation > 1:
        # The shape formula ignores dilation: other paddings and even sizes are inconsistent in Darknet itself.
        size -= 1 - size % 2
    padding = size // 2 if dilation > 1 else data.draw(st.integers(0, 4), "padding")
    strides = {key: data.draw(st.integers(1, 4), key) for key in ("stride_x", "stride_y")}
    assume(size <= min(height, width) + 2 * padding)
    assume(not (size == 1 and padding and max(strides.values()) == 1))
    options = {
        "filters": filters, "size": size, "padding": padding, "groups": groups, "dilation": dilation, **strides,
        "activation": data.draw(st.sampled_from(("linear", "leaky", "mish", "logistic")), "activation"),
        "batch_normalize": data.draw(st.integers(0, 1), "batch_normalize"),
    }  # fmt: skip
    run_one(folder, (channels, height, width), "convolutional", options, first=data.draw(st.booleans(), "first"))


XNOR: dict[str, tuple[tuple[int, int, int], Options]] = {
    "3x3": ((3, 5, 7), {"size": 3, "pad": 1}),
    "whole words of 32 channels": ((32, 13, 9), {"size": 3, "pad": 1}),
    "no padding": ((17, 13, 9), {"size": 3}),
    "1x1": ((33, 5, 7), {"size": 1}),
    "stride 2 and batch norm": ((16, 26, 14), {"size": 3, "pad": 1, "stride": 2, "batch_normalize": 1}),
    "groups are dropped": ((16, 5, 7), {"size": 3, "pad": 1, "groups": 4}),
    "unequal strides: not binary": ((8, 13, 9), {"size": 3, "pad": 1, "stride_x": 2, "batch_normalize": 1}),
    "bin_output is linear": ((8, 5, 7), {"size": 3, "pad": 1, "bin_output": 1, "activation": "linear"}),
}


@pytest.mark.parametrize("first", [True, False], ids=["first", "behind"])
@pytest.mark.parametrize("case", XNOR)
def test_xnor_convolution(folder: Path, case: str, first: bool) -> None:
    shape, options = XNOR[case]
    given_options = {"filters": 20, "xnor": 1, "activation": "leaky", **options}
    run_one(folder, shape, "convolutional", given_options, first=first)


@pytest.mark.parametrize("activation", naive.ACTIVATIONS)
def test_convolution_activation(folder: Path, activation: str) -> None:
    for first in (True, False):
        options = {"filters": 17, "size": 3, "pad": 1, "activation": activation}
        run_one(folder, (5, 13, 9), "convolutional", options, first=first)


@pytest.mark.parametrize("name", naive.ELEMENTWISE)
def test_activation_over_its_whole_range(folder: Path, name: str) -> None:
    """Exact inputs through an identity convolution: corners, halves, and where exp would overflow."""
    corners = [c + d for c in (-20, -4, -2, -1, 0, 1, 4, 6, 20) for d in (-1e-3, 0, 1e-3)]
    values = [*corners, *np.arange(-8, 8.25, 0.25), *np.linspace(-60, 60, 61), -1e4, -200, -90, -88, 88, 90, 200, 1e4]
    tiny = TinyNetwork((1, 1, len(values)))
    tiny.blob[0, 0] = values
    tiny.add("convolutional", {"activation": name})
    tiny.stored = [np.zeros(1, np.float32), np.ones((1, 1, 1, 1), np.float32)]
    exact = tiny.blob.astype(np.float64)
    with np.errstate(over="ignore"):
        tiny.outputs[0] = naive.activate(exact, name)
    check(tiny, folder)
    tiny.blob = np.ascontiguousarray(tiny.blob[..., np.abs(tiny.blob[0, 0]) < 7])  # a small scale: a tight comparison
    tiny.outputs[0] = naive.activate(tiny.blob.astype(np.float64), name)
    check(tiny, folder)


@pytest.mark.parametrize("activation", naive.ACTIVATIONS)
def test_activation_of_other_layers(folder: Path, activation: str) -> None:
    """Darknet leaves some of these at zero outside convolutions; here all of them work everywhere."""
    tiny = TinyNetwork((5, 5, 7), seed=3)
    tiny.add("convolutional", {"filters": 13, "size": 3, "pad": 1, "activation": "linear"})
    tiny.add("convolutional", {"filters": 13, "activation": "linear"})
    tiny.add("shortcut", {"from": -2, "activation": activation})
    tiny.add("sam", {"from": 0, "activation": activation})
    tiny.add("avgpool")
    tiny.add("scale_channels", {"from": 1, "activation": activation})
    tiny.add("connected", {"output": 21, "activation": activation})
    check(tiny, folder)


@pytest.mark.parametrize("shape", [(c, *MAPS[i % len(MAPS)]) for i, c in enumerate(CHANNELS)])
@pytest.mark.parametrize("outputs", [1, 10, 33])
def test_connected(folder: Path, shape: tuple[int, int, int], outputs: int) -> None:
    run_one(folder, shape, "connected", {"output": outputs, "activation": "relu"})
    run_one(folder, shape, "connected", {"output": outputs, "batch_normalize": 1}, first=False)


POOLS: tuple[Options, ...] = (
    {"size": 2, "stride": 2},
    {"size": 2, "stride": 1},
    {"size": 3, "stride": 2},
    {"size": 3, "stride": 2, "padding": 0},
    {"size": 3, "stride": 1, "padding": 1},
    {"stride": 3},
    {"size": 5, "stride": 1},
    {"size": 13, "stride": 1},
    {"size": 3, "stride_x": 2, "stride_y": 1},
    {"size": 2, "stride_x": 1, "stride_y": 3, "padding": 1},
)


@pytest.mark.parametrize("kind", ["maxpool", "local_avgpool"])
@pytest.mark.parametrize("options", POOLS, ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()))
def test_pool(folder: Path, kind: str, options: Options) -> None:
    for shape in ((1, 5, 7), (3, 13, 9), (16, 3, 3), (17, 19, 19), (40, 26, 14)):
        run_one(folder, shape, kind, options, first=shape[0] % 2 == 0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_pool(folder: Path, data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 40), "channels")
    height, width = (data.draw(st.integers(1, 20), name) for name in ("height", "width"))
    size = data.draw(st.integers(1, 14), "size")
    padding = data.draw(st.integers(0, size - 1), "padding")  # more would leave windows without a tap
    assume(size <= min(height, width) + padding)
    strides = {key: data.draw(st.integers(1, 4), key) for key in ("stride_x", "stride_y")}
    options = {"size": size, "padding": padding, **strides}
    kind = data.draw(st.sampled_from(("maxpool", "local_avgpool")), "kind")
    run_one(folder, (channels, height, width), kind, options, first=data.draw(st.booleans(), "first"))


@pytest.mark.parametrize("channels", [1, 5, 17, 40])
@pytest.mark.parametrize("out_channels", [1, 3, 16, 60])
def test_maxpool_over_depth(folder: Path, channels: int, out_channels: int) -> None:
    run_one(folder, (channels, 5, 7), "maxpool", {"maxpool_depth": 1, "out_channels": out_channels, "size": 2})


@pytest.mark.parametrize("antialiasing", [1, 2])
@pytest.mark.parametrize("strides", [{"stride": 1}, {"stride": 2}, {"stride_x": 1, "stride_y": 2}], ids=str)
@pytest.mark.parametrize("shape", [(3, 13, 9), (17, 26, 14), (8, 5, 7)])
def test_antialiasing(folder: Path, shape: tuple[int, int, int], strides: Options, antialiasing: int) -> None:
    common = {**strides, "antialiasing": antialiasing}
    run_one(folder, shape, "convolutional", {"filters": 19, "size": 3, "pad": 1, "activation": "mish", **common})
    run_one(folder, shape, "maxpool", {"size": 2, **common}, first=False)


@pytest.mark.parametrize("shape", [(c, *MAPS[i % len(MAPS)]) for i, c in enumerate(CHANNELS)])
def test_avgpool(folder: Path, shape: tuple[int, int, int]) -> None:
    run_one(folder, shape, "avgpool")


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 1}, {"stride": 2}, {"stride": 3, "scale": 0.25}, {"stride": -2}, {"stride": -3, "scale": 0.5}],
)
def test_upsample(folder: Path, options: Options) -> None:
    for shape in ((1, 5, 7), (17, 13, 9), (40, 3, 4)):
        run_one(folder, shape, "upsample", options, first=False)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("kind", ["reorg", "reorg3d"])
@pytest.mark.parametrize(("shape", "stride"), [((16, 4, 6), 2), ((48, 26, 14), 2), ((81, 3, 9), 3), ((5, 5, 7), 1)])
def test_reorg(folder: Path, kind: str, reverse: int, shape: tuple[int, int, int], stride: int) -> None:
    run_one(folder, shape, kind, {"stride": stride, "reverse": reverse})


def test_reorg_of_few_channels(folder: Path) -> None:
    for channels in (1, 3, 17):
        run_one(folder, (channels, 26, 14), "reorg3d", {"stride": 2}, first=False)
    for reverse in (0, 1):
        run_one(folder, (4, 8, 12), "reorg", {"stride": 2, "reverse": reverse}, first=False)


def test_reorg3d_reversed_needs_its_channels_twice(folder: Path) -> None:
    """Darknet divides by zero or scatters onto the same place; the cfg is refused."""
    for channels in (4, 36):
        with pytest.raises(CfgError, match=r"stride=2: 16 must divide the \d+ input channels"):
            build_graph(parse_cfg(f"[net]\nwidth=4\nheight=4\nchannels={channels}\n[reorg3d]\nreverse=1\nstride=2\n"))


@pytest.mark.parametrize("options", [{}, {"groups": 5}, {"temperature": 2.5}, {"groups": 3, "temperature": 0.5}])
@pytest.mark.parametrize("shape", [(30, 1, 1), (15, 5, 7), (1, 3, 5)])
def test_softmax(folder: Path, shape: tuple[int, int, int], options: Options) -> None:
    run_one(folder, shape, "softmax", options)


HEADS: dict[str, tuple[int, str, Options]] = {
    "yolo": (2 * 9, "yolo", {"classes": 4, "num": 2}),
    "yolo scaled": (3 * 7, "yolo", {"classes": 2, "num": 3, "scale_x_y": 1.2}),
    "yolo of 80 classes": (255, "yolo", {"classes": 80, "num": 3, "scale_x_y": 1.05}),
    "yolo new_coords": (2 * 8, "yolo", {"classes": 3, "num": 2, "new_coords": 1, "scale_x_y": 2.0}),
    "yolo of one class": (6, "yolo", {"classes": 1}),
    "Gaussian_yolo": (3 * 11, "Gaussian_yolo", {"classes": 2, "num": 3, "scale_x_y": 1.1}),
    "region": (5 * 8, "region", {"classes": 3, "num": 5}),
    "region softmax": (2 * 25, "region", {"classes": 20, "num": 2, "softmax": 1}),
}


@pytest.mark.parametrize("case", HEADS)
def test_head(folder: Path, case: str) -> None:
    channels, kind, options = HEADS[case]
    for height, width in MAPS:
        tiny = TinyNetwork((3, height, width), seed=height)
        tiny.add("convolutional", {"filters": channels, "activation": "linear"})
        tiny.add(kind, options)
        check(tiny, folder)


@pytest.mark.parametrize("written", ["{}/away/my.tree", "../away/my.tree"])
def test_a_tree_elsewhere_is_not_opened(written: str, tmp_path: Path) -> None:
    for name in ("away", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "away" / "my.tree").write_text("secret:x:0:0\n")
    cfg = tmp_path / "here" / "my.cfg"
    cfg.write_text(f"[net]\nwidth=8\nheight=8\nchannels=3\n[softmax]\ntree={written.format(tmp_path)}\n")
    with pytest.raises(CfgError, match="no such file beside the cfg; files elsewhere are not opened") as caught:
        load_graph(cfg)
    assert "secret" not in str(caught.value)
    (tmp_path / "here" / "my.tree").write_bytes(b"a -1\n" * (1 << 20))
    with pytest.raises(CfgError, match=r"my\.tree: over 4 MB, expected a text file"):
        load_graph(cfg)


def test_lines_of_a_tree_end_at_a_zero_as_in_c(tmp_path: Path) -> None:
    """The tree in the cfg/ of AlexeyAB's Darknet has thousands of them behind five of its lines."""
    (tmp_path / "my.tree").write_bytes(b"a -1\nb -1" + b"\0" * 512 + b"\r\nc 1\n\0\n")
    (tmp_path / "my.cfg").write_text("[net]\nwidth=1\nheight=1\nchannels=3\n[softmax]\ntree=my.tree\n")
    (softmax,) = load_graph(tmp_path / "my.cfg").of_type(Softmax)
    assert softmax.tree is not None and softmax.tree.parents == (-1, -1, 1)


def test_trees(folder: Path) -> None:
    """softmax and region over the groups of a word tree."""
    parents = [-1, -1, -1, 0, 0, 2, 2, 2, 5]
    (folder / "nine.tree").write_text("".join(f"node{i} {parent}\n" for i, parent in enumerate(parents)))
    spans = naive.tree_groups(parents)
    tiny = TinyNetwork((4, 5, 7))
    tiny.add("convolutional", {"filters": 28, "activation": "linear"})
    tiny.add("region", {"classes": 9, "num": 2, "tree": "nine.tree"})
    tiny.outputs[-1] = naive.region(tiny.outputs[0], 9, spans=spans)
    check(tiny, folder)
    tiny = TinyNetwork((18, 1, 1))
    tiny.add("softmax", {"groups": 2, "tree": "nine.tree", "temperature": 1.5})
    tiny.outputs[-1] = naive.softmax(tiny.blob.astype(np.float64), 2, 1.5, spans)
    check(tiny, folder)


def test_dropout_and_cost(folder: Path) -> None:
    tiny = TinyNetwork((5, 5, 7))
    tiny.add("convolutional", {"filters": 9, "size": 3, "pad": 1})
    tiny.add("dropout", {"probability": 0.5})
    tiny.add("avgpool")
    tiny.add("dropout")
    tiny.add("cost", {"type": "sse"})  # zeros, and not the network's output
    check(tiny, folder, kept=[[3], [4]])
