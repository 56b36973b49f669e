"""Dumps of layers and their comparison, in Python and by the commands."""

from __future__ import annotations

import errno
import gc
import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import Model, run, scene
from networks import TinyNetwork
from PIL import Image

from darknet_py import Network, OptionError, OutputError
from darknet_py.comparison import Dump, compare_layers, prepare_blob, read_dump, write_dump
from darknet_py.files import WholeFile
from darknet_py.graph import load_graph


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    tiny = TinyNetwork((3, 9, 7))
    tiny.add("convolutional", {"filters": 14, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("region", {"num": 2, "classes": 2, "anchors": "1,2,3,4"})
    return Network(*tiny.write(folder), threads=1)


@pytest.fixture(scope="module")
def blob() -> np.ndarray:
    return np.random.default_rng(3).random((3, 9, 7), np.float32)


def test_region_has_one_layout(network: Network, blob: np.ndarray) -> None:
    tapped = network.run(blob, taps=[-1])[-1]
    (output,) = network.run(blob)
    assert output.shape == tapped.shape == network.heads[0].shape
    np.testing.assert_allclose(output, tapped, rtol=1e-6)
    (together,) = network.run(blob[None])
    np.testing.assert_array_equal(together[0], output)


def test_differences(network: Network, blob: np.ndarray) -> None:
    layers = network.graph.layers
    reference = network.run(blob, taps=range(3))
    found = {index: values.copy() for index, values in reference.items()}
    found[1][2, 1, 0] += 3
    rows = compare_layers(layers, found, reference)
    assert [(row.index, row.kind, row.absolute == 0) for row in rows] == [
        (0, "convolutional", True), (1, "maxpool", False), (2, "region", True),
    ]  # fmt: skip
    largest = float(np.abs(reference[1]).max())
    assert rows[1].largest == pytest.approx(largest) and rows[1].absolute == pytest.approx(3, rel=1e-5)
    assert rows[1].relative == pytest.approx(3 / largest, rel=1e-5)
    assert rows[0].shape == (14, 9, 7)
    # As it lies in Darknet's memory: a [region] cell by cell.
    flat = {1: reference[1].ravel(), 2: reference[2].transpose(1, 2, 0).ravel()}
    assert [row.absolute for row in compare_layers(layers, reference, flat)] == [0, 0]
    with pytest.raises(OptionError, match=r"layer 1\): the reference has shape \(3,\), expected \(14, 5, 4\)"):
        compare_layers(layers, reference, {1: np.zeros(3, np.float32)})


@pytest.mark.parametrize(
    ("ours", "theirs", "absolute"),
    [
        (np.nan, np.nan, 0),
        (np.inf, np.inf, 0),
        (np.inf, -np.inf, np.inf),
        (np.nan, 1, np.inf),
        (1, np.inf, np.inf),
        (0, 0, 0),
    ],
)
def test_values_that_are_not_finite(network: Network, ours: float, theirs: float, absolute: float) -> None:
    arrays = [{1: np.full((14, 5, 4), value, np.float32)} for value in (ours, theirs)]
    (row,) = compare_layers(network.graph.layers, *arrays)
    assert row.absolute == absolute and (row.relative == 0) == (absolute == 0)


def test_dumps_are_read_as_they_were_written(network: Network, blob: np.ndarray, tmp_path: Path) -> None:
    layers = network.run(blob, taps=[0, 2])
    path = tmp_path / "a.npz"
    write_dump(path, Dump(layers, blob, "of a test"))
    found = read_dump(path)
    assert found.about == "of a test" and sorted(found.layers) == [0, 2]
    np.testing.assert_array_equal(found.blob, blob)  # type: ignore[arg-type]
    for index, values in layers.items():
        np.testing.assert_array_equal(found.layers[index], values)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    with np.load(path) as plain:
        assert sorted(plain.files) == ["about", "input", "layer_0", "layer_2"]


def test_what_is_no_dump(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("layer_0")
    np.savez(tmp_path / "empty.npz", other=np.zeros(3))
    np.savez(tmp_path / "objects.npz", layer_0=np.array([{}], object))
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "nothing.npz").touch()
    np.savez_compressed(tmp_path / "damaged.npz", layer_0=np.arange(999, dtype=np.float32))
    damaged = bytearray((tmp_path / "damaged.npz").read_bytes())
    damaged[90:120] = b"\xff" * 30
    (tmp_path / "damaged.npz").write_bytes(damaged)
    for name in ("none.npz", "text.npz", "objects.npz", "one.npy", "nothing.npz", "damaged.npz"):
        with pytest.raises(OptionError, match=rf"{name}: cannot be read as a dump"):
            read_dump(tmp_path / name)
    with pytest.raises(OptionError, match=r"empty\.npz: no layer in it: expected arrays layer_0"):
        read_dump(tmp_path / "empty.npz")
    with pytest.raises(OutputError, match="cannot write the dump"):
        write_dump(tmp_path / "none" / "a.npz", Dump({}, None, ""))


def test_dumps_are_files_like_others(tmp_path: Path) -> None:
    plain, target, link = tmp_path / "plain", tmp_path / "old.npz", tmp_path / "link.npz"
    plain.touch()
    target.touch()
    target.chmod(0o640)
    try:
        link.symlink_to(target.name)
    except OSError:
        pytest.skip("no links here")
    dump = Dump({0: np.zeros((2, 3, 4), np.float32)}, None, "")
    write_dump(tmp_path / "new.npz", dump)
    assert (tmp_path / "new.npz").stat().st_mode == plain.stat().st_mode
    write_dump(link, dump)
    assert link.is_symlink() and list(read_dump(target).layers) == [0]
    if os.name == "posix":
        assert target.stat().st_mode & 0o777 == 0o640


def test_a_dump_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, dump = tmp_path / "a.npz", Dump({0: np.zeros((9, 99, 99), np.float32)}, None, "")
    write_dump(path, Dump({7: np.zeros(3, np.float32)}, None, ""))
    write = WholeFile.write

    def full(self: WholeFile, data: bytes | memoryview) -> None:
        if len(data) > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, data)

    monkeypatch.setattr(WholeFile, "write", full)
    with pytest.raises(OutputError, match="cannot write the dump: No space left"):
        write_dump(path, dump)
    gc.collect()
    assert list(read_dump(path).layers) == [7] and os.listdir(tmp_path) == ["a.npz"]


def test_blobs_are_those_of_detectors_or_files(tmp_path: Path) -> None:
    model = Model(tmp_path)
    graph = load_graph(model.cfg)
    picture = model.picture("a.png", (1, 2))
    blob = prepare_blob(graph, picture)
    assert blob.shape == (3, 24, 32) and blob[:, 17:23, 9:15].min() == 1
    np.save(tmp_path / "blob.npy", blob)
    np.testing.assert_array_equal(prepare_blob(graph, tmp_path / "blob.npy"), blob)
    np.save(tmp_path / "wrong.npy", blob[:, :8])
    with pytest.raises(OptionError, match=r"shape \(3, 8, 32\) and dtype float32, expected \(3, 24, 32\)"):
        prepare_blob(graph, tmp_path / "wrong.npy")
    for text in ("no", ""):
        (tmp_path / "text.npy").write_text(text)
        with pytest.raises(OptionError, match="no blob can be read"):
            prepare_blob(graph, tmp_path / "text.npy")
    write_dump(tmp_path / "dump.npy", Dump({0: blob}, None, ""))
    with pytest.raises(OptionError, match=r"dump\.npy: an archive of arrays, expected one array"):
        prepare_blob(graph, tmp_path / "dump.npy")


def test_the_commands(tmp_path: Path) -> None:
    model = Model(tmp_path)
    picture, other = model.picture("a.png", (0, 0)), model.picture("b.png", (2, 1))
    files = (model.cfg, model.weights)
    dump = tmp_path / "a.npz"
    result = run("dump", *files, picture, "--out", dump)
    assert result.exit_code == 0 and "2 layers" in result.stdout
    result = run("compare", *files, picture, "--against", dump)
    assert result.exit_code == 0 and result.stdout.splitlines()[-1] == "EQUAL: 3 outputs, to the bit"
    result = run("compare", *files, other, "--against", dump)
    assert result.exit_code == 1
    *_, note, verdict = result.stdout.splitlines()
    assert note.startswith("the input differs by up to 1.0e+00")
    assert verdict.startswith("DIFFERENT: ") and "the first is layer 0 [convolutional]" in verdict
    for options in (("--threads", "2"), ("--exact",), ("--precision", "bfloat16"), ("--exact", "--size", "64x48")):
        result = run("compare", *files, picture, *options)
        assert result.exit_code == 0 and result.stdout.splitlines()[-1].startswith("EQUAL"), options
    found = json.loads(run("compare", *files, picture, "--exact", "--json").stdout)
    assert found["equal"] and [row["index"] for row in found["layers"]] == [0, 1, 1]


def test_parts_of_a_dump_by_another_program(tmp_path: Path) -> None:
    model = Model(tmp_path)
    picture = model.picture("a.png", (0, 0))
    graph = load_graph(model.cfg)
    found = Network(graph, model.weights).run(prepare_blob(graph, picture), taps=[0])
    np.savez(tmp_path / "theirs.npz", layer_0=found[0].ravel() + np.float32(0.5))
    arguments = ("compare", model.cfg, model.weights, picture, "--against", tmp_path / "theirs.npz")
    result = run(*arguments)
    assert result.exit_code == 1 and "not in the dump, and not compared: layers 1" in result.stdout
    assert run(*arguments, "--tolerance", "1").exit_code == 0


def test_wrong_options(tmp_path: Path) -> None:
    model = Model(tmp_path)
    Image.fromarray(scene()).save(tmp_path / "a.png")
    files = (model.cfg, model.weights, tmp_path / "a.png")
    result = run("compare", *files)
    assert result.exit_code == 2 and "nothing to compare with: give --against DUMP" in result.stderr
    assert run("compare", *files, "--against", tmp_path / "none.npz").exit_code == 2
    (tmp_path / "nothing.npz").touch()
    result = run("compare", *files, "--against", tmp_path / "nothing.npz")
    assert result.exit_code == 2 and "nothing.npz: cannot be read as a dump: it is no .npz file" in result.stderr
    assert run("compare", *files[:2], tmp_path / "none.png", "--exact").exit_code == 1
    assert run("dump", *files, "--out", tmp_path / "none" / "a.npz").exit_code != 0
