"""`load_weights` and `save_weights`: the same file to the byte, cut, with another header; and the commands."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from command_line import error_lines, run
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, weights_bytes

from darknet_py import LoadedWeights, Network, OptionError, WeightsError, load_weights, save_weights
from darknet_py.graph import load_graph
from darknet_py.shipped import resolve_model

SEEN = 32013312
#: Headers as files have them; the last two say one version and have the length of another.
HEADERS = {
    "0.2.5": struct.pack("<iiiQ", 0, 2, 5, SEEN),
    "0.1.0": struct.pack("<iiiI", 0, 1, 0, SEEN),
    "1.0.0": struct.pack("<iiiQ", 1, 0, 0, 2**40),
    "transposed": struct.pack("<iiiQ", 0, 1001, 7, 2**64 - 1),
    "revision": struct.pack("<iiiQ", 0, 2, -3, 0),
    "zeros, long": struct.pack("<iiiII", 0, 0, 0, SEEN, 0),
    "0.2.0, short": struct.pack("<iiiI", 0, 2, 0, SEEN),
}


def every_kind() -> TinyNetwork:
    """All that a file may hold: batch norm, groups, flipped, shared, of a shortcut, connected."""
    tiny = TinyNetwork((4, 6, 5))
    tiny.add("convolutional", {"filters": 6, "size": 3, "pad": 1, "batch_normalize": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 6, "size": 3, "pad": 1, "groups": 2, "flipped": 1})
    tiny.add("shortcut", {"from": 0, "weights_type": "per_channel", "weights_normalization": "softmax"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("connected", {"output": 7, "batch_normalize": 1})
    tiny.add("connected", {"output": 3})
    return tiny


@pytest.fixture(scope="module")
def tiny() -> TinyNetwork:
    return every_kind()


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_every_header_and_value_stays_as_it_is(tmp_path: Path, tiny: TinyNetwork, header: bytes) -> None:
    cfg, path = tiny.write(tmp_path, header)
    loaded = load_weights(cfg, path)
    again = tmp_path / "again.weights"
    save_weights(again, loaded)
    assert again.read_bytes() == path.read_bytes()
    assert loaded.header_bytes == len(header) and loaded.version == struct.unpack("<iii", header[:12])
    assert loaded.seen == int.from_bytes(header[12:], "little")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8))
def test_any_bits_stay_as_they_are(tmp_path_factory: pytest.TempPathFactory, bits: list[int]) -> None:
    """Also of what is no number, as a training that diverged leaves behind."""
    folder = tmp_path_factory.mktemp("bits")
    tiny = TinyNetwork((1, 3, 3))
    tiny.add("convolutional", {"filters": 2, "size": 1, "batch_normalize": 1})
    cfg, path = tiny.write(folder)
    path.write_bytes(HEADERS["0.2.5"] + struct.pack("<8I", *bits) + bytes(8))
    save_weights(folder / "again", load_weights(cfg, path))
    assert (folder / "again").read_bytes() == path.read_bytes()


def test_the_built_in_model_stays_as_it_is(tmp_path: Path) -> None:
    cfg, path = resolve_model(None)
    save_weights(tmp_path / "again", load_weights(cfg, path))
    assert (tmp_path / "again").read_bytes() == Path(path).read_bytes()


def test_what_is_changed_is_saved_and_runs(tmp_path: Path, tiny: TinyNetwork) -> None:
    cfg, path = tiny.write(tmp_path)
    loaded = load_weights(cfg, path)
    assert isinstance(loaded, LoadedWeights) and set(loaded.values) == {0, 1, 2, 4, 5}
    loaded.values[5]["biases"] += 1
    save_weights(tmp_path / "more", loaded)
    before, after = (Network(cfg, file, threads=1).run(tiny.blob)[0] for file in (path, tmp_path / "more"))
    assert (after > before).all()
    np.testing.assert_array_equal(Network(loaded.graph, loaded, threads=1).run(tiny.blob)[0], after)
    loaded.values[0]["scales"] = np.zeros(5)
    with pytest.raises(WeightsError, match=r"'scales' has shape \(5,\), expected \(6,\)"):
        save_weights(tmp_path / "more", loaded)
    del loaded.values[1]
    with pytest.raises(WeightsError, match=r"'scales' has shape|no array 'biases'"):
        save_weights(tmp_path / "more", loaded)


def test_first_layers_alone(tmp_path: Path, tiny: TinyNetwork) -> None:
    cfg, path = tiny.write(tmp_path)
    part = tmp_path / "tiny.conv.2"
    save_weights(part, load_weights(cfg, path), upto=2, seen=0)
    values = sum(array.size for array in tiny.stored[:7])
    header = struct.pack("<iiiQ", 0, 2, 5, 0)
    assert part.read_bytes() == header + path.read_bytes()[20 : 20 + 4 * values]
    loaded = load_weights(cfg, part, upto=2)
    assert set(loaded.values) == {0, 1}
    save_weights(tmp_path / "again", loaded)
    assert (tmp_path / "again").read_bytes() == part.read_bytes()
    with pytest.raises(WeightsError, match=r"exactly layers 0 to 1: a backbone-only file such as NAME\.conv\.2"):
        load_weights(cfg, part)
    with pytest.raises(WeightsError, match=r"bytes, expected .* for layers 0 to 2 of"):
        load_weights(cfg, part, upto=3)
    with pytest.raises(OptionError, match="upto=7: expected at most 6"):
        load_weights(cfg, path, upto=7)
    with pytest.raises(OptionError, match="upto=0: expected at least 1"):
        save_weights(part, load_weights(cfg, path), upto=0)


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 5), (1001, 0, 0)])
def test_another_header_changes_no_result(tmp_path: Path, tiny: TinyNetwork, version: tuple[int, int, int]) -> None:
    cfg, path = tiny.write(tmp_path)
    expected = Network(cfg, path, threads=1).run(tiny.blob)[0]
    other = tmp_path / "other"
    save_weights(other, load_weights(cfg, path), version=version)
    assert other.stat().st_size == path.stat().st_size - (4 if version < (0, 2) else 0)
    np.testing.assert_array_equal(Network(cfg, other, threads=1).run(tiny.blob)[0], expected)
    save_weights(other, load_weights(cfg, other), version=(0, 2, 5))
    assert other.read_bytes() == path.read_bytes()


def test_a_count_too_large_for_the_header(tmp_path: Path, tiny: TinyNetwork) -> None:
    cfg, path = tiny.write(tmp_path, HEADERS["1.0.0"])
    with pytest.raises(WeightsError, match=r"count from 0 to 2\*\*32 - 1"):
        save_weights(tmp_path / "old", load_weights(cfg, path), version=(0, 1, 0))
    save_weights(tmp_path / "old", load_weights(cfg, path), version=(0, 1, 0), seen=5)
    assert not list(tmp_path.glob("*.part*"))


def test_the_commands(tmp_path: Path, tiny: TinyNetwork) -> None:
    cfg, path = tiny.write(tmp_path, HEADERS["0.1.0"])
    result = run("weights", "show", cfg, path)
    rows = result.stdout.splitlines()
    assert result.exit_code == 0
    assert "version 0.1.0, header of 16 bytes, 32,013,312 images seen" in rows[0]
    assert [row.split()[:4] for row in rows[3:5]] == [
        ["0", "convolutional", "biases", "16"],
        ["0", "convolutional", "scales", "40"],
    ]
    assert len(rows) == 3 + 5 + 2 + 1 + 5 + 2
    out = tmp_path / "cut"
    assert run("weights", "cut", cfg, path, out, "--layer", 2).exit_code == 0
    assert out.read_bytes()[:20] == struct.pack("<iiiQ", 0, 2, 5, 0)
    assert '"seen": 0' in run("weights", "show", cfg, out, "--layer", 2, "--json").stdout
    new = tmp_path / "new"
    assert run("weights", "convert", cfg, path, new).exit_code == 0
    assert new.read_bytes() == HEADERS["0.2.5"] + path.read_bytes()[16:]
    assert run("weights", "convert", cfg, new, new, "--version", "0.1.0").exit_code == 0
    assert new.read_bytes() == path.read_bytes()


def test_what_the_commands_refuse(tmp_path: Path, tiny: TinyNetwork) -> None:
    cfg, path = tiny.write(tmp_path)
    out = tmp_path / "out"
    refused = run("weights", "convert", cfg, path, out, "--classes", 3)
    assert refused.exit_code == 2 and "weights cut --layer" in refused.stderr and not out.exists()
    beyond = run("weights", "cut", cfg, path, out, "--layer", 9)
    assert beyond.exit_code == 2 and "has 6 layers" in beyond.stderr
    assert run("weights", "convert", cfg, path, out, "--version", "0.2").exit_code == 2
    assert run("weights").exit_code == 2
    path.write_bytes(path.read_bytes()[:-4])
    (line,) = error_lines(run("weights", "show", cfg, path))
    assert "too few" in line


# Why a file does not fit ----------------------------------------------------------------------------------------


def backbone(changed: int | None = None, **options: object) -> TinyNetwork:
    """Five convolutions and a head; layer `changed` with other options."""
    tiny = TinyNetwork((3, 8, 8))
    for index, filters in enumerate((8, 16, 8, 32)):
        own = {"filters": filters, "size": 3, "pad": 1, "batch_normalize": 1, "activation": "leaky"}
        tiny.add("convolutional", {**own, **options} if index == changed else own)
    tiny.add("convolutional", {"filters": 16, "activation": "linear"})
    tiny.add("yolo", {"classes": 3, "num": 2})
    return tiny


def complaint(tmp_path: Path, theirs: TinyNetwork) -> str:
    cfg, _ = backbone().write(tmp_path)
    path = tmp_path / "given.weights"
    path.write_bytes(weights_bytes(theirs.stored))
    with pytest.raises(WeightsError) as caught:
        load_weights(load_graph(cfg), path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changed", "options", "said"),
    [
        (1, {"filters": 24}, "[convolutional] (layer 1) had filters=24 instead of 16"),
        (3, {"filters": 20}, "[convolutional] (layer 3) had filters=20 instead of 32"),
        (0, {"batch_normalize": 0}, "(layer 0) had batch_normalize=0"),
        (2, {"batch_normalize": 0}, "(layer 2) had batch_normalize=0"),
        (3, {"size": 1}, "(layer 3) had size=1 instead of 3"),
        (1, {"size": 5}, "(layer 1) had size=5 instead of 3"),
    ],
)
def test_the_layer_that_explains_the_size_is_named(
    tmp_path: Path, changed: int, options: dict[str, object], said: str
) -> None:
    text = complaint(tmp_path, backbone(changed, **options))
    assert said in text and "use the cfg it was trained with" in text


def test_other_classes_come_with_advice(tmp_path: Path) -> None:
    theirs = backbone()
    del theirs.stored[-2:]
    theirs.stored += [np.zeros(170), np.zeros((170, 32, 1, 1))]
    text = complaint(tmp_path, theirs)
    assert "it fits classes=80 instead of 3" in text
    assert "weights cannot be given other classes" in text and "weights cut --layer 4" in text


def test_where_a_file_ends_is_named(tmp_path: Path) -> None:
    theirs = backbone()
    last = theirs.stored[-1].size
    theirs.stored[-1] = theirs.stored[-1].ravel()[:-77]
    text = complaint(tmp_path, theirs)
    assert f"it ends in {tmp_path}" in text and f"(layer 4) with {16 + last - 77} of its {16 + last} values" in text
    assert "cut short" in text
    cfg, weights = backbone().write(tmp_path)
    weights.write_bytes(weights.read_bytes()[:-2])
    with pytest.raises(WeightsError, match="its values are not whole: 2 bytes are missing at the end"):
        load_weights(cfg, weights)
