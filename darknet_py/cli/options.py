"""Options that several commands share: their types and checks."""

from __future__ import annotations

import csv
import math
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darknet_py.arguments import MOST_THREADS, PRECISIONS, short
from darknet_py.errors import OptionError
from darknet_py.pictures.looks import as_looks

__all__ = [
    "FRACTION",
    "MOST_THREADS",
    "SIZE",
    "TEXT",
    "THREADS",
    "Count",
    "FilePath",
    "TextList",
    "looks_option",
    "make_writable",
    "precision_option",
    "refuse_nan",
    "size_option",
]

_MOST_DIGITS = 18

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # not generic before click 8.2


class _Size(ParamType):
    """``608x352`` (width x height) or ``416`` → (width, height)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,9})(?:[xX](\d{1,9}))?", value)
        if not found:
            self.fail(f"{short(value)}: expected WIDTHxHEIGHT, such as 608x352, or one number for a square", param, ctx)
        return int(found[1]), int(found[2] or found[1])


class Count(click.IntRange):
    """A whole number in a range, of no more digits than can be meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and len(value) > _MOST_DIGITS:
            self.fail(f"{short(value)}: expected a whole number from {self.min} to {self.max}", param, ctx)
        return super().convert(value, param, ctx)


class _Text(ParamType):
    """Text that is not empty, which a variable that is not set makes of a script's argument."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("it is empty", param, ctx)
        return value


class TextList(ParamType):
    """``person,car`` → ("person", "car"); names with commas stand in quotes, as in a row of CSV."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            (row,) = csv.reader([value], skipinitialspace=True, strict=True)
        except (ValueError, csv.Error):
            row = []
        parts = tuple(part.strip() for part in row)
        if not parts or not all(parts):
            self.fail(f"{short(value)}: expected names with commas between them, such as person,car", param, ctx)
        return parts


class FilePath(click.Path):
    """A path that is not empty: that would be the working directory. It need not be readable, only be written to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(readable=False, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value or "\0" in os.fsdecode(value):
            self.fail("it is empty" if not value else "no path has a character 0", param, ctx)
        return super().convert(value, param, ctx)


def refuse_nan(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """The callback of an option that is a number in a range."""
    # Every comparison with NaN is false, so that FloatRange lets it pass.
    if value is not None and math.isnan(value):
        kind = parameter.type
        assert isinstance(kind, click.FloatRange)
        raise click.BadParameter(f"nan: expected a number from {kind.min} to {kind.max}", context, parameter)
    return value


#: Keywords of an option that is a share.
FRACTION: dict[str, Any] = {"show_default": True, "type": click.FloatRange(0, 1), "callback": refuse_nan}
SIZE = _Size()
TEXT = _Text()
THREADS = Count(1, MOST_THREADS)

size_option = click.option(
    "--size", type=SIZE, metavar="WxH", help="Network input, such as 608x352, instead of the cfg's."
)

precision_option = click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(PRECISIONS),
    help="Of what convolutions multiply. bfloat16 is faster on CPUs with AMX or, by AMD, AVX512-BF16 only.",
)


def _named_looks(context: click.Context, parameter: click.Parameter, value: tuple[str, ...] | None) -> Any:
    try:
        return None if value is None else as_looks(value)
    except OptionError as error:
        raise click.BadParameter(str(error).removeprefix("looks: "), context, parameter) from error


looks_option = click.option(
    "--looks",
    metavar="LIST",
    type=TextList(),
    callback=_named_looks,
    help="Show pictures to the network in several ways and bring together what is found: frame (smaller, in a frame, "
    "for what fills the picture), whole, double (at twice the size, for what is small).  [default: whole; of the "
    "built-in model what suits it]",
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
