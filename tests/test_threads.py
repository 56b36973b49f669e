"""Threads: helpers of a run, Python threads that share a network, interruptions and forks."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from networks import TinyNetwork, assert_close, blobs_of, residual

from darknet_py import Detections, Detector, Network
from darknet_py import threads as threads_module
from darknet_py.kernels.execute import CONTROL_HEADER, INSIDE
from darknet_py.plan.state import State


@pytest.fixture(scope="module")
def tiny() -> TinyNetwork:
    return residual()


def test_threads_do_not_change_a_bit(folder: Path, tiny: TinyNetwork) -> None:
    cfg, weights = tiny.write(folder)
    count = len(tiny.outputs)
    single = Network(cfg, weights, threads=1)
    layers = single.run(tiny.blob, taps=range(count))
    for threads in (2, 3):
        network = Network(cfg, weights, threads=threads)
        for _ in range(20):
            for index, found in network.run(tiny.blob, taps=range(count)).items():
                np.testing.assert_array_equal(found, layers[index], f"layer {index} with {threads} threads")
            np.testing.assert_array_equal(network.run(tiny.blob)[0], single.run(tiny.blob)[0])


def run_together(work: Callable[[int], None], count: int) -> None:
    """Call work(0) ... work(count - 1) in Python threads of their own; raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]


ROUNDS = 200


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_python_threads_share_a_network(folder: Path, tiny: TinyNetwork, threads: int) -> None:
    cfg, weights = tiny.write(folder)
    blobs = blobs_of(tiny, 2)
    expected = [Network(cfg, weights, threads=1).run(blob)[0] for blob in blobs]
    network = Network(cfg, weights, threads=threads)

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            np.testing.assert_array_equal(network.run(blobs[number])[0], expected[number])

    run_together(work, 2)


def test_buffers_of_an_interrupted_run_are_not_used_again(
    folder: Path, tiny: TinyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helpers may still be at work in them when Ctrl-C has ended the caller's share."""
    network = Network(*tiny.write(folder), threads=2)
    state = network.acquire()
    network.release(state)

    def interrupted(table: int, total: int, control: int, scratch: int, first: int, thread: int, threads: int) -> int:
        if thread == 0:
            raise KeyboardInterrupt
        return total

    with monkeypatch.context() as patch:
        patch.setattr(threads_module, "run_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            network.run(tiny.blob)
    assert network.acquire() is not state
    assert_close(network.run(tiny.blob)[0], tiny.outputs[-1])


def test_late_helpers_do_not_share_scratch(folder: Path) -> None:
    """Helpers left over from earlier runs may all come at once, with the same scratch as the one that was sent."""
    tiny = residual((8, 120, 104), 80)  # tens of milliseconds, so that they meet
    cfg, weights = tiny.write(folder)
    expected = Network(cfg, weights, threads=1).run(tiny.blob)[0]
    Network(cfg, weights, threads=5).run(tiny.blob)  # there are four helpers from now on
    network = Network(cfg, weights, threads=2)
    state = network.acquire()
    state.blob[:] = tiny.blob.transpose(1, 2, 0)
    for _ in range(100):
        for _ in range(4):
            threads_module._jobs.put((state, 1))
        network.forward(state)
        np.testing.assert_array_equal(state.output(network.heads[0].index).transpose(2, 0, 1), expected)


def test_a_helper_that_comes_before_the_first_run_does_nothing(folder: Path, tiny: TinyNetwork) -> None:
    network = Network(*tiny.write(folder), threads=2)
    network.run(tiny.blob)  # there is a helper from now on
    state = State(network.plan)
    for _ in range(20):
        threads_module._jobs.put((state, 1))
    while not threads_module._jobs.empty():
        time.sleep(0.001)
    time.sleep(0.05)  # the last one is being dealt with
    assert not state.control[CONTROL_HEADER:].any()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [3, 4])
def test_python_threads_share_a_network_of_many_threads(folder: Path, threads: int) -> None:
    tiny = residual((8, 24, 24), 40)
    cfg, weights = tiny.write(folder)
    blobs = blobs_of(tiny, 2)
    expected = [Network(cfg, weights, threads=1).run(blob)[0] for blob in blobs]
    network = Network(cfg, weights, threads=threads)

    def work(number: int) -> None:
        for _ in range(3000):
            np.testing.assert_array_equal(network.run(blobs[number])[0], expected[number])

    run_together(work, 2)


def test_python_threads_share_a_detector(folder: Path, tiny: TinyNetwork) -> None:
    detector = Detector(*tiny.write(folder), ["one", "two"], threads=2)
    blobs = blobs_of(tiny, 2)

    def detect(number: int) -> Detections:
        return detector.detect_blob(blobs[number], (64, 48), thresh=0.2)

    expected = [detect(0), detect(1)]
    assert len(expected[0]) > 10

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            found = detect(number)
            np.testing.assert_array_equal(found.xyxy, expected[number].xyxy)
            np.testing.assert_array_equal(found.confidence, expected[number].confidence)

    run_together(work, 2)


def test_python_threads_tap_at_once(folder: Path, tiny: TinyNetwork) -> None:
    """Each new set of taps makes a plan."""
    network = Network(*tiny.write(folder), threads=2)
    count = len(tiny.outputs)

    def work(number: int) -> None:
        for index in range(count):
            assert_close(network.run(tiny.blob, taps=[index])[index], tiny.outputs[index])

    run_together(work, 4)


def test_threads_that_cannot_be_had(
    folder: Path, tiny: TinyNetwork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller does it all, says so once, and leaves nothing behind for threads that may come later."""

    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    cfg, weights = tiny.write(folder)
    expected = Network(cfg, weights, threads=1).run(tiny.blob)[0]
    monkeypatch.setattr(threads_module, "_helpers", [])
    monkeypatch.setattr(threads_module, "_no_more_until", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        network = Network(cfg, weights, threads=3)
        for _ in range(3):
            np.testing.assert_array_equal(network.run(tiny.blob)[0], expected)
    (record,) = caplog.records
    assert "no more threads" in record.getMessage() and "ulimit -u" in record.getMessage()
    assert threads_module._jobs.empty() and not threads_module._helpers
    monkeypatch.setattr(threads_module, "_no_more_until", time.monotonic())  # some time later there are some
    np.testing.assert_array_equal(network.run(tiny.blob)[0], expected)
    assert len(threads_module._helpers) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork here")
def test_fork_after_threads_were_used(folder: Path, tiny: TinyNetwork) -> None:
    """The child has no helper threads, only the memory of them: it must neither hang nor err."""
    network = Network(*tiny.write(folder), threads=2)
    expected = network.run(tiny.blob)[0]
    state = network.acquire()
    state.control[INSIDE] = 1  # as if a helper had just looked in when the process was forked
    network.release(state)
    network._pool._lock.acquire()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking a process with threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            same = all(np.array_equal(network.run(tiny.blob)[0], expected) for _ in range(20))
            status = 0 if same else 2
        finally:
            os._exit(status)
    state.control[INSIDE] = 0
    network._pool._lock.release()
    deadline = threading.Timer(60, os.kill, (child, 9))
    deadline.start()
    _, status = os.waitpid(child, 0)
    deadline.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(network.run(tiny.blob)[0], expected)  # the parent goes on as before
