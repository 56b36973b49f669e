"""The Plan: a network ready to run, immutable and shared between threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from darknet_py.graph import Graph
from darknet_py.plan.buffers import View
from darknet_py.plan.layout import Layout
from darknet_py.plan.packing import PackedWeights

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """A network ready to run: immutable, shared between threads.

    Attributes
    ----------
    graph : Graph
    table : ndarray, shape (steps,), STEP
        The steps, their places relative to the arena. The first ones, one for each image, are for
        `State.resize_first`.
    arena_bytes : int
        Size of the memory one run needs.
    blob : View
        Where the input goes.
    outputs : dict of int to View
        Where the heads, the last layer and the kept layers are after a run.
    scratch_bytes : int
        Per thread.
    layers : tuple of tuples of int
        The layers that each step of the table is about: several of a chain, none of the first ones.
    needs : tuple of int
        Bytes of scratch that a task of each step of the table needs.
    lasting : dict of (int, str) to View
        Where layers keep what outlives a run (see `Layer.lasting`): whoever runs the plan fills it before.
    """

    graph: Graph
    table: NDArray[Any]
    arena_bytes: int
    blob: View
    outputs: dict[int, View]
    scratch_bytes: int
    layers: tuple[tuple[int, ...], ...]
    needs: tuple[int, ...]
    weights: PackedWeights
    constants: tuple[NDArray[Any], ...]
    images: int = 1
    threads: int = 1
    lasting: Mapping[tuple[int, str], View] = field(default_factory=dict)
    #: In the debug mode.
    layout: Layout | None = None
