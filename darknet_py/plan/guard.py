"""The debug mode of a run: step by step, between guard bands, in memory that is NaN until somebody writes to it.

``DARKNET_PY_GUARD=1`` (see `memory`) turns it on for all networks made from then on. Buffers are placed as ever, a band
apart; each is filled with the pattern before the first step that uses it and after the last, so that to read too early,
too late or beside it gives NaN. After every step the bands around all buffers in use and around scratch are compared,
after a run those around weights, tables and pictures' memory: the error names the step. A plan's records are checked
once, when it is made: every address must lie in a buffer that is in use at that step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.steps import COLUMNS
from darknet_py.plan.chains import Chain
from darknet_py.plan.lowering import Lowering, Step
from darknet_py.plan.memory import BAND, MemoryFault, damage, damage_of, pattern

if TYPE_CHECKING:
    from darknet_py.plan.plan import State

__all__ = ["Layout", "Life", "Row", "check_records", "make_layout", "prepare", "run_guarded"]

#: Bytes at the beginning of a thread's scratch that hold its lock.
_LOCK_BYTES = 64


@dataclass(frozen=True)
class Life:
    """A buffer in the arena: `extent` floats from `begin`, in use from step `first` to step `last`."""

    begin: int
    extent: int
    first: int
    last: int
    is_filled: bool
    what: str


@dataclass(frozen=True)
class Row:
    """Which steps a row of the step table stands for, and how to call it in an error."""

    first: int
    last: int
    what: str


@dataclass(frozen=True)
class Layout:
    """What the debug mode knows of a plan.

    Attributes
    ----------
    bits : int
        The pattern.
    lives : tuple of Life
    rows : tuple of Row
        One for each row of the step table; those of a chain's links stand for no steps.
    arena_floats : int
        Up to the end of the last band.
    scratch_bands : tuple of (int, int)
        Where in each thread's scratch bands begin and end: bytes.
    """

    bits: int
    lives: tuple[Life, ...]
    rows: tuple[Row, ...]
    arena_floats: int
    scratch_bands: tuple[tuple[int, int], ...]


def make_layout(
    lowering: Lowering,
    order: Sequence[tuple[Step | Chain, int, int]],
    arena_floats: int,
    scratch_bands: Iterable[int],
) -> Layout | None:
    """The layout of a plan whose steps are run in this order; None outside the debug mode.

    `scratch_bands` are where bands begin in scratch, BAND floats each.
    """
    if not pattern():
        return None
    layers = lowering.graph.layers
    numbers = {id(step): number for number, step in enumerate(lowering.steps)}
    made_for = ["the input" if b.first < 0 else layers[lowering.steps[b.first].layer].where for b in lowering.buffers]
    lives = tuple(
        Life(b.offset, b.extent, b.first, b.last, b.filled, what)
        for b, what in zip(lowering.buffers, made_for, strict=True)
    )
    rows = [Row(-1, -1, f"the resizing of picture {n}") for n in range(lowering.images)]
    for group, image, _ in order:
        links = group.links if isinstance(group, Chain) else (group,)
        last = links[-1]
        name = "CHAIN" if len(links) > 1 else last.op.name
        what = f"step {numbers[id(last)]} ({name}, image {image}) of {layers[last.layer].where}"
        rows.append(Row(numbers[id(links[0])], numbers[id(last)], what))
        rows.extend([Row(-2, -2, "")] * (len(links) if len(links) > 1 else 0))
    bands = tuple((begin, begin + 4 * BAND) for begin in scratch_bands)
    return Layout(pattern(), lives, tuple(rows), arena_floats, bands)


def check_records(table: NDArray[np.int64], layout: Layout) -> None:
    """Raise MemoryFault for a record of the step table with an address outside the buffers in use at its step."""
    for record, row in zip(table, layout.rows, strict=True):
        step = {name: int(record[column]) for name, column in COLUMNS.items()}
        if row.first < 0 or not step["TASKS"]:
            continue
        extents = {
            "X": (step["IN_H"], step["IN_W"], 1),
            "Y": (step["OUT_H"], step["OUT_W"], step["CHANNELS"]),
            "SECOND": (step["SECOND_H"], step["SECOND_W"], 1),
            "ROUNDED": (step["OUT_H"], step["OUT_W"], 1),
        }
        for name, (height, width, floats) in extents.items():
            pixel = step[f"{name}_PIXEL"]
            if pixel == 0:
                continue
            begin = step[name]
            span = (height - 1) * step[f"{name}_ROW"] + (width - 1) * pixel + 4 * floats
            end = begin + span + (step["IMAGES"] - 1) * step[f"{name}_IMAGE"]
            inside = any(
                4 * life.begin <= begin and end <= 4 * (life.begin + life.extent) and _overlaps(life, row)
                for life in layout.lives
            )
            if not inside:
                raise MemoryFault(f"{row.what}: {name}, bytes {begin} to {end}, is no buffer in use")


def _overlaps(life: Life, row: Row) -> bool:
    return life.first <= row.last and life.last >= row.first


def prepare(state: State, layout: Layout) -> None:
    """Fill the memory of a new state with the pattern, but for what is filled before a run: a border has to be zero."""
    arena = state.arena.view(np.uint32)
    arena[:] = layout.bits
    for life in layout.lives:
        if life.is_filled:
            arena[life.begin : life.begin + life.extent] = 0
    _refresh_scratch(state, layout)


def _refresh_scratch(state: State, layout: Layout) -> None:
    _scratch_of_threads(state)[:, _LOCK_BYTES // 4 :] = layout.bits


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
        if not state.steps[number, COLUMNS["TASKS"]]:
            continue
        for life in layout.lives:
            if row.first <= life.first <= row.last and life.first >= 0:
                _fill(state, layout, life)
        _refresh_scratch(state, layout)
        execute(state.step(number))
        _check_step(state, layout, row)
        for life in layout.lives:
            if row.first <= life.last <= row.last:
                _fill(state, layout, life)
    _check_lasting(state)


def _fill(state: State, layout: Layout, life: Life) -> None:
    state.arena.view(np.uint32)[life.begin - BAND : life.begin + life.extent + BAND] = layout.bits


def _check_step(state: State, layout: Layout, row: Row) -> None:
    arena = state.arena.view(np.uint32)
    for life in layout.lives:
        end = life.begin + life.extent
        if _overlaps(life, row):
            found = damage_of(arena[life.begin - BAND : life.begin], arena[end : end + BAND], layout.bits)
            if found:
                raise MemoryFault(f"{row.what} wrote beside the memory of {life.what}, {life.extent} floats: {found}")
    found = damage_of(arena[:0], arena[layout.arena_floats :], layout.bits)
    if found:
        raise MemoryFault(f"{row.what} wrote behind the arena: {found}")
    for thread, scratch in enumerate(_scratch_of_threads(state)):
        for begin, end in layout.scratch_bands:
            found = damage_of(scratch[:0], scratch[begin // 4 : end // 4], layout.bits)
            if found:
                raise MemoryFault(f"{row.what} wrote beside the scratch of thread {thread}, byte {begin}: {found}")


def _check_lasting(state: State) -> None:
    """Compare the bands of what lives longer than a run, or belongs to no step."""
    lasting = [("a table or weights", array) for array in state.plan.constants]
    lasting += [("the arena", state.arena), ("scratch", state.scratch), ("pictures' memory", state.resize_memory)]
    for what, array in lasting:
        found = damage(array)
        if found:
            raise MemoryFault(f"a run of {state.plan.graph.name} wrote beside {what}, {array.nbytes} bytes: {found}")
