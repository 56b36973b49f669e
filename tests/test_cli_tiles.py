"""``darknet-py detect --tiles``: what it finds, what its records say, and pictures larger than may be decoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Model, error_lines
from PIL import Image

from darknet_py.outputs.record_json import record_schema
from darknet_py.tiling import strips

#: Top left corners of what is to be found: too small to be seen in the picture as a whole.
SPOTS = [(40, 32), (208, 96), (104, 160)]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    return Model(tmp_path / "model")


@pytest.fixture
def aerial(tmp_path: Path) -> Path:
    pixels = np.zeros((192, 256, 3), np.uint8)
    for left, top in SPOTS:
        pixels[top : top + 8, left : left + 8] = 255
    Image.fromarray(pixels).save(tmp_path / "aerial.png")
    return tmp_path / "aerial.png"


def records(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def places(record: dict[str, Any]) -> list[tuple[str, float, float]]:
    return sorted((one["class_name"], round(one["left"]), round(one["top"])) for one in record["detections"])


def test_small_objects_are_found_and_records_say_how(model: Model, aerial: Path) -> None:
    tiles = ("--tiles", "32x24", "--overlap", "0")
    assert model.detect("--jsonl", "whole.jsonl", aerial).exit_code == 0
    assert model.detect(*tiles, "--jsonl", "tiles.jsonl", aerial).exit_code == 0
    (whole,), (tiled,) = records("whole.jsonl"), records("tiles.jsonl")
    assert whole["detections"] == [] and "tiles" not in whole["settings"]
    assert places(tiled) == sorted(("dog", left, top) for left, top in SPOTS)
    assert (tiled["settings"]["tiles"], tiled["settings"]["overlap"]) == ([32, 24], 0.0)
    assert model.detect("--tiles", "auto", "--jsonl", "auto.jsonl", aerial).exit_code == 0
    (auto,) = records("auto.jsonl")
    assert (auto["settings"]["tiles"], auto["settings"]["overlap"]) == ([32, 24], 0.2)
    result = model.detect("--tiles", "auto", "--jsonl", "whole.jsonl", "--resume", aerial)
    assert result.exit_code == 2 and "now" in error_lines(result)[0]
    pytest.importorskip("jsonschema").validate(tiled, record_schema())


def test_drawn_pictures_have_the_same_boxes(model: Model, aerial: Path) -> None:
    tiles = ("--tiles", "32x24", "--overlap", "0")
    assert model.detect(*tiles, "--jsonl", "a.jsonl", aerial).exit_code == 0
    assert model.detect(*tiles, "--jsonl", "b.jsonl", "--out", "drawn", aerial).exit_code == 0
    assert records("a.jsonl")[0]["detections"] == records("b.jsonl")[0]["detections"]
    with Image.open("drawn/aerial.png") as drawn:
        assert drawn.size == (256, 192)


def test_pictures_beyond_what_may_be_decoded(model: Model, aerial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_SMALL", 1000)
    monkeypatch.setenv("DARKNET_PY_MAX_PIXELS", "1000")
    result = model.detect("--tiles", "auto", "--jsonl", "a.jsonl", aerial)
    assert result.exit_code == 0 and records("a.jsonl")[0]["width"] == 256
    result = model.detect("--tiles", "auto", "--out", "drawn", aerial)
    assert (result.exit_code, len(error_lines(result))) == (1, 1) and "MAX_PIXELS" in result.stderr


def test_a_broken_picture_does_not_stop_the_others(model: Model, aerial: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(aerial.read_bytes()[:100])
    result = model.detect("--tiles", "auto", "--jsonl", "a.jsonl", "bad.png", aerial, "missing.png")
    assert (result.exit_code, len(error_lines(result))) == (1, 2)
    assert [record["error"] is None for record in records("a.jsonl")] == [False, True, False]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--overlap", "0.2"],
        ["--tiles", "0"],
        ["--tiles", "large"],
        ["--tiles", ""],
        ["--tiles", "auto", "--overlap", "0.95"],
        ["--tiles", "auto", "--overlap", "nan"],
    ],
)
def test_wrong_usage_has_one_line(model: Model, aerial: Path, arguments: list[str]) -> None:
    result = model.detect(*arguments, aerial)
    assert (result.exit_code, len(error_lines(result)), result.stdout) == (2, 1, "")
