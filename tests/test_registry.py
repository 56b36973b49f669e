"""The table of public models: against what is known, against the shipped cfgs, and in weights/README.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from darknet_py import OptionError
from darknet_py.graph import load_graph
from darknet_py.models.registry import MODELS, KnownModel, known_model
from darknet_py.shipped import shipped, shipped_models
from darknet_py.weights import expected_bytes

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import weights_readme

ALL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@ALL
def test_entry_is_well_formed(model: KnownModel) -> None:
    assert model.weights.name == f"{model.name}.weights"
    assert MODELS[model.name] is model
    assert (model.cfg is None) == (model.name in shipped_models())
    for file in model.files:
        assert len({address.url for address in file.addresses}) == len(file.addresses)
        for address in file.addresses:
            parts = urlsplit(address.url)
            assert parts.scheme == "https"
            assert parts.path.rsplit("/", 1)[1] == file.name
        for digest in file.digests:
            assert re.fullmatch(r"[0-9a-f]{64}", digest)
    # Where the digest is all that tells one file from another, there is one.
    assert all(file.digests for file in (model.cfg, model.names) if file is not None)


@ALL
def test_addresses_with_something_against_them_come_last(model: KnownModel) -> None:
    noted = [bool(address.note) for address in model.weights.addresses]
    assert noted == sorted(noted)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.weights.bytes and not model.cfg])
def test_bytes_are_those_of_the_cfg(name: str) -> None:
    model = MODELS[name]
    cfg = shipped(f"{model.name}.cfg")
    assert cfg is not None
    header = 16 if model.name == "yolov2" else 20
    assert model.weights.bytes == expected_bytes(load_graph(cfg), header)


@ALL
def test_nothing_is_invented(model: KnownModel, shared: Path) -> None:
    """Every address, size and digest stands in the project's notes on public models, in the order given there."""
    text = (shared / "registry.md").read_text(encoding="utf-8")
    folder = "https://github.com/AlexeyAB/darknet/releases/download/yolov4/"
    for file in model.files:
        assert all(digest in text for digest in file.digests)
        assert file.bytes is None or f"| {file.bytes} |" in text
        urls = [address.url for address in file.addresses]
        if urls == [f"{folder}{file.name}"] and not file.digests:
            assert f"{folder}NAME.weights" in text
            continue
        for url in urls:
            base, name = url.rsplit("/", 1)
            beside = "same folder" in text and base in text and name == file.name and "Yolo-Fastest" in url
            assert url in text or beside, url
    row = next((line for line in text.splitlines() if line.startswith(f"| {model.name} |")), "")
    places = [row.find(address.url) for address in model.weights.addresses if address.url in row]
    assert places == sorted(places)


def test_yolo_fastest_is_the_files_beside_the_project(shared: Path) -> None:
    from darknet_py.models.verification import sha256

    for name in ("yolo-fastest-1.1", "yolo-fastest-1.1-xl"):
        for file in MODELS[name].files:
            assert sha256(shared / "models" / name / file.name) in file.digests


@pytest.mark.parametrize(("name", "guess"), [("yolov4-tyni", "yolov4-tiny"), ("YOLO-FAST-1.1", "yolo-fastest-1.1")])
def test_unknown_names(name: str, guess: str) -> None:
    with pytest.raises(OptionError, match=rf"did you mean {re.escape(guess)}\?.*yolov3-spp"):
        known_model(name)
    with pytest.raises(OptionError, match="expected one of yolov4-tiny, "):
        known_model("")
    assert known_model(guess.upper()).name == guess


# weights/README.md --------------------------------------------------------------------------------------------


def test_readme_is_made_from_the_registry() -> None:
    file = Path(__file__).parents[1] / "weights" / "README.md"
    text = file.read_text(encoding="utf-8")
    assert weights_readme.render(text) == text, "run python benchmarks/weights_readme.py"
    assert weights_readme.render(text.replace("yolov4-tiny` |", "yolov5` |")) == text
    for model in MODELS.values():
        assert f"| `{model.name}` |" in text
        assert all(address.url in text for address in model.weights.addresses)


def test_no_dead_address_is_named_first() -> None:
    text = (Path(__file__).parents[1] / "weights" / "README.md").read_text(encoding="utf-8")
    for row in (line for line in text.splitlines() if line.startswith("| `")):
        first = row.split(" | ")[-1].split("<br>")[0]
        if "has answered" in first:
            assert text.index("No address is known to give these any more") < text.index(row)
    assert text.index("github.com/AlexeyAB") < text.index("pjreddie.com/media")
