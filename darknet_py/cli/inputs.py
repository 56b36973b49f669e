"""What to look at, as options of the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from darknet_py.cli.options import Count, ParamType
from darknet_py.errors import OptionError
from darknet_py.models.model_files import is_offline
from darknet_py.sources.choice import Choice, as_seconds
from darknet_py.sources.opening import Asked, gather
from darknet_py.sources.pictures import FailedSource

__all__ = ["Inputs", "gather_pictures", "input_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_MOST = 10**9


class _Time(ParamType):
    """Seconds, or ``[hours:]minutes:seconds``."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return as_seconds("time", value)
        except OptionError as error:
            self.fail(str(error).removeprefix("time="), param, ctx)


@dataclass(frozen=True)
class Inputs:
    """What was asked for, in the words of the command line."""

    recursive: bool
    every: int
    start: float | None
    stop: float | None
    latest: bool | None
    reconnect: bool
    timeout: float

    @property
    def settings(self) -> dict[str, Any]:
        """What records say of it: what makes frames be left out."""
        asked = {"every": self.every, "start": self.start, "stop": self.stop}
        return {name: value for name, value in asked.items() if value not in (None, 1) or (name != "every" and value)}

    def asked(self, out: Path | None, offline: bool, tell: Callable[[str], None]) -> Asked:
        """The same as sources take it.

        Raises
        ------
        click.UsageError
            No frame lies between the times.
        """
        try:
            choice = Choice(self.every, self.start, self.stop, self.latest, self.reconnect, self.timeout)
        except OptionError as error:
            raise click.UsageError(f"--{error}") from error
        forbids = "--offline" if offline else "DARKNET_PY_OFFLINE" if is_offline() else ""
        return Asked(choice, self.recursive, leave_out=out, offline=forbids, tell=tell)


def gather_pictures(inputs: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The pictures that `inputs` name, for commands that know nothing else, and (input, cause) for those without."""
    found = gather(inputs, Asked(videos=False))
    wrong = [(one.name, str(one.error)) for one in found if isinstance(one, FailedSource)]
    return [one for one in found if isinstance(one, str)], wrong


def input_options(command: _Command) -> _Command:
    """Add the options; the command gets them as `given`."""

    @functools.wraps(command)
    def gathered(*args: Any, **options: Any) -> Any:
        given = Inputs(**{name: options.pop(name) for name in Inputs.__dataclass_fields__})
        return command(*args, given=given, **options)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


_OPTIONS = (
    click.option("--recursive", "-r", is_flag=True, help="Take directories with all directories in them."),
    click.option("--every", metavar="N", default=1, type=Count(1, _MOST), help="Of videos, each N-th frame only."),
    click.option("--start", metavar="TIME", type=_Time(), help="Of videos, frames from this time on: 90 or 1:30."),
    click.option("--stop", metavar="TIME", type=_Time(), help="Of videos, frames before this time; of cameras and "
                 "streams, how long to look."),
    click.option("--latest/--all", default=None, help="The newest frame, dropping those that came meanwhile, or all of "
                 "them.  [default: the newest of cameras and streams, all of files]"),
    click.option("--reconnect", is_flag=True, help="Open a camera or stream again that ends, fails or stalls."),
    click.option("--timeout", metavar="SECONDS", default=10.0, show_default=True,
                 type=click.FloatRange(0, 86400, min_open=True),
                 help="How long a camera or stream may give no frame."),
)  # fmt: skip
