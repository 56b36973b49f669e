"""The debug mode of a run: step by step, between guard bands, in memory that is NaN until somebody writes to it.

``DARKNET_PY_GUARD=1`` (see `memory`) turns it on for all networks made from then on. Buffers are placed as ever, a band
apart; each is filled with the pattern before the first step that uses it and after the last, so that to read too early,
too late or beside it gives NaN. After every step the bands around all buffers in use are compared, and what scratch
there is beyond what the step's operation needs; after a run the bands around weights, tables and pictures' memory: the
error names the step. Where all that is, the plan's `Layout` says.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.execute import SCRATCH_HEADER
from darknet_py.plan.layout import Layout, Life, Row
from darknet_py.plan.memory import BAND, MemoryFault, damage, damage_of
from darknet_py.plan.state import State

__all__ = ["run_guarded"]


def _scratch_of_threads(state: State) -> NDArray[np.uint32]:
    return state.scratch.view(np.uint32).reshape(state.plan.threads, -1)


def run_guarded(state: State, layout: Layout, execute: Callable[[State], None]) -> None:
    """Run all steps of a state, one after the other by `execute`.

    Raises
    ------
    MemoryFault
        If a step wrote beyond its memory: names the step.
    """
    for life in layout.lives:
        if life.first < 0 and not life.is_filled:
            _fill(state, layout, life)
    for number, row in enumerate(layout.rows):
        if not state.steps[number]["tasks"]:
            continue
        for life in layout.lives:
            if row.first <= life.first <= row.last and life.first >= 0:
                _fill(state, layout, life)
        layout.fill_scratch(state.scratch, state.plan.threads)
        execute(state.only(number))
        _check_step(state, layout, row)
        for life in layout.lives:
            if row.first <= life.last <= row.last:
                _fill(state, layout, life)
    _check_lasting(state)


def _fill(state: State, layout: Layout, life: Life) -> None:
    state.arena.view(np.uint32)[life.words(BAND)] = layout.bits


def _check_step(state: State, layout: Layout, row: Row) -> None:
    arena = state.arena.view(np.uint32)
    for life in layout.lives:
        inner, outer = life.words(), life.words(BAND)
        if life.overlaps(row):
            found = damage_of(arena[outer.start : inner.start], arena[inner.stop : outer.stop], layout.bits)
            if found:
                raise MemoryFault(f"{row.what} wrote beside the memory of {life.what}, {life.extent} bytes: {found}")
    found = damage_of(arena[:0], arena[layout.arena_bytes // 4 :], layout.bits)
    if found:
        raise MemoryFault(f"{row.what} wrote behind the arena: {found}")
    for thread, scratch in enumerate(_scratch_of_threads(state)):
        found = damage_of(scratch[:0], scratch[-(-(SCRATCH_HEADER + row.scratch) // 4) :], layout.bits)
        if found:
            raise MemoryFault(
                f"{row.what} wrote behind the {row.scratch} bytes of scratch of its operation, thread {thread}: {found}"
            )


def _check_lasting(state: State) -> None:
    """Compare the bands of what lives longer than a run, or belongs to no step."""
    lasting = [("a table or weights", array) for array in state.plan.constants]
    lasting += [("the arena", state.arena), ("scratch", state.scratch), ("pictures' memory", state.resize_memory)]
    for what, array in lasting:
        found = damage(array)
        if found:
            raise MemoryFault(f"a run of {state.plan.graph.name} wrote beside {what}, {array.nbytes} bytes: {found}")
