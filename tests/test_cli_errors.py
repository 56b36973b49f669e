"""The command line in trouble: wrong options, broken models, Ctrl-C, closed pipes. Never a traceback."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CFG, Model, error_lines, found_in, run, weights_bytes

from darknet_py import Detector
from darknet_py.cache.places import Layer, Layers
from darknet_py.cli import warmup
from darknet_py.cli.main import _errors_as_lines
from darknet_py.cli.report import Report

ROOT = Path(__file__).parents[1]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path)


# Wrong options and models -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--thresh", "1.5"], "--thresh"),
        (["--thresh", "nan"], "0 to 1"),
        (["--nms", "-1"], "--nms"),
        (["--nms", "much"], "--nms"),
        (["--threads", "0"], "--threads"),
        (["--size", "608*"], "WIDTHxHEIGHT"),
        (["--size", "0x0"], "1 and 32768"),
        (["--size", "99999x32"], "1 and 32768"),
        (["--size", "33x24"], "multiples of 8"),
        (["--like", "caffe"], "darknet.py"),
        (["--letterbox", "--like", "opencv"], "letterbox"),
        (["--json", "no/such/folder/x.json"], "cannot be written"),
        (["--out", os.devnull], "--out"),
        (["--unknown"], "--unknown"),
    ],
)
def test_wrong_options_exit_with_2(model, arguments, said):
    result = model.detect(*arguments, model.picture("photo.png"))
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("threads", ["0", "1025", "1,", "many"])
def test_bench_refuses_thread_counts(threads):
    result = run("bench", "yolov4-tiny", "--threads", threads)
    assert result.exit_code == 2
    assert "from 1 to 1024" in result.stderr


def test_no_picture_at_all_leaves_the_json_of_before(model, tmp_path):
    kept = tmp_path / "found.json"
    kept.write_text("of before")
    for names in (["nosuch*.jpg", ""], ["nosuch.jpg"]):
        result = model.detect("--json", str(kept), *names)
        assert result.exit_code == 1
        assert len(error_lines(result)) == len(names)
        assert kept.read_text() == "of before"
    assert model.detect("--json", "-", "nosuch*.jpg").stdout.split() == ["[", "]"]


@pytest.mark.parametrize("arguments", [["detect"], ["inspect"], ["warmup"], ["fly"]])
def test_missing_arguments_exit_with_2(arguments):
    assert run(*arguments).exit_code == 2


BROKEN_CFGS = {
    "empty": ("", "no [section]"),
    "without [net]": (CFG.split("channels=3\n")[1], "expected [net]"),
    "negative size": (CFG.replace("width=32", "width=-32"), "width=-32"),
    "absurd size": (CFG.replace("width=32", "width=999999999"), "width=999999999"),
    "absurd filters": (CFG.replace("filters=8", "filters=99999999"), "filters=99999999"),
    "later layer": (CFG.replace("[yolo]", "[route]\nlayers=5\n[yolo]"), "layers names layer 5"),
    "mask outside": (CFG.replace("mask=0", "mask=3"), "mask=3 points outside"),
    "wrong filters": (CFG.replace("classes=3", "classes=80"), "set filters=85"),
    "unknown layer": (CFG.replace("[yolo]", "[conv3d]\n[yolo]"), "no such layer type"),
    "unknown activation": (CFG.replace("linear", "lienar"), "activation=lienar"),
    "no head": (CFG.split("[yolo]")[0], "no detection head"),
    "five channels": (CFG.replace("channels=3", "channels=5"), "channels=5, but pictures have 1, 3 or 4"),
    "binary": ("\0\1\2", "binary file"),
}


@pytest.mark.parametrize("case", BROKEN_CFGS)
def test_broken_cfg_is_one_error_line(model, case):
    text, said = BROKEN_CFGS[case]
    model.cfg.write_text(text)
    if case == "five channels":
        model.weights.write_bytes(weights_bytes(5))
    target = model.folder / "found.json"
    result = model.detect("--json", target, model.picture("photo.png"))
    (line,) = error_lines(result)
    assert said in line
    assert "tiny.cfg" in line
    assert (result.exit_code, result.stdout) == (1, "")
    assert not target.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-400], "400 bytes too few"),
        (lambda data: data + b"xxxx", "4 bytes too many"),
        (lambda data: b"", "empty"),
        (lambda data: data[:3], "too short"),
        (None, "No such file"),
    ],
)
def test_weights_that_do_not_fit(model, change, said):
    if change is None:
        model.weights.unlink()
    else:
        model.weights.write_bytes(change(model.weights.read_bytes()))
    result = model.detect(model.picture("photo.png"))
    (line,) = error_lines(result)
    assert said in line
    assert "tiny.weights" in line
    assert result.exit_code == 1


@pytest.mark.parametrize("content", ["one\ntwo\n", "", "\0\0"])
def test_names_that_do_not_fit(model, content):
    names = model.folder / "wrong.names"
    names.write_text(content)
    result = model.detect("--names", names, model.picture("photo.png"))
    assert (result.exit_code, len(error_lines(result))) == (1, 1)
    assert "wrong.names" in result.stderr


def test_cfg_that_is_nowhere_lists_the_shipped_models(model):
    result = run("detect", "--cfg", "yolov99", "--weights", model.weights, model.picture("photo.png"))
    assert result.exit_code == 1
    assert "yolov4-tiny" in result.stderr


# Warnings, Ctrl-C, terminals ----------------------------------------------------------------------------------


def test_warnings_are_lines_and_leave_logging_as_it_was(model):
    model.cfg.write_text(CFG.replace("size=8", "size=8\nszie=3"))
    logger = logging.getLogger("darknet_py")
    before = (list(logger.handlers), logger.propagate)
    result = model.detect(model.picture("photo.png"))
    (line,) = result.stderr.splitlines()
    assert line.startswith("Warning: ")
    assert "szie=3" in line
    assert (list(logger.handlers), logger.propagate) == before


def test_ctrl_c_keeps_what_was_done(model, monkeypatch):
    target = model.folder / "found.json"
    target.write_text("[]")
    real, calls = Detector.detect, []

    def detect(self: Detector, *arguments: object, **options: object) -> object:
        calls.append(1)
        if self.names == ("cat", "dog", "owl") and len(calls) > 3:  # the first two calls load the kernels
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    monkeypatch.setattr(Detector, "detect", detect)
    result = model.detect("--json", target, model.picture("a.png"), model.picture("b.png"))
    assert result.exit_code == 130
    assert found_in(result) == ["a.png"]
    assert [Path(one["filename"]).name for one in json.loads(target.read_text())] == ["a.png"]
    assert result.stderr.splitlines()[0] == f"{target} holds the 1 of 2 pictures that were done"
    assert not list(model.folder.glob(".found*"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("total", "terminal", "shown"), [(2, True, True), (1, True, False), (2, False, False)])
def test_progress_bar_only_for_many_pictures_on_a_terminal(monkeypatch, total, terminal, shown):
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with Report(total, tables=True) as report:
        report.step()
    assert ("1/2" in stderr.getvalue()) == shown


def test_first_run_says_that_it_compiles(model, monkeypatch, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    layer = Layer(cache, named=True)
    monkeypatch.setattr(warmup, "cache_layers", lambda: Layers((layer,), layer, ()))
    picture = model.picture("photo.png")
    assert f"compiling kernels for this machine (once; cached in {cache})" in model.detect(picture).stderr
    (cache / "kernel.nbc").touch()
    assert model.detect(picture).stderr == ""
    monkeypatch.setattr(warmup, "cache_layers", lambda: Layers((layer,), None, ()))
    assert model.detect(picture).stderr == ""


# Real processes -----------------------------------------------------------------------------------------------


def process(*arguments: object, **options: object) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "darknet_py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": paths, **options}  # type: ignore[dict-item]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_inspect_compiles_nothing(model, tmp_path):
    cache = tmp_path / "cache"
    running = process("inspect", model.cfg, model.weights, DARKNET_PY_CACHE_DIR=str(cache))
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, "")
    assert "NMS" in output
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_reader_that_has_enough(model):
    picture = model.picture("photo.png", (1, 1))
    running = process("detect", "--cfg", model.cfg, "--weights", model.weights, *[picture] * 50)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    errors = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=60) == 1
    assert errors == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "standard output: cannot be written (No space left on device)"),
        (
            OSError(12, "Cannot allocate memory", "/cache"),
            "not enough memory: [Errno 12] Cannot allocate memory: '/cache'",
        ),
        (OSError("cannot load libllvmlite.so"), "cannot load libllvmlite.so"),  # as LLVM's loader says it
        (MemoryError(), "not enough memory: choose a smaller --size"),
    ],
)
def test_errors_of_the_system_say_what_they_are_about(error: Exception, said: str, capsys) -> None:
    with pytest.raises(SystemExit, match="1"), _errors_as_lines():
        raise error
    assert capsys.readouterr().err == f"Error: {said}\n"
