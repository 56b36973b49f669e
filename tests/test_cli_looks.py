"""``--looks`` of detect and evaluate: what it changes, what records say of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Model, error_lines, run

from darknet_py.outputs.record_json import record_schema


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.chdir(tmp_path)
    return Model(tmp_path)


def test_detect_looks_and_says_so(model: Model) -> None:
    picture = model.picture("a.png", (0, 0))
    records = []
    for name, looks in (("whole", ()), ("double", ("--looks", "double")), ("all", ("--looks", "whole, double,frame"))):
        assert model.detect("--jsonl", f"{name}.jsonl", *looks, picture).exit_code == 0
        records.append(json.loads(Path(f"{name}.jsonl").read_text()))
        pytest.importorskip("jsonschema").validate(records[-1], record_schema())
    whole, double, every = records
    assert "looks" not in whole["settings"]
    assert double["settings"]["looks"] == ["double"] and every["settings"]["looks"] == ["frame", "whole", "double"]
    assert (len(whole["detections"]), len(double["detections"])) == (1, 4)  # cells of half the size
    result = model.detect("--looks", "frame", "--jsonl", "all.jsonl", "--resume", picture)
    assert result.exit_code == 2 and "looks" in error_lines(result)[0]
    assert model.detect("--jsonl", "whole.jsonl", "--resume", "--looks", "whole", picture).exit_code == 0


@pytest.mark.parametrize("looks", ["all", "frame,,whole", "", "frame;whole"])
def test_what_is_no_look_is_a_wrong_option(model: Model, looks: str) -> None:
    result = model.detect("--looks", looks, model.picture("a.png", (0, 0)))
    assert result.exit_code == 2 and "'--looks'" in result.stderr


def test_evaluate_looks(model: Model, tmp_path: Path) -> None:
    model.picture("set/images/a.png", (1, 1)) if (tmp_path / "set/images").mkdir(parents=True) is None else None
    (tmp_path / "set/labels").mkdir()
    (tmp_path / "set/labels/a.txt").write_text("1 0.375 0.5 0.25 0.333333\n")
    figures = {}
    for looks in ("whole", "double"):
        arguments = ("--cfg", model.cfg, "--weights", model.weights, "--looks", looks, "--json", f"{looks}.json")
        assert run("evaluate", *arguments, "--detections", f"{looks}.jsonl", tmp_path / "set").exit_code == 0
        figures[looks] = json.loads(Path(f"{looks}.json").read_text())["darknet"]["true_positives"]
    assert figures == {"whole": 1, "double": 0}
    assert json.loads(Path("double.jsonl").read_text())["settings"]["looks"] == ["double"]
