"""``darknet-py``: the group of commands, and what becomes of errors, warnings and Ctrl-C in all of them."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from darknet_py.cli.report import one_line, say
from darknet_py.cli.shortage import shortage
from darknet_py.cli.stopping import check_stopped, exit_code, stopping
from darknet_py.errors import DarknetError, OptionError
from darknet_py.version import installed_version

__all__ = ["main"]


#: Every command: the module in which it is a function of that name, and what ``--help`` says of it. Only the command
#: that is run is imported, as most need the compiler (1 s).
COMMANDS = {
    "anchors": ("anchors", "Find the anchors that fit the boxes of DATA."),
    "bench": ("bench", "Time the forward pass of CFG: median after a warm-up, load and first run apart."),
    "cache": ("cache", "Show where compiled kernels and timings are kept."),
    "classify": ("classify", "Say what pictures show, with a classifier."),
    "codes": ("codes", "Find the codes in pictures, videos and streams, and read them."),
    "compare": ("compare", "Run CFG with WEIGHTS on IMAGE and compare every layer with another run."),
    "demo": ("demo", "Find the codes in the pictures that come with darknet-py."),
    "detect": ("detect", "Find objects in pictures, videos and streams."),
    "download": ("download", "Download public models, for use by name."),
    "dump": ("compare", "Write the output of every layer of CFG with WEIGHTS on IMAGE to an .npz file."),
    "evaluate": (
        "evaluate",
        "Measure a model on labelled pictures: Darknet's mAP, COCO's AP, precision, recall and F1 of each class.",
    ),
    "export": ("export", "Write CFG and WEIGHTS as an ONNX model."),
    "inspect": ("inspect", "Show the layers of CFG, and whether WEIGHTS fit."),
    "serve": ("serve", "Answer pictures with boxes over HTTP."),
    "warmup": ("warmup", "Compile all that CFG needs and keep it in the cache."),
    "weights": ("weights", "Show, cut and convert weights files."),
}


class _Commands(click.Group):
    """Runs a command and turns what may go wrong into one line and an exit code, never a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"darknet_py.cli.{module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

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
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt as error:
        say("")
        sys.exit(exit_code(error))
    except Exception as error:
        refused = shortage(error)
        if refused is not None:
            _fail(refused)
        _fail_of_system(error)
        raise


def _fail_of_system(error: Exception) -> None:
    """End with what the system refused; other errors are the program's own."""
    if isinstance(error, OSError):
        if error.errno == errno.EPIPE:  # a reader such as head has enough: click ends quietly
            return
        # Files have names, and the library says which; standard output has none. LLVM's loader gives no number.
        named = error.filename or error.errno is None
        _fail(str(error) if named else f"standard output: cannot be written ({error.strerror or error})")
    if isinstance(error, RuntimeError) and "new thread" in str(error):
        _fail(f"this system gives no more threads ({error}): choose fewer --threads")


def _fail(message: str, code: int = 1) -> NoReturn:
    """One line on stderr; exit code 2 says that the options were wrong, 1 everything else."""
    say(f"Error: {one_line(message)}")
    sys.exit(code)


def _show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"darknet-py, version {installed_version()}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
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
