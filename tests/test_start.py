"""What a start costs: which modules are loaded by those who ask for little."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

from darknet_py.activations import ACTIVATIONS
from darknet_py.cli.main import COMMANDS
from darknet_py.kernels.vector import activate

#: Half a second and more, each.
COMPILER_AND_CV2 = {"numba", "llvmlite", "cv2"}

CFG = """[net]
width=64
height=32
channels=3
[convolutional]
filters=12
size=3
pad=1
[shortcut]
from=-1
[convolutional]
filters=27
[yolo]
num=3
classes=4
anchors=1,2, 3,4, 5,6
"""

MAIN = """
import sys
from darknet_py.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
"""


def loaded(program: str, *arguments: str) -> set[str]:
    """Names of the modules that a program has loaded at its end."""
    shown = program + "\nimport sys\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", shown, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "module",
    ["graph", "layers", "weights", "summary", "names", "shipped", "models.model_files", "onnx_export", "files"],
)
def test_a_module_loads_no_compiler(module: str) -> None:
    assert not loaded(f"import darknet_py.{module}") & COMPILER_AND_CV2


def test_inspect_loads_no_compiler(tmp_path: Path) -> None:
    cfg = tmp_path / "my.cfg"
    cfg.write_text(CFG)
    seen = loaded(MAIN, "inspect", str(cfg))
    assert "darknet_py" in seen and not seen & COMPILER_AND_CV2
    assert not loaded(MAIN, "inspect", str(cfg), "--json", "--size", "96x64") & COMPILER_AND_CV2


def test_detect_loads_what_a_file_needs() -> None:
    """No urllib, which has ssl, no fonts, cv2 nor spelling; and kernels that are kept come without the compiler."""
    command = (MAIN, "detect", str(Path(__file__).parents[1] / "examples" / "pictures" / "shelf.jpg"))
    loaded(*command)  # compiles what is not kept yet
    registries = {"numba.np.linalg", "numba.typed.typeddict", "numba.np.random.generator_core"}
    assert not loaded(*command) & ({"cv2", "difflib", "ssl", "urllib.request", "PIL.ImageDraw"} | registries)


def test_kernels_are_compiled_after_others_were_loaded(tmp_path: Path) -> None:
    program = f"""
import pathlib
from darknet_py.cache.kernels import KernelCache
from darknet_py.cache.places import Layer, Layers
import numba
def double(x): return 2 * x
def halves(x): return len([one / 2 for one in range(x)])
def run(function):
    dispatcher = numba.njit(function)
    dispatcher._cache = KernelCache(function, lambda: Layers((place,), place, ()), lambda: None)
    return dispatcher(4), sum(dispatcher.stats.cache_hits.values())
place = Layer(pathlib.Path({str(tmp_path)!r}), named=False)
print(run(double), run(halves))
"""
    lines = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout for _ in range(2)]
    assert lines == ["(8, 0) (4, 0)\n", "(8, 1) (4, 1)\n"]
    halves = next(tmp_path.glob("*halves*.nbi"))
    halves.unlink()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "(8, 1) (4, 0)\n", done.stderr


@pytest.mark.parametrize("arguments", [("--help",), (), ("--version",)])
def test_the_group_of_commands_loads_none_of_them(arguments: tuple[str, ...]) -> None:
    program = MAIN.replace("not end.code", "end.code in (None, 0, 2)")  # 2: no command is an error in some versions
    assert not loaded(program, *arguments) & (COMPILER_AND_CV2 | {"numpy", "PIL"})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_is_what_the_help_says(name: str) -> None:
    module, text = COMMANDS[name]
    command = getattr(importlib.import_module(f"darknet_py.cli.{module}"), name)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str(200) == text


def test_every_activation_has_a_formula() -> None:
    """In the order of the names: a name's position is its code in kernels."""
    assert tuple(activate.ACTIVATIONS) == ACTIVATIONS
