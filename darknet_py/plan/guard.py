"""The debug mode of a run: step by step, between guard bands, in memory that is NaN until somebody writes to it.

``DARKNET_PY_GUARD=1`` (see `memory`) turns it on for all networks made from then on. Buffers are placed as ever, a band
apart; each is filled with the pattern before the first step that uses it and after the last, so that to read too early,
too late or beside it gives NaN. After every step the bands around all buffers in use are compared, and what scratch
there is beyond what the step's operation needs; after a run the bands around weights, tables and pictures' memory: the
error names the step. A plan's records are checked once, when it is made: every place must lie in a buffer that is in
use at that step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.execute import SCRATCH_HEADER
from darknet_py.kernels.ops.step import PLACES
from darknet_py.plan.chains import Chain
from darknet_py.plan.lowering import Lowering, Step
from darknet_py.plan.memory import BAND, MemoryFault, damage, damage_of, pattern

if TYPE_CHECKING:
    from darknet_py.plan.state import State

__all__ = ["Layout", "Life", "Row", "check_records", "make_layout", "prepare", "run_guarded"]

#: Bytes at the beginning of a thread's scratch that hold its lock.
_LOCK_BYTES = 64


@dataclass(frozen=True)
class Life:
    """A buffer in the arena: `extent` bytes from `begin`, in use from step `first` to step `last`."""

    begin: int
    extent: int
    first: int
    last: int
    is_filled: bool
    what: str

    def words(self, band: int = 0) -> slice:
        """Where it is among the 32-bit words of the arena, with so many bytes on either side."""
        return slice((self.begin - band) // 4, (self.begin + self.extent + band) // 4)


@dataclass(frozen=True)
class Row:
    """Which steps a record stands for, how to call it in an error, and the bytes of scratch that it may use."""

    first: int
    last: int
    what: str
    scratch: int


@dataclass(frozen=True)
class Layout:
    """What the debug mode knows of a plan.

    Attributes
    ----------
    bits : int
        The pattern.
    lives : tuple of Life
    rows : tuple of Row
        One for each record of the table.
    arena_bytes : int
        Up to the end of the last band.
    """

    bits: int
    lives: tuple[Life, ...]
    rows: tuple[Row, ...]
    arena_bytes: int


def make_layout(lower: Lowering, order: Sequence[tuple[Step | Chain, int, int]], arena_bytes: int) -> Layout | None:
    """The layout of a plan whose steps are run in this order, each for an image and with so many bytes of scratch.

    None outside the debug mode.
    """
    if not pattern():
        return None
    layers = lower.graph.layers
    numbers = {id(step): number for number, step in enumerate(lower.steps)}
    made_for = ["the input" if b.first < 0 else layers[lower.steps[b.first].layer].where for b in lower.buffers]
    lives = tuple(
        Life(b.offset, b.extent, b.first, b.last, b.filled, what)
        for b, what in zip(lower.buffers, made_for, strict=True)
    )
    rows = [Row(-1, -1, f"the resizing of picture {n}", 0) for n in range(lower.images)]
    for group, image, scratch in order:
        links = group.links if isinstance(group, Chain) else (group,)
        last = links[-1]
        name = "run_chain" if len(links) > 1 else last.operation.name
        what = f"step {numbers[id(last)]} ({name}, image {image}) of {layers[last.layer].where}"
        rows.append(Row(numbers[id(links[0])], numbers[id(last)], what, scratch))
    return Layout(pattern(), lives, tuple(rows), arena_bytes)


def check_records(table: NDArray[Any], layout: Layout) -> None:
    """Raise MemoryFault for a record of a step with a place outside the buffers in use at that step."""
    for record, row in zip(table, layout.rows, strict=True):
        if row.first < 0 or not record["tasks"]:
            continue
        for name in PLACES:
            place = record[name]
            if place["pixel"] == 0:
                continue
            begin = int(place["at"])
            span = (place["h"] - 1) * place["row"] + (place["w"] - 1) * place["pixel"] + place["c"] * place["value"]
            end = int(begin + span + (record["images"] - 1) * place["image"])
            inside = any(
                life.begin <= begin and end <= life.begin + life.extent and _overlaps(life, row)
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
            arena[life.words()] = 0
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
        if not state.steps[number]["tasks"]:
            continue
        for life in layout.lives:
            if row.first <= life.first <= row.last and life.first >= 0:
                _fill(state, layout, life)
        _refresh_scratch(state, layout)
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
        if _overlaps(life, row):
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
