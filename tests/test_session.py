"""What outlives a run: a made-up layer that counts its runs, alone, in streams side by side and in batches."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from darknet_py import Network, OptionError, SeededWeights
from darknet_py.graph import Graph, load_graph
from darknet_py.kernels.ops.add import add
from darknet_py.kernels.ops.copy import copy as copying
from darknet_py.layers import LAYERS, Layer
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules import RULES
from darknet_py.session import Session
from darknet_py.shape import Shape

CFG = """[net]
width=6
height=4
channels=3
[counter]
[counter]
[convolutional]
filters=2
size=1
activation=linear
"""


@dataclass(frozen=True)
class Counter(Layer):
    """The sum of its inputs in this run and in those before: of ones, how many runs there were."""

    kinds = ("counter",)

    @classmethod
    def from_section(cls, section, graph) -> Counter:  # type: ignore[no-untyped-def]
        return cls(**graph.base(section, graph.shape))

    @property
    def lasting(self) -> tuple[tuple[str, Shape], ...]:
        return (("sum", self.shape),)


def counter(lower: Lowering, layer: Layer) -> None:
    memory = lower.lasting(layer, "sum")
    ones = np.ones((2, layer.shape.c), np.float32)
    lower.emit(add, layer, lower.view(layer.inputs[0]), memory, memory, factors=ones, stride=1, sample=1, activation=0)
    lower.emit(copying, layer, memory, lower.target(layer.index))


@pytest.fixture(autouse=True)
def counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYERS, "counter", Counter)
    monkeypatch.setitem(RULES, Counter, counter)


@pytest.fixture
def graph(folder: Path) -> Graph:
    (folder / "counter.cfg").write_text(CFG)
    return load_graph(folder / "counter.cfg")


@pytest.fixture
def network(graph: Graph) -> Network:
    return Network(graph, SeededWeights(graph), threads=2)


def ones(images: int | None = None) -> np.ndarray:
    return np.ones((3, 4, 6) if images is None else (images, 3, 4, 6), np.float32)


def count(outputs: dict[int, np.ndarray], layer: int = 0) -> list[float]:
    """The numbers in the output of a layer, one for each image."""
    found = outputs[layer]
    return [float(np.unique(one).item()) for one in (found if found.ndim == 4 else [found])]


def test_without_a_session_no_run_knows_of_another(network: Network) -> None:
    for _ in range(3):
        assert count(network.run(ones(), taps=[0])) == [1]
        assert count(network.run(ones(2), taps=[0])) == [1, 1]
    first = network.run(ones())[0]
    np.testing.assert_array_equal(network.run(ones(3))[0], np.stack([first] * 3))


def test_a_session_goes_on_until_it_is_reset(network: Network) -> None:
    session = network.session()
    # The second layer sums the sums: 1, 1 + 2, 1 + 2 + 3.
    assert [count(session.run(ones(), taps=[0, 1]), layer) for layer in (0, 0)] == [[1], [2]]
    assert count(network.run(ones(), taps=[0])) == [1]
    outputs = session.run(ones(), taps=[0, 1])
    assert (count(outputs, 0), count(outputs, 1)) == ([3], [6])
    session.reset()
    assert count(session.run(ones(), taps=[0])) == [1]


def test_whatever_is_tapped_the_memory_is_the_same(network: Network) -> None:
    """Every set of taps has a plan of its own, and so has every number of images."""
    session, plain = network.session(), network.session()
    session.run(ones())
    session.run(ones(), taps=[0])
    session.run(ones(), taps=[0, -1])
    for _ in range(3):
        plain.run(ones())
    np.testing.assert_array_equal(session.run(ones())[0], plain.run(ones())[0])
    assert {key: values.max() for key, values in session.lasting.items()} == {(0, "sum"): 4, (1, "sum"): 10}


@pytest.mark.parametrize("images", [2, 11])  # more than are computed at once
def test_streams_side_by_side_have_memories_of_their_own(network: Network, images: int) -> None:
    session = network.session(images)
    each = np.arange(1, images + 1, dtype=np.float32)
    blobs = ones(images) * each[:, None, None, None]
    for _ in range(2):
        session.run(blobs)
    assert count(session.run(blobs, taps=[0])) == list(3 * each)
    session.reset(1)
    assert count(session.run(blobs, taps=[0])) == [value if value == 2 else 4 * value for value in each]
    alone = network.session()
    for _ in range(4):
        outputs = alone.run(blobs[0])
    session.run(blobs)
    np.testing.assert_array_equal(session.run(blobs)[0][0], [*map(alone.run, [blobs[0]] * 2)][-1][0])
    assert outputs


def test_sessions_of_one_network_do_not_meet(network: Network) -> None:
    first, second = network.session(), network.session(2)
    for number in range(1, 4):
        assert count(first.run(ones(), taps=[0])) == [number]
        assert count(second.run(ones(2), taps=[0])) == [number, number]


def test_a_session_that_travels_goes_on(network: Network) -> None:
    session = network.session()
    session.beside["frame"] = np.arange(3)
    session.run(ones())
    other = pickle.loads(pickle.dumps(session))
    assert count(other.run(ones(), taps=[0])) == [2] and count(session.run(ones(), taps=[0])) == [2]
    assert list(other.beside["frame"]) == [0, 1, 2]
    other.reset()
    assert not other.beside and list(session.beside) == ["frame"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_goes_on_alone(network: Network, copied: Callable[[Session], Session]) -> None:
    session = network.session()
    session.beside["frame"] = np.arange(3)
    session.run(ones())
    other = copied(session)
    assert (other.network is network) == (copied is copy.copy)
    assert [count(other.run(ones(), taps=[0])) for _ in range(2)] == [[2], [3]]
    other.beside["frame"][0] = 9
    other.beside["more"] = 1
    assert count(session.run(ones(), taps=[0])) == [2]
    assert list(session.beside) == ["frame"] and list(session.beside["frame"]) == [0, 1, 2]
    other.reset()
    assert count(session.run(ones(), taps=[0])) == [3] and session.beside
    with other.in_use():
        assert count(session.run(ones(), taps=[0])) == [4]


def test_a_session_at_work_forgets_nothing(network: Network) -> None:
    session = network.session()
    session.beside["frame"] = 1
    session.run(ones())
    for refused in (session.reset, partial(copy.copy, session)):
        with session.in_use(), pytest.raises(OptionError, match="at work in another thread"):
            refused()
    assert session.beside == {"frame": 1} and count(session.run(ones(), taps=[0])) == [2]


def test_in_the_debug_mode(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_GUARD", "1")
    network = Network(graph, SeededWeights(graph), threads=2)
    session = network.session(2)
    assert [count(session.run(ones(2), taps=[0]))[1] for _ in range(3)] == [1, 2, 3]
    assert count(network.run(ones(), taps=[0])) == [1]


def test_what_a_session_is_not_for(network: Network, graph: Graph) -> None:
    session = network.session(2)
    with pytest.raises(OptionError, match="follows 2 images, for a run of 1: expected as many in every run"):
        session.run(ones())
    with pytest.raises(OptionError, match="make one by its session"):
        Network(graph, SeededWeights(graph)).run(ones(2), session=session)
    with pytest.raises(OptionError, match="images=0"):
        network.session(0)
    with pytest.raises(OptionError, match="image=2"):
        session.reset(2)
    with session.in_use(), ThreadPoolExecutor(1) as other, pytest.raises(OptionError, match="in another thread"):
        other.submit(session.run, ones(2)).result()
    assert count(session.run(ones(2), taps=[0])) == [1, 1]
