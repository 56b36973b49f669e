"""``python -m darknet_py.opencv SCRIPT ARGS...``: a script written for OpenCV 4's Darknet importer, as it is."""

from __future__ import annotations

import sys
from typing import Any

import click

from darknet_py.errors import DarknetError
from darknet_py.find_cv2 import need_cv2
from darknet_py.opencv.patch import patch
from darknet_py.script import run_script

__all__ = ["main"]


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    }
)
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as after python -m.")
@click.option("--opencv-version", metavar="VERSION", help="Show the script this as cv2.__version__ (4.14.0, say): for "
              "programs that refuse OpenCV 5 before they call anything. OpenCV stays what it is.")  # fmt: skip
@click.argument("script")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def main(module: bool, opencv_version: str | None, script: str, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT, with Darknet back in cv2.dnn.

    The script and its arguments stay as they are. cv2.dnn.readNetFromDarknet, readNet, DetectionModel and
    ClassificationModel read .cfg and .weights files as OpenCV 4 did, and compute with darknet-py's kernels; all else is
    OpenCV's own. The first run compiles kernels for this machine (about 15 s, once).

    \b
    Examples:
      python -m darknet_py.opencv yolo.py --image dog.jpg
      python -m darknet_py.opencv --opencv-version 4.14.0 -m some_program --config its.ini
    """
    try:
        patch()
        if opencv_version is not None:
            _show_version(opencv_version)
        run_script(script, arguments, module=module)
    except DarknetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2 if script in str(error) else 1)


def _show_version(version: str) -> None:
    """Let cv2 say that it is another version, wherever it says so."""
    numbers = version.split(".")
    if len(numbers) < 2 or not all(number.isdigit() for number in numbers[:2]):
        raise click.BadParameter(f"{version!r}: expected a version such as 4.14.0", param_hint="--opencv-version")
    told: Any = need_cv2("--opencv-version")
    told.__version__ = version
    told.getVersionString = lambda: version
    told.getVersionMajor, told.getVersionMinor = (lambda: int(numbers[0])), (lambda: int(numbers[1]))


if __name__ == "__main__":
    main(prog_name="python -m darknet_py.opencv")
