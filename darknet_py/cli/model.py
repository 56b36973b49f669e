"""``--model NAME``, which several commands take in place of a cfg and weights, and the progress of its download."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from darknet_py.cli.options import TEXT
from darknet_py.cli.report import one_line, say
from darknet_py.cli.stopping import exit_code
from darknet_py.models.model_files import find_model
from darknet_py.models.patience import Listener
from darknet_py.shipped import resolve_cfg

__all__ = ["Chosen", "Progress", "choose_model", "interrupted", "model_option"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Chosen:
    """The model a command is to use; `weights` and `names` as given, or those of the named model."""

    cfg: Path
    weights: str | Path | None
    names: str | Path | None = None


def model_option(command: _Command) -> _Command:
    """Add ``--model`` and ``--offline``."""
    offline = click.option(
        "--offline",
        is_flag=True,
        help="Download nothing: --model is an error unless its files are here. So does DARKNET_PY_OFFLINE=1.",
    )
    model = click.option(
        "--model",
        metavar="NAME",
        type=TEXT,
        help="A public model by name (yolov4-tiny), downloaded the first time; darknet-py download --list shows all.",
    )
    return model(offline(command))


def choose_model(ctx: click.Context, cfg: str | None, weights: str | None, model: str | None, offline: bool) -> Chosen:
    """What ``--model``, or a cfg and weights, say to use; downloads the model if need be.

    Raises
    ------
    click.UsageError
        Both, or no cfg either.
    """
    for name, given in (("CFG", cfg), ("WEIGHTS", weights)):
        if given == "":
            raise click.UsageError(f"{name} is empty: expected a file", ctx)
    if model is None:
        if cfg is None:
            raise click.UsageError(
                "Missing argument 'CFG': give a .cfg file, the name of a shipped one, or --model NAME", ctx
            )
        return Chosen(resolve_cfg(cfg), weights)
    if cfg is not None or weights is not None:
        raise click.UsageError("--model brings its own cfg and weights: give either it or them", ctx)
    with Progress() as progress:
        try:
            files = find_model(model, download=not offline, listener=progress)
        except KeyboardInterrupt as error:
            interrupted(error, progress)
    return Chosen(files.cfg, files.weights, files.names)


class Progress(Listener):
    """A download on stderr: a bar where that is a terminal, a line per address everywhere; a context manager.

    Attributes
    ----------
    digests : dict of str to str
        Of the files that were downloaded, by name.
    """

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self._bar: Any = None
        self._failures: list[str] = []
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._name, self._done = "", 0
        self._total: int | None = None
        self._begin, self._since = 0, 0.0
        self._transient, self._kept = False, True

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *of_the_block: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal to others."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
        self._clear()

    def waiting(self, name: str) -> None:
        self._line(f"{name}: another process is downloading it; waiting for that")

    def alone(self, name: str) -> None:
        self._kept = False

    def connecting(self, name: str, url: str) -> None:
        if self._terminal and self._bar is None:
            self._clear()
            say(f"connecting to {one_line(url)[:60]} ...", end=False)
            self._transient = True

    def started(self, name: str, url: str, done: int, total: int | None) -> None:
        self.close()
        for failure in self._failures:
            self._line(failure)
        self._failures.clear()
        size = f" ({_amount(total)})" if total else ""
        go_on = f", from {_amount(done)} on" if done else ""
        self._line(f"downloading {name}{size} from {url}{go_on}")
        self._name, self._done, self._total = name, done, total
        self._begin, self._since = done, time.monotonic()
        if self._terminal and total:
            self._bar = click.progressbar(
                length=total,
                file=sys.stderr,
                show_eta=False,
                show_pos=False,
                width=20,  # the line has 80 columns at most: a longer one could not be overwritten
                item_show_func=self._facts,
                update_min_steps=max(1, total // 500),
            )
            self._bar.__enter__()
            self._bar.update(done)

    def advanced(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._done, done)
        self._done = done

    def failed(self, name: str, url: str, reason: str) -> None:
        self.close()
        self._failures.append(f"{url}: {reason}; trying the next address")

    def finished(self, path: Path, digest: str) -> None:
        self.close()
        self._name = ""
        self.digests[path.name] = digest

    @property
    def unfinished(self) -> str:
        """What an interrupted download leaves behind, in words; empty if it had not begun."""
        if not (self._name and self._done and self._kept):
            return ""
        of = f" of {_amount(self._total)}" if self._total else ""
        return f"{_amount(self._done)}{of} of {self._name} are kept, and the same command continues there"

    def _facts(self, done: Any) -> str | None:
        if done is None:
            return None
        seconds = time.monotonic() - self._since
        rate = (done - self._begin) / seconds if seconds > 0 else 0
        text = f"{_amount(done)} of {_amount(self._total or 0)}"
        if not rate:
            return text
        minutes, left = divmod(round(((self._total or 0) - done) / rate), 60)
        return f"{text}, {rate / 1e6:.1f} MB/s" + (f", {minutes}:{left:02d} left" if minutes or left else "")

    def _line(self, text: str) -> None:
        self._clear()
        say(one_line(text))

    def _clear(self) -> None:
        if self._transient:
            say("\r\x1b[2K", end=False)
            self._transient = False


def interrupted(error: KeyboardInterrupt, progress: Progress) -> NoReturn:
    """End after Ctrl-C or another signal, with one line on what is kept."""
    left = progress.unfinished
    progress.close()
    if not left:
        raise error
    say(f"Interrupted: {left}.")
    sys.exit(exit_code(error))


def _amount(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
