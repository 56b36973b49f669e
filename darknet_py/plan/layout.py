"""What the debug mode knows of a plan: where its buffers are and when they are in use, and what each record is about.

A plan's records are checked once, when it is made: every place must lie in a buffer that is in use at that step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.step import PLACES
from darknet_py.plan.chains import Chain
from darknet_py.plan.lowering import Lowering, Step
from darknet_py.plan.memory import MemoryFault, pattern

__all__ = ["Layout", "Life", "Row", "check_records", "make_layout"]

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

    def overlaps(self, row: Row) -> bool:
        """Whether it is in use at one of a record's steps."""
        return self.first <= row.last and self.last >= row.first


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

    def fill_arena(self, arena: NDArray[np.float32]) -> None:
        """Fill a new arena with the pattern, but for what is filled before a run: a border has to be zero."""
        words = arena.view(np.uint32)
        words[:] = self.bits
        for life in self.lives:
            if life.is_filled:
                words[life.words()] = 0

    def fill_scratch(self, scratch: NDArray[np.float32], threads: int) -> None:
        """Fill all threads' scratch with the pattern, but for their locks."""
        scratch.view(np.uint32).reshape(threads, -1)[:, _LOCK_BYTES // 4 :] = self.bits


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
                life.begin <= begin and end <= life.begin + life.extent and life.overlaps(row) for life in layout.lives
            )
            if not inside:
                raise MemoryFault(f"{row.what}: {name}, bytes {begin} to {end}, is no buffer in use")
