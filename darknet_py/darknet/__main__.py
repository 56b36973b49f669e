"""``python -m darknet_py.darknet SCRIPT``: a script that imports ``darknet`` finds this package's module."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from darknet_py import darknet
from darknet_py.cli.script import parse, run_command

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


def prepare(names: Sequence[str], folder: str) -> None:
    """Let programs find this package's module under each of `names`, and others of a package darknet in `folder`."""
    sys.modules.update(dict.fromkeys(names, darknet))
    if "darknet.darknet" in names:
        # What "import darknet.darknet as name" asks its parent for.
        darknet.darknet = darknet  # type: ignore[attr-defined]
    neighbours = Path(folder) / "darknet"
    if neighbours.is_dir():  # other modules beside the program's own darknet.py are found as ever
        darknet.__path__.insert(0, str(neighbours))


def main() -> None:
    """Run a script as its user's command line asks."""
    asked = parse(_read, "python -m darknet_py.darknet")
    names, script, module = asked["names"], asked["script"], asked["module"]
    folder = str(Path() if module else Path(script).resolve().parent)
    run_command("darknet_py.darknet.__main__", {"names": names, "folder": folder}, script, asked["arguments"], module)


if __name__ == "__main__":
    main()
