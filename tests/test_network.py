"""Running a network: taps, batches, bad arguments, memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import TinyNetwork, assert_close, blobs_of, residual

from darknet_py import Network, OptionError
from darknet_py.graph import load_graph
from darknet_py.planes import read_planes, write_pixels
from darknet_py.threads import execute
from darknet_py.weights import SeededWeights


@pytest.fixture(scope="module")
def tiny() -> TinyNetwork:
    return residual()


@pytest.fixture(scope="module")
def network(folder: Path, tiny: TinyNetwork) -> Network:
    return Network(*tiny.write(folder), threads=2)


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


def test_steps_one_by_one_are_a_run(folder: Path) -> None:
    """Helpers that come late from a step leave the next one alone, whose counters they would take for theirs."""
    tiny = residual()
    network = Network(*tiny.write(folder), threads=4)
    expected = network.run(tiny.blob)[0]
    state = network.acquire()
    write_pixels(tiny.blob, state.blob)
    parts = [state.only(number) for number in range(len(state.steps))]
    assert len({part.control.ctypes.data for part in (state, *parts)}) == len(parts) + 1
    for _ in range(50):
        for part in parts:
            execute(part)
        np.testing.assert_array_equal(read_planes(state.output(network.heads[0].index)), expected)


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
