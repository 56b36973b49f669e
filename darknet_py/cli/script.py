"""A script run as ``python SCRIPT`` runs it, for ``python -m darknet_py.opencv`` and ``-m darknet_py.darknet``."""

from __future__ import annotations

import io
import json
import os
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import click

from darknet_py.cli.report import one_line
from darknet_py.errors import DarknetError

__all__ = ["parse", "run_command", "run_script"]

#: Tells processes that a script starts by "spawn" what to do before they import it.
_VARIABLE = "_DARKNET_PY_SCRIPT"


def parse(command: click.Command, name: str) -> dict[str, Any]:
    """What `command`, which returns its parameters, reads on the command line; ends the program where that is no use.

    Apart from running: click would take the script's exceptions, such as KeyboardInterrupt, for its own.
    """
    try:
        found = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    if not isinstance(found, dict):  # --help was all
        sys.exit(found)
    return found


def run_command(prepare: str, options: dict[str, Any], script: str, arguments: Sequence[str], module: bool) -> None:
    """Run a script as a command line asks: what is wrong with it, or with Darknet's files in it, is one line.

    Exit code 2 where there is nothing to run, 1 where an error of this package ends it, else the script's own.

    Parameters
    ----------
    prepare : str
        The module whose ``prepare(**options)`` makes the script find what it looks for, here and in its processes.
    options : dict
        As JSON can hold it.
    script, arguments, module
        As `run_script` takes them.
    """
    _refuse_missing(script, module)
    try:
        import_module(prepare).prepare(**options)
        os.environ[_VARIABLE] = json.dumps({"prepare": prepare, "options": options, "script": script})
        run_script(script, arguments, module=module)
    except DarknetError as error:
        _fail(str(error), 1)


def run_script(target: str, arguments: Sequence[str], *, module: bool = False) -> None:
    """Run a script, or with `module` a module, as the main program; what it raises, SystemExit too, is let through.

    Parameters
    ----------
    target : str
        A Python file, or a module's name.
    arguments : sequence of str
        What the program finds in ``sys.argv[1:]``.
    module : bool
        Whether `target` is the name of a module, as after ``python -m``.
    """
    sys.argv = [target, *arguments]
    if module:
        runpy.run_module(target, run_name="__main__", alter_sys=True)
        return
    sys.path[:1] = [str(Path(target).resolve().parent)]
    # runpy.run_path puts the old __main__ back when the last line is done: threads that go on, and pickle, would look
    # for the script's functions in the wrong module.
    main = ModuleType("__main__")
    main.__dict__.update(__file__=target, __builtins__=__builtins__, __cached__=None)
    if _VARIABLE in os.environ:
        # What multiprocessing runs in a new process in place of the script: this module, which prepares, then runs it.
        # Flask asks it where the script lies.
        main.__spec__ = ModuleSpec(__name__, None, origin=str(Path(target).absolute()))
    sys.modules["__main__"] = main
    _execute(target, main.__dict__)


def _execute(script: str, namespace: dict[str, Any]) -> None:
    with io.open_code(str(Path(script).absolute())) as file:
        exec(compile(file.read(), script, "exec"), namespace)


def _refuse_missing(script: str, module: bool) -> None:
    """End with exit code 2 where there is nothing to run; errors of what runs are another matter."""
    try:
        missing = find_spec(script) is None if module else not Path(script).is_file()
    except (ImportError, ValueError):  # a parent package that is not there, a name such as "."
        missing = True
    if missing:
        what = "no such module" if module else "no such file" if not Path(script).is_dir() else "a directory"
        _fail(f"{script}: {what}, expected a Python {'module' if module else 'script'}", 2)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"Error: {one_line(message)}", err=True)
    sys.exit(code)


if __name__ == "__mp_main__":
    _told = json.loads(os.environ[_VARIABLE])
    import_module(_told["prepare"]).prepare(**_told["options"])
    sys.argv[0] = globals()["__file__"] = _told["script"]
    _execute(_told["script"], globals())
