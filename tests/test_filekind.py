"""What stands in place of weights is called by its name, with what to do; and headers that tools get wrong."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from networks import TinyNetwork

from darknet_py import OptionError, WeightsError, load_weights
from darknet_py.filekind import cure_of, what_it_is
from darknet_py.graph import Graph, load_graph

REST = bytes(300)


@pytest.mark.parametrize(
    ("head", "named", "cure"),
    [
        (b"\n <!DOCTYPE HTML><title>Drive &amp; Co</title>", 'a web page ("Drive & Co")', "download failed"),
        (b"version https://git-lfs.github.com/spec/v1\r\nsize 1200\r\n", "for a file of 1,200 bytes", "git lfs pull"),
        (b"/annex/objects/MD5E-s24--c8.weights\n", "git-annex", "git annex get"),
        (b"PK\x03\x04" + REST, "PyTorch's .pt", "write_weights"),
        (b"\x80\x02\x8a" + REST, "PyTorch's older", "write_weights"),
        (b"\x80\x05\x95" + REST, "a pickle", "write_weights"),
        (struct.pack("<Q", 80) + b'{"conv":{"dtype":"F32"}}' + REST, "a safetensors file", "write_weights"),
        (b"\x93NUMPY\x01\0" + REST, "a NumPy array", "write_weights"),
        (b"\x08\x07\x12\x07pytorch" + REST, "an ONNX model", "runtime of its own"),
        (b"\x1c\0\0\0TFL3" + REST, "a TensorFlow Lite model", "runtime of its own"),
        (b"\x89HDF\r\n\x1a\n" + REST, "HDF5", "runtime of its own"),
        (b"\x1f\x8b\x08" + REST, "a gzip archive", "unpack"),
        (b"7z\xbc\xaf\x27\x1c" + REST, "a 7-Zip archive", "unpack"),
        (b"m.weights" + bytes(248) + b"ustar\x0000" + REST, "a tar archive", "unpack"),
        (b"[net]\nwidth=3\n", "a Darknet cfg", "swapped"),
        (b"\xff\xd8\xff\xe0" + REST, "a JPEG picture", "in this order"),
        (b"404: Not Found", 'a text ("404: Not Found")', "get it again"),
        (b'{"error": 3}', "a JSON document", "get it again"),
    ],
)
def test_it_is_named_with_a_cure(tmp_path: Path, graph: Graph, head: bytes, named: str, cure: str) -> None:
    assert named in str(what_it_is(head, weights=True)) and cure in cure_of(head)
    path = tmp_path / "m.weights"
    path.write_bytes(head)
    with pytest.raises(WeightsError) as caught:
        load_weights(graph, path)
    assert f"this is {what_it_is(head, weights=True)}" in str(caught.value)


def test_texts_are_no_strangers_in_place_of_a_cfg() -> None:
    assert what_it_is(b"[net]\nwidth=3\n") is None and what_it_is(b"hello") is None


def test_weights_are_none_of_these() -> None:
    values = np.random.default_rng(0).normal(0, 1, 1000).astype("<f4").tobytes()
    for header in (struct.pack("<iiiQ", 0, 2, 5, 64), struct.pack("<iiiI", 0, 1, 0, 0), bytes(20)):
        assert what_it_is(header + values, weights=True) is None


@pytest.fixture(scope="module")
def graph(folder: Path) -> Graph:
    tiny = TinyNetwork((3, 6, 5))
    tiny.add("convolutional", {"filters": 8, "size": 3, "batch_normalize": 1})
    return load_graph(tiny.write(folder)[0])


def complaint(tmp_path: Path, graph: Graph, data: bytes) -> str:
    path = tmp_path / "m.weights"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        load_weights(graph, path)
    return str(caught.value)


def test_right_sizes_of_wrong_numbers(tmp_path: Path, graph: Graph) -> None:
    values = np.random.default_rng(0).normal(0, 1, graph.parameter_count).astype("<f4")
    new = struct.pack("<iiiQ", 0, 2, 5, 64)
    assert "numbers of 64 bits: expected float32" in complaint(tmp_path, graph, new + values.astype("<f8").tobytes())
    assert "numbers of 16 bits: expected float32" in complaint(tmp_path, graph, new + values.astype("<f2").tobytes())
    swapped = struct.pack(">iiiQ", 0, 2, 5, 64) + values.astype(">f4").tobytes()
    assert "big-endian: version 0.2.5" in complaint(tmp_path, graph, swapped)
    assert "only zeros" in complaint(tmp_path, graph, bytes(20 + values.nbytes))


def test_a_header_of_the_length_that_is_said(tmp_path: Path, graph: Graph) -> None:
    """The fifth number, which is not 0, leaves a doubt that the size does not."""
    cfg, path, out = Path(graph.file), tmp_path / "m.weights", tmp_path / "out"
    values = np.random.default_rng(0).normal(0, 1, graph.parameter_count).astype("<f4").tobytes()
    path.write_bytes(struct.pack("<iiiQ", 0, 1, 0, 2**33 + 5) + values)
    assert "darknet-py weights convert --header 20 reads it so" in complaint(tmp_path, graph, path.read_bytes())
    loaded = load_weights(cfg, path, header_bytes=20)
    assert (loaded.version, loaded.seen, loaded.header_bytes) == ((0, 1, 0), 2**33 + 5, 20)
    assert run("weights", "convert", cfg, path, out, "--header", 20).exit_code == 0
    assert out.read_bytes() == struct.pack("<iiiQ", 0, 2, 5, 2**33 + 5) + values
    with pytest.raises(OptionError, match="header_bytes=12: expected 20 or 16"):
        load_weights(cfg, path, header_bytes=12)
