"""The State, which holds the buffers of one run of a Plan."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from darknet_py.kernels.call import kernel_address
from darknet_py.kernels.execute import CLOSED, CONTROL_HEADER, CONTROL_LINE
from darknet_py.kernels.ops import number_of
from darknet_py.kernels.ops.resize_rows import resize_rows
from darknet_py.kernels.ops.step import PLACE, STEP
from darknet_py.plan.buffers import View
from darknet_py.plan.memory import aligned
from darknet_py.plan.program import Plan

__all__ = ["FirstStep", "State"]


class FirstStep(Protocol):
    """What fills an image's blob as a run begins: a step of the run, kept alive with all that it points to.

    Attributes
    ----------
    step : ndarray, shape (1,), STEP
        All but which operation it is and how many tasks there are.
    own : ndarray, shape (1,)
        Its arguments, but for where the tasks' memory is.
    task_bytes : int
        Memory that each task needs.
    """

    step: NDArray[Any]
    own: NDArray[Any]
    task_bytes: int


def _closed_control(steps: int, threads: int) -> NDArray[np.int64]:
    """The control block of so many steps (see `run_steps`), which no helper enters until a run is opened."""
    control = np.zeros(CONTROL_HEADER + CONTROL_LINE * (1 + threads) * steps, np.int64)
    control[CLOSED] = 1
    return control


class State:
    """The buffers of one run of a Plan: its arena, its copy of the steps, its counters and scratch."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.arena = aligned(plan.arena_bytes // 4)
        self.steps = plan.table.copy()
        for name, (kind, *_) in (STEP.fields or {}).items():
            if kind == PLACE:
                place = self.steps[name]
                place["at"][place["pixel"] != 0] += self.arena.ctypes.data
        self.control = _closed_control(len(self.steps), plan.threads)
        self.scratch = aligned(plan.threads * (plan.scratch_bytes // 4))
        self._resizings: tuple[FirstStep, ...] = ()
        self.resize_memory = aligned(0)
        if plan.layout is not None:
            plan.layout.fill_arena(self.arena)
            plan.layout.fill_scratch(self.scratch, plan.threads)
        # Made once: 0.03 ms each, as much as rearranging a small head.
        self.blobs = self._arrays(plan.blob)
        self._outputs = {index: self._arrays(view) for index, view in plan.outputs.items()}
        #: What outlives a run, of every image, (H, W, C).
        self.lasting = {key: self._arrays(view) for key, view in plan.lasting.items()}

    def resize_first(self, resizings: Sequence[FirstStep]) -> None:
        """Begin the next run with these, one per image at most; they live as long as they may be at work."""
        self._resizings = tuple(resizings)
        self.steps["tasks"][: self.plan.images] = 0
        if not resizings:
            return
        cuts = [resize_rows.cut(one.step[0], one.own[0], self.plan.threads, 1) for one in resizings]
        needs = [cut.tasks * one.task_bytes for cut, one in zip(cuts, resizings, strict=True)]
        if sum(needs) > self.resize_memory.nbytes:
            self.resize_memory = aligned(sum(needs) // 4)
        at = self.resize_memory.ctypes.data
        for number, (one, cut, need) in enumerate(zip(resizings, cuts, needs, strict=True)):
            one.own["memory"] = at
            self.steps[number] = one.step[0]
            self.steps[number]["function"] = kernel_address(resize_rows.kernel)
            self.steps[number]["operation"], self.steps[number]["tasks"] = number_of(resize_rows), cut.tasks
            at += need

    def scratch_address(self, thread: int) -> int:
        """Where the scratch of a thread begins."""
        return int(self.scratch.ctypes.data + thread * self.plan.scratch_bytes)

    def only(self, number: int) -> State:
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
        strides = view.row, view.pixel, view.format.value_bytes
        return tuple(as_strided(self.arena[begin // 4 :], (h, w, c), strides) for begin in begins)
