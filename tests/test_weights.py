"""Weights files: layout, headers, stored orders, and what is said about a file that does not fit."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Options, TinyNetwork, assert_close, check, weights_bytes

from darknet_py import Network, WeightsError
from darknet_py.graph import Graph, load_graph
from darknet_py.weights import HEADER_BYTES, SeededWeights, WeightsFile, expected_bytes

NEW = struct.pack("<iiiQ", 0, 2, 5, 32013312)
OLD = struct.pack("<iiiI", 0, 1, 0, 64)  # 32-bit count of images


def detector(classes: int = 3, heads: int = 1) -> TinyNetwork:
    """Layers: two of the backbone, a pool, then a convolution and a head, or two of each."""
    tiny = TinyNetwork((3, 8, 8))
    tiny.add("convolutional", {"filters": 6, "size": 3, "pad": 1, "batch_normalize": 1, "activation": "leaky"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("convolutional", {"filters": 7, "size": 3, "pad": 1, "activation": "leaky"})
    for _ in range(heads):
        tiny.add("route", {"layers": 2})
        tiny.add("convolutional", {"filters": 2 * (5 + classes), "activation": "linear"})
        tiny.add("yolo", {"classes": classes, "num": 2})
    return tiny


@pytest.fixture(scope="module")
def written(folder: Path) -> tuple[Graph, bytes]:
    """A graph, and the bytes of the file that belongs to it."""
    cfg, weights = detector().write(folder)
    return load_graph(cfg), weights.read_bytes()


def message(folder: Path, graph: Graph, data: bytes) -> str:
    path = folder / "given.weights"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        WeightsFile(path, graph)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text


def test_arrays_are_those_of_the_file(folder: Path) -> None:
    tiny = detector()
    cfg, weights = tiny.write(folder)
    graph = load_graph(cfg)
    assert expected_bytes(graph) == weights.stat().st_size == HEADER_BYTES + 4 * graph.parameter_count
    with WeightsFile(weights, graph) as file:
        assert (file.version, file.seen) == ((0, 2, 5), 32013312)
        first = file.arrays(graph.layers[0])
        assert list(first) == ["biases", "scales", "mean", "variance", "weights"]
        for name, array in first.items():
            np.testing.assert_array_equal(array, tiny.convolutions[0][name])
            assert not array.flags.writeable
        file.release(graph.layers[0])  # the pages come back when they are read again
        np.testing.assert_array_equal(file.arrays(graph.layers[0])["weights"], tiny.convolutions[0]["weights"])
        np.testing.assert_array_equal(file.arrays(graph.layers[4])["weights"], tiny.convolutions[4]["weights"])
        assert file.arrays(graph.layers[1]) == {}
        del first, array  # views keep the file mapped


@pytest.mark.parametrize(
    "header",
    [
        NEW,
        OLD,
        struct.pack("<iiiQ", 0, 2, 0, 1 << 40),
        struct.pack("<iiiQ", 1, 0, 0, 7),
        struct.pack("<iiiI", 0, 0, 9, 7),
    ],
    ids=["0.2.5", "0.1.0", "0.2.0", "1.0.0", "0.0.9"],
)
def test_headers(folder: Path, header: bytes) -> None:
    tiny = detector()
    cfg, weights = tiny.write(folder, header)
    assert_close(Network(cfg, weights, threads=1).run(tiny.blob)[0], tiny.outputs[-1])
    file = WeightsFile(weights, load_graph(cfg))
    assert file.version == struct.unpack_from("<iii", header)
    assert file.seen == int.from_bytes(header[12:], "little")


def test_cut_short(folder: Path, written: tuple[Graph, bytes]) -> None:
    graph, data = written
    text = message(folder, graph, data[:-40])
    assert f"{len(data) - 40} bytes, expected {len(data)} for {graph.file} (40 bytes too few)" in text
    assert "cut short" in text


def test_too_long(folder: Path, written: tuple[Graph, bytes]) -> None:
    graph, data = written
    text = message(folder, graph, data + bytes(12))
    assert f"{len(data) + 12} bytes, expected {len(data)} for {graph.file} (12 bytes too many)" in text
    assert "larger cfg, or something was appended" in text


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("classes", [1, 2, 4, 20, 80])
def test_other_classes_are_named(folder: Path, classes: int, heads: int) -> None:
    cfg, _ = detector(3, heads).write(folder)
    _, weights = detector(classes, heads).write(folder)
    assert f"it fits classes={classes} instead of 3" in message(folder, load_graph(cfg), weights.read_bytes())


@pytest.mark.parametrize(("count", "last"), [(1, 0), (3, 2)])
def test_backbone_only(folder: Path, written: tuple[Graph, bytes], count: int, last: int) -> None:
    """As darknet53.conv.74: what `darknet partial` writes to start a training from."""
    graph, _ = written
    tiny = detector()
    sizes = {1: 5, 3: 7}  # arrays of the first layer, of the first three
    text = message(folder, graph, weights_bytes(tiny.stored[: sizes[count]]))
    assert f"it holds exactly layers 0 to {last}: a backbone-only file" in text
    assert f"NAME.conv.{last + 1}" in text


def test_header_of_the_other_size(folder: Path, written: tuple[Graph, bytes], caplog: pytest.LogCaptureFixture) -> None:
    """Tools that always write 5 integers, or 4, are read if the fifth number leaves no doubt."""
    graph, data = written
    path = folder / "given.weights"
    values = data[HEADER_BYTES:]
    assert any(values[:4])  # a bias, where the other header has the upper half of its count
    for header in (NEW[:16], OLD[:12] + bytes(8)):
        path.write_bytes(header + values)
        with caplog.at_level("WARNING"):
            opened = WeightsFile(path, graph)
        assert f"is {len(header)} bytes long, as the file's size shows" in caplog.text
        first = opened.arrays(graph.layers[0])["biases"]
        assert first.tobytes() == values[: first.nbytes]
        caplog.clear()
    # A whole file cut short by four bytes has a count where the values would begin.
    text = message(folder, graph, data[:-4])
    assert "exactly one header field; the header says version 0.2" in text and "cut short" in text
    text = message(folder, graph, OLD[:12] + b"\1\2\3\4" * 2 + values)
    assert "exactly one header field; the header says version 0.1" in text


def test_what_is_no_weights_file_is_named(folder: Path, written: tuple[Graph, bytes]) -> None:
    graph, _ = written
    for data, kind in (
        (b"\n<!DOCTYPE html>\n<title>Moved &amp; gone</title>", 'a web page ("Moved & gone")'),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 77\n", "git lfs pull"),
        (b"PK\3\4" + bytes(200), "PyTorch"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "Keras"),
    ):
        assert kind in message(folder, graph, data)


def test_files_that_are_no_weights(folder: Path, written: tuple[Graph, bytes]) -> None:
    graph, _ = written
    assert "it is empty" in message(folder, graph, b"")
    for short in (b"\0", NEW[:15], NEW[:19]):
        assert f"{len(short)} bytes: too short to be a Darknet weights file" in message(folder, graph, short)
    text = "layer filters size\n" * 100
    assert 'this is a text ("layer filters size' in message(folder, graph, text.encode())
    assert "probably not a Darknet weights file" in message(folder, graph, b"\xff" * 4096)
    with pytest.raises(WeightsError, match=r"none\.weights: cannot read the weights: No such file"):
        WeightsFile(folder / "none.weights", graph)
    with pytest.raises(WeightsError, match="cannot read the weights"):
        WeightsFile(folder, graph)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_other_size_is_refused(folder: Path, written: tuple[Graph, bytes], data: st.DataObject) -> None:
    graph, whole = written
    size = data.draw(st.integers(0, 2 * len(whole)).filter(lambda size: size != len(whole)))
    assert message(folder, graph, (whole + whole)[:size])


@pytest.mark.parametrize("kind", ["connected", "local"])
def test_weights_of_one_size_of_the_input_are_called_that(folder: Path, kind: str) -> None:
    option = {"connected": "output=5", "local": "filters=5"}[kind]
    (folder / "model.cfg").write_text(f"[net]\nwidth=7\nheight=5\nchannels=3\n[{kind}]\n{option}\n")
    small, large = (load_graph(folder / "model.cfg", size) for size in (None, (9, 6)))
    values = np.ones(small.parameter_count, "<f4").tobytes()
    (folder / "model.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0) + values)
    WeightsFile(folder / "model.weights", small).close()
    with pytest.raises(WeightsError, match=rf"weights of \[{kind}\] are those of one size of the input: is it 9x6\?"):
        WeightsFile(folder / "model.weights", large)


def test_network_without_weights(folder: Path) -> None:
    tiny = TinyNetwork((3, 4, 4))
    tiny.add("avgpool")
    check(tiny, folder)


@pytest.mark.parametrize("version", [(1001, 0, 0), (0, 1001, 0), (1000, 1000, 0), (2, 0, 0)])
@pytest.mark.parametrize("options", [{"output": 7}, {"output": 5, "batch_normalize": 1, "activation": "leaky"}])
def test_transposed_connected(folder: Path, options: Options, version: tuple[int, int, int]) -> None:
    """Above version 1000 connected layers are stored (inputs, outputs), convolutions as ever."""
    tiny = TinyNetwork((3, 4, 5))
    tiny.add("convolutional", {"filters": 4, "size": 3, "pad": 1})
    tiny.add("connected", options)
    if max(version[:2]) > 1000:
        tiny.stored[3] = np.ascontiguousarray(tiny.stored[3].T)
    cfg, weights = tiny.write(folder, struct.pack("<iiiQ", *version, 0))
    assert_close(Network(cfg, weights, threads=1).run(tiny.blob)[0], tiny.outputs[-1])


def test_shared_weights_are_stored_once(folder: Path) -> None:
    tiny = TinyNetwork((9, 5, 7))
    tiny.add("convolutional", {"filters": 9, "size": 3, "pad": 1, "batch_normalize": 1})
    tiny.add("convolutional", {"filters": 9, "size": 3, "pad": 1, "share_index": 0, "batch_normalize": 1})
    cfg, weights = tiny.write(folder)
    assert weights.stat().st_size == HEADER_BYTES + 4 * (4 * 9 + 9 * 9 * 9)
    check_shared = load_graph(cfg)
    assert [len(layer.parameters) for layer in check_shared.layers] == [5, 0]


def test_shortcut_weights_lie_in_cfg_order(folder: Path) -> None:
    """Rows are the inputs, the previous layer first."""
    tiny = TinyNetwork((5, 4, 4))
    tiny.add("convolutional", {"filters": 5, "activation": "linear"})
    tiny.add("convolutional", {"filters": 5, "activation": "linear"})
    tiny.add("shortcut", {"from": -2, "weights_type": "per_channel", "weights_normalization": "relu"})
    tiny.stored[-1][0], tiny.stored[-1][1] = 1, 0  # only the previous layer
    cfg, weights = tiny.write(folder)
    found = Network(cfg, weights, threads=1).run(tiny.blob)[0]
    share = 1 / (1 + 0.001 + 1e-4)
    assert_close(found, share * (tiny.outputs[1] + 0.001 * tiny.outputs[0]))


def test_epsilon(folder: Path) -> None:
    """Another epsilon in place of Darknet's, to imitate other runtimes."""
    tiny = TinyNetwork((3, 5, 7))
    tiny.add("convolutional", {"filters": 1, "size": 3, "pad": 1, "batch_normalize": 1, "activation": "linear"})
    bias, scales, mean, variance = tiny.stored[:4]
    expected = (tiny.outputs[0] - bias) * np.sqrt(variance + 1e-5) / np.sqrt(variance + 0.5) + bias
    found = Network(*tiny.write(folder), threads=1, epsilon=0.5).run(tiny.blob)[0]
    assert_close(found, expected)
    assert scales.shape == mean.shape == (1,)


def test_seeded_weights_follow_the_seed_alone(folder: Path) -> None:
    cfg, _ = detector().write(folder)
    graph = load_graph(cfg)
    for layer in graph.layers:
        first, second, other = (SeededWeights(graph, seed).arrays(layer) for seed in (5, 5, 6))
        assert {name: array.shape for name, array in first.items()} == {p.name: p.shape for p in layer.parameters}
        for name, array in first.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, second[name])
            assert not np.array_equal(array, other[name])
    output = Network(graph, SeededWeights(graph), threads=1).run(detector().blob)[0]
    assert np.isfinite(output).all()
