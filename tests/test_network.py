"""Running a network: taps, batches, bad arguments, threads of both kinds, forks, memory."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import Floats, TinyNetwork, assert_close

from darknet_py import Detections, Detector, Network, OptionError
from darknet_py import threads as threads_module
from darknet_py.graph import load_graph
from darknet_py.weights import SeededWeights


def residual(shape: tuple[int, int, int] = (5, 20, 12), width: int = 17) -> TinyNetwork:
    """A small network of every kind of step that threads may divide, ending in a head."""
    tiny = TinyNetwork(shape, seed=1)
    tiny.add("convolutional", {"filters": width, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": width, "size": 3, "pad": 1, "groups": width, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("maxpool", {"size": 3, "stride": 1})
    tiny.add("route", {"layers": "-1,-2"})
    tiny.add("avgpool")
    tiny.add("convolutional", {"filters": 2 * width, "activation": "logistic"})
    tiny.add("scale_channels", {"from": 4, "activation": "linear"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("upsample", {"stride": 2})
    tiny.add("convolutional", {"filters": 14, "activation": "linear"})
    tiny.add("yolo", {"classes": 2, "num": 2, "anchors": "3,4,5,6"})
    return tiny


@pytest.fixture(scope="module")
def tiny() -> TinyNetwork:
    return residual()


@pytest.fixture(scope="module")
def network(folder: Path, tiny: TinyNetwork) -> Network:
    return Network(*tiny.write(folder), threads=2)


def blobs_of(tiny: TinyNetwork, count: int) -> Floats:
    return np.random.default_rng(count).standard_normal((count, *tiny.blob.shape), np.float32)


# Taps and batches -------------------------------------------------------------------------------------------


def test_every_layer_can_be_tapped(network: Network, tiny: TinyNetwork) -> None:
    count = len(tiny.outputs)
    for index in range(count):
        found = network.run(tiny.blob, taps=[index, index - count, index])
        assert list(found) == [index, index - count]
        assert_close(found[index], tiny.outputs[index], f"layer {index}")
        np.testing.assert_array_equal(found[index], found[index - count])
    everything = network.run(tiny.blob, taps=range(-count, count))
    assert len(everything) == 2 * count
    assert network.run(tiny.blob, taps=[]) == {}


@pytest.mark.parametrize("tap", [12, -13, 1000])
def test_tap_of_no_layer(network: Network, tiny: TinyNetwork, tap: int) -> None:
    with pytest.raises(OptionError, match=rf"tap {tap}: expected a layer from -12 to 11"):
        network.run(tiny.blob, taps=[0, tap])


def test_results_are_the_callers(network: Network, tiny: TinyNetwork) -> None:
    """Neither the next run nor writing to one of them changes another."""
    first = network.run(tiny.blob)[0]
    kept, tapped = first.copy(), network.run(tiny.blob, taps=[2, 11])
    kept_tap = tapped[2].copy()
    network.run(-tiny.blob)
    network.run(-tiny.blob, taps=[2, 11])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(tapped[2], kept_tap)
    first[:] = 0
    tapped[11][:] = 0
    np.testing.assert_array_equal(network.run(tiny.blob)[0], kept)


def test_a_blob_is_read_only_and_of_any_layout(network: Network, tiny: TinyNetwork) -> None:
    expected = network.run(tiny.blob)[0]
    given = np.asfortranarray(tiny.blob)
    given.flags.writeable = False
    for blob in (given, np.repeat(tiny.blob, 2, axis=2)[:, :, ::2], tiny.blob[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(network.run(blob)[0], expected)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batch_is_its_single_runs(network: Network, tiny: TinyNetwork, count: int) -> None:
    blobs = blobs_of(tiny, count)
    (together,) = network.run(blobs)
    tapped = network.run(blobs, taps=[0, -1])
    assert together.shape == (count, 14, 20, 12)
    for n, blob in enumerate(blobs):
        np.testing.assert_array_equal(together[n], network.run(blob)[0])
        for tap in (0, -1):
            np.testing.assert_array_equal(tapped[tap][n], network.run(blob, taps=[0, -1])[tap])


def test_empty_batch(network: Network, tiny: TinyNetwork) -> None:
    empty = np.empty((0, *tiny.blob.shape), np.float32)
    assert [output.shape for output in network.run(empty)] == [(0, 14, 20, 12)]
    assert {tap: output.shape for tap, output in network.run(empty, taps=[0]).items()} == {0: (0, 17, 20, 12)}


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((5, 12, 20), np.float32),  # width and height exchanged
        ((20, 12, 5), np.float32),  # channels last
        ((3, 20, 12), np.float32),
        ((20, 12), np.float32),
        ((), np.float32),
        ((1, 1, 5, 20, 12), np.float32),
        ((5, 20, 12), np.float64),
        ((5, 20, 12), np.uint8),
        ((5, 20, 12), np.float16),
        ((2, 5, 20, 13), np.float32),
    ],
)
def test_blob_that_does_not_fit(network: Network, shape: tuple[int, ...], dtype: Any) -> None:
    with pytest.raises(OptionError) as caught:
        network.run(np.zeros(shape, dtype))
    assert f"blob of shape {shape} and dtype {np.dtype(dtype)}: expected (5, 20, 12) or (N, 5, 20, 12)" in str(
        caught.value
    )


@pytest.mark.parametrize("blob", [None, "dog.jpg", [], [1.0, 2.0]])
def test_blob_that_is_no_array(network: Network, blob: Any) -> None:
    with pytest.raises(OptionError, match="blob of shape"):
        network.run(blob)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_must_be_positive(folder: Path, tiny: TinyNetwork, threads: int) -> None:
    with pytest.raises(OptionError, match=f"threads={threads}: expected at least 1"):
        Network(*tiny.write(folder), threads=threads)


def test_size_and_a_graph(folder: Path, tiny: TinyNetwork) -> None:
    cfg, weights = tiny.write(folder)
    larger = Network(cfg, weights, size=(24, 32), threads=1)
    assert tuple(larger.graph.blob) == (5, 32, 24)
    again = Network(load_graph(cfg, (24, 32)), weights, threads=1)
    blob = np.ones((5, 32, 24), np.float32)
    np.testing.assert_array_equal(larger.run(blob)[0], again.run(blob)[0])
    assert larger.run(blob)[0].shape == (14, 32, 24)


def test_size_beside_a_graph(folder: Path, tiny: TinyNetwork) -> None:
    cfg, weights = tiny.write(folder)
    try:
        network = Network(load_graph(cfg), weights, size=(24, 32), threads=1)
    except OptionError:
        return
    assert tuple(network.graph.blob) == (5, 32, 24)


def test_nan_and_infinity_stay_where_they_are(folder: Path) -> None:
    """A pixel that is not a number spoils what its windows see, nothing else; comparisons with it are false."""
    tiny = TinyNetwork((3, 9, 9))
    tiny.add("convolutional", {"filters": 5, "size": 3, "pad": 1, "activation": "linear"})
    tiny.add("maxpool", {"size": 2, "stride": 1})
    network = Network(*tiny.write(folder), threads=1)
    clean = network.run(tiny.blob, taps=[0])[0]
    for poison in (np.nan, np.inf):
        blob = tiny.blob.copy()
        blob[1, 4, 4] = poison
        found = network.run(blob, taps=[0])[0]
        spoiled = ~np.isfinite(found)
        assert spoiled[:, 3:6, 3:6].all()
        assert spoiled.sum() == 5 * 9
        np.testing.assert_array_equal(found[~spoiled], clean[~spoiled])


# Threads ----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("last", ["region", "avgpool", "softmax"])
def test_a_result_stays_when_the_network_runs_again(folder: Path, last: str) -> None:
    tiny = TinyNetwork((3, 9, 7))
    tiny.add("convolutional", {"filters": 14, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add(last, {"num": 2, "classes": 2, "anchors": "1,2,3,4"} if last == "region" else {})
    network = Network(*tiny.write(folder), threads=1)
    (first,) = network.run(tiny.blob)
    kept = first.copy()
    network.run(tiny.blob[:, ::-1, ::-1].copy())
    np.testing.assert_array_equal(first, kept)


def test_cost_is_zero_whatever_comes_before(folder: Path) -> None:
    tiny = TinyNetwork((3, 5, 7))
    tiny.add("cost")
    network = Network(*tiny.write(folder), threads=1)
    assert not network.run(np.full((3, 5, 7), np.nan, np.float32), taps=[0])[0].any()


def test_pooling_outside_the_image_gives_the_lowest_number(folder: Path) -> None:
    tiny = TinyNetwork((3, 5, 7))
    tiny.add("maxpool", {"size": 2, "stride": 1, "padding": 6})
    pooled = Network(*tiny.write(folder), threads=1).run(tiny.blob, taps=[0])[0]
    assert pooled[0, 0, 0] == np.finfo(np.float32).min
    assert np.isfinite(pooled).all()


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

    def interrupted(steps: Any, control: int, scratch: int, first: int, owner: bool) -> int:
        if owner:
            raise KeyboardInterrupt
        return len(steps)

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork here")
def test_fork_after_threads_were_used(folder: Path, tiny: TinyNetwork) -> None:
    """The child has no helper threads, only the memory of them: it must neither hang nor err."""
    network = Network(*tiny.write(folder), threads=2)
    expected = network.run(tiny.blob)[0]
    state = network.acquire()
    state.control[64 // 8] = 1  # as if a helper had just looked in when the process was forked
    network.release(state)
    network._lock.acquire()
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
    state.control[64 // 8] = 0
    network._lock.release()
    deadline = threading.Timer(60, os.kill, (child, 9))
    deadline.start()
    _, status = os.waitpid(child, 0)
    deadline.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(network.run(tiny.blob)[0], expected)  # the parent goes on as before


# Memory -----------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_memory_does_not_grow(folder: Path) -> None:
    """200 runs of a network whose buffers have some megabytes: one that kept anything would gain hundreds."""
    tiny = TinyNetwork((3, 96, 96))
    tiny.sections = [("convolutional", {"filters": 32, "size": 3, "pad": 1})] * 3
    cfg = folder / "memory.cfg"
    cfg.write_text(tiny.cfg())
    graph = load_graph(cfg)
    network = Network(graph, SeededWeights(graph), threads=2)
    for taps in (None, [0]):
        for _ in range(10):
            network.run(tiny.blob, taps=taps)
        before = resident_bytes()
        for _ in range(200):
            network.run(tiny.blob, taps=taps)
        assert resident_bytes() - before < 32 << 20


def test_concurrent_runs_keep_their_buffers_for_the_next(folder: Path, tiny: TinyNetwork) -> None:
    network = Network(*tiny.write(folder), threads=1)
    states = [network.acquire() for _ in range(3)]
    assert len({id(state) for state in states}) == 3
    for state in states:
        network.release(state)
    assert {id(network.acquire()) for _ in range(3)} == {id(state) for state in states}
