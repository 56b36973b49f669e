"""The outputs and choices of ``detect`` as a user asks for them."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from command_line import CFG, Model, error_lines, run

from darknet_py import Detector
from darknet_py.outputs.record_json import record_schema


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "model").mkdir()
    return Model(tmp_path / "model")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_of(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_output_at_once(model: Model, tmp_path: Path) -> None:
    one, bad, two = model.picture("one.png", (1, 1), (2, 0)), tmp_path / "bad.jpg", model.picture("two.png")
    bad.write_bytes(b"no picture")
    result = model.detect(
        "--json", "a.json", "--jsonl", "a.jsonl", "--csv", "a.csv", "--counts", "c.csv", "--coco", "coco.json",
        "--save-txt", "--save-crop", "--out", "drawn", one, bad, two,
    )  # fmt: skip
    assert (result.exit_code, len(error_lines(result))) == (1, 1)
    first, failed, last = lines_of(Path("a.jsonl").read_text())
    assert [record["index"] for record in (first, failed, last)] == [1, 2, 3]
    assert first["counts"] == {"dog": 2} and failed["error"]["kind"] == "ImageError" and last["counts"] == {}  # type: ignore[index]
    assert str(bad) in failed["error"]["message"]  # type: ignore[index]
    expected = Detector(model.cfg, model.weights).detect(one)
    assert [one["frame_id"] for one in json.loads(Path("a.json").read_text())] == [1, 3]
    assert len(Path("a.csv").read_text().splitlines()) == 1 + len(expected)
    assert Path("c.csv").read_text().splitlines()[1].endswith(",0,2,0")
    scores = [result["score"] for result in json.loads(Path("coco.json").read_text())]
    assert scores == pytest.approx(expected.confidence, abs=1e-6)
    assert Path("drawn/labels/one.txt").read_text() == expected.to_yolo_txt()
    assert Path("drawn/labels/two.txt").read_text() == "" and not Path("drawn/labels/bad.txt").exists()
    assert sorted(os.listdir("drawn/crops/dog")) == ["one.2.jpg", "one.jpg"]
    assert sorted(os.listdir("drawn")) == ["crops", "labels", "one.png", "two.png"]
    assert result.stdout.splitlines()[-1].startswith("2 pictures, 1 could not be done: 2 dog; ")


@pytest.mark.parametrize("option", ["--json", "--jsonl", "--csv", "--coco", "--counts"])
def test_outputs_on_stdout_stand_alone(model: Model, option: str) -> None:
    result = model.detect(option, "-", model.picture("one.png", (1, 1)), model.picture("two.png"))
    assert result.exit_code == 0 and "found in" not in result.stdout and "median" not in result.stdout
    if "json" in option or option == "--coco":
        assert lines_of(result.stdout) if option == "--jsonl" else json.loads(result.stdout)
    else:
        assert len(list(csv.DictReader(io.StringIO(result.stdout)))) == (1 if option == "--csv" else 2)


def test_records_say_what_was_asked_for_and_are_as_the_schema_says(model: Model) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    options = [
        "--classes", "owl, 1", "--class-thresh", "dog=0.5,cat=0.1", "--agnostic-nms", "--single-class", "--max-det", 3,
        "--thresh", "0.3", "--nms", "0.4", "--size", "64x48", "--like", "opencv", "--threads", "1", "--exact",
    ]  # fmt: skip
    result = model.detect("--jsonl", "-", *options, model.picture("one.png", (1, 1)), "missing.png", "none*.png")
    records = lines_of(result.stdout)
    assert len(records) == 3 and all(
        jsonschema.Draft202012Validator(record_schema()).validate(record) is None for record in records
    )
    for record in records:
        assert record["settings"] == {
            "thresh": 0.3, "nms": 0.4, "class_thresh": {"cat": 0.1, "dog": 0.5}, "classes": ["dog", "owl"],
            "agnostic_nms": True, "single_class": True, "max_det": 3, "like": "opencv", "letterbox": False,
            "width": 64, "height": 48, "precision": "float32", "exact": True, "threads": 1,
        }  # fmt: skip
    assert [record["error"] is None for record in records] == [True, False, False]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--classes", "dog"], {"classes": "dog"}),
        (["--classes", "0,owl"], {"classes": [0, "owl"]}),
        (["--class-thresh", "dog=0.999"], {"class_thresh": {"dog": 0.999}}),
        (["--class-thresh", "dog=0", "--thresh", "0.9999"], {"class_thresh": {1: 0}, "thresh": 0.9999}),
        (["--max-det", "2"], {"max_det": 2}),
        (["--agnostic-nms", "--nms", "0.01"], {"agnostic": True, "nms": 0.01}),
        (["--single-class", "--thresh", "0"], {"single_class": True, "thresh": 0}),
    ],
)
def test_choices_reach_the_detector(model: Model, options: list[str], arguments: dict[str, object]) -> None:
    picture = model.picture("one.png", (0, 0), (1, 1), (3, 2))
    (record,) = lines_of(model.detect("--jsonl", "-", *options, picture).stdout)
    expected = Detector(model.cfg, model.weights).detect(picture, **arguments)  # type: ignore[arg-type]
    assert record["counts"] == expected.counts()
    assert [found["class_name"] for found in record["detections"]] == list(expected.class_names)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--classes", "dgo"], "did you mean 'dog'"),
        (["--classes", "3"], "expected a number from 0"),
        (["--classes", ""], "expected names with commas"),
        (["--classes", "dog,,cat"], "expected names with commas"),
        (["--class-thresh", "dog"], "expected CLASS=NUMBER"),
        (["--class-thresh", "dog=1.5"], "expected CLASS=NUMBER"),
        (["--class-thresh", "dog=nan"], "expected CLASS=NUMBER"),
        (["--class-thresh", "dgo=0.5"], "did you mean 'dog'"),
        (["--max-det", "0"], "0 is not in the range"),
        (["--jsonl", "-", "--csv", "-"], "both write to standard output"),
        (["--jsonl", "a", "--csv", "./a"], "both write to"),
        (["--resume"], "give it with --jsonl FILE"),
        (["--resume", "--jsonl", "-"], "give it with --jsonl FILE"),
        (["--resume", "--jsonl", "a", "--save-txt"], "--save-dir"),
        (["--coco-ids", "a"], "--coco"),
        (["--save-dir", "a"], "--save-txt"),
        (["--coco", "a", "--coco-ids", "missing"], "missing: cannot be read"),
        (["--jsonl", "no/folder/a"], "cannot be written"),
        (["--save-txt", "--save-dir", os.devnull], ""),
    ],
)
def test_wrong_usage_is_one_line(model: Model, tmp_path: Path, options: list[str], said: str) -> None:
    result = model.detect(*options, model.picture("one.png", (1, 1)))
    (line,) = error_lines(result)
    assert (result.exit_code, result.stdout) == (2, "") and said in line
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_a_new_folder_for_each_run_that_names_none(model: Model) -> None:
    for number in ("", "2", "3"):
        result = model.detect("--save-conf", model.picture("one.png", (1, 1)))
        folder = Path("runs", "detect", f"predict{number}")
        assert result.stderr.strip() == f"Label files and crops are in {folder}"
        assert len((folder / "labels" / "one.txt").read_text().split()) == 6


def test_nothing_done_leaves_the_files_of_before(model: Model) -> None:
    for name in ("a.json", "a.csv", "coco.json"):
        Path(name).write_text("of before")
    result = model.detect("--json", "a.json", "--csv", "a.csv", "--coco", "coco.json", "missing.png")
    assert result.exit_code == 1
    assert {Path(name).read_text() for name in ("a.json", "a.csv", "coco.json")} == {"of before"}


def test_an_unreadable_model_leaves_the_lines_of_before(model: Model) -> None:
    Path("a.jsonl").write_text("of before")
    model.cfg.write_text(CFG.replace("filters=8", "filters=7"))
    assert model.detect("--jsonl", "a.jsonl", model.picture("one.png")).exit_code == 1
    assert Path("a.jsonl").read_text() == "of before"


def test_resuming_does_what_is_missing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [model.picture(f"{name}.png", (1, 1)) for name in "abc"]
    files = ["--jsonl", "a.jsonl", "--json", "a.json", "--csv", "a.csv"]
    assert model.detect(*files, *pictures, "missing.png").exit_code == 1
    whole = {name: Path(name).read_text() for name in ("a.jsonl", "a.json", "a.csv")}
    lines = whole["a.jsonl"].splitlines(keepends=True)
    Path("a.jsonl").write_text("".join(lines[:2]) + lines[2][:50])
    looked: list[object] = []
    real = Detector.detect

    def detect(self: Detector, image: object, *arguments: object, **options: object) -> object:
        if len(self.names) == 3:  # not the stand-in that loads the kernels
            looked.append(image)
        return real(self, image, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "detect", detect)
    result = model.detect("--resume", *files, *pictures, "missing.png")
    assert result.exit_code == 1 and len(looked) == 1
    assert "2 of the pictures and frames were done before" in result.stderr
    assert {name: Path(name).read_text() for name in ("a.json", "a.csv")} == {
        name: whole[name] for name in ("a.json", "a.csv")
    }
    assert [record["name"] for record in lines_of(Path("a.jsonl").read_text())] == [*map(str, pictures), "missing.png"]
    looked.clear()
    again = model.detect("--resume", *files, *pictures, "missing.png")
    assert (again.exit_code, looked) == (1, [])  # what failed before failed


def test_resuming_with_other_settings_is_refused(model: Model) -> None:
    picture = model.picture("one.png", (1, 1))
    model.detect("--jsonl", "a.jsonl", picture)
    before = Path("a.jsonl").read_text()
    result = model.detect("--resume", "--jsonl", "a.jsonl", "--classes", "dog", picture)
    (line,) = error_lines(result)
    assert result.exit_code == 2 and "a.jsonl:1: made with classes None, now ['dog']" in line
    assert Path("a.jsonl").read_text() == before


def test_help_names_every_output() -> None:
    text = run("detect", "--help").stdout
    for option in ("--jsonl", "--csv", "--counts", "--coco", "--save-txt", "--save-crop", "--resume", "--classes"):
        assert option in text
