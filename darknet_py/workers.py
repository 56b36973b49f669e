"""Threads for work in Python that is worth doing side by side, and done one after the other where none can be had."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["Workers"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Workers:
    """Up to `count` threads; a context manager that ends them.

    As concurrent.futures.ThreadPoolExecutor, whose `submit` fails where the system gives no more threads, and leaves
    open whether the work will be done all the same. Here the caller does what no thread is there for.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, function: Callable[[_In], _Out], value: _In) -> Future[_Out]:
        """Have ``function(value)`` computed."""
        future: Future[_Out] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = function(value)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        if len(self._threads) < self._count:
            self._start()
        if self._threads:
            self._work.put(work)
        else:
            work()
        return future

    def map(self, function: Callable[[_In], _Out], values: Iterable[_In]) -> list[_Out]:
        """The results in the order of the values; the first error, once what was begun is done."""
        futures = [self.submit(function, value) for value in values]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        thread = threading.Thread(target=_serve, args=(self._work,), daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self._count = len(self._threads)
        else:
            self._threads.append(thread)


def _serve(work: SimpleQueue[Any]) -> None:
    while (one := work.get()) is not None:
        one()
        del one
