"""Signals wait while a kernel is compiled.

LLVM asks for code, and hands it over, by calls from C into Python. An exception there has nowhere to go: Ctrl-C would
be printed and forgotten, and the code of the kernel lost for the cache. Compiling is one long call of C, and what came
meanwhile is raised just there.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

__all__ = ["signals_wait", "undisturbed"]

#: Asked for once: the system's set of them takes as long to make as all the rest of `signals_wait`.
_NUMBERS = tuple(map(int, signal.valid_signals()))


class _Waiting:
    """Takes down which signals came; handlers run in the main thread alone, so there is one of these at a time."""

    def __init__(self) -> None:
        self.is_on = False
        self.came: list[tuple[int, FrameType | None]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.came.append((number, frame))


_waiting = _Waiting()


@contextmanager
def signals_wait() -> Iterator[None]:
    """Handlers written in Python run after the block, each as often as its signal came; all run, whatever they raise.

    In other threads than the main one, where Python runs no handlers, nothing is changed.
    """
    if _waiting.is_on or threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in _NUMBERS}
    handlers: dict[int, Callable[..., Any]] = {number: one for number, one in found.items() if callable(one)}
    _waiting.is_on, _waiting.came = True, []
    try:
        for number in handlers:
            signal.signal(number, _waiting)
        yield
    finally:
        _waiting.is_on = False
        for number, handler in handlers.items():
            if signal.getsignal(number) is _waiting:
                signal.signal(number, handler)
        with ExitStack() as late:
            for came, frame in reversed(_waiting.came):
                late.callback(handlers[came], came, frame)


def undisturbed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, while which signals wait."""

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        with signals_wait():
            return function(*arguments)

    return run
