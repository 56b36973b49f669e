"""Ways into ``darknet_py.opencv``: imports, patching that leaves cv2 as it was, and the runner of scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from darknet_py.opencv import DetectionModel, Net, patch, restore
from darknet_py.opencv.__main__ import main

cv2 = pytest.importorskip("cv2")


def run(code: str, *arguments: str, runner: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(runner or ("-c", code)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("line", "patches"),
    [
        ("import darknet_py.opencv", True),
        ("import darknet_py.opencv as compat", True),
        ("from darknet_py import opencv", True),
        ("import importlib; importlib.import_module('darknet_py.opencv')", True),
        ("from darknet_py.opencv import readNetFromDarknet, DetectionModel", False),
        ("from darknet_py.opencv import *", False),
        ("from darknet_py.opencv.net import Net", False),
        ("from darknet_py.opencv import patch; patch()", True),
        ("from darknet_py.opencv import restore; import darknet_py.opencv; restore()", False),
    ],
)
def test_what_an_import_patches(line: str, patches: bool) -> None:
    asked = "; import cv2; print('darknet_py' in str(getattr(getattr(cv2.dnn, 'readNet', None), '__module__', '')))"
    done = run(line + asked)
    assert done.stdout.strip() == str(patches), done.stderr


def test_patched_names_read_darknets_files_and_restore_takes_them_away(nets: Path) -> None:
    names = ("readNet", "readNetFromDarknet", "NMSBoxes", "DetectionModel", "ClassificationModel", "DNN_BACKEND_HALIDE")
    before = {name: getattr(cv2.dnn, name, None) for name in names}
    patch()
    patch()  # twice is once
    try:
        cfg, weights = str(nets / "yolo.cfg"), str(nets / "yolo.weights")
        for read in (
            cv2.dnn.readNetFromDarknet(cfg, weights),
            cv2.dnn.readNet(weights, cfg),
            cv2.dnn.readNet(cfg, weights),
        ):
            assert isinstance(read, Net)
        for model in (cv2.dnn_DetectionModel(cfg, weights), cv2.dnn.DetectionModel(weights, cfg)):
            assert isinstance(model, DetectionModel)
        assert isinstance(cv2.dnn_DetectionModel(cv2.dnn.readNetFromDarknet(cfg, weights)), DetectionModel)
        with pytest.raises(cv2.error, match=r"gone\.onnx"):
            cv2.dnn.readNet("gone.onnx")
    finally:
        restore()
    assert {name: getattr(cv2.dnn, name, None) for name in names} == before
    assert cv2.dnn_DetectionModel is cv2.dnn.DetectionModel


def test_a_script_runs_as_it_is(nets: Path, tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text(
        "import sys, cv2\n"
        "net = cv2.dnn.readNet(sys.argv[1], sys.argv[2])\n"
        "names = net.getLayerNames()\n"
        "print([names[i[0] - 1] for i in net.getUnconnectedOutLayers()], cv2.__version__, sys.argv[3:])\n"
    )
    files = str(nets / "yolo.weights"), str(nets / "yolo.cfg")
    runner = ("-m", "darknet_py.opencv", "--opencv-version", "4.14.0", str(script))
    done = run("", *files, "--help", "-x", runner=runner)
    assert done.stdout.split("] ")[0] == "['yolo_10', 'yolo_16'", done.stderr
    assert done.stdout.strip().endswith("4.14.0 ['--help', '-x']")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone.py"], 2, "gone.py: no such file, expected a Python script"),
        (["--opencv-version", "new", "gone.py"], 2, "expected a version such as 4.14.0"),
        ([], 2, "Missing argument 'SCRIPT'"),
        (["--help"], 0, "as OpenCV 4 did"),
    ],
)
def test_the_runner_answers_wrong_usage_in_one_line(
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["darknet_py.opencv", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == code and message in " ".join((out + err).split())


def test_processes_that_a_script_spawns_find_darknet_too(nets: Path, tmp_path: Path) -> None:
    script = tmp_path / "crowd.py"
    script.write_text(
        "import multiprocessing, sys, cv2\n"
        "def count(cfg):\n"
        "    return len(cv2.dnn.readNetFromDarknet(cfg, '').getLayerNames()), cv2.__version__, __name__\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(count, sys.argv[1:]))\n"
    )
    done = run("", str(script), str(nets / "yolo.cfg"), runner=("-m", "darknet_py.opencv", "--opencv-version", "4.9.0"))
    assert done.stdout.strip() == "[(31, '4.9.0', '__mp_main__')]", done.stderr


def test_a_script_keeps_its_exit_code_and_an_error_of_ours_is_one_line(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, cv2\nif sys.argv[1:]: sys.exit(5)\ncv2.dnn.readNetFromDarknet('none.cfg', 'none.weights')\n"
    )
    assert run("", str(script), "x", runner=("-m", "darknet_py.opencv")).returncode == 5
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    without = subprocess.run(
        [sys.executable, "-m", "darknet_py.opencv", str(script)], capture_output=True, text=True, cwd=tmp_path
    )
    assert without.returncode == 1 and "libGL.so.1" in without.stderr and len(without.stderr.splitlines()) == 1
    failed = run("", str(script), runner=("-m", "darknet_py.opencv"))
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == ["Error: none.cfg: cannot read the cfg: No such file or directory"]
