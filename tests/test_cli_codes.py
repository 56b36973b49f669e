"""``darknet-py codes``: its lines and records, what it shares with detect, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import pytest
from command_line import Model, error_lines, run
from printed_codes import printed, scene

from darknet_py.codes.zxing import need_zxing
from darknet_py.outputs.record_json import record_schema


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", scene((printed("QRCode", "über\n1"), 60, 40), (printed("EAN13", "4006381333931"), 200, 250)))
    cv2.imwrite("b.png", scene())
    (tmp_path / "model").mkdir()
    return Model(tmp_path / "model")


def codes(model: Model, *arguments: object):
    return run("codes", "--cfg", model.cfg, "--weights", model.weights, *arguments)


def test_a_line_a_code(model: Model) -> None:
    result = codes(model, "--thresh", "1", "a.png", "b.png")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("a.png: QR Code [") and lines[0].endswith('] "über\\n1"')
    assert lines[1].startswith("a.png: EAN-13 [") and lines[1].endswith('] "4006381333931"')
    assert lines[2] == "b.png: nothing read"
    assert "1 QR Code" in lines[3] and "1 EAN-13" in lines[3]


def test_boxes_that_cannot_be_read_are_told_on_demand(model: Model) -> None:
    assert "not read" not in codes(model, "b.png").stdout
    assert "b.png: dog [" in codes(model, "--unread", "b.png").stdout  # bright cells


def test_records_have_the_codes_and_are_resumed(model: Model) -> None:
    assert codes(model, "--jsonl", "read.jsonl", "a.png").exit_code == 0
    (record,) = map(json.loads, Path("read.jsonl").read_text().splitlines())
    assert sorted(one["text"] for one in record["codes"]) == ["4006381333931", "über\n1"]
    assert record["settings"]["unread"] is False and "decode_ms" in record["timings"]
    pytest.importorskip("jsonschema").validate(record, record_schema())
    assert codes(model, "--jsonl", "read.jsonl", "--resume", "a.png", "b.png").exit_code == 0
    first, second = map(json.loads, Path("read.jsonl").read_text().splitlines())
    assert first == record and second["name"] == "b.png" and second["codes"] == []
    result = codes(model, "--jsonl", "read.jsonl", "--resume", "--unread", "a.png")
    assert result.exit_code == 2 and "unread" in error_lines(result)[0]
    standard = codes(model, "--jsonl", "-", "a.png")
    assert json.loads(standard.stdout)["codes"] == record["codes"]


def test_what_cannot_be_read_does_not_stop_the_others(model: Model) -> None:
    Path("c.jpg").write_bytes(b"no picture")
    result = codes(model, "nix.png", "c.jpg", "a.png")
    assert result.exit_code == 1 and len(error_lines(result)) == 2
    assert "EAN-13" in result.stdout
    assert codes(model, "nix.png").exit_code == 1
    assert codes(model).exit_code == 2
    assert codes(model, "--resume", "a.png").exit_code == 2
    assert codes(model, "--looks", "twice", "a.png").exit_code == 2


def test_tiles_and_looks(model: Model) -> None:
    result = codes(model, "--tiles", "160x120", "--looks", "frame,whole", "--thresh", "1", "a.png")
    assert result.exit_code == 0 and "QR Code" in result.stdout


def test_without_the_reader(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    need_zxing.cache_clear()
    result = codes(model, "a.png")
    assert result.exit_code == 1 and 'pip install "darknet-numba[codes]"' in error_lines(result)[0]
