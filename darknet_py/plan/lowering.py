"""What the rules that turn layers into steps work with: steps, and where each layer reads and writes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.graph import Graph
from darknet_py.kernels.jit import LANES, MATRIX_TILES
from darknet_py.kernels.ops.steps import Op
from darknet_py.layers import Convolutional, Layer, MaxPool, Shortcut
from darknet_py.plan.buffers import Buffer, View
from darknet_py.plan.first_layer import blob_view, input_padding, reads_rows
from darknet_py.plan.formats import Formats, moves_values
from darknet_py.plan.memory import MemoryFault, aligned
from darknet_py.plan.packing import PackedWeights, border_of, values_of_pixel
from darknet_py.plan.sharing import Sharing
from darknet_py.shape import Shape

__all__ = ["Lowering", "Step"]

BLOB = -1


@dataclass
class Step:
    """One row of the step table before memory is placed.

    With `rounded` results go there in bfloat16 as well, or only there if it is `y` itself.
    """

    op: Op
    layer: int
    x: View
    y: View
    second: View | None = None
    rounded: View | None = None
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
        self.formats = Formats(graph, keep, weights.packed, self.sharing)
        self.steps: list[Step] = []
        #: In the order in which they were made: only these are given a place.
        self.buffers: dict[Buffer, None] = {}
        self.constants: list[NDArray[Any]] = []
        self.scratch_bytes = 0
        self._views: dict[int, View] = {}
        self._pairs: dict[int, View] = {}
        self._rounded: dict[int, View] = {}
        # Maxpools by what they read and in which format they are wanted: sizes in order, and the first of each size.
        self._pools: dict[tuple[tuple[int, int], Shape, bool], tuple[list[int], dict[int, MaxPool]]] = {}
        self._shared_constants: dict[tuple[float, int], int] = {}
        self._input: View | None = None
        #: What layers keep from run to run, by layer and name; filled before a run as the blob is.
        self.kept: dict[tuple[int, str], View] = {}

    def images_of(self, layer: Layer) -> int:
        """How many images a step of this layer is about."""
        return self.images if layer.index >= self.together else 1

    # Where layers read and write ----------------------------------------------------------------------------

    def view(self, index: int) -> View:
        """The output of layer `index` (-1: the blob), to read."""
        if index == BLOB:
            return self.input
        owner, first = self.sharing.source_of(index)
        whole = self.input if owner == BLOB else self._views.get(owner)
        if whole is None:
            raise MemoryFault(f"{self.graph.layers[index].where}: read as floats, which nobody wrote")
        return whole.channels(first, self.graph.layers[index].shape.c)

    def target(self, index: int) -> View:
        """Where layer `index` writes: its slice of a joint buffer, or a buffer of its own."""
        if index not in self._views:
            shape = self.graph.layers[index].shape
            route, first = self.sharing.joined.get(index, (BLOB, 0))
            if self.formats.wants_floats(route):
                self._views[index] = self.target(route).channels(first, shape.c)
            elif self.sharing.in_place.get(index) in self._views:
                self._views[index] = self._views[self.sharing.in_place[index]]
            else:
                self._views[index] = self.temporary(shape)
        return self._views[index]

    def pairs(self, layer: Layer, index: int) -> View:
        """The output of layer `index` in bfloat16 for `layer` to read; made now, unless it was when it was computed."""
        if self._has_pairs(index):
            owner, first = self.sharing.source_of(index)
            return self._pairs[owner].channels(first // 2, self.graph.layers[index].shape.c // 2)
        if index not in self._rounded:
            x = self.view(index)
            border = border_of(layer) if MATRIX_TILES and isinstance(layer, Convolutional) else 0
            y = self._rounded[index] = self._new_pairs(x.shape, border, layer)
            if not self._round_at_source(index, x, y):
                self.emit(Op.ROUND, layer, x, y, RUN=x.shape.c)
        return self._rounded[index]

    def _has_pairs(self, index: int) -> bool:
        """Whether the output of layer `index` is there in bfloat16, in whole pairs."""
        owner, first = self.sharing.source_of(index)
        return owner in self._pairs and first % 2 == 0

    def pairs_target(self, index: int, layer: Layer) -> View:
        """Where layer `index` has bfloat16: its slice of a joint buffer, or a buffer of its own, made for `layer`."""
        if index not in self._pairs:
            shape = self.graph.layers[index].shape
            route, first = self.sharing.joined.get(index, (BLOB, 0))
            if self.formats.joins_pairs(route):
                self._pairs[index] = self.pairs_target(route, layer).channels(first // 2, shape.c // 2)
            else:
                self._pairs[index] = self._new_pairs(shape, self.formats.border(index), layer)
        return self._pairs[index]

    def _new_pairs(self, shape: Shape, border: int, layer: Layer) -> View:
        view = View.pairs(shape, border)
        self.buffers[view.buffer] = None
        if border:
            self.emit(Op.BORDER, layer, view, view, PAD_Y=border)
        return view

    def outputs(self, index: int, layer: Layer) -> tuple[View, View | None]:
        """Where `layer`, which can write both formats, writes the output of layer `index`: `y` and `rounded`."""
        rounded = self.pairs_target(index, layer) if self.formats.wants_pairs(index) else None
        if rounded is not None and not self.formats.wants_floats(index):
            return rounded, rounded
        return self.target(index), rounded

    def added(self, layer: Layer, shortcut: Shortcut) -> tuple[View, int]:
        """What a shortcut of two layers adds, and whether it is bfloat16."""
        index = shortcut.inputs[1]
        if self.formats.adds_pairs(shortcut) and self._has_pairs(index):
            return self.pairs(layer, index), 1
        return self.view(index), 0

    def smaller_pool(self, layer: MaxPool) -> MaxPool | None:
        """The largest smaller maxpool of the same input, asked for before, from whose output this one may start.

        One of the same format, and of those that are equally large the first.
        """
        if not layer.is_centred:
            return None
        source = self.sharing.source_of(layer.inputs[0])
        sizes, pools = self._pools.setdefault(
            (source, layer.in_shape, self.formats.wants_floats(layer.index)), ([], {})
        )
        place = bisect_left(sizes, layer.size)
        if self.sharing.may_be_continued(layer) and layer.size not in pools:
            sizes.insert(place, layer.size)
            pools[layer.size] = layer
        return pools[sizes[place - 1]] if place else None

    def moved(self, layer: Layer) -> tuple[View, View, bool]:
        """Where a layer that may only move values reads and writes, and whether that is bfloat16."""
        index = layer.inputs[0]
        only_pairs = self.formats.wants_pairs(layer.index) and not self.formats.wants_floats(layer.index)
        if only_pairs and moves_values(layer) and self._has_pairs(index):
            return self.pairs(layer, index), self.pairs_target(layer.index, layer), True
        return self.view(index), self.target(layer.index), False

    def round_output(self, layer: Layer) -> None:
        """Round what a layer wrote, if somebody wants that and the layer could not do it."""
        if self.formats.wants_pairs(layer.index) and layer.index not in self._pairs:
            x = self.view(layer.index)
            y = self.pairs_target(layer.index, layer)
            if not self._round_at_source(layer.index, x, y):
                self.emit(Op.ROUND, layer, x, y, RUN=x.shape.c)

    def _round_at_source(self, index: int, x: View, y: View) -> bool:
        """Have the step before write `y` instead of `x`, if it is depthwise (or a blur) and nobody reads floats of it.

        Returns False, and changes nothing, where that cannot be: such a step writes whole vectors, without a border.
        """
        step = self.steps[-1] if self.steps else None
        if step is None or step.op != Op.DEPTHWISE_ROWS or (step.layer, step.y) != (index, x):
            return False
        only_reader = not self.formats.wants_floats(index) if MATRIX_TILES else self.sharing.is_private(index)
        if not only_reader or index in self.sharing.joined or y.row != y.shape.w * y.pixel:
            return False
        # Nobody may find memory any more that is not to be placed: a shortcut would work in place there.
        del self.buffers[x.buffer], self._views[index]
        y.buffer.use(len(self.steps) - 1)
        step.y, step.fields["BFLOAT16"] = y, 1
        return True

    def temporary(self, shape: Shape) -> View:
        """A new buffer for values between two steps."""
        view = View.dense(shape)
        self.buffers[view.buffer] = None
        return view

    @property
    def input(self) -> View:
        """The blob (H, W, C), inside a border of zeros if the first layer is a convolution that wants one."""
        if self._input is None:
            self._input = blob_view(self.graph)
            self.buffers[self._input.buffer] = None
        return self._input

    def lasting(self, layer: Layer, name: str) -> View:
        """What `layer` keeps under a name: the run before left it there, the next finds what this one leaves."""
        key = layer.index, name
        if key not in self.kept:
            view = self.kept[key] = self.temporary(dict(layer.lasting)[name])
            view.buffer.filled = True
            view.buffer.use(-1)
            view.buffer.keep()
        return self.kept[key]

    @property
    def whole_input(self) -> View:
        """The blob with its border."""
        c, h, w = self.graph.blob
        pad = self.input_padding
        return View(self.input.buffer, Shape(c, h + 2 * pad, w + 2 * pad), self.input.pixel, self.input.row)

    def rounded_image(self, layer: Layer) -> View:
        """The blob with its border in bfloat16, a few values a pixel."""
        x = self.whole_input
        pixel = values_of_pixel(x.shape.c) // 2
        row = x.shape.w * pixel
        buffer = Buffer(x.shape.h * row + LANES)
        self.buffers[buffer] = None
        y = View(buffer, x.shape._replace(c=pixel), pixel, row)
        self.emit(Op.ROUND_IMAGE, layer, x, y, RUN=x.shape.c, MODE=2 * pixel)
        return y

    @property
    def input_padding(self) -> int:
        """Zeros around the blob; 0 unless the first layer reads it row by row (see `pack`)."""
        return input_padding(self.graph)

    @property
    def first_reads_rows(self) -> bool:
        return reads_rows(self.graph)

    # Emitting steps ---------------------------------------------------------------------------------------

    def emit(
        self,
        op: Op,
        layer: Layer,
        x: View,
        y: View,
        second: View | None = None,
        rounded: View | None = None,
        **fields: int,
    ) -> None:
        """Append a step and note which buffers it uses."""
        for view in (x, y, second, rounded):
            if view is not None:
                view.buffer.use(len(self.steps))
        self.steps.append(Step(op, layer.index, x, y, second, rounded, fields))

    def scratch(self, count: int) -> None:
        """Ask for `count` bytes of each thread's scratch, where column SCRATCH of a step says."""
        self.scratch_bytes = max(self.scratch_bytes, count)

    def floats(self, values: Any) -> int:
        """Address of float32 constants that live as long as the plan. Never of numbers that count or point."""
        given = np.asarray(values)
        if given.dtype.kind != "f":
            raise MemoryFault(f"{given.dtype} would be rounded to float32")
        return self.constant(given.astype(np.float32))

    def integers(self, values: Any) -> int:
        """Address of int64 constants that live as long as the plan."""
        given = np.asarray(values)
        if given.size and given.dtype.kind not in "iub":
            raise MemoryFault(f"{given.dtype} where whole numbers are expected")
        return self.constant(given.astype(np.int64))

    def constant(self, values: Any) -> int:
        """Address of constants as they are."""
        flat = np.ravel(values)
        # A vector more than needed: kernels read whole vectors.
        array = aligned(flat.size + LANES, flat.dtype)
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
