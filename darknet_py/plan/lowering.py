"""What the rules that turn layers into steps work with: steps, and where each layer reads and writes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.graph import Graph
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.steps import Op
from darknet_py.layers import Layer, Shape
from darknet_py.plan.buffers import Buffer, View, pixel_floats
from darknet_py.plan.packing import PackedWeights, aligned, reads_rows
from darknet_py.plan.sharing import Sharing

__all__ = ["Lowering", "Step"]

BLOB = -1


@dataclass
class Step:
    """One row of the step table before memory is placed."""

    op: Op
    layer: int
    x: View
    y: View
    second: View | None = None
    fields: dict[str, int] = field(default_factory=dict)


class Lowering:
    """The state of turning one graph into steps.

    Parameters
    ----------
    graph : Graph
    weights : PackedWeights
        Packed weights by layer index; those of a shared layer are its source's.
    keep : collection of int
        Layers whose output must be readable after the run: they are not fused away.
    images : int
        Images in a run.
    together : int
        First layer that is computed for all images at once; those before are for one image after the other.
    threads : int
        That share a run.
    """

    def __init__(
        self,
        graph: Graph,
        weights: PackedWeights,
        keep: Collection[int],
        images: int = 1,
        together: int = 0,
        threads: int = 1,
    ) -> None:
        self.images = images
        self.threads = threads
        self.together = together
        self.graph = graph
        self.packed = weights.packed
        self.shortcut_weights = weights.shortcuts
        self.sharing = Sharing(graph, keep)
        self.steps: list[Step] = []
        self.buffers: list[Buffer] = []
        self.constants: list[NDArray[Any]] = []
        self.scratch_bytes = 0
        self._views: dict[int, View] = {}
        self._rounded: dict[int, View] = {}
        self._shared_constants: dict[tuple[float, int], int] = {}
        self._input: View | None = None

    def images_of(self, layer: Layer) -> int:
        """How many images a step of this layer is about."""
        return self.images if layer.index >= self.together else 1

    # Where layers read and write ----------------------------------------------------------------------------

    def view(self, index: int) -> View:
        """The output of layer `index` (-1: the blob), to read."""
        if index == BLOB:
            return self.input
        owner, first = self.sharing.source_of(index)
        whole = self.input if owner == BLOB else self._views[owner]
        return whole.channels(first, self.graph.layers[index].shape.c)

    def target(self, index: int) -> View:
        """Where layer `index` writes: its slice of a joint buffer, or a buffer of its own."""
        if index not in self._views:
            shape = self.graph.layers[index].shape
            if index in self.sharing.joined:
                route, first = self.sharing.joined[index]
                self._views[index] = self.target(route).channels(first, shape.c)
            elif index in self.sharing.in_place:
                self._views[index] = self._views[self.sharing.in_place[index]]
            else:
                self._views[index] = self.temporary(shape)
        return self._views[index]

    def rounded(self, layer: Layer, index: int) -> View:
        """The output of layer `index` in bfloat16, two channels in the place of a float; made where first needed."""
        if index not in self._rounded:
            x = self.view(index)
            pixel = pixel_floats(-(-x.shape.c // LANES) * LANES // 2)
            shape = x.shape._replace(c=x.shape.c // 2)
            buffer = Buffer(shape.h * shape.w * pixel)
            self.buffers.append(buffer)
            y = self._rounded[index] = View(buffer, shape, pixel, shape.w * pixel)
            if not self._round_at_source(index, x, y):
                self.emit(Op.ROUND, layer, x, y, RUN=x.shape.c)
        return self._rounded[index]

    def _round_at_source(self, index: int, x: View, y: View) -> bool:
        """Have the step before write `y` instead of `x`, if it is depthwise (or a blur) and has no other reader.

        Returns False, and changes nothing, where that cannot be.
        """
        step = self.steps[-1] if self.steps else None
        if step is None or step.op != Op.DEPTHWISE_ROWS or (step.layer, step.y) != (index, x):
            return False
        if not self.sharing.is_private(index):
            return False
        self.buffers.remove(x.buffer)
        y.buffer.use(len(self.steps) - 1)
        step.y, step.fields["BFLOAT16"] = y, 1
        return True

    def temporary(self, shape: Shape) -> View:
        """A new buffer for values between two steps."""
        view = View.dense(shape)
        self.buffers.append(view.buffer)
        return view

    @property
    def input(self) -> View:
        """The blob (H, W, C), inside a border of zeros if the first layer is a convolution that wants one."""
        if self._input is None:
            c, h, w = self.graph.blob
            pad = self.input_padding
            row = (w + 2 * pad) * c
            buffer = Buffer((h + 2 * pad) * row)
            buffer.use(-1)
            buffer.keep()  # its border must stay zero, so nothing shares its memory
            self.buffers.append(buffer)
            self._input = View(buffer, self.graph.blob, c, row, pad * row + pad * c)
        return self._input

    @property
    def input_padding(self) -> int:
        """Zeros around the blob; 0 unless the first layer reads it row by row (see `pack`)."""
        return self.graph.layers[0].pad if self.first_reads_rows else 0  # type: ignore[attr-defined]

    @property
    def first_reads_rows(self) -> bool:
        return reads_rows(self.graph)

    # Emitting steps ---------------------------------------------------------------------------------------

    def emit(self, op: Op, layer: Layer, x: View, y: View, second: View | None = None, **fields: int) -> None:
        """Append a step and note which buffers it uses."""
        for view in (x, y, second):
            if view is not None:
                view.buffer.use(len(self.steps))
        self.steps.append(Step(op, layer.index, x, y, second, fields))

    def scratch(self, count: int) -> None:
        """Ask for `count` bytes of each thread's scratch, where column SCRATCH of a step says."""
        self.scratch_bytes = max(self.scratch_bytes, count)

    def constant(self, values: Any, dtype: Any = np.float32) -> int:
        """Address of constants that live as long as the plan."""
        # A vector more than needed: kernels read whole vectors.
        flat = np.ravel(values)
        array = np.zeros(flat.size + LANES, dtype)
        array[: flat.size] = flat
        self.constants.append(array)
        return int(array.ctypes.data)

    def filled(self, value: float, count: int) -> int:
        """Address of at least `count` floats (and a vector more) of one value."""
        key = (value, 1 << (count + 16).bit_length())
        if key not in self._shared_constants:
            array = aligned(key[1])
            array[:] = value
            self.constants.append(array)
            self._shared_constants[key] = int(array.ctypes.data)
        return self._shared_constants[key]
