"""Options that several commands share: their types and checks."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darknet_py.network import PRECISIONS

__all__ = ["MOST_THREADS", "SIZE", "THREADS", "make_writable", "precision_option"]

if TYPE_CHECKING:
    _ParamType = click.ParamType[tuple[int, int]]
else:
    _ParamType = click.ParamType  # not generic before click 8.2


class _Size(_ParamType):
    """``608x352`` (width x height) or ``416`` → (width, height)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d+)(?:[xX](\d+))?", value)
        if not found:
            self.fail(f"{value!r}: expected WIDTHxHEIGHT, such as 608x352, or one number for a square", param, ctx)
        return int(found[1]), int(found[2] or found[1])


SIZE = _Size()

MOST_THREADS = 1024
THREADS = click.IntRange(1, MOST_THREADS)

precision_option = click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(PRECISIONS),
    help="Of what convolutions multiply. bfloat16 is faster on CPUs with AMX or, by AMD, AVX512-BF16 only.",
)


def make_writable(folder: Path, option: str) -> None:
    """Create the folder that `option` names, if need be, and see that files can be made in it.

    Raises
    ------
    click.BadParameter
        They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"{folder}: cannot be written to ({error.strerror or error})"
        raise click.BadParameter(message, param_hint=option) from error
