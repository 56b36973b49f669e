"""``darknet-py``: the group of commands, and what becomes of errors, warnings and Ctrl-C in all of them."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from darknet_py import __version__
from darknet_py.cli.bench import bench
from darknet_py.cli.cache import cache
from darknet_py.cli.classify import classify
from darknet_py.cli.compare import compare, dump
from darknet_py.cli.demo import demo
from darknet_py.cli.detect import detect
from darknet_py.cli.download import download
from darknet_py.cli.export import export
from darknet_py.cli.inspect import inspect
from darknet_py.cli.report import one_line, say
from darknet_py.cli.serve import serve
from darknet_py.cli.stopping import check_stopped, exit_code, stopping
from darknet_py.cli.warmup import warmup
from darknet_py.cli.weights import weights
from darknet_py.errors import DarknetError, OptionError

__all__ = ["main"]


class _Commands(click.Group):
    """Runs a command and turns what may go wrong into one line and an exit code, never a traceback."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        try:
            with stopping():
                return super().main(*arguments, **options)
        except OSError:  # not even the message of a wrong option could be written
            sys.exit(1)
        finally:
            _let_go_of_streams()

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _errors_as_lines():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        _survive_any_text()
        with _errors_as_lines(), _warnings_on_stderr():
            result = super().invoke(ctx)
            check_stopped()
            return result


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.message = one_line(error.message)  # type: ignore[misc]
        raise
    except DarknetError as error:
        _fail(str(error), 2 if isinstance(error, OptionError) else 1)
    except MemoryError as error:
        _fail(f"not enough memory: {str(error) or 'choose a smaller --size'}")
    except OSError as error:
        if error.errno == errno.EPIPE:  # a reader such as head has enough: click ends quietly
            raise
        # Files have names, and the library says which; standard output has none.
        _fail(str(error) if error.filename else f"standard output: cannot be written ({error.strerror or error})")
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        _fail(f"this system gives no more threads ({error}): choose fewer --threads")
    except KeyboardInterrupt as error:
        say("")
        sys.exit(exit_code(error))


def _fail(message: str, code: int = 1) -> NoReturn:
    """One line on stderr; exit code 2 says that the options were wrong, 1 everything else."""
    say(f"Error: {one_line(message)}")
    sys.exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="darknet-py")
def main() -> None:
    """Run Darknet models (.cfg + .weights) on the CPU.

    \b
    Examples:
      darknet-py demo
      darknet-py detect --model yolov4-tiny dog.jpg
      darknet-py detect --cfg my.cfg --weights my.weights dog.jpg
      darknet-py inspect yolov4.cfg yolov4.weights
      darknet-py warmup yolov4
    """


for command in (
    demo, detect, classify, serve, download, inspect, bench, warmup, cache, compare, dump, weights, export,
):  # fmt: skip
    main.add_command(command)


class _WarningLines(logging.Handler):
    """Shows each of the library's warnings once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._shown:
            self._shown.add(text)
            say(f"Warning: {one_line(text)}")


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    logger, handler = logging.getLogger("darknet_py"), _WarningLines()
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _survive_any_text() -> None:
    """Let stdout escape what its encoding lacks (a class name on an old terminal), as stderr always does."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _let_go_of_streams() -> None:
    """What a full disk did not take is not tried again at exit, which would say so in its own way."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
