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

#: What programs import: darknet.py beside them, in a folder of its name, or where pjreddie has it.
_USUAL = ("darknet", "darknet.darknet", "python.darknet")


@click.command(
    context_settings={
        "allow_interspersed_args": False,  # what follows SCRIPT is the script's
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    }
)
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as after python -m.")
@click.option(
    "--as",
    "names",
    metavar="NAME",
    multiple=True,
    default=_USUAL,
    help="What the script calls the module, where that is not darknet, such as libs.yolo.darknet; may be repeated.",
)
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]...")
def _read(module: bool, names: tuple[str, ...], script: str, arguments: tuple[str, ...]) -> dict[str, object]:
    """Run a Python script that was written for Darknet's darknet.py, unchanged.

    "import darknet" in it finds a module of the same functions that needs no libdarknet.so and no GPU. What follows
    SCRIPT is passed to it as it stands, and its exit code is this command's.

    \b
    Examples:
      python -m darknet_py.darknet darknet_images.py --input dog.jpg --dont_show \\
          --config_file yolov4.cfg --data_file coco.data --weights yolov4.weights
      python -m darknet_py.darknet -m my_package.my_program --flag
    """
    return {"script": script, "arguments": arguments, "module": module, "names": names}


def main() -> None:
    """Run a script as its user's command line asks."""
    try:
        command = _read.main(prog_name="python -m darknet_py.darknet", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    if not isinstance(command, dict):  # --help was all
        sys.exit(command)
    try:
        _run(**command)
    except DarknetError as error:
        _fail(str(error), 1)


def _run(script: str, arguments: tuple[str, ...], module: bool, names: tuple[str, ...]) -> None:
    _refuse_missing(script, module)
    sys.modules.update(dict.fromkeys(names, darknet))
    if "darknet.darknet" in names:
        # What "import darknet.darknet as name" asks its parent for.
        darknet.darknet = darknet  # type: ignore[attr-defined]
    neighbours = (Path() if module else Path(script).resolve().parent) / "darknet"
    if neighbours.is_dir():  # other modules beside the program's own darknet.py are found as ever
        darknet.__path__.insert(0, str(neighbours))
    run_script(script, arguments, module=module)


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
