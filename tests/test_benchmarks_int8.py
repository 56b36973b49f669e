"""What int8 would give: the figures are plausible, and rounding to 8 bits is what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import int8  # noqa: E402

from darknet_py.graph import load_graph  # noqa: E402
from darknet_py.kernels.jit import LANES  # noqa: E402
from darknet_py.shipped import resolve_cfg  # noqa: E402
from training.network import DarknetModule  # noqa: E402


def test_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "_ROUNDS", 2000)
    found = int8.measure_arithmetic()
    assert set(found) <= {"float32", "bfloat16", "int8"} and all(value > 0 for value in found.values())
    assert ("float32" in found) == (LANES == 16)


def test_rounding_to_eight_bits() -> None:
    network = DarknetModule(load_graph(resolve_cfg("yolov4-codes"), (64, 96))).eval()
    blob = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network.taps(blob)
        ranges = int8._Ranges(network)
        network(blob)
        ranges.quantise()
        after = network.taps(blob)
        weights = network.layers[10].conv.weight.detach()
    for one in weights:
        step = one.abs().max() / 127
        assert torch.allclose(one / step, (one / step).round(), atol=1e-3)
        assert len(np.unique((one / step).round().numpy())) <= 255
    assert torch.equal(before[0], after[0]), "the first layer keeps its precision"
    difference = (before[10] - after[10]).abs().max() / before[10].abs().max()
    assert 1e-5 < difference < 0.1


def test_report() -> None:
    rows = {"float32": {"AP50": 0.5, "AP75": 0.25, "AP": 0.26}, "int8": {"AP50": 0.49, "AP75": 0.2, "AP": 0.24}}
    found = int8.format_report({"float32": 100.0, "int8": 390.0}, {"small": rows})
    assert "| int8 | 390 | 3.90 |" in found and "| small | int8 | 0.490 | 0.200 | 0.240 |" in found
