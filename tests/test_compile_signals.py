"""Signals that come while a kernel is compiled: heard afterwards, and the kernel is kept."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from numba.core.codegen import JitEngine

from darknet_py.cache.kernels import KernelCache
from darknet_py.cache.places import Layer, Layers
from darknet_py.kernels.jit import kernel
from darknet_py.kernels.signals import signals_wait

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signals here"),
    pytest.mark.skipif(
        threading.current_thread() is not threading.main_thread(), reason="only a main thread has handlers"
    ),
]

FIRST, SECOND = (getattr(signal, name, signal.SIGINT) for name in ("SIGUSR1", "SIGUSR2"))


class Heard(Exception):
    pass


@pytest.fixture
def heard() -> Iterator[list[int]]:
    numbers: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        numbers.append(number)
        raise Heard(number)

    before = {number: signal.signal(number, hear) for number in (FIRST, SECOND)}
    yield numbers
    for number, handler in before.items():
        assert signal.getsignal(number) is hear
        signal.signal(number, handler)


def test_a_signal_while_llvm_compiles(heard: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, sent = threading.Event(), threading.Event()
    finalize = JitEngine.finalize_object

    def send() -> None:
        inside.wait(60)
        signal.pthread_kill(threading.main_thread().ident, FIRST)  # type: ignore[arg-type]
        sent.set()

    def compile_under_fire(engine: JitEngine) -> None:
        inside.set()
        # The sender is not let in before C is, whose calls back are then the first of Python to be run.
        finalize(engine)
        sent.wait(60)

    monkeypatch.setattr(JitEngine, "finalize_object", compile_under_fire)
    layer = Layer(tmp_path, named=True)

    def compiled() -> object:
        cube = kernel(lambda x: x * x * x)
        cube._cache = KernelCache(cube.py_func, lambda: Layers((layer,), layer, ()), lambda: None)
        return cube

    sender = threading.Thread(target=send)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        sender.start()
        cube = compiled()
        with pytest.raises(Heard):
            cube(3)
    finally:
        sys.setswitchinterval(interval)
        sender.join()
    assert heard == [FIRST]
    assert cube(3) == 27
    again = compiled()
    assert again(3) == 27 and sum(again.stats.cache_hits.values()) == 1


def test_each_is_heard_in_turn_whatever_the_others_raise(heard: list[int]) -> None:
    done: list[bool] = []

    def send() -> None:
        with signals_wait():
            for number in (SECOND, FIRST, SECOND):
                signal.raise_signal(number)
            done.append(heard == [])

    with pytest.raises(Heard, match=str(int(SECOND))):
        send()
    assert done == [True] and heard == [SECOND, FIRST, SECOND]


def test_blocks_within_blocks_and_their_own_errors(heard: list[int]) -> None:
    def send() -> None:
        with signals_wait():
            with signals_wait():
                signal.raise_signal(FIRST)
            assert heard == []
            raise ZeroDivisionError

    with pytest.raises(Heard):
        send()
    with pytest.raises(Heard):
        signal.raise_signal(FIRST)  # as before


def test_without_handlers_and_in_other_threads_nothing_changes(heard: list[int]) -> None:
    inside: list[object] = []
    before = signal.getsignal(FIRST)

    def look() -> None:
        with signals_wait():
            inside.append(signal.getsignal(FIRST))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert inside == [before]
    ignored = signal.signal(SECOND, signal.SIG_IGN)
    try:
        with signals_wait():
            assert signal.getsignal(SECOND) is signal.SIG_IGN
            signal.raise_signal(SECOND)
    finally:
        signal.signal(SECOND, ignored)
    assert heard == []
