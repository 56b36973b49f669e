"""What a run over many pictures says: tables on stdout, error lines and one progress bar on stderr."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType

import click

__all__ = ["Report", "one_line", "say"]

#: Characters of a line, whose end says most: what an option, a cfg or a name holds may be a file of its own.
_LONGEST = 1000


def one_line(text: str) -> str:
    """The text on one line, not too long of it, without what could move the terminal's cursor."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return "".join(char if char.isprintable() else " " if char == "\n" else "?" for char in text)


def say(text: str, *, end: bool = True) -> None:
    """Write to stderr; where that cannot be, as on a full disk, the work goes on all the same."""
    with suppress(OSError):
        click.echo(text, nl=end, err=True)


class Report:
    """Tables, error lines and a progress bar that share a terminal; a context manager.

    Parameters
    ----------
    total : int
        Pictures to come; the bar is shown for more than one, if stderr is a terminal.
    tables : bool
        Whether stdout may have tables.
    """

    def __init__(self, total: int, *, tables: bool) -> None:
        self.failures = 0
        self._tables = tables
        self._bar = None
        if total > 1 and sys.stderr is not None and sys.stderr.isatty():
            self._bar = click.progressbar(length=total, label="detecting", show_pos=True, file=sys.stderr)

    def __enter__(self) -> Report:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def table(self, text: str) -> None:
        """Print what was found in a picture."""
        if self._tables and text:
            self._clear_bar()
            click.echo(text)

    def failed(self, picture: str, cause: str) -> None:
        """Print one line about an input that could not be done, and count it."""
        self.failures += 1
        self._clear_bar()
        say("Error: " + one_line(cause if cause.startswith(picture) else f"{picture}: {cause}"))

    def note(self, text: str) -> None:
        """Print a line of advice."""
        self._clear_bar()
        say(one_line(text))

    def step(self) -> None:
        """One picture more is dealt with."""
        if self._bar is not None:
            self._bar.update(1)

    def _clear_bar(self) -> None:
        if self._bar is not None:
            say("\r\x1b[2K", end=False)
