"""JSON lines: what the schema says, exact to the bit when read back, and gone on with wherever they were broken off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import FOUND, MODEL, NAMES, NOTHING, RUN, SETTINGS, detections, write

from darknet_py.errors import ImageError, OptionError
from darknet_py.outputs import Outputs, Record, Run
from darknet_py.outputs.json_lines import JsonLines
from darknet_py.outputs.record_json import record_from_json, record_schema, record_to_json

COMMON = {"model": MODEL, "settings": SETTINGS}
RECORDS = (
    Record("a/photo.jpg", 1, FOUND, stem="photo", timings={"read": 0.0012, "detect": 0.0345}),
    Record.failed("b\udce9.jpg", 2, ImageError("b\udce9.jpg: not an image"), stem="b\udce9"),
    Record("v.mp4", 3, NOTHING, frame=1, time=0.0, stem="v"),
    Record("v.mp4", 4, FOUND, frame=2, time=1 / 30, stem="v", timings={"detect": 0.01}),
    Record("a/photo.jpg", 5, NOTHING, stem="photo-2"),
)


def valid(plain: Any) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(record_schema())
    return bool(jsonschema.Draft202012Validator(record_schema()).is_valid(plain))


def test_records_are_what_the_schema_says(tmp_path: Path) -> None:
    write(JsonLines(tmp_path / "a"), *RECORDS)
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert len(lines) == len(RECORDS) and all(map(valid, lines))
    first, failed, _, frame, _ = lines
    assert first["counts"] == {"cat": 1, "dog": 2} and first["timings"] == {"read_ms": 1.2, "detect_ms": 34.5}
    assert (first["width"], first["height"], first["error"]) == (64, 48, None)
    assert failed["error"]["kind"] == "ImageError" and failed["width"] is None and failed["detections"] == []
    assert (frame["frame"], frame["time"], frame["index"]) == (2, 0.033333, 4)


def test_the_schema_refuses_what_is_no_record() -> None:
    good = record_to_json(RECORDS[0], COMMON)
    assert valid(good) and valid(good | {"new": 1})
    for change in (
        {"schema": 2}, {"index": 0}, {"frame": 0}, {"width": None}, {"error": "no"}, {"timings": {"read_ms": -1}},
        {"error": {"kind": "ImageError", "message": ""}}, {"detections": [{}]}, {"model": {**MODEL, "cfg_sha256": "x"}},
        {"settings": {**SETTINGS, "thresh": 2}}, {"counts": {"dog": 0}},
    ):  # fmt: skip
        assert not valid(good | change), change
    for key in good:
        assert not valid({name: value for name, value in good.items() if name != key}), key


def same(one: Record, other: Record) -> bool:
    names = ("name", "index", "error", "frame", "size", "stem")
    return one.detections == other.detections and all(getattr(one, name) == getattr(other, name) for name in names)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: str(record.index))
def test_a_record_is_read_back_as_it_was(record: Record) -> None:
    assert same(record_from_json(json.loads(json.dumps(record_to_json(record, COMMON)))), record)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4), st.floats(0, 1))
def test_every_float32_is_read_back_to_the_bit(corners: list[float], confidence: float) -> None:
    record = Record("a", 1, detections((2, confidence, corners)))
    assert same(record_from_json(json.loads(json.dumps(record_to_json(record, COMMON)))), record)


def test_numbers_that_are_not_finite_are_null() -> None:
    plain = record_to_json(Record("a", 1, detections((0, 0.5, (np.nan, np.inf, 1, 2)))), COMMON)
    assert plain["detections"][0]["left"] is plain["detections"][0]["top"] is None and valid(plain)
    assert record_from_json(plain).detections is not None


class Collector:
    """A writer that keeps what it is given."""

    needs_pixels, kept = False, ""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def __enter__(self) -> None: ...

    def begin(self, run: Run) -> None: ...

    def write(self, record: Record) -> None:
        self.records.append(record)

    def __exit__(self, *of_the_block: object) -> None: ...


def resume(path: Path, *records: Record, run: Run = RUN) -> Collector:
    """A run over these that skips what the file has."""
    collector = Collector()
    with Outputs([collector], JsonLines(path, resume=True)) as outputs:
        outputs.begin(run)
        for record in records:
            if not outputs.done(record.name, record.frame):
                outputs.write(record)
    return collector


def test_broken_off_anywhere_and_resumed_it_is_as_if_it_were_not(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write(JsonLines(target), *RECORDS)
    whole = target.read_bytes()
    ends = [end for end, byte in enumerate(whole) if byte == 10]
    for size in {0, *range(1, len(whole), 211), *ends, *(end + 1 for end in ends), len(whole)}:
        target.write_bytes(whole[:size])
        collector = resume(target, *RECORDS)
        assert target.read_bytes() == whole, size
        assert all(map(same, collector.records, RECORDS)) and len(collector.records) == len(RECORDS)


def test_without_a_file_it_begins_one(tmp_path: Path) -> None:
    resume(tmp_path / "a", *RECORDS)
    assert len((tmp_path / "a").read_text().splitlines()) == len(RECORDS)


def test_other_pictures_are_added(tmp_path: Path) -> None:
    resume(tmp_path / "a", RECORDS[0])
    collector = resume(tmp_path / "a", RECORDS[2], RECORDS[0], RECORDS[4])
    assert [record.index for record in collector.records] == [1, 3, 5]  # the same name twice is two pictures


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (replace(RUN, settings={**SETTINGS, "thresh": 0.5}), "thresh 0.25, now 0.5"),
        (replace(RUN, settings={**SETTINGS, "classes": ["dog"]}), r"classes None, now \['dog'\]"),
        (replace(RUN, settings={**SETTINGS, "tiles": "auto"}), "tiles None, now 'auto'"),
        (replace(RUN, model={**MODEL, "weights_sha256": "d" * 64}), "other weights"),
        (replace(RUN, model={**MODEL, "names_sha256": "d" * 64}), "other class names"),
    ],
)
def test_records_of_another_run_are_left_as_they_are(tmp_path: Path, run: Run, said: str) -> None:
    target = tmp_path / "a"
    write(JsonLines(target), *RECORDS[:2])
    before = target.read_bytes()
    with pytest.raises(OptionError, match=rf"a:1: made with {said}"):
        resume(target, *RECORDS, run=run)
    assert target.read_bytes() == before


def test_what_has_no_consequence_may_differ(tmp_path: Path) -> None:
    write(JsonLines(tmp_path / "a"), RECORDS[0])
    run = Run(NAMES, {**MODEL, "weights": "renamed.weights"}, {**SETTINGS, "threads": 1, "tiles": None})
    assert len(resume(tmp_path / "a", *RECORDS, run=run).records) == len(RECORDS)


@pytest.mark.parametrize(
    "text", ["no json\n", "[]\n", "{}\n", "3\n", '{"schema": 2}\n', '{"schema": 1}\n', "[" * 99999 + "\n", "\n", "\0\n"]
)
def test_a_file_of_something_else_is_refused_and_left(tmp_path: Path, text: str) -> None:
    target = tmp_path / "a"
    write(JsonLines(target), RECORDS[0])
    target.write_text(before := target.read_text() + text)
    with pytest.raises(OptionError, match=r"a:2: not a record of schema 1"):
        resume(target, *RECORDS)
    assert target.read_text() == before


def test_a_folder_is_no_file_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="not a file"):
        resume(tmp_path)
