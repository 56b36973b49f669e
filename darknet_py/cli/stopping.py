"""Ctrl-C, ``docker stop``, a closed terminal: one exception for all of them, and the exit code that tells them apart.

Imports nothing of the package, so that it is in force while the rest is loaded.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["Stopped", "check_stopped", "exit_code", "obeyed", "stopping", "time_limit"]

_NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
#: One stop often comes several times: `timeout` and terminals tell a group of processes, whose parents tell them again.
#: What cleans up is not to be torn down by that, yet somebody who insists is heard.
_PATIENCE = 1.0


class Stopped(KeyboardInterrupt):
    """The process was asked to end, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Expired(KeyboardInterrupt):
    """The time of a `time_limit` is over; of the kind that nobody catches and finalizers are quiet about."""


@dataclass
class _Asked:
    """The signal that asked for the end, and when."""

    number: int | None = None
    since: float = 0.0


_asked = _Asked()


def exit_code(error: BaseException) -> int:
    """What a shell reports for a program that a signal ended: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + int(getattr(error, "number", signal.SIGINT))


def check_stopped() -> None:
    """Raise what was asked for again, if it was raised where nothing can be: in a finalizer, or under C code."""
    if _asked.number is not None:
        raise Stopped(_asked.number)


def obeyed() -> None:
    """What was asked for is done, and is no failure: the program ends as if by itself."""
    _asked.number = None


@contextmanager
def stopping() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise as Ctrl-C does. Signals that are ignored (nohup) remain so."""
    if threading.current_thread() is not threading.main_thread():  # the others may set no handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    ours = [number for number, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]
    hook = sys.unraisablehook
    if not ours:
        yield
        return
    try:
        sys.unraisablehook = _quiet(hook)
        for number in ours:
            signal.signal(number, _stop)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
        sys.unraisablehook = hook
        _asked.number = None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block once it has taken so long; without effect outside the main thread.

    By a signal that nobody sends, only pretends: what a shell runs in the background has Ctrl-C ignored, and with it
    whatever interrupts the main thread in that name.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    number = getattr(signal, "SIGALRM", signal.SIGINT)
    expired = threading.Event()

    def end() -> None:
        expired.set()
        _thread.interrupt_main(number)

    def expire(number: int, frame: FrameType | None) -> None:
        if expired.is_set():
            raise _Expired

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    before = signal.signal(number, expire)
    try:
        timer.start()
        yield
        timer.cancel()
    except _Expired:
        raise TimeoutError from None
    finally:
        timer.cancel()
        signal.signal(number, signal.SIG_DFL if before is None else before)
    if expired.is_set():
        raise TimeoutError


def _stop(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _asked.number is not None and now - _asked.since < _PATIENCE:
        return
    _asked.number, _asked.since = _asked.number or number, now
    raise Stopped(number)


def _quiet(hook: Any) -> Any:
    def say(args: Any) -> None:
        if not isinstance(args.exc_value, KeyboardInterrupt):  # `check_stopped` sees to it
            hook(args)

    return say
