"""Writing weights files: the bytes of an independent writer, round trips, and files that must not come to be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Options, TinyNetwork, weights_bytes

from darknet_py import WeightsError
from darknet_py.graph import Graph, load_graph
from darknet_py.weights import SeededWeights, WeightsFile
from darknet_py.weights_writer import write_weights

Arrays = dict[int, dict[str, Any]]


def read_back(path: Path, graph: Graph) -> Arrays:
    with WeightsFile(path, graph) as file:
        return {
            layer.index: {name: array.copy() for name, array in file.arrays(layer).items()} for layer in graph.layers
        }


def detector() -> TinyNetwork:
    tiny = TinyNetwork((3, 8, 6), seed=3)
    tiny.add("convolutional", {"filters": 4, "size": 3, "pad": 1, "batch_normalize": 1, "activation": "leaky"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("convolutional", {"filters": 7, "activation": "linear"})
    tiny.add("yolo", {"classes": 2})
    return tiny


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return load_graph(detector().write(tmp_path)[0])


@pytest.fixture
def arrays(graph: Graph) -> Arrays:
    source = SeededWeights(graph)
    return {layer.index: source.arrays(layer) for layer in graph.layers}


# What is written --------------------------------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn) -> TinyNetwork:
    """Random stacks of every layer type that stores something; the tests' own code gives their bytes."""
    tiny = TinyNetwork((draw(st.integers(1, 4)), 4, 6), seed=draw(st.integers(0, 99)))
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["convolutional"] * 3 + ["connected", "shortcut", "maxpool"]))
        flag, n = draw(st.integers(0, 1)), len(tiny.x)
        options: Options = {"size": 3, "stride": 1}
        if kind == "convolutional":
            groups = draw(st.sampled_from([g for g in range(1, n + 1) if n % g == 0]))
            filters, size = groups * draw(st.integers(1, 3)), draw(st.sampled_from([1, 3]))
            options = {"filters": filters, "size": size, "pad": 1, "groups": groups, "batch_normalize": flag}
            options = {**options, "flipped": draw(st.integers(0, 1))}
        elif kind == "connected":
            options = {"output": draw(st.integers(1, 5)), "batch_normalize": flag}
        elif kind == "shortcut":
            if not tiny.outputs:
                continue
            weights_type = "per_channel" if flag else "per_feature"
            options = {"from": -1, "weights_type": weights_type, "weights_normalization": "relu"}
        tiny.add(kind, options)
    if not tiny.outputs:
        tiny.add("avgpool")
    return tiny


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(0, 2**64 - 1))
def test_round_trip_is_byte_identical(folder: Path, tiny: TinyNetwork, seen: int) -> None:
    cfg, weights = tiny.write(folder, struct.pack("<iiiQ", 0, 2, 5, seen))
    graph, written = load_graph(cfg), folder / "written.weights"
    write_weights(written, graph, read_back(weights, graph), seen)
    assert written.read_bytes() == weights.read_bytes()
    with WeightsFile(weights, graph) as source:
        write_weights(written, graph, source, seen)
    assert written.read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("version", "seen", "header"),
    [
        ((0, 1, 0), 7, struct.pack("<iiiI", 0, 1, 0, 7)),
        ((0, 2, 0), 2**40, struct.pack("<iiiQ", 0, 2, 0, 2**40)),
        ((1001, 0, 0), 0, struct.pack("<iiiQ", 1001, 0, 0, 0)),
    ],
)
def test_versions(tmp_path: Path, version: tuple[int, int, int], seen: int, header: bytes) -> None:
    """The width of the count of images, and connected layers, which are transposed above 1000."""
    tiny = TinyNetwork((2, 3, 4))
    tiny.add("connected", {"output": 5})
    graph = load_graph(tiny.write(tmp_path)[0])
    biases, weights = tiny.stored
    write_weights(tmp_path / "w", graph, {0: {"biases": biases, "weights": weights}}, seen, version)
    stored = [biases, weights.T if version[0] > 1000 else weights]
    assert (tmp_path / "w").read_bytes() == weights_bytes(stored, header)


def test_any_real_dtype_and_layout(tmp_path: Path, graph: Graph, arrays: Arrays) -> None:
    arrays[0]["weights"] = np.asfortranarray(arrays[0]["weights"], np.float64)
    arrays[0]["biases"] = np.arange(4)
    arrays[2]["biases"] = np.arange(7.0).tolist()
    write_weights(tmp_path / "w", graph, arrays)
    found = read_back(tmp_path / "w", graph)
    for index, given_arrays in arrays.items():
        for name, values in given_arrays.items():
            np.testing.assert_array_equal(found[index][name], np.asarray(values, np.float32))


# What is refused --------------------------------------------------------------------------------------------


def _drop(arrays: Arrays) -> None:
    del arrays[0]["mean"]


def _drop_layer(arrays: Arrays) -> None:
    del arrays[2]


def _reshape(arrays: Arrays) -> None:
    arrays[2]["weights"] = arrays[2]["weights"].reshape(7, 4)


def _diverge(arrays: Arrays) -> None:
    arrays[2]["weights"][3, 2] = np.nan


def _overflow(arrays: Arrays) -> None:
    arrays[2]["biases"] = np.full(7, 1e39)


def _text(arrays: Arrays) -> None:
    arrays[2]["biases"] = np.array(["a"] * 7)


def _stray(arrays: Arrays) -> None:
    arrays[2]["scales"] = np.ones(7)


def _stray_layer(arrays: Arrays) -> None:
    arrays[9] = {"biases": np.ones(7)}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_drop, r"layer 0\): no array 'mean'; expected biases, scales, mean, variance, weights"),
        (_drop_layer, r"layer 2\): no array 'biases'"),
        (_reshape, r"layer 2\): 'weights' has shape \(7, 4\), expected \(7, 4, 1, 1\)"),
        (_diverge, r"layer 2\): 'weights' holds 1 values that are not finite"),
        (_overflow, r"layer 2\): 'biases' holds 7 values that are not finite"),
        (_text, r"layer 2\): 'biases' has dtype <U1, expected float32"),
        (_stray, r"arrays scales are given for layer 2, which has no such parameters"),
        (_stray_layer, r"arrays biases are given for layer 9, which does not exist"),
    ],
)
def test_wrong_arrays_leave_nothing_behind(
    tmp_path: Path, graph: Graph, arrays: Arrays, spoil: Callable[[Arrays], None], expected: str
) -> None:
    """Nor do they touch the file of before."""
    target = tmp_path / "last.weights"
    target.write_bytes(b"of before")
    before = sorted(tmp_path.iterdir())
    spoil(arrays)
    with pytest.raises(WeightsError, match=expected):
        write_weights(target, graph, arrays)
    assert target.read_bytes() == b"of before"
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupted_source_leaves_nothing_behind(tmp_path: Path, graph: Graph) -> None:
    class Interrupted(SeededWeights):
        def arrays(self, layer: Any) -> Any:
            if layer.index == 2:
                raise KeyboardInterrupt
            return super().arrays(layer)

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        write_weights(tmp_path / "w", graph, Interrupted(graph))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("version", "seen"), [((0, 2, 5), -1), ((0, 2, 5), 2**64), ((0, 1, 0), 2**32), ((0, 2, 2**31), 0)]
)
def test_headers_out_of_range(
    tmp_path: Path, graph: Graph, arrays: Arrays, version: tuple[int, int, int], seen: int
) -> None:
    with pytest.raises(WeightsError, match="expected three 32-bit integers and a count from 0"):
        write_weights(tmp_path / "w", graph, arrays, seen, version)


def test_places_that_cannot_be_written(tmp_path: Path, graph: Graph, arrays: Arrays) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "w", tmp_path / "file" / "w", tmp_path / "folder"):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(WeightsError, match=f"{path.name}: cannot write the weights: "):
            write_weights(path, graph, arrays)
        assert sorted(tmp_path.rglob("*")) == before
