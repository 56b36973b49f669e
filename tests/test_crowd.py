"""Memory after many callers at once: as much is kept as is of use."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from networks import TinyNetwork, blobs_of, residual

from darknet_py import Network
from darknet_py.plan.need import _FEW, _WINDOW
from darknet_py.plan.pool import MOST_TAPPED


@pytest.fixture
def tiny() -> TinyNetwork:
    return residual()


@pytest.fixture
def network(folder: Path, tiny: TinyNetwork, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr("darknet_py.network.physical_cores", lambda: 2)
    return Network(*tiny.write(folder), threads=2)


def kept(network: Network) -> int:
    return sum(map(len, network._pool._states.values()))


def crowd(network: Network, count: int, images: int = 1) -> list[weakref.ref]:
    """So many callers at once; what is left of their states."""
    states = [network.acquire(images) for _ in range(count)]
    assert len(set(map(id, states))) == count
    for state in states:
        network.release(state)
    return [weakref.ref(state.arena) for state in states]


def test_a_crowd_leaves_little(network: Network, tiny: TinyNetwork) -> None:
    expected = network.run(tiny.blob)[0]
    with ThreadPoolExecutor(20) as pool:
        for found in pool.map(lambda _: network.run(tiny.blob)[0], range(60)):
            np.testing.assert_array_equal(found, expected)
    assert 1 <= kept(network) <= _FEW
    arenas = crowd(network, 40)
    gc.collect()
    assert kept(network) == _FEW == sum(arena() is not None for arena in arenas)


def test_as_many_are_kept_as_are_used_at_once(network: Network, tiny: TinyNetwork) -> None:
    crowd(network, 40)
    for _ in range(2 * _WINDOW):
        network.run(tiny.blob)
    assert kept(network) == 1
    for _ in range(_WINDOW):
        crowd(network, 3)
        assert kept(network) == 3


def test_a_machine_that_computes_many_runs_at_once_keeps_as_many(
    folder: Path, tiny: TinyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darknet_py.network.physical_cores", lambda: 24)
    network = Network(*tiny.write(folder), threads=2)
    crowd(network, 40)
    assert kept(network) == 12


def test_states_of_batches_are_given_back_too(network: Network, tiny: TinyNetwork) -> None:
    crowd(network, 9, images=3)
    assert {count: len(free) for count, free in network._pool._states.items()} == {3: _FEW}
    network.run(blobs_of(tiny, 2))
    assert list(network._pool._states) == [2]
    for _ in range(2 * _WINDOW):
        network.run(tiny.blob)
    assert all(len(free) <= 1 for free in network._pool._states.values())


def test_states_that_never_come_back_are_not_counted(network: Network, tiny: TinyNetwork) -> None:
    for _ in range(30):  # as of runs that Ctrl-C ended
        network.acquire()
    gc.collect()
    for _ in range(2 * _WINDOW):
        network.run(tiny.blob)
    assert kept(network) == 1


def test_plans_of_taps_are_bounded(network: Network, tiny: TinyNetwork) -> None:
    first = network.run(tiny.blob, taps=[0, 1])[0]
    for tap in range(10):
        network.run(tiny.blob, taps=[tap])
    assert len(network._pool._tapped) == MOST_TAPPED
    np.testing.assert_array_equal(network.run(tiny.blob, taps=[0, 1])[0], first)
