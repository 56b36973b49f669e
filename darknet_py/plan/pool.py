"""The plans of one network, and the buffers of its runs: who has them, and how many are kept for the next."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

from darknet_py.graph import Graph
from darknet_py.plan.need import Need
from darknet_py.plan.packing import PackedWeights
from darknet_py.plan.plan import make_plan
from darknet_py.plan.program import Plan
from darknet_py.plan.state import State

__all__ = ["MOST_TAPPED", "Pool"]

#: Sets of tapped layers whose plans are kept, the last ones made.
MOST_TAPPED = 8

_alive: WeakSet[Pool] = WeakSet()


class Pool:
    """Plans by how many images a run is about, and free states of each; several threads may ask at once.

    Parameters
    ----------
    graph : Graph
    weights : PackedWeights
    threads : int
        That share a run.
    together : int
        Runs that this machine can compute at once.

    Attributes
    ----------
    plan : Plan
        Of a run on one image.
    """

    def __init__(self, graph: Graph, weights: PackedWeights, threads: int, together: int) -> None:
        self._graph, self._weights, self._threads, self._together = graph, weights, threads, together
        self.plan = make_plan(graph, weights, threads=threads)
        self._plans = {1: self.plan}
        self._tapped: dict[frozenset[int], Plan] = {}
        self._begin()
        _alive.add(self)

    def _begin(self) -> None:
        """With no state, as at first and in a forked child."""
        self._lock = threading.Lock()
        self._states: dict[int, list[State]] = {}
        self._need = Need(self._together)

    def acquire(self, images: int) -> State:
        """A state for a run on so many images, which nobody else has."""
        with self._lock:
            free = self._states.setdefault(images, [])
            if free:
                state = free.pop()
                self._need.begin(state)
                return state
            if images not in self._plans:
                self._plans[images] = make_plan(self._graph, self._weights, images=images, threads=self._threads)
            plan = self._plans[images]
        state = State(plan)
        with self._lock:
            self._need.begin(state)
        return state

    def release(self, state: State) -> None:
        """Take back a state; see `Network.release`."""
        images = state.plan.images
        with self._lock:
            worth_keeping = self._need.end(state)
            if images > 1:
                self._states = {count: free for count, free in self._states.items() if count in (1, images)}
            self._states.setdefault(images, []).append(state)
            for free in self._states.values():
                del free[: max(0, len(free) - worth_keeping)]  # the last ones are in the cache

    def tapped(self, layers: frozenset[int]) -> Plan:
        """The plan of a run on one image that keeps these layers' outputs."""
        plan = self._tapped.get(layers)
        if plan is None:
            plan = make_plan(self._graph, self._weights, layers, threads=self._threads)
            with self._lock:
                while len(self._tapped) >= MOST_TAPPED:
                    del self._tapped[next(iter(self._tapped))]
                self._tapped[layers] = plan
        return plan


def _after_fork() -> None:
    """A forked child may have copied buffers with a helper in them, or a lock that another thread held."""
    for pool in _alive:
        pool._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
