"""Running exported models in ONNX Runtime; test files that import this are skipped where it is not installed."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

from darknet_py.boxes.decode import decode
from darknet_py.graph import Graph
from darknet_py.pictures.geometry import Geometry

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed: pip install '.[onnx]'")
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime to run ONNX models")

TOLERANCE = 1e-4  # of the layer's largest magnitude


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


def check_candidates(graph: Graph, heads: Any, boxes: NDArray[Any], scores: NDArray[Any]) -> None:
    _, height, width = graph.blob
    maps = in_rows(graph, heads)
    expected = decode(maps, Geometry(width, height, width, height, False), 0.0)
    kept = np.concatenate([has_object(layer, head) for layer, head in maps])
    assert kept.any()
    np.testing.assert_allclose(scores[kept].clip(0), expected.probs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(boxes[kept], expected.cxcywh, rtol=1e-4, atol=1e-6)


def in_rows(graph: Graph, heads: Any) -> list[tuple[Any, NDArray[np.float32]]]:
    """Heads with their outputs (C, H, W) as ``decode`` wants them, channels last."""
    return [
        (layer, np.ascontiguousarray(head.transpose(1, 2, 0))) for layer, head in zip(graph.heads, heads, strict=True)
    ]


def has_object(layer: Any, head: NDArray[Any]) -> NDArray[np.bool_]:
    """Which candidates ``decode`` keeps at threshold 0: of [region] and [detection] all, else those with an object."""
    if layer.kind in ("region", "detection"):
        return np.ones(layer.cells[0] * layer.cells[1] * layer.num, bool)
    entry = 4 if layer.kind == "yolo" else 8
    return np.ravel(head.reshape(-1, len(layer.mask), entry + 1 + layer.classes)[..., entry] > 0)
