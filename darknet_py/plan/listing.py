"""A plan as a table for people: what each step does, on what, and where that lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from darknet_py.kernels.ops import operation_of
from darknet_py.kernels.ops.step import PLACES
from darknet_py.kernels.vector.formats import format_of_code
from darknet_py.plan.plan import Plan

__all__ = ["PlaceRow", "StepRow", "format_steps", "list_steps"]


@dataclass(frozen=True)
class PlaceRow:
    """An activation: bytes from the beginning of the arena to it, its extent and the format of its values."""

    at: int
    c: int
    h: int
    w: int
    format: str

    def __str__(self) -> str:
        return f"{self.w}x{self.h}x{self.c} {self.format} @{self.at}"


@dataclass(frozen=True)
class StepRow:
    """One step of a plan.

    Attributes
    ----------
    number : int
        Its place in the plan's table.
    operation : str
    layers : tuple of int
        Those it is about: several of a chain.
    images, tasks : int
        How many images it is about, and how many tasks it is cut into for threads to share.
    places : dict of str to PlaceRow
        What it reads (``x``), adds or multiplies that with (``second``), writes (``y``) and writes in another format
        (``also``), as far as it does.
    scratch : int
        Bytes that each task needs to work in.
    """

    number: int
    operation: str
    layers: tuple[int, ...]
    images: int
    tasks: int
    places: dict[str, PlaceRow]
    scratch: int


def list_steps(plan: Plan) -> list[StepRow]:
    """The steps of a plan in the order they are run in, but for those that prepare pictures."""
    return [
        StepRow(
            number,
            operation_of(int(record["operation"])).name,
            layers,
            int(record["images"]),
            int(record["tasks"]),
            {name: _place(record[name]) for name in PLACES if record[name]["pixel"]},
            scratch,
        )
        for number, (record, layers, scratch) in enumerate(zip(plan.table, plan.layers, plan.needs, strict=True))
        if layers
    ]


def _place(place: Any) -> PlaceRow:
    at, c, h, w, code = (int(place[name]) for name in ("at", "c", "h", "w", "format"))
    return PlaceRow(at, c, h, w, format_of_code(code).name)


def format_steps(rows: Sequence[StepRow]) -> str:
    """A line per step; no line end after the last."""
    heading = ("step", "layer", "operation", "images", "tasks", "scratch", *PLACES)
    table = [heading, *map(_cells, rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(heading))]
    numbers = (0, 3, 4, 5)
    lines = (
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in table
    )
    return "\n".join(line.rstrip() for line in lines)


def _cells(row: StepRow) -> tuple[str, ...]:
    layers = str(row.layers[-1]) if len(row.layers) == 1 else f"{row.layers[0]}-{row.layers[-1]}"
    places = (str(row.places.get(name, "")) for name in PLACES)
    return str(row.number), layers, row.operation, str(row.images), str(row.tasks), str(row.scratch), *places
