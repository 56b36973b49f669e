"""A plan as a table: every step of a run, as it is in the plan, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from networks import TinyNetwork, residual

from darknet_py import Network
from darknet_py.cli.main import main
from darknet_py.plan.listing import format_steps, list_steps


def joining() -> TinyNetwork:
    tiny = TinyNetwork((3, 8, 12))
    tiny.add("convolutional", {"filters": 16, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("upsample", {"stride": 2})
    tiny.add("route", {"layers": "-1,0"})
    tiny.add("convolutional", {"filters": 18, "activation": "linear"})
    tiny.add("yolo", {"classes": 1, "num": 3, "anchors": "1,2, 3,4, 5,6"})
    return tiny


def test_every_layer_that_computes_has_its_steps(folder: Path) -> None:
    network = Network(*joining().write(folder), threads=2, exact=True)
    rows = list_steps(network.plan)
    assert [number for row in rows for number in row.layers] == sorted(number for row in rows for number in row.layers)
    assert {number for row in rows for number in row.layers} >= {0, 1, 2, 4, 5}
    (last,) = (row for row in rows if row.layers == (5,))
    assert (last.operation, last.images) == ("yolo", 1) and last.tasks >= 1
    assert (last.places["x"].w, last.places["x"].h, last.places["x"].c) == (12, 8, 18)
    assert last.places["y"].format == "float32" and set(last.places) == {"x", "y"}


@pytest.mark.parametrize("images", [1, 3])
def test_places_and_scratch_are_those_of_the_plan(folder: Path, images: int) -> None:
    network = Network(*residual().write(folder), threads=2)
    plan = network.acquire(images).plan
    rows = list_steps(plan)
    assert len(rows) == len(plan.table) - images
    for row in rows:
        assert row.images in (1, images)
        assert 0 <= row.scratch <= plan.scratch_bytes
        for name, place in row.places.items():
            assert place.at == plan.table[row.number][name]["at"] < plan.arena_bytes
    assert any("second" in row.places for row in rows)


def test_a_line_for_each_step(folder: Path) -> None:
    rows = list_steps(Network(*joining().write(folder), threads=1, exact=True).plan)
    heading, *lines = format_steps(rows).splitlines()
    assert heading.split() == ["step", "layer", "operation", "images", "tasks", "scratch", "x", "second", "y", "also"]
    assert len(lines) == len(rows) and all(
        line.split()[2] == row.operation for line, row in zip(lines, rows, strict=True)
    )
    assert f"12x8x18 float32 @{rows[-1].places['y'].at}" in lines[-1]


def test_on_the_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_CONVOLUTION", "direct")
    cfg, weights = map(str, joining().write(folder))
    done = CliRunner().invoke(main, ["inspect", cfg, weights, "--plan", "--threads", "2"])
    assert done.exit_code == 0, done.output
    assert "memory" in done.stdout and done.stdout.splitlines()[-1].split()[1:3] == ["5", "yolo"]
    done = CliRunner().invoke(main, ["inspect", cfg, "--plan", "--json", "--precision", "bfloat16"])
    found = json.loads(done.stdout)["plan"]
    assert found[-1]["operation"] == "yolo" and found[-1]["places"]["y"]["w"] == 12
    done = CliRunner().invoke(main, ["inspect", cfg, "--threads", "2"])
    assert done.exit_code == 2 and "give --plan as well" in done.stderr
    Path(weights).write_bytes(b"1234")
    done = CliRunner().invoke(main, ["inspect", cfg, weights, "--plan"])
    assert done.exit_code == 1 and "memory" in done.stdout and "operation" not in done.stdout
