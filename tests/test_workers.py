"""Threads for work in Python, where the system gives all, some or none."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from darknet_py.workers import Workers


def limit_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let only `count` threads more be started."""
    real, left = threading.Thread.start, [count]

    def start(self: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.parametrize("given", [0, 1, 2, 9])
def test_every_piece_is_done_once(given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_threads(monkeypatch, given)
    done: list[int] = []

    def work(value: int) -> int:
        done.append(value)
        return value * value

    before = threading.active_count()
    with Workers(3) as workers:
        assert workers.map(work, range(40)) == [value * value for value in range(40)]
        assert workers.submit(work, 50).result() == 2500
    assert sorted(done) == [*range(40), 50]
    assert threading.active_count() == before


@pytest.mark.parametrize("given", [0, 2])
def test_the_first_error_is_raised_and_the_rest_is_left(given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_threads(monkeypatch, given)

    def work(value: int) -> int:
        if value == 3:
            raise ValueError(f"number {value}")
        return value

    with pytest.raises(ValueError, match="number 3"), Workers(2) as workers:
        workers.map(work, range(10))


def test_work_is_done_side_by_side() -> None:
    both = threading.Barrier(2, timeout=30)

    def work(value: int) -> int:
        both.wait()
        return value

    with Workers(2) as workers:
        assert workers.map(work, [1, 2]) == [1, 2]


def test_what_was_not_begun_may_be_cancelled() -> None:
    go = threading.Event()
    wait: Callable[[int], bool] = lambda value: go.wait(30)  # noqa: E731
    with Workers(1) as workers:
        first, second = workers.submit(wait, 1), workers.submit(wait, 2)
        assert second.cancel()
        go.set()
        assert first.result()
