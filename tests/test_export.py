"""ONNX models against Darknet, against this runtime and against the naive layers, run by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import naive
import networks
import numpy as np
import pytest
import test_golden
import test_layers
import test_real_models
from command_line import Model, error_lines, run
from networks import Options, TinyNetwork
from numpy.typing import NDArray

from darknet_py import Detections, Network, OptionError, UnsupportedError
from darknet_py.cfg import parse_cfg
from darknet_py.decode import decode
from darknet_py.graph import Graph, build_graph, load_graph
from darknet_py.image import Geometry, load_image, to_blob
from darknet_py.layers import LAYERS
from darknet_py.nms import suppress
from darknet_py.onnx_export import export_onnx, write_onnx
from darknet_py.onnx_export.activations import ACTIVATIONS
from darknet_py.onnx_export.model import EMITTERS
from darknet_py.weights import SeededWeights, WeightsFile, WeightsSource

onnx: Any = pytest.importorskip("onnx", reason='needs the package onnx: pip install "darknet-py[onnx]"')
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime to run ONNX models")

TOLERANCE = 1e-4  # of the layer's largest magnitude

generator, case = test_golden.generator, test_golden.case


def session(model: Any) -> Any:
    """An ONNX Runtime session of a model that the checker accepts."""
    onnx.checker.check_model(model, full_check=True)
    return start(model)


def start(model: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 2, 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_all(model: Any, blobs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Every layer's tensor and every output by name."""
    onnx.checker.check_model(model, full_check=True)
    shown = {output.name for output in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if "." not in name and name not in shown:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    made = start(model)
    names = [output.name for output in made.get_outputs()]
    return dict(zip(names, made.run(names, {"blob": blobs}), strict=True))


def relative_difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max()) / max(float(np.abs(expected).max()), networks.SMALLEST_SCALE)


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


# Golden networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", test_golden.cases(), indirect=True)
def test_golden_layers(case: Any) -> None:
    """All layers within 1e-4 of Darknet's, and the outputs of this runtime's."""
    graph = load_graph(case.cfg)
    with WeightsFile(case.weights, graph) as source:
        model = export_onnx(graph, source)
    shown = [output.name for output in model.graph.output]
    found = run_all(model, case.blob[None])
    for layer in graph.layers:
        name = f"{layer.index:03d}_{layer.kind}"
        if name in found and layer.index not in test_golden.ZERO_IN_DARKNET.get(case.name, ()):
            worst = test_golden.difference(case.golden, layer.index, found[name].ravel())
            assert worst <= TOLERANCE, f"{name}: {worst:.1e} of the largest magnitude"
    for name, expected in zip(shown, Network(graph, case.weights, threads=2).run(case.blob), strict=True):
        assert relative_difference(found[name][0], expected) <= TOLERANCE


def small_detectors() -> list[Any]:
    """The golden cases with heads that were written as tests, one row that is skipped if there are none."""
    names = [case.values[0] for case in test_golden.cases()]
    if names == [""]:
        return test_golden.cases()
    return [name for name in names if name.startswith("synth_") and "nms_kind" in test_golden.read_meta(name)]


@pytest.mark.parametrize("case", small_detectors(), indirect=True)
def test_golden_boxes(case: Any) -> None:
    """Decoded candidates are those that ``decode`` makes of the raw outputs, one by one."""
    graph = load_graph(case.cfg)
    if not graph.heads:  # yolov1's [softmax]-like heads have boxes in Darknet only
        pytest.skip("its heads are not supported")
    with WeightsFile(case.weights, graph) as source:
        if any(getattr(head, "tree", None) for head in graph.heads):
            with pytest.raises(UnsupportedError, match=r"with a tree="):
                export_onnx(graph, source, decode=True)
            return
        boxes, scores = session(export_onnx(graph, source, decode=True)).run(None, {"blob": case.blob[None]})
    heads = Network(graph, case.weights, threads=2).run(case.blob)
    check_candidates(graph, heads, boxes[0], scores[0])


def check_candidates(graph: Graph, heads: Any, boxes: NDArray[Any], scores: NDArray[Any]) -> None:
    _, height, width = graph.blob
    maps = in_rows(graph, heads)
    expected = decode(maps, Geometry(width, height, width, height, False), 0.0)
    kept = np.concatenate([has_object(layer, head) for layer, head in maps])
    assert kept.any()
    np.testing.assert_allclose(scores[kept].clip(0), expected.probs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(boxes[kept], expected.cxcywh, rtol=1e-4, atol=1e-6)


def in_rows(graph: Graph, heads: Any) -> list[tuple[Any, NDArray[np.float32]]]:
    """Heads with their outputs as ``decode`` wants them, channels last."""
    return [
        (layer, np.ascontiguousarray(head if layer.kind == "region" else head.transpose(1, 2, 0)))
        for layer, head in zip(graph.heads, heads, strict=True)
    ]


def has_object(layer: Any, head: NDArray[Any]) -> NDArray[np.bool_]:
    """Which candidates ``decode`` keeps at threshold 0: [region] all, the others those with an objectness above it."""
    if layer.kind == "region":
        return np.ones(head[..., 0].size * layer.num, bool)
    entry = 4 if layer.kind == "yolo" else 8
    return np.ravel(head.reshape(-1, len(layer.mask), entry + 1 + layer.classes)[..., entry] > 0)


REAL = sorted(folder.name for folder in test_real_models.MODELS.glob("*/"))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL or [pytest.param("", marks=pytest.mark.skip("no trained models"))])
def test_trained_models_find_the_same(name: str) -> None:
    """On photographs, ONNX Runtime's outputs decode to the boxes that this runtime finds."""
    detector = test_real_models.Model(name).detector
    graph, (_, net_h, net_w) = detector.graph, detector.graph.blob
    (weights,) = (test_real_models.MODELS / name).glob("*.weights")
    with WeightsFile(weights, graph) as source:
        made = session(export_onnx(graph, source))
    photos = sorted((test_real_models.SHARED / "images" / "val64" / "images").glob("*.jpg"))
    truth = test_real_models.read_truth(photos, detector.names)
    found: dict[str, dict[str, list[Any]]] = {"ours": {}, "theirs": {}}
    last: Any = graph.heads[-1]
    for photo in photos:
        pixels = load_image(photo)
        geometry = Geometry(pixels.shape[1], pixels.shape[0], net_w, net_h, detector.letterbox)
        blob = to_blob(pixels, net_w, net_h, letterbox=detector.letterbox).transpose(2, 0, 1)
        for who, heads in (("ours", detector.network.run(blob)), ("theirs", made.run(None, {"blob": blob[None]}))):
            maps = [head if who == "ours" else head[0] for head in heads]
            candidates = decode(in_rows(graph, maps), geometry, 0.05)
            kept = suppress(candidates, nms=0.45, kind=last.nms_kind, beta=last.beta_nms)
            boxes = Detections.from_candidates(kept, detector.names, geometry)
            rows = zip(boxes.class_id, boxes.confidence, boxes.xyxy, strict=True)
            found[who][photo.name] = [test_real_models.Found(int(c), float(p), tuple(box)) for c, p, box in rows]
    ours, theirs = (test_real_models.ap50(found[who], truth) for who in ("ours", "theirs"))
    assert ours == pytest.approx(theirs, abs=1e-3)
    paired = sum(test_real_models.matched(found["ours"][photo.name], found["theirs"][photo.name]) for photo in photos)
    assert paired >= 0.99 * sum(map(len, found["theirs"].values()))


# Layers one by one --------------------------------------------------------------------------------------------


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
    check_candidates(graph, [output.transpose(1, 2, 0) if kind == "region" else output], boxes[0], scores[0])


# The model as a whole -----------------------------------------------------------------------------------------

TWO_HEADS = """[net]
width=96
height=64
channels=3
letter_box=1
[convolutional]
filters=16
size=3
stride=32
pad=1
batch_normalize=1
activation=mish
[convolutional]
filters=16
activation=linear
[yolo]
mask=2,1
anchors=8,9, 10,11, 12,13
num=3
classes=3
nms_kind=diounms
beta_nms=0.7
scale_x_y=1.1
[route]
layers=0
[upsample]
stride=2
[convolutional]
filters=7
activation=linear
[yolo]
mask=0
anchors=8,9, 10,11, 12,13
num=3
classes=2
new_coords=1
"""


def two_heads(**options: Any) -> tuple[Graph, WeightsSource, Any]:
    graph = build_graph(parse_cfg(TWO_HEADS, "two.cfg"))
    weights = SeededWeights(graph)
    return graph, weights, export_onnx(graph, weights, **options)


@pytest.mark.parametrize("decoded", [False, True])
def test_dynamic_batch_is_single_runs(decoded: bool) -> None:
    graph, _, model = two_heads(batch="dynamic", decode=decoded)
    blobs = np.random.default_rng(0).random((3, *graph.blob), np.float32)
    made = session(model)
    together = made.run(None, {"blob": blobs})
    for n, blob in enumerate(blobs):
        for whole, single in zip(together, made.run(None, {"blob": blob[None]}), strict=True):
            np.testing.assert_allclose(whole[n], single[0], rtol=0, atol=1e-6)


def test_fixed_batch_and_declared_shapes() -> None:
    for decoded in (False, True):
        graph, _, model = two_heads(batch=2, decode=decoded)
        found = session(model).run(None, {"blob": np.zeros((2, *graph.blob), np.float32)})
        declared = [[dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in model.graph.output]
        assert declared == [list(array.shape) for array in found]


def test_heads_of_different_classes_decode_together() -> None:
    graph, weights, model = two_heads(decode=True)
    assert isinstance(weights, SeededWeights)
    blob = np.random.default_rng(1).random(graph.blob, np.float32)
    boxes, scores = session(model).run(None, {"blob": blob[None]})
    heads = Network(graph, weights, threads=1).run(blob)
    check_candidates(graph, heads, boxes[0], scores[0])


def test_names_and_metadata() -> None:
    _, _, model = two_heads(names=("cat", "dog", "猫"))
    found = {entry.key: entry.value for entry in model.metadata_props}
    heads = json.loads(found["heads"])
    assert json.loads(found["names"]) == ["cat", "dog", "猫"]
    assert (found["letter_box"], found["nms_kind"], found["outputs"]) == ("1", "default", "raw")
    assert [head["output"] for head in heads] == ["002_yolo", "006_yolo"] == [o.name for o in model.graph.output]
    assert heads[0]["anchors"] == [[12, 13], [10, 11]]
    assert (heads[0]["scale_x_y"], heads[1]["new_coords"], heads[1]["classes"]) == (1.1, True, 2)
    names = {name for node in model.graph.node for name in node.output}
    assert {"000_convolutional", "001_convolutional", "004_upsample"} <= names
    assert {"000_convolutional.weights", "000_convolutional.biases"} <= {t.name for t in model.graph.initializer}
    assert model.opset_import[0].version >= 17


def test_nothing_is_left_over() -> None:
    for decoded in (False, True):
        _, _, model = two_heads(decode=decoded)
        read = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
        made: Iterable[str] = [name for node in model.graph.node for name in node.output]
        assert {t.name for t in model.graph.initializer} <= read
        assert all(any(name in read for name in node.output) for node in model.graph.node)
        assert len(set(made)) == len(list(made))


def test_what_cannot_be_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build_graph(parse_cfg("[net]\nwidth=8\nheight=8\nchannels=3\n[avgpool]\n", "pool.cfg"))
    with pytest.raises(UnsupportedError, match=r"pool\.cfg: no detection head"):
        export_onnx(graph, SeededWeights(graph), decode=True)
    for wrong in ({"batch": 0}, {"batch": "many"}, {"mish": "fast"}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            export_onnx(graph, SeededWeights(graph), **wrong)  # type: ignore[arg-type]
    monkeypatch.delitem(EMITTERS, type(graph.layers[0]))
    with pytest.raises(UnsupportedError, match=r"pool\.cfg:5: \[avgpool\].*no ONNX form"):
        export_onnx(graph, SeededWeights(graph))
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(UnsupportedError, match=r'pip install "darknet-py\[onnx\]"'):
        export_onnx(graph, SeededWeights(graph))


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    _, _, model = two_heads()
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    write_onnx(model, target)
    assert onnx.load(target).graph.name == "two"
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    with pytest.raises(OptionError, match=r"cannot be written"):
        write_onnx(model, tmp_path / "nowhere" / "model.onnx")


def test_command(tmp_path: Path) -> None:
    tiny = Model(tmp_path)
    out = tmp_path / "tiny.onnx"
    result = run("export", "--onnx", out, "--decode", "--batch", "dynamic", "--size", "64x32", tiny.cfg, tiny.weights)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "blob batch x 3 x 32 x 64 → boxes batch x 32 x 4, scores batch x 32 x 3" in result.stdout
    found = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert json.loads(found["names"]) == ["cat", "dog", "owl"]
    for wrong in ("0", "x", "-1"):
        assert run("export", "--onnx", out, "--batch", wrong, tiny.cfg, tiny.weights).exit_code == 2
    assert run("export", "--onnx", tmp_path / "no" / "x.onnx", tiny.cfg, tiny.weights).exit_code == 2
    result = run("export", "--onnx", out, tiny.cfg, tmp_path / "no.weights")
    assert result.exit_code == 1
    assert len(error_lines(result)) == 1
