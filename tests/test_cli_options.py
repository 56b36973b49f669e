"""Whatever is given as an option: results or one line, never a traceback, and never hours of work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_line import Model, error_lines, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]

LONG = ("9" * 5000, "-" + "9" * 5000, "0" * 5000 + "1x")
#: Command and option → values that it must refuse, each in one line and with exit code 2.
REFUSED = {
    ("detect", "--threads"): (*LONG, "0", "-1", "1025", "1e3", "nan", "", " ", "1" * 19),
    ("detect", "--size"): (*LONG, "", "x", "0x0", "-1x32", "1e3", "nan", f"{'9' * 5000}x32", "32768", "99999999999"),
    ("detect", "--thresh"): (*LONG[:2], "", "nan", "inf", "-0.1", "1.01", "1e400"),
    ("detect", "--nms"): (*LONG[:2], "", "nan", "-inf", "2"),
    ("detect", "--json"): ("", ".", "no/such/folder/x.json", "x" * 300),
    ("detect", "--jsonl"): ("", ".", "no/such/folder/x.jsonl", "x" * 300),
    ("detect", "--csv"): ("", ".", "no/such/folder/x.csv", "x" * 300),
    ("detect", "--coco"): ("", ".", "no/such/folder/x.json", "x" * 300),
    ("detect", "--counts"): ("", ".", "no/such/folder/x.csv"),
    ("detect", "--classes"): ("", " ", ",", "nothing", "9" * 5000, "x" * 5000, '"', "a\nb"),
    ("detect", "--class-thresh"): ("", "dog", "dog=", "=1", "dog=2", "dog=nan", "9=0.5", "x" * 5000 + "=0.5"),
    ("detect", "--max-det"): (*LONG, "", "0", "-1", "1e3", "nan"),
    ("detect", "--save-dir"): ("", os.devnull),
    ("detect", "--out"): ("", os.devnull, os.devnull + "/x"),
    ("detect", "--names"): ("",),
    ("detect", "--precision"): ("", "x" * 5000),
    ("detect", "--like"): ("", "x" * 5000),
    ("bench", "--repeat"): (*LONG, "0", "-1", "100000000000000000000", "10001", "1e2", "nan", ""),
    ("bench", "--threads"): (*LONG, "", "0", "1,", "1,,2", "1025", "nan", ",".join("1" * 17), "1," + "9" * 5000),
    ("bench", "--size"): (*LONG, "", "0", "nan", "32768"),
    ("warmup", "--threads"): (*LONG, "0", "1025", ""),
    ("warmup", "--size"): (*LONG, "0", ""),
    ("inspect", "--size"): (*LONG, "", "0", "-1", "32768"),
    ("inspect", "--model"): ("", "x" * 5000, "../../etc/passwd"),
    ("export", "--batch"): (*LONG, "", "0", "-1", "65537", "1e2", "\u00b2"),
    ("export", "--onnx"): ("", ".", "no/such/folder/x.onnx"),
    ("download", "--timeout"): (*LONG, "", "nan", "0", "-1", "inf"),
    ("download", "--dir"): ("", os.devnull, os.devnull + "/x"),
    ("download", "--url"): ("", "ftp://example.org/", "file:///etc/passwd"),
    ("demo", "--out"): ("", os.devnull),
    ("serve", "--patience"): (*LONG[:2], "", "nan", "inf", "0"),
    ("detect", "--overlap"): (*LONG[:2], "", "nan", "1"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DARKNET_PY_OFFLINE", "1")
    monkeypatch.setenv("DARKNET_PY_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


def arguments_of(command: str, model: Model) -> list[object]:
    """What the command needs besides the option."""
    return {
        "detect": ["--cfg", model.cfg, "--weights", model.weights, model.picture("photo.png", (1, 1))],
        "bench": [model.cfg],
        "warmup": [model.cfg],
        "inspect": [],
        "export": ["--onnx", model.folder / "out.onnx", model.cfg, model.weights],
        "download": ["yolov4-tiny"],
        "demo": [],
        "serve": [],
    }[command]


@pytest.mark.parametrize(("command", "option"), REFUSED)
def test_refused_values(command: str, option: str, model: Model) -> None:
    for value in REFUSED[command, option]:
        given = arguments_of(command, model)
        if option == "--size" and command == "inspect":
            given = [model.cfg]
        if option == "--onnx":
            given = given[2:]
        result = run(command, option, value, *given)
        assert result.exit_code == 2, (value[:50], result.output)
        (line,) = error_lines(result)
        assert len(line) < 1100, value[:50]
        assert result.stdout == ""
    assert not (model.folder / "out.onnx").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", ""],
        ["inspect", "yolov4", ""],
        ["bench", ""],
        ["warmup", ""],
        ["detect", "--cfg", "", "x.jpg"],
        ["detect", "--model", "", "x.jpg"],
        ["detect", "--cfg", "yolov4", "--weights", "", "x.jpg"],
        ["export", "--onnx", "x", "yolov4", ""],
        ["download", ""],
    ],
)
def test_empty_texts(arguments: list[str]) -> None:
    """A variable that is not set makes them of a script's arguments."""
    result = run(*arguments)
    assert (result.exit_code, len(error_lines(result)), result.stdout) == (2, 1, "")


@pytest.mark.parametrize("command", ["detect", "bench"])
def test_threads_that_cannot_be_had(command: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    arguments = arguments_of(command, model)
    monkeypatch.setattr(threading.Thread, "start", none_left)
    result = run(command, "--threads", "1000", *arguments)
    assert result.exit_code in (0, 1)  # with fewer, or in a line
    for line in error_lines(result):
        assert "no more threads (can't start new thread)" in line


VALUES = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", " ", "-", "--", "1" * 5000, "nan", "1e999", "0x10", "1_0", "+5", "\ufffd", "\udce9", "a\nb"]),
)
OPTIONS = {
    "detect": [
        "--thresh",
        "--nms",
        "--threads",
        "--size",
        "--like",
        "--precision",
        "--names",
        "--model",
        "--classes",
        "--class-thresh",
        "--max-det",
    ],
    "inspect": ["--size", "--model"],
    "export": ["--size", "--batch", "--mish", "--names", "--model"],
    "bench": ["--repeat", "--threads", "--size", "--precision", "--model"],
    "warmup": ["--threads", "--size", "--precision", "--model"],
    "download": ["--timeout", "--url"],
}


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_ends_in_results_or_lines(model: Model, data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(OPTIONS)))
    given = arguments_of(command, model)
    for option in data.draw(st.lists(st.sampled_from(OPTIONS[command]), unique=True, min_size=1, max_size=3)):
        given = [f"{option}={data.draw(VALUES)}", *given]
    if command in ("bench", "warmup"):  # each right one would take seconds
        given = ["--size=33", *given]
    result = run(command, *given)
    assert result.exit_code in (0, 1, 2)
    if result.exit_code:
        assert error_lines(result)
        assert all(len(line) < 1100 for line in result.stderr.splitlines())


# Full disks, names of other bytes -----------------------------------------------------------------------------


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "darknet_py", *arguments]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, text=True, env=environment, timeout=100, **{"stderr": subprocess.PIPE, **options}
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["inspect", "yolov4-tiny"], ["detect"], ["json"]])
def test_a_full_disk_behind_standard_output(arguments: list[str], model: Model) -> None:
    given: list[object] = list(arguments)
    if arguments[0] in ("detect", "json"):
        given = ["detect", *(["--json", "-"] if arguments[0] == "json" else []), *arguments_of("detect", model)]
    with open("/dev/full", "w") as full:
        done = process(*given, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "Error: standard output: cannot be written (No space left on device)\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_standard_error_stops_nothing(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    with open("/dev/full", "w") as full:
        done = process(
            "detect", "nosuch.png", "--json", target, *arguments_of("detect", model),
            stdout=subprocess.PIPE, stderr=full,
        )  # fmt: skip
    assert done.returncode == 1
    assert len(json.loads(target.read_text())) == 1
    with open("/dev/full", "w") as full:
        assert process("detect", "--unknown", stdout=subprocess.PIPE, stderr=full).returncode in (1, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="file names of bytes")
def test_names_of_other_bytes(model: Model, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    picture = os.path.join(folder, b"caf\xe9.png")
    os.rename(model.picture("caf.png", (1, 1)), picture)
    for source, name in ((model.cfg, b"mod\xe8l.cfg"), (model.weights, b"mod\xe8l.weights")):
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(source.read_bytes())
    cfg, weights = os.path.join(folder, b"mod\xe8l.cfg"), os.path.join(folder, b"mod\xe8l.weights")
    found, out = os.path.join(folder, b"r\xe9sultat.json"), os.path.join(folder, b"dessin\xe9")
    done = process("detect", "--cfg", cfg, "--weights", weights, "--json", found, "--out", out, picture)
    assert (done.returncode, done.stderr) == (0, "")
    with open(found, encoding="utf-8") as file:
        (record,) = json.load(file)
    assert record["filename"].endswith("caf\\xe9.png") and record["filename_base64"]
    assert os.listdir(out) == [b"caf\xe9.png"]
    done = process("inspect", "--json", cfg, weights, stdout=subprocess.PIPE)
    assert json.loads(done.stdout)["file"].encode().endswith(b"mod\\xe8l.cfg")
    done = process("export", "--onnx", os.path.join(folder, b"mod\xe8l.onnx"), cfg, weights, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
