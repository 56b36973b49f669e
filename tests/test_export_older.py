"""[local], [crop], [lrn], [detection] and other layers of older Darknets in ONNX Runtime against the naive layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import test_older_layers
from networks import TinyNetwork, blobs_of
from onnx_models import check_candidates, run_all, session
from test_export_layers import check, check_one, export_tiny

from darknet_py import Network


@pytest.mark.parametrize("shape", test_older_layers.SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["batchnorm", "l2norm", "logistic", "empty", "contrastive", "lrn"])
def test_layers_without_options(folder: Path, kind: str, shape: tuple[int, int, int]) -> None:
    check_one(folder, shape, kind)


@pytest.mark.parametrize("size", [1, 2, 5, 60])
def test_local_response_normalization(folder: Path, size: int) -> None:
    check_one(folder, (17, 5, 7), "normalization", {"size": size, "alpha": 0.03, "beta": 0.6, "kappa": 2})


@pytest.mark.parametrize("case", test_older_layers.LOCALS)
def test_local(folder: Path, case: str) -> None:
    shape, options = test_older_layers.LOCALS[case]
    check_one(folder, shape, "local", {"activation": "leaky", **options})


@pytest.mark.parametrize("noadjust", [0, 1])
def test_crop(folder: Path, noadjust: int) -> None:
    check_one(folder, (3, 8, 13), "crop", {"crop_width": 6, "crop_height": 5, "noadjust": noadjust})


@pytest.mark.parametrize(("size", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (2, 3, 0), (1, 1, 0)])
def test_deconvolution(folder: Path, size: int, stride: int, padding: int) -> None:
    options = {"filters": 7, "size": size, "stride": stride, "padding": padding, "batch_normalize": 1}
    check_one(folder, (5, 4, 6), "deconvolutional", {**options, "activation": "leaky"})


@pytest.mark.parametrize("ids", [0, 4])
def test_iseg(folder: Path, ids: int) -> None:
    check_one(folder, (9, 4, 5), "iseg", {"classes": 9 - ids, "ids": ids})


def with_implicit() -> TinyNetwork:
    tiny = TinyNetwork((3, 6, 9), seed=2)
    tiny.add("activation", {"activation": "mish"})
    tiny.add("implicit", {"filters": 3})
    tiny.add("scale_channels", {"from": 0})
    return tiny


def test_implicit(folder: Path) -> None:
    check(with_implicit(), folder)


def test_implicit_of_any_batch(folder: Path) -> None:
    tiny = with_implicit()
    _, model = export_tiny(tiny, folder, batch="dynamic")
    blobs = blobs_of(tiny, 3)
    expected = Network(*tiny.write(folder)).run(blobs)[0]
    assert np.allclose(run_all(model, blobs)["002_scale_channels"], expected, atol=1e-6)


@pytest.mark.parametrize("softmax", [0, 1])
@pytest.mark.parametrize("sqrt", [0, 1])
def test_detection(folder: Path, softmax: int, sqrt: int) -> None:
    tiny = TinyNetwork((14, 3, 3), seed=8)
    tiny.add("detection", {"classes": 4, "coords": 4, "num": 2, "side": 3, "softmax": softmax, "sqrt": sqrt})
    check(tiny, folder)
    graph, model = export_tiny(tiny, folder, decode=True)
    boxes, scores = session(model).run(None, {"blob": tiny.blob[None]})
    check_candidates(graph, [tiny.outputs[-1].astype(np.float32)], boxes[0], scores[0])
