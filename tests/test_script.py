"""Scripts run as the main program: what they find, and what they leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, folder: Path, *arguments: str, module: bool = False) -> subprocess.CompletedProcess[str]:
    """The script's outcome in a process of its own: it becomes the process's main program."""
    (folder / "program.py").write_text(code)
    target = "program" if module else str(folder / "program.py")
    starter = f"from darknet_py.cli.script import run_script; run_script({target!r}, {arguments!r}, module={module})"
    return subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("module", [False, True])
def test_a_script_finds_what_python_gives_it(tmp_path: Path, module: bool) -> None:
    (tmp_path / "neighbour.py").write_text("VALUE = 7")
    code = "import sys, neighbour\nif __name__ == '__main__':\n    print(sys.argv[1:], neighbour.VALUE, __file__[-10:])"
    done = run(code, tmp_path, "--flag", "-x", module=module)
    assert done.stdout == "['--flag', '-x'] 7 program.py\n", done.stderr


def test_functions_of_a_script_can_be_pickled_by_threads_that_go_on(tmp_path: Path) -> None:
    code = """
import pickle, threading, time
def answer(): return 42
def later():
    time.sleep(0.2)
    print(pickle.loads(pickle.dumps(answer))())
threading.Thread(target=later).start()
"""
    done = run(code, tmp_path)
    assert done.stdout == "42\n", done.stderr


def test_programs_that_look_for_themselves_find_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DARKNET_PY_SCRIPT", "{}")  # as where processes that it spawns are to be helped
    code = "import importlib.util; print(importlib.util.find_spec('__main__').origin == __file__)"
    assert run(code, tmp_path).stdout == "True\n"


def test_exit_codes_and_errors_pass(tmp_path: Path) -> None:
    assert run("raise SystemExit(3)", tmp_path).returncode == 3
    failed = run("1 / 0", tmp_path)
    assert failed.returncode == 1 and "ZeroDivisionError" in failed.stderr
