"""Stages that overlap: what one thread reads ahead of another, and work that several do with its order kept."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Any, Generic, TypeVar

from darknet_py.workers import Workers

__all__ = ["ahead", "in_order"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")

#: Seconds between looks at whether the other side is still there. On Windows a wait without an end hears no Ctrl-C.
_LOOK = 0.5


@dataclass(frozen=True)
class _End(Generic[_In]):
    """The last thing in a queue: what went wrong, if anything did."""

    error: BaseException | None = None


def ahead(items: Generator[_In, None, None], room: int) -> Generator[_In, None, None]:
    """The items, read by a thread of its own up to `room` ahead of who asks for them.

    An exception comes in its place. Closed early, the thread ends after the item that it is reading.
    """
    queue: Queue[Any] = Queue(room)
    closed = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, queue, closed), name="darknet-py-reader", daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):  # the system has no thread to give
        with closing(items):
            yield from items
        return
    try:
        while True:
            try:
                item = queue.get(timeout=_LOOK)
            except Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
            del item
    finally:
        closed.set()
        thread.join(_LOOK)  # one that hangs in a read is left behind: it holds nothing that others wait for


def _fill(items: Generator[Any, None, None], queue: Queue[Any], closed: threading.Event) -> None:
    end = _End[Any]()
    try:
        with closing(items):
            for item in items:
                if not _put(queue, item, closed):
                    return
                del item
    except BaseException as error:
        end = _End(error)
    _put(queue, end, closed)


def _put(queue: Queue[Any], item: Any, closed: threading.Event) -> bool:
    while not closed.is_set():
        try:
            queue.put(item, timeout=_LOOK)
            return True
        except Full:
            continue
    return False


def in_order(
    items: Iterable[_In], work: Callable[[_In], _Out], *, workers: int, most: int
) -> Generator[Future[_Out], None, None]:
    """``work`` on each item by some threads, its outcome in the order of the items, at most `most` under way."""
    with Workers(workers) as pool:
        coming: deque[Future[_Out]] = deque()
        try:
            for item in items:
                coming.append(pool.submit(work, item))
                del item
                while len(coming) >= most:
                    yield coming.popleft()
            while coming:
                yield coming.popleft()
        finally:
            for future in coming:
                future.cancel()
