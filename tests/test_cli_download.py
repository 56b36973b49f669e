"""``darknet-py download``, ``--model`` in every command that takes it, and who tells of them."""

from __future__ import annotations

import io
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Model, error_lines, found_in, run, scene
from fake_models import FILES, offer, tiny
from file_server import FileServer, ranged, status, whole
from PIL import Image

from darknet_py.cli import download as download_module
from darknet_py.cli import model as model_module
from darknet_py.cli.detect import _Advice
from darknet_py.cli.model import Progress
from darknet_py.models import registry
from darknet_py.models.patience import Patience
from darknet_py.models.registry import MODELS, Address
from darknet_py.shipped import BUILT_IN

SHA = registry.MODELS["yolov4-tiny"].weights.digests[0]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("DARKNET_PY_MODELS_DIR", str(folder))
    monkeypatch.delenv("DARKNET_PY_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def served(server: FileServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A server that has the tiny model, which is known by name."""
    monkeypatch.setitem(registry.MODELS, "tiny", tiny(server.url))
    monkeypatch.setattr(download_module, "Patience", lambda timeout: Patience(timeout, attempts=1))
    offer(server)
    return server


# darknet-py download ------------------------------------------------------------------------------------------


def test_download(served, models):
    result = run("download", "tiny")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    digest = registry.MODELS["tiny"].weights.digests[0]
    assert first == f"tiny: {models / 'tiny.weights'} (verified, SHA-256 {digest})"
    assert second == "  darknet-py detect --model tiny your-picture.jpg"
    assert result.stderr.splitlines()[-1] == f"downloading tiny.weights (6.2 kB) from {served.url}/tiny.weights"
    again = run("download", "tiny")
    assert (again.exit_code, again.stderr) == (0, "")
    assert "was here already" in again.stdout
    forced = run("download", "--force", "tiny")
    assert "verified" in forced.stdout
    assert len(served.requests) == 6


def test_download_to_a_folder_says_how_to_use_it(served, models):
    result = run("download", "tiny", "--dir", "here")
    assert f"--cfg {Path('here', 'tiny.cfg')} --weights {Path('here', 'tiny.weights')}" in result.stdout
    assert not models.exists()
    Path("file").write_text("")
    result = run("download", "tiny", "--dir", "file/below")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--dir" in result.stderr


def test_download_of_several_goes_on_after_a_failure(served, models, monkeypatch):
    monkeypatch.setitem(registry.MODELS, "gone", replace(tiny(f"{served.url}/gone"), name="gone"))
    result = run("download", "gone", "tiny", BUILT_IN, "tiny")
    assert result.exit_code == 1
    (line,) = error_lines(result)
    assert f"{served.url}/gone/tiny.cfg: 404 Not Found" in line and str(models / "tiny.cfg") in line
    assert result.stdout.splitlines()[0] == f"{BUILT_IN}: ships with darknet-py, nothing to download"
    assert result.stdout.count("tiny: ") == 1


def test_download_tells_why_it_went_on_to_the_next_address(served, models, monkeypatch):
    model = tiny(served.url)
    addresses = (Address(f"{served.url}/first"), Address(f"{served.url}/second"), *model.weights.addresses)
    weights = replace(model.weights, addresses=addresses, digests=("0" * 64,))
    monkeypatch.setitem(registry.MODELS, "tiny", replace(model, weights=weights))
    served.answers |= {"/first": status(403), "/second": whole(b"<html><title>Moved</title></html>")}
    result = run("download", "tiny")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[2:5] == [
        f"{served.url}/first: 403 Forbidden; trying the next address",
        f'{served.url}/second: gives a web page ("Moved"); trying the next address',
        f"downloading tiny.weights (6.2 kB) from {served.url}/tiny.weights",
    ]
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("Warning: ")]
    assert "0" * 64 in warning
    assert "not a known one" in result.stdout


def test_download_of_weights_without_a_known_digest_prints_it(served, models, monkeypatch):
    model = tiny(served.url)
    monkeypatch.setitem(registry.MODELS, "tiny", replace(model, weights=replace(model.weights, digests=())))
    stdout = run("download", "tiny").stdout
    assert f"SHA-256 {model.weights.digests[0]}, of which none is known" in stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "NAME"),
        (["yolov4-tyni"], "did you mean yolov4-tiny?"),
        (["--list", "yolov99"], "no model of this name"),
        (["tiny", "--url", "mirror/x.weights"], "expected an address that begins with http://"),
        (["tiny", "--url", "ftp://h/x.weights"], "expected an address that begins with http://"),
        (["tiny", "yolov4", "--url", "http://h/x.weights"], "with a / at its end"),
        (["tiny", "--timeout", "0"], "--timeout"),
        (["tiny", "--timeout", "nan"], "--timeout"),
    ],
)
def test_wrong_options_exit_with_2(served, models, arguments, said):
    result = run("download", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert served.requests == []


def test_list(served, models):
    table = run("download", "--list")
    assert (table.exit_code, table.stderr) == (0, "")
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["model", "MB", "AP50", "AP", "input", "here", "for"]
    assert lines[1].startswith(BUILT_IN) and " ships " in lines[1]
    assert [line.split()[0] for line in lines[2 : 2 + len(MODELS)]] == list(MODELS)
    assert any(line.split()[:6] == ["yolov4", "257.7", "65.7", "43.5", "608x608", "no"] for line in lines)
    assert lines[-1].endswith(str(models))
    assert max(map(len, lines[: 2 + len(MODELS)])) <= 100
    assert served.requests == []


def test_list_says_what_is_here(served, models):
    here = lambda: run("download", "--list", "tiny").stdout.splitlines()[1].split()[2]  # noqa: E731
    assert here() == "no"
    served.answers["/tiny.weights"] = ranged(FILES["tiny.weights"], cut=5000)
    assert run("download", "tiny", "--timeout", "0.5").exit_code == 1
    assert here() == "81%"
    offer(served)
    run("download", "tiny")
    assert here() == "yes"
    (models / "tiny.weights").write_bytes(b"short")
    assert here() == "no"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_on_a_terminal_only(monkeypatch):
    for terminal in (True, False):
        stderr = Terminal() if terminal else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stderr)
        with Progress() as progress:
            progress.connecting("x.weights", "http://h/x.weights")
            progress.started("x.weights", "http://h/x.weights", 100_000, 1_000_000)
            for done in range(200_000, 1_000_001, 100_000):
                progress.advanced(done)
            progress.finished(Path("x.weights"), SHA)
        shown = stderr.getvalue()
        assert ("0.5 MB of 1.0 MB, " in shown) == terminal
        assert ("connecting to http://h" in shown) == terminal
        assert "downloading x.weights (1.0 MB) from http://h/x.weights, from 0.1 MB on" in shown
        assert shown.endswith("\n")
        assert progress.unfinished == ""


# --model ------------------------------------------------------------------------------------------------------


def test_detect_by_name(served, models, tmp_path):
    picture = Model(tmp_path).picture("photo.png", (1, 1))
    result = run("detect", "--model", "tiny", "--json", "-", picture)
    (record,) = json.loads(result.stdout)
    assert [found["name"] for found in record["objects"]] == ["dog"]
    assert "downloading tiny.weights" in result.stderr
    again = run("detect", "--model", "tiny", "--offline", picture)
    assert (again.exit_code, again.stderr) == (0, "")
    assert found_in(again) == ["photo.png"]
    Path("others.names").write_text("a\nb\nc\n")
    assert "b " in run("detect", "--model", "tiny", "--names", "others.names", picture).stdout
    assert len(served.requests) == 3


def test_other_commands_by_name(served, models, tmp_path):
    Model(tmp_path)
    assert "which fits" in run("inspect", "--model", "tiny").stdout
    assert "given weights" in run("bench", "--model", "tiny", "--repeat", "1", "--threads", "1").stdout
    assert "second call" in run("warmup", "--model", "tiny").stdout
    pytest.importorskip("onnx")
    result = run("export", "--onnx", tmp_path / "tiny.onnx", "--model", "tiny")
    assert result.exit_code == 0, result.stderr


def test_export_of_the_built_in_model_by_name(models, tmp_path, built_in):
    pytest.importorskip("onnx")
    assert run("export", "--onnx", tmp_path / "codes.onnx", "--model", BUILT_IN).exit_code == 0


@pytest.mark.parametrize("command", ["detect", "inspect", "bench", "warmup", "export"])
def test_offline_exits_with_1(served, models, command):
    arguments = {"detect": ["photo.png"], "export": ["--onnx", "out.onnx"]}.get(command, [])
    result = run(command, "--model", "tiny", "--offline", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "darknet-py download tiny" in error_lines(result)[-1]
    assert served.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["detect", "--model", "tiny", "--cfg", "yolov4", "x.png"], "--model brings its own cfg"),
        (["detect", "--model", "tiny", "--weights", "x.weights", "x.png"], "--model brings its own cfg"),
        (["inspect", "--model", "tiny", "yolov4"], "--model brings its own cfg"),
        (["detect", "--model", "my.cfg", "x.png"], "no model of this name"),
        (["bench"], "or --model NAME"),
        (["export", "--onnx", "x.onnx"], "or --model NAME"),
    ],
)
def test_half_a_choice_exits_with_2(served, models, arguments, said):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_names_given_as_a_cfg_say_what_to_do(models):
    result = run("inspect", "yolo-fastest-1.1")
    assert result.exit_code == 1
    assert "--model yolo-fastest-1.1 downloads this one" in result.stderr
    result = run("detect", "--cfg", "yolov4", "x.png")
    assert result.exit_code == 2
    assert error_lines(result)[-1].startswith(
        "Error: yolov4: no weights ship for this model: get them with darknet-py download"
    )


@pytest.mark.parametrize("begun", [True, False])
def test_ctrl_c_while_a_command_fetches_its_model(models, monkeypatch, begun):
    def interrupted(name: str, *, listener: Progress, **_: object) -> None:
        if begun:
            listener.started("x.weights", "http://h/x.weights", 0, 1_000_000)
            listener.advanced(500_000)
        raise KeyboardInterrupt

    monkeypatch.setattr(model_module, "find_model", interrupted)
    result = run("inspect", "--model", "yolov4")
    assert (result.exit_code, result.stdout) == (130, "")
    kept = "Interrupted: 0.5 MB of 1.0 MB of x.weights are kept, and the same command continues there."
    assert result.stderr.splitlines()[-1] == (kept if begun else "")


# The built-in model that finds nothing ------------------------------------------------------------------------


def test_built_in_model_that_finds_nothing_says_what_it_looks_for(models, built_in, tmp_path):
    blank = [tmp_path / name for name in ("two words.png", "b.png")]
    for file in blank:
        Image.fromarray(scene()).save(file)
    result = run("detect", *blank)
    assert result.exit_code == 0
    (advice,) = [line for line in result.stderr.splitlines() if "everyday objects" in line]
    assert "QR, Data Matrix, PDF417 and Aztec codes, barcodes and ArUco markers" in advice
    assert f"darknet-py detect --model yolov4-tiny {shlex.quote(str(blank[0]))} (downloads 24 MB, once)" in advice
    assert found_in(result) == ["two words.png", "b.png"]
    for silent in (["--cfg", BUILT_IN], ["--model", BUILT_IN]):
        assert run("detect", *silent, *blank).stderr == ""
    assert json.loads(run("detect", "--json", "-", blank[1]).stdout)[0]["objects"] == []


def test_advice_is_given_once():
    class Notes:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def note(self, text: str) -> None:
            self.texts.append(text)

    notes, advice = Notes(), _Advice()
    for picture in ("a.png", "b.png"):
        advice.on(picture, notes)  # type: ignore[arg-type]
    assert len(notes.texts) == 1
