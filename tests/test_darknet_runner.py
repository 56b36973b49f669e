"""``python -m darknet_py.darknet``: scripts that import darknet, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Model, scene

SCRIPT = """
import sys
import darknet

cfg, data, weights, *rest = sys.argv[1:]
network, names, colors = darknet.load_network(cfg, data, weights)
image = darknet.make_image(darknet.network_width(network), darknet.network_height(network), 3)
darknet.copy_image_from_bytes(image, open("pixels", "rb").read())
darknet.print_detections(darknet.detect_image(network, names, image), "--boxes" in rest)
darknet.free_image(image)
sys.exit(len(rest))
"""


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "darknet_py.darknet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, encoding="utf-8")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    tiny = Model(tmp_path)
    (tmp_path / "tiny.data").write_text("classes=3\nnames=tiny.names\n")
    (tmp_path / "pixels").write_bytes(scene((2, 1))[::4, ::4].tobytes())
    (tmp_path / "program.py").write_text(SCRIPT)
    # What real programs have beside them: it must not be taken, nor its library be missed.
    (tmp_path / "darknet.py").write_text("raise OSError('libdarknet.so: cannot open shared object file')")
    return tiny


def test_a_script_runs_with_its_arguments_and_exit_code(model: Model) -> None:
    done = run(model.folder, "program.py", model.cfg, "tiny.data", model.weights, "--boxes", "--help")
    # Objectness and class are logistic(5).
    percent = round(100 / (1 + 2.718281828**-5) ** 2, 2)
    assert done.stdout == (f"\nObjects:\ndog: {percent}%    (left_x: 20   top_y:  12   width:   8   height:  8)\n"), (
        done.stderr
    )
    assert (done.returncode, done.stderr) == (2, "")


def test_errors_of_this_package_are_one_line(model: Model) -> None:
    done = run(model.folder, "program.py", model.cfg, "gone.data", model.weights)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: gone.data: cannot be read") and done.stderr.count("\n") == 1


def test_errors_of_the_script_are_its_own(model: Model) -> None:
    (model.folder / "program.py").write_text("import darknet\n{}['absent']\n")
    done = run(model.folder, "program.py")
    assert done.returncode == 1 and done.stderr.endswith("KeyError: 'absent'\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone.py",), "Error: gone.py: no such file, expected a Python script\n"),
        (("folder",), "Error: folder: a directory, expected a Python script\n"),
        (("-m", "gone.module"), "Error: gone.module: no such module, expected a Python module\n"),
    ],
)
def test_nothing_to_run_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "folder").mkdir()
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_help_says_how(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0 and "[OPTIONS] SCRIPT [ARGUMENTS]..." in done.stdout and "--as NAME" in done.stdout
    assert run(tmp_path).returncode == 2


def test_other_names_of_the_module(tmp_path: Path) -> None:
    """A folder darknet/ with darknet.py in it and other modules beside that; and a name that must be told."""
    (tmp_path / "darknet").mkdir()
    (tmp_path / "darknet" / "darknet.py").write_text("raise OSError('libdarknet.so')")
    (tmp_path / "darknet" / "tools.py").write_text("import darknet\nWIDE = darknet.make_image(4, 3, 3).w")
    (tmp_path / "program.py").write_text(
        "import darknet.darknet as dn\nfrom darknet import darknet as same\nfrom darknet.tools import WIDE\n"
        "from darknet import *\nprint(WIDE, same is dn, detect is dn.detect, POINTER(c_float).__name__)\n"
    )
    assert run(tmp_path, "program.py").stdout == "4 True True LP_c_float\n"
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "__init__.py").write_text("")
    (tmp_path / "main.py").write_text("import libs.yolo as dn\nprint(dn.make_image(7, 3, 3).w)")
    assert run(tmp_path, "--as", "libs.yolo", "-m", "main").stdout == "7\n"
