"""A script run as ``python SCRIPT`` runs it, for ``python -m darknet_py.opencv`` and ``-m darknet_py.darknet``."""

from __future__ import annotations

import io
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from darknet_py.errors import OptionError

__all__ = ["run_script"]


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

    Raises
    ------
    OptionError
        The file cannot be read.
    """
    if module:
        sys.argv = [target, *arguments]
        runpy.run_module(target, run_name="__main__", alter_sys=True)
        return
    try:
        with io.open_code(str(Path(target).absolute())) as file:
            source = file.read()
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise OptionError(f"{target}: cannot be read ({what}), expected a Python script") from error
    sys.argv = [target, *arguments]
    sys.path[:1] = [str(Path(target).resolve().parent)]
    # runpy.run_path puts the old __main__ back when the last line is done: threads that go on, and pickle, would look
    # for the script's functions in the wrong module.
    main = ModuleType("__main__")
    main.__dict__.update(__file__=target, __builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = main
    exec(compile(source, target, "exec"), main.__dict__)
