"""``python -m darknet_py.darknet SCRIPT``: a script that imports ``darknet`` finds this package's module."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click

from darknet_py import darknet
from darknet_py.cli.report import one_line
from darknet_py.errors import DarknetError
from darknet_py.script import run_script


@click.command(
    context_settings={
        "allow_interspersed_args": False,  # what follows SCRIPT is the script's
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    }
)
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as after python -m.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]...")
def _read(module: bool, script: str, arguments: tuple[str, ...]) -> tuple[str, tuple[str, ...], bool]:
    """Run a Python script that was written for Darknet's darknet.py, unchanged.

    "import darknet" in it finds a module of the same functions that needs no libdarknet.so and no GPU. What follows
    SCRIPT is passed to it as it stands, and its exit code is this command's.

    \b
    Examples:
      python -m darknet_py.darknet darknet_images.py --input dog.jpg --dont_show \\
          --config_file yolov4.cfg --data_file coco.data --weights yolov4.weights
      python -m darknet_py.darknet -m my_package.my_program --flag
    """
    return script, arguments, module


def main() -> None:
    """Run a script as its user's command line asks."""
    try:
        command = _read.main(prog_name="python -m darknet_py.darknet", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    if not isinstance(command, tuple):  # --help was all
        sys.exit(command)
    script, arguments, module = command
    _refuse_missing(script, module)
    sys.modules["darknet"] = darknet
    try:
        run_script(script, arguments, module=module)
    except DarknetError as error:
        _fail(str(error), 1)


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


if __name__ == "__main__":
    main()
