"""Every layer type, option and activation in ONNX Runtime against the naive layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
import test_layers
from networks import Options, TinyNetwork
from onnx_models import TOLERANCE, check_candidates, relative_difference, run_all, session

from darknet_py.graph import Graph, load_graph
from darknet_py.layers import LAYERS
from darknet_py.onnx_export import export_onnx
from darknet_py.onnx_export.activating import ACTIVATIONS
from darknet_py.onnx_export.exporting import EMITTERS
from darknet_py.weights import WeightsFile


def export_tiny(tiny: TinyNetwork, folder: Path, **options: Any) -> tuple[Graph, Any]:
    cfg, weights = tiny.write(folder)
    graph = load_graph(cfg)
    with WeightsFile(weights, graph) as source:
        return graph, export_onnx(graph, source, **options)


def check(tiny: TinyNetwork, folder: Path, **options: Any) -> None:
    """Every layer that has a tensor, against the naive one."""
    graph, model = export_tiny(tiny, folder, **options)
    found = run_all(model, tiny.blob[None])
    for layer, expected in zip(graph.layers, tiny.outputs, strict=True):
        name = f"{layer.index:03d}_{layer.kind}"
        if name in found:
            wanted = expected.transpose(1, 2, 0) if layer.kind == "region" else expected
            worst = relative_difference(found[name][0], wanted)
            assert worst <= TOLERANCE / 10, f"{name}: {worst:.1e}\n{tiny.cfg()}"


def check_one(folder: Path, shape: tuple[int, int, int], kind: str, options: Options | None = None) -> None:
    tiny = TinyNetwork(shape, seed=sum(shape))
    tiny.add(kind, options)
    check(tiny, folder)


def test_every_layer_type_has_an_emitter() -> None:
    assert set(EMITTERS) == set(LAYERS.values())
    assert set(ACTIVATIONS) == set(naive.ACTIVATIONS)


@pytest.mark.parametrize("name", test_layers.CONVOLUTIONS)
def test_convolution(folder: Path, name: str) -> None:
    shape, options = test_layers.CONVOLUTIONS[name]
    check_one(folder, shape, "convolutional", {"filters": 6, "activation": "linear", **options})


@pytest.mark.parametrize("name", test_layers.XNOR)
def test_xnor_convolution(folder: Path, name: str) -> None:
    shape, options = test_layers.XNOR[name]
    check_one(folder, shape, "convolutional", {"filters": 20, "xnor": 1, "activation": "leaky", **options})


@pytest.mark.parametrize(
    "options",
    [
        {"filters": 10, "groups": 5, "size": 3, "pad": 1},
        {"filters": 10, "groups": 10, "size": 3, "pad": 1, "stride": 2},
        {"size": 3, "stride": 4, "padding": 1, "dilation": 3},  # the shape formula asks for fewer rows than fit
        {"size": 3, "padding": 2, "dilation": 2},
        {"size": 3, "pad": 1, "antialiasing": 1, "stride": 2},
        {"size": 3, "pad": 1, "antialiasing": 2, "stride_x": 2},
    ],
    ids=str,
)
def test_other_convolutions(folder: Path, options: Options) -> None:
    for shape in ((10, 13, 9), (10, 14, 21)):
        check_one(folder, shape, "convolutional", {"filters": 5, "activation": "logistic", **options})


def test_shared_convolutions(folder: Path) -> None:
    tiny = TinyNetwork((5, 13, 9))
    tiny.add("convolutional", {"filters": 5, "size": 3, "pad": 1, "batch_normalize": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 5, "size": 3, "pad": 1, "share_index": 0, "activation": "linear"})
    check(tiny, folder)
    _, model = export_tiny(tiny, folder)
    assert [node.input[1] for node in model.graph.node if node.op_type == "Conv"] == ["000_convolutional.weights"] * 2


@pytest.mark.parametrize(
    ("name", "mish"), [*((name, "arithmetic") for name in naive.ELEMENTWISE), ("mish", "operator")]
)
def test_activation_over_its_whole_range(folder: Path, name: str, mish: str) -> None:
    values = [*np.linspace(-8, 8, 129), -1e4, -104, -88, -50, -20.5, 20.5, 50, 88, 104, 1e4]
    for kept in (values, values[:129]):
        tiny = TinyNetwork((1, 1, len(kept)))
        tiny.blob[0, 0] = kept
        tiny.add("convolutional", {"activation": name})
        tiny.stored = [np.zeros(1, np.float32), np.ones((1, 1, 1, 1), np.float32)]
        with np.errstate(over="ignore"):
            tiny.outputs[0] = naive.activate(tiny.blob.astype(np.float64), name)
        check(tiny, folder, mish=mish)


@pytest.mark.parametrize("name", naive.CHANNELWISE)
def test_activation_over_channels(folder: Path, name: str) -> None:
    check_one(folder, (7, 5, 9), "convolutional", {"filters": 9, "activation": name})


@pytest.mark.parametrize("kind", ["maxpool", "local_avgpool"])
@pytest.mark.parametrize("options", test_layers.POOLS, ids=str)
def test_pool(folder: Path, kind: str, options: Options) -> None:
    for shape in ((3, 13, 9), (2, 26, 14)):
        check_one(folder, shape, kind, options)


def test_other_pools(folder: Path) -> None:
    for channels, wanted in ((17, 3), (12, 4), (5, 9)):
        check_one(folder, (channels, 5, 7), "maxpool", {"maxpool_depth": 1, "out_channels": wanted})
    check_one(folder, (3, 9, 7), "maxpool", {"size": 2, "stride": 2, "antialiasing": 1})
    check_one(folder, (3, 9, 7), "maxpool", {"size": 2, "stride": 1, "padding": 4})  # more than pools accept as pads
    check_one(folder, (3, 9, 7), "avgpool")


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("kind", ["reorg", "reorg3d"])
@pytest.mark.parametrize(("shape", "stride"), [((16, 4, 6), 2), ((81, 3, 9), 3), ((5, 5, 7), 1)])
def test_reorg(folder: Path, kind: str, reverse: int, shape: tuple[int, int, int], stride: int) -> None:
    check_one(folder, shape, kind, {"stride": stride, "reverse": reverse})


@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"stride": 3, "scale": 0.25}, {"stride": -2, "scale": 0.5}])
def test_upsample(folder: Path, options: Options) -> None:
    check_one(folder, (3, 5, 7), "upsample", options)


@pytest.mark.parametrize("options", [{}, {"groups": 5}, {"groups": 3, "temperature": 0.5}])
def test_softmax(folder: Path, options: Options) -> None:
    check_one(folder, (15, 3, 5), "softmax", options)


def test_joining(folder: Path) -> None:
    """route with groups, shortcuts of fewer and more channels, several and weighted inputs, factors per channel."""
    tiny = TinyNetwork((6, 9, 7))
    for filters in (6, 4, 8, 6):
        tiny.add("convolutional", {"filters": filters, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": 1, "activation": "mish"})
    tiny.add("shortcut", {"from": "2,0"})
    norm = {"weights_type": "per_channel", "weights_normalization": "softmax"}
    tiny.add("shortcut", {"from": "0,3", **norm})
    tiny.add("shortcut", {"from": "0", "weights_type": "per_feature", "weights_normalization": "relu"})
    tiny.add("route", {"layers": "-1,0,2", "groups": 2, "group_id": 1})
    tiny.add("route", {"layers": 3})
    tiny.add("sam", {"from": 0, "activation": "logistic"})
    tiny.add("avgpool")
    tiny.add("scale_channels", {"from": 3, "activation": "relu"})
    tiny.add("convolutional", {"filters": 1, "activation": "logistic"})
    tiny.add("scale_channels", {"from": 3, "scale_wh": 1})
    tiny.add("connected", {"output": 12, "batch_normalize": 1, "activation": "tanh"})
    tiny.add("dropout")
    tiny.add("softmax")
    tiny.add("cost")
    check(tiny, folder)


@pytest.mark.parametrize("stride", [2, 3])
def test_shortcut_between_sizes(folder: Path, stride: int) -> None:
    tiny = TinyNetwork((4, 12, 18))
    tiny.add("convolutional", {"filters": 5, "activation": "linear"})
    tiny.add("convolutional", {"filters": 3, "stride": stride, "activation": "linear"})
    tiny.add("shortcut", {"from": 0})
    tiny.add("upsample", {"stride": stride})
    tiny.add("shortcut", {"from": 1, "activation": "leaky"})
    check(tiny, folder)


@pytest.mark.parametrize("name", test_layers.HEADS)
@pytest.mark.parametrize("decoded", [False, True])
def test_head(folder: Path, name: str, decoded: bool) -> None:
    channels, kind, options = test_layers.HEADS[name]
    extra: Options = {"yolo_point": "left_top"} if kind == "Gaussian_yolo" else {}
    tiny = TinyNetwork((3, 7, 5), seed=1)
    tiny.add("convolutional", {"filters": channels, "activation": "linear"})
    num = int(str(options.get("num", 1)))
    anchors = ",".join(str(2 + n) for n in range(2 * num))
    tiny.add(kind, {**options, **extra, "anchors": anchors})
    if not decoded:
        check(tiny, folder)
        return
    graph, model = export_tiny(tiny, folder, decode=True)
    boxes, scores = session(model).run(None, {"blob": tiny.blob[None]})
    output = tiny.outputs[-1].astype(np.float32)
    check_candidates(graph, [output], boxes[0], scores[0])
