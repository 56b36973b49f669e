"""Exported networks against Darknet and this runtime, run by ONNX Runtime, and the model file as a whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_golden
import test_real_models
from command_line import Model, error_lines, run
from networks import TinyNetwork
from onnx_models import TOLERANCE, check_candidates, in_rows, onnx, relative_difference, run_all, session

from darknet_py import Detections, Network, OptionError, UnsupportedError
from darknet_py.boxes.decode import decode
from darknet_py.boxes.nms import suppress
from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph, load_graph
from darknet_py.image import load_image, to_blob
from darknet_py.layers.recurrent import Recurrent
from darknet_py.onnx_export import export_onnx, write_onnx
from darknet_py.onnx_export.exporting import EMITTERS
from darknet_py.pictures.geometry import Geometry
from darknet_py.weights import SeededWeights, WeightsFile, WeightsSource

generator, case = test_golden.generator, test_golden.case

# Golden networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", test_golden.cases(), indirect=True)
def test_golden_layers(case: Any) -> None:
    """All layers within 1e-4 of Darknet's, and the outputs of this runtime's; recurrent layers are refused."""
    graph = load_graph(case.cfg)
    if any(isinstance(layer, Recurrent) for layer in graph.layers):
        with WeightsFile(case.weights, graph) as source, pytest.raises(UnsupportedError, match="from run to run"):
            export_onnx(graph, source)
        return
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
        # The model gives a [region] as Darknet stores it, cell by cell.
        wanted = expected.transpose(1, 2, 0) if name.endswith("region") else expected
        assert relative_difference(found[name][0], wanted) <= TOLERANCE


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
    with WeightsFile(case.weights, graph) as source:
        if any(getattr(head, "tree", None) for head in graph.heads):
            with pytest.raises(UnsupportedError, match=r"with a tree="):
                export_onnx(graph, source, decode=True)
            return
        boxes, scores = session(export_onnx(graph, source, decode=True)).run(None, {"blob": case.blob[None]})
    heads = Network(graph, case.weights, threads=2).run(case.blob)
    check_candidates(graph, heads, boxes[0], scores[0])


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
            if who == "theirs":  # cell by cell
                pairs = zip(graph.heads, maps, strict=True)
                maps = [map_.transpose(2, 0, 1) if head.kind == "region" else map_ for head, map_ in pairs]
            candidates = decode(in_rows(graph, maps), geometry, 0.05)
            kept = suppress(candidates, nms=0.45, kind=last.nms_kind, beta=last.beta_nms)
            boxes = Detections.from_candidates(kept, detector.names, geometry)
            rows = zip(boxes.class_id, boxes.confidence, boxes.xyxy, strict=True)
            found[who][photo.name] = [test_real_models.Found(int(c), float(p), tuple(box)) for c, p, box in rows]
    ours, theirs = (test_real_models.ap50(found[who], truth) for who in ("ours", "theirs"))
    assert ours == pytest.approx(theirs, abs=1e-3)
    paired = sum(test_real_models.matched(found["ours"][photo.name], found["theirs"][photo.name]) for photo in photos)
    assert paired >= 0.99 * sum(map(len, found["theirs"].values()))


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


def test_files_and_names_in_place_of_a_graph(tmp_path: Path) -> None:
    """As ``darknet_py.export_onnx`` is called by whoever has but the files."""
    tiny = TinyNetwork((3, 8, 12))
    tiny.add("convolutional", {"filters": 4, "size": 3, "pad": 1, "activation": "leaky"})
    cfg, weights = tiny.write(tmp_path)
    graph = load_graph(cfg)
    with WeightsFile(weights, graph) as source:
        expected = export_onnx(graph, source, batch=2)
    for found in (export_onnx(str(cfg), weights, batch=np.int64(2)), export_onnx(graph, str(weights), batch=2)):  # type: ignore[arg-type]
        assert found == expected
    codes = load_graph("yolov4-codes")
    assert export_onnx("yolov4-codes", SeededWeights(codes)) == export_onnx(codes, SeededWeights(codes))
    with pytest.raises(OptionError, match=r'batch=2.0: expected a whole number, not float, or "dynamic"'):
        export_onnx(graph, weights, batch=2.0)  # type: ignore[arg-type]


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
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UnsupportedError, match=r'pip install "onnx>=1\.17", .*pip install "\.\[onnx\]"'):
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
    assert run("export", "--onnx", out, "yolov4-codes").exit_code == 0
    without = run("export", "--onnx", out, "yolov4")
    assert without.exit_code == 2 and "no weights ship for this model" in without.stderr
    result = run("export", "--onnx", out, tiny.cfg, tmp_path / "no.weights")
    assert result.exit_code == 1
    assert len(error_lines(result)) == 1
