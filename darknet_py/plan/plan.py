"""The Plan, shared and immutable, and the State, which holds the buffers of one run."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from darknet_py.graph import Graph
from darknet_py.kernels.execute import CLOSED, CONTROL_HEADER, CONTROL_LINE, KERNELS, SCRATCH_HEADER
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.call import kernel_address
from darknet_py.kernels.ops.convolve_matrix import SCRATCH_BYTES
from darknet_py.kernels.ops.steps import COLUMNS, Op
from darknet_py.kernels.tiles.finish import RECORD
from darknet_py.kernels.tiles.register import BLOCKS, PIXELS
from darknet_py.layers import Convolutional
from darknet_py.plan.buffers import View, place_buffers
from darknet_py.plan.chains import Chain, find_chains
from darknet_py.plan.guard import Layout, check_records, make_layout, prepare
from darknet_py.plan.lowering import Lowering, Step
from darknet_py.plan.memory import aligned, band_floats
from darknet_py.plan.overreads import floats_beyond
from darknet_py.plan.packing import PackedWeights
from darknet_py.plan.rules import RULES
from darknet_py.plan.tasks import divide

__all__ = ["FirstStep", "Plan", "State", "make_plan"]

Array = NDArray[Any]

#: Tasks of a resize per thread: helpers come late to a run's first step.
_RESIZE_TASKS = 4


class FirstStep(Protocol):
    """What fills an image's blob as a run begins: a step of the run, kept alive with all that its row points to.

    Attributes
    ----------
    row : ndarray, shape (columns,), int64
        All but the kernel's address, how many tasks there are and where their memory is.
    task_bytes : int
        Memory that each task needs.
    """

    row: NDArray[np.int64]
    task_bytes: int


@dataclass(frozen=True)
class Plan:
    """A network ready to run: immutable, shared between threads.

    Attributes
    ----------
    graph : Graph
    table : ndarray, shape (steps, columns), int64
        The step table with addresses relative to the arena in columns X, Y, SECOND and ROUNDED. The first rows, one for
        each image, are for `State.resize_first`.
    arena_floats : int
        Size of the memory one run needs.
    blob : View
        Where the input goes.
    outputs : dict of int to View
        Where the heads, the last layer and the kept layers are after a run.
    scratch_bytes : int
        Per thread.
    lasting : dict of (int, str) to View
        Where layers keep what outlives a run (see `Layer.lasting`): whoever runs the plan fills it before.
    """

    graph: Graph
    table: NDArray[np.int64]
    arena_floats: int
    blob: View
    outputs: dict[int, View]
    scratch_bytes: int
    weights: PackedWeights
    constants: tuple[Array, ...]
    images: int = 1
    threads: int = 1
    lasting: Mapping[tuple[int, str], View] = field(default_factory=dict)
    #: In the debug mode.
    layout: Layout | None = None


def make_plan(
    graph: Graph, weights: PackedWeights, keep: Collection[int] = (), images: int = 1, threads: int = 1
) -> Plan:
    """Lower every layer of `graph` to steps, place their memory and encode them.

    Parameters
    ----------
    graph : Graph
    weights : PackedWeights
    keep : collection of int
        Layers to keep readable after a run, besides the heads and the last layer.
    images : int
        Images that one run is given. Layers with more weights than activations are computed for all of them at once,
        so that the weights are read once; the layers before them, whose activations of one image fill the cache, for
        one image after the other.
    threads : int
        That will share a run. Results do not depend on it.
    """
    wanted = {*keep, graph.output.index, *(head.index for head in graph.heads)}
    lowering = Lowering(graph, weights, wanted, images, _first_heavy(graph), threads)
    for layer in graph.layers:
        RULES[type(layer)](lowering, layer)
        lowering.round_output(layer)
    outputs = {index: lowering.view(index) for index in sorted(wanted)}
    for view in outputs.values():
        view.buffer.use(len(lowering.steps))
        view.buffer.keep()
    blob = lowering.input
    single = sum(images > 1 and step.layer < lowering.together for step in lowering.steps)
    _multiply_buffers(lowering, single)
    groups = find_chains(lowering)
    band = band_floats()
    placed_floats = place_buffers(lowering.buffers, band)
    alone = [group for group in groups if images > 1 and _layer(group) < lowering.together]
    order = [(group, image, 1) for image in range(images) for group in alone]
    order += [(group, 0, images) for group in groups[len(alone) :]]
    # One for each image's picture, to be filled in where it has to be resized.
    resizes = np.zeros((images, len(COLUMNS)), np.int64)
    resizes[:, COLUMNS["OP"]], resizes[:, COLUMNS["LAYER"]] = Op.RESIZE, -1
    table = np.concatenate([resizes, *(_encode_group(*some, threads) for some in order)])
    taps = table[:, COLUMNS["KERNEL_H"]] * table[:, COLUMNS["KERNEL_W"]]
    window = 4 * PIXELS * BLOCKS * LANES + 8 * RECORD + 8 * PIXELS * (1 + int(taps.max(initial=0)))
    widest = 2 * 4 * (int(table[:, COLUMNS["CHANNELS"]].max(initial=0)) + LANES)
    matrix = SCRATCH_BYTES if Op.MATRIX in table[:, COLUMNS["OP"]] else 0
    tile_bytes = -(-max(window, matrix, widest, 8192) // 64) * 64
    for group in groups:
        if isinstance(group, Chain):
            lowering.scratch(group.scratch_bytes)
    # A tile's, then a band, then what SCRATCH says, then a band.
    table[:, COLUMNS["SCRATCH"]] = tile_bytes + 4 * band
    ends = SCRATCH_HEADER + tile_bytes, SCRATCH_HEADER + tile_bytes + 4 * band + -(-lowering.scratch_bytes // 64) * 64
    layout = make_layout(lowering, order, placed_floats, ends)
    if layout is not None:
        check_records(table, layout)
    table.flags.writeable = False
    return Plan(
        graph, table, placed_floats + max(map(floats_beyond, lowering.steps), default=0), blob, outputs,
        ends[1] + 4 * band, weights, tuple(lowering.constants), images, threads, lowering.kept, layout,
    )  # fmt: skip


def _layer(group: Step | Chain) -> int:
    return group.links[0].layer if isinstance(group, Chain) else group.layer


def _first_heavy(graph: Graph) -> int:
    """The first convolution with more weights than input and output: from there on weights are what is read most."""
    for layer in graph.layers:
        if isinstance(layer, Convolutional) and _weight_count(layer) > layer.in_shape.size + layer.shape.size:
            return layer.index
    return len(graph.layers)


def _weight_count(layer: Convolutional) -> int:
    return sum(prod(parameter.shape) for parameter in layer.parameters)


def _multiply_buffers(lowering: Lowering, single: int) -> None:
    """Give every image a place in the buffers that a step from `single` on reads or writes.

    Places that are filled image by image are in use from the first step to the last that fills one.
    """
    for buffer in lowering.buffers:
        if buffer.last >= single and not buffer.shared:
            buffer.images = lowering.images
            if buffer.first < single:
                buffer.first = -1


def _encode_group(group: Step | Chain, image: int, images: int, threads: int) -> NDArray[np.int64]:
    """The rows of a step, or of a chain and its links."""
    if isinstance(group, Step):
        table = np.zeros((1, len(COLUMNS)), np.int64)
        _encode(table[0], group, image, images, threads)
        return table
    table = np.zeros((1 + len(group.links), len(COLUMNS)), np.int64)
    for n, (row, link) in enumerate(zip(table[1:], group.links, strict=True)):
        in_scratch = {"X": n > 0, "Y": n < len(group.links) - 1}
        # Only the chain as a whole is cut into parts.
        _encode(row, link, image, images, threads=1, in_scratch=[name for name, is_ in in_scratch.items() if is_])
    first, last = group.links[0], group.links[-1]
    fields = {"N_BLOCKS": len(group.links), "TILE_STEP": group.band}
    _encode(table[0], Step(Op.CHAIN, last.layer, first.x, last.y, last.second, fields=fields), image, images, threads)
    table[0, COLUMNS["TASKS"]] = group.tasks * images
    group.encode(table[1:])
    return table


def _encode(
    row: NDArray[np.int64], step: Step, image: int, images: int, threads: int, in_scratch: Collection[str] = ()
) -> None:
    """Fill one row of the step table, for `images` images from `image` on; addresses `in_scratch` come later."""
    x, y, second = step.x, step.y, step.second
    fields = {
        "OP": int(step.op),
        "FUNCTION": kernel_address(KERNELS[step.op]),
        "LAYER": step.layer,
        "IMAGES": images,
        "IN_H": x.shape.h,
        "IN_W": x.shape.w,
        "OUT_H": y.shape.h,
        "OUT_W": y.shape.w,
        "CHANNELS": y.shape.c,
        **step.fields,
    }
    views = {"X": x, "Y": None if y is step.rounded else y, "SECOND": second, "ROUNDED": step.rounded}
    for name, view in views.items():
        if view is not None:
            place = {f"{name}_PIXEL": 4 * view.pixel} if name in in_scratch else _place(name, view, image)
            fields |= place | {f"{name}_ROW": 4 * view.row}
    if second is not None:
        fields |= {
            "SECOND_H": second.shape.h,
            "SECOND_W": second.shape.w,
            "SECOND_CHANNELS": second.shape.c,
        }
    for name, value in fields.items():
        row[COLUMNS[name]] = value
    divide(row, step, threads, images)


def _place(name: str, view: View, image: int) -> dict[str, int]:
    """Columns that say where the values of `image` are: address in the arena, bytes from image to image and pixel."""
    return {name: 4 * view.begin(image), f"{name}_IMAGE": 4 * view.buffer.stride, f"{name}_PIXEL": 4 * view.pixel}


def _closed_control(steps: int, threads: int) -> NDArray[np.int64]:
    """The control block of so many steps (see `run_steps`), which no helper enters until a run is opened."""
    control = np.zeros(CONTROL_HEADER + CONTROL_LINE * (1 + threads) * steps, np.int64)
    control[CLOSED] = 1
    return control


class State:
    """The buffers of one run of a Plan: its arena, its copy of the step table, its counters and scratch."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.arena = aligned(plan.arena_floats)
        self.steps = plan.table.copy()
        base = self.arena.ctypes.data
        in_arena = self.steps[:, COLUMNS["TASKS"]] != 0
        for name in ("X", "Y", "SECOND", "ROUNDED"):
            there = in_arena & (self.steps[:, COLUMNS[f"{name}_PIXEL"]] != 0)
            self.steps[there, COLUMNS[name]] += base
        self._prepare_chains(plan.threads)
        self.control = _closed_control(len(self.steps), plan.threads)
        self.scratch = aligned(plan.threads * (plan.scratch_bytes // 4))
        self._resizings: tuple[FirstStep, ...] = ()
        self.resize_memory = aligned(0)
        if plan.layout is not None:
            prepare(self, plan.layout)
        # Made once: 0.03 ms each, as much as rearranging a small head.
        self.blobs = self._arrays(plan.blob)
        self._outputs = {index: self._arrays(view) for index, view in plan.outputs.items()}
        #: What outlives a run, of every image, (H, W, C).
        self.lasting = {key: self._arrays(view) for key, view in plan.lasting.items()}

    def _prepare_chains(self, threads: int) -> None:
        """Tell chains where their links are, and cut them into one task per thread: every cut computes rows twice.

        What is computed does not depend on the cuts. With two tasks per thread, which would make up for one that comes
        late, Yolo-Fastest-1.1-xl takes 1.03 of the time on two threads.
        """
        for number in np.flatnonzero(self.steps[:, COLUMNS["OP"]] == Op.CHAIN):
            row = self.steps[number]
            row[COLUMNS["PARAMETERS"]] = self.steps[number + 1 :].ctypes.data
            images = int(row[COLUMNS["IMAGES"]])
            row[COLUMNS["TASKS"]] = images * min(int(row[COLUMNS["TASKS"]]) // images, threads)

    def resize_first(self, resizings: Sequence[FirstStep]) -> None:
        """Begin the next run with these, one per image at most; they live as long as they may be at work."""
        self._resizings = tuple(resizings)
        self.steps[: self.plan.images, COLUMNS["TASKS"]] = 0
        if not resizings:
            return
        threads = self.plan.threads
        wanted = 1 if threads == 1 else _RESIZE_TASKS * threads
        tasks = [min(wanted, int(one.row[COLUMNS["OUT_H"]])) for one in resizings]
        needs = [count * one.task_bytes for count, one in zip(tasks, resizings, strict=True)]
        if sum(needs) > self.resize_memory.nbytes:
            self.resize_memory = aligned(sum(needs) // 4)
        at = self.resize_memory.ctypes.data
        function = kernel_address(KERNELS[Op.RESIZE])
        for row, one, count, need in zip(self.steps, resizings, tasks, needs, strict=False):
            row[:] = one.row
            row[COLUMNS["FUNCTION"]], row[COLUMNS["TASKS"]], row[COLUMNS["SECOND"]] = function, count, at
            at += need

    def scratch_address(self, thread: int) -> int:
        return int(self.scratch.ctypes.data + thread * self.plan.scratch_bytes)

    def step(self, number: int) -> State:
        """This state, reduced to one of its steps: for timing or watching it.

        With counters of its own, as a helper that comes late from it must not find those of the next step open.
        """
        part = copy.copy(self)
        part.steps = self.steps[number : number + 1]
        part.control = _closed_control(1, self.plan.threads)
        return part

    @property
    def blob(self) -> NDArray[np.float32]:
        """Where the first (mostly the only) image goes, (H, W, C)."""
        return self.blobs[0]

    def output(self, index: int, image: int = 0) -> NDArray[np.float32]:
        """The output of a kept layer as an (H, W, C) view of the arena: valid until the next run."""
        return self._outputs[index][image]

    def _arrays(self, view: View) -> tuple[NDArray[np.float32], ...]:
        """The values of `view` in every image's part of the arena, (H, W, C)."""
        c, h, w = view.shape
        begins = map(view.begin, range(self.plan.images))
        return tuple(as_strided(self.arena[begin:], (h, w, c), (4 * view.row, 4 * view.pixel, 4)) for begin in begins)
