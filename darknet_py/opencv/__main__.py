"""``python -m darknet_py.opencv SCRIPT ARGS...``: a script written for OpenCV 4's Darknet importer, as it is."""

from __future__ import annotations

import re
from typing import Any

import click

from darknet_py.cli.script import parse, run_command
from darknet_py.find_cv2 import need_cv2
from darknet_py.opencv.patch import patch

__all__ = ["main"]


def _check_version(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"\d+\.\d+(\.\S+)?", value):
        raise click.BadParameter(f"{value!r}: expected a version such as 4.14.0", context, parameter)
    return value


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    }
)
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as after python -m.")
@click.option(
    "--opencv-version",
    metavar="VERSION",
    callback=_check_version,
    help="Show the script this as cv2.__version__ (4.14.0, say): for programs that refuse OpenCV 5 before they call "
    "anything. OpenCV stays what it is.",
)
@click.argument("script")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def _read(module: bool, opencv_version: str | None, script: str, arguments: tuple[str, ...]) -> dict[str, object]:
    """Run SCRIPT, with Darknet back in cv2.dnn.

    The script and its arguments stay as they are. cv2.dnn.readNetFromDarknet, readNet, DetectionModel and
    ClassificationModel read .cfg and .weights files as OpenCV 4 did, and compute with darknet-py's kernels; all else is
    OpenCV's own. The first run compiles kernels for this machine (about 15 s, once).

    \b
    Examples:
      python -m darknet_py.opencv yolo.py --image dog.jpg
      python -m darknet_py.opencv --opencv-version 4.14.0 -m some_program --config its.ini
    """
    return {"module": module, "version": opencv_version, "script": script, "arguments": arguments}


def prepare(version: str | None) -> None:
    """Put Darknet back into cv2, which then says to be `version`."""
    patch()
    if version is not None:
        _show_version(version)


def main() -> None:
    """Run a script as its user's command line asks."""
    asked = parse(_read, "python -m darknet_py.opencv")
    run_command(
        "darknet_py.opencv.__main__",
        {"version": asked["version"]},
        asked["script"],
        asked["arguments"],
        asked["module"],
    )


def _show_version(version: str) -> None:
    """Let cv2 say that it is another version, wherever it says so."""
    major, minor = (int(number) for number in version.split(".")[:2])
    told: Any = need_cv2("--opencv-version")
    told.__version__ = version
    told.getVersionString = lambda: version
    told.getVersionMajor, told.getVersionMinor = (lambda: major), (lambda: minor)


if __name__ == "__main__":
    main()
