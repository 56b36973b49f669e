"""A list of anchors with one number too many, in every kind of head: ignored as in Darknet, and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import run

from darknet_py import Detector
from darknet_py.graph import Graph, load_graph
from darknet_py.weights import SeededWeights
from darknet_py.weights_writer import write_weights

KINDS = {"yolo": 14, "Gaussian_yolo": 22, "region": 14}
PAIRS = "6,7, 11,2"


def write_cfg(path: Path, kind: str, anchors: str) -> Graph:
    filters = KINDS[kind]
    path.write_text(
        "[net]\nwidth=64\nheight=32\nchannels=3\n"
        f"[conv]\nfilters={filters}\nsize=3\nstride=32\npad=1\nactivation=linear\n"
        f"[{kind}]\nmask=0,1\nnum=2\nclasses=2\nanchors={anchors}\n"
    )
    return load_graph(path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_number_is_ignored_with_a_warning(tmp_path: Path, kind: str) -> None:
    whole, odd = tmp_path / "whole.cfg", tmp_path / "odd.cfg"
    graph, found = write_cfg(whole, kind, PAIRS), write_cfg(odd, kind, f"{PAIRS},5")
    # [region] has no mask in Darknet, and says so.
    assert [text for text in found.warnings if "mask" not in text] == [
        f"{odd}:15: [{kind}] anchors= lists 5 numbers, expected 4 (width and height of 2): the last, 5, is ignored; "
        "is there a comma in place of a decimal point, or none between two numbers?"
    ]
    weights = tmp_path / "model.weights"
    write_weights(weights, graph, SeededWeights(graph, 3))
    pictures = [np.random.default_rng(n).integers(0, 256, (40, 70, 3), np.uint8) for n in range(3)]
    expected, detector = Detector(whole, weights), Detector(odd, weights)
    assert detector.graph.heads[0].anchors == (6, 7, 11, 2)  # type: ignore[attr-defined]
    each = [expected.detect(picture, 0.01) for picture in pictures]
    assert any(len(one) for one in each)
    assert [detector.detect(picture, 0.01) for picture in pictures] == each
    assert detector.detect_batch(pictures, 0.01) == each


@pytest.mark.parametrize("kind", KINDS)
def test_export_decodes_with_whole_pairs(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    weights = tmp_path / "model.weights"
    graph = write_cfg(tmp_path / "whole.cfg", kind, PAIRS)
    write_weights(weights, graph, SeededWeights(graph, 3))
    write_cfg(tmp_path / "odd.cfg", kind, f"{PAIRS},5")
    blob = np.random.default_rng(0).random((1, *graph.blob), np.float32)
    boxes = {}
    for name in ("whole", "odd"):
        out = tmp_path / f"{name}.onnx"
        result = run("export", "--onnx", out, "--decode", tmp_path / f"{name}.cfg", weights)
        assert result.exit_code == 0
        assert ("the last, 5, is ignored" in result.stderr) == (name == "odd")
        session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
        boxes[name] = session.run(["boxes"], {"blob": blob})[0]
    assert boxes["whole"].size > 0
    np.testing.assert_array_equal(boxes["odd"], boxes["whole"])
