"""What the rules that turn layers into steps work with: steps, storage of each layer, routes without copies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.graph import Graph
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.steps import Op
from darknet_py.layers import Convolutional, Dropout, Layer, MaxPool, Route, Shape, Shortcut
from darknet_py.layers.base import CHANNEL_ACTIVATIONS
from darknet_py.plan.buffers import Buffer, View, pixel_floats
from darknet_py.plan.packing import PackedWeights, aligned, reads_rows

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
        self.keep = frozenset(keep)
        self.steps: list[Step] = []
        self.buffers: list[Buffer] = []
        self.constants: list[NDArray[Any]] = []
        self.scratch_bytes = 0
        self._views: dict[int, View] = {}
        self._rounded: dict[int, View] = {}
        self._shared_constants: dict[tuple[float, int], int] = {}
        self._readers = self._find_readers()
        self._fused = self._find_fused()
        self._joined = self._find_joined()
        self._in_place = self._find_in_place()
        self._input: View | None = None

    def images_of(self, layer: Layer) -> int:
        """How many images a step of this layer is about."""
        return self.images if layer.index >= self.together else 1

    # What layers read and where they live -----------------------------------------------------------------

    def _find_readers(self) -> dict[int, list[int]]:
        readers: dict[int, list[int]] = {}
        for layer in self.graph.layers:
            for index in layer.inputs:
                readers.setdefault(index, []).append(layer.index)
        return readers

    def _find_fused(self) -> dict[int, int]:
        """Convolution → the shortcut that adds to it and is computed in its epilogue."""
        fused = {}
        for layer in self.graph.layers:
            if not isinstance(layer, Shortcut) or layer.weights_type != "none" or len(layer.inputs) != 2:
                continue
            source, other = layer.inputs
            while source >= 0 and self._is_private(source) and isinstance(self.graph.layers[source], Dropout):
                source = self.graph.layers[source].inputs[0]  # as in Yolo-Fastest: convolution, dropout, shortcut
            before = self.graph.layers[source] if source >= 0 else None
            if (
                isinstance(before, Convolutional)
                and self._is_private(source)
                and not before.antialiasing
                and before.activation not in CHANNEL_ACTIVATIONS
                and layer.activation not in CHANNEL_ACTIVATIONS
                and self.graph.layers[other].shape == layer.shape
            ):
                fused[source] = layer.index
        return fused

    def _is_private(self, index: int) -> bool:
        """Whether one layer alone reads the output of layer `index`."""
        return len(self._readers[index]) == 1 and index not in self.keep

    def fused_shortcut(self, layer: Layer) -> Shortcut | None:
        """The shortcut computed together with this convolution, if any."""
        index = self._fused.get(layer.index)
        found = None if index is None else self.graph.layers[index]
        return found if isinstance(found, Shortcut) else None

    def is_fused(self, layer: Layer) -> bool:
        """Whether this shortcut was computed together with its convolution."""
        return layer.index in self._fused.values()

    def smaller_pool(self, layer: MaxPool) -> MaxPool | None:
        """The largest smaller maxpool of the same input whose output this one may start from."""
        before = self.graph.layers[: layer.index]
        found = [other for other in before if isinstance(other, MaxPool) and self._may_continue(other, layer)]
        return max(found, key=lambda other: other.size, default=None)

    def _may_continue(self, other: MaxPool, layer: MaxPool) -> bool:
        return (
            self.source_of(other.inputs[0]) == self.source_of(layer.inputs[0])
            and other.in_shape == layer.in_shape
            and other.size < layer.size
            and all(pool.is_centred for pool in (other, layer))
            # Its memory must still be its own: a shortcut may overwrite what it reads last.
            and all(isinstance(self.graph.layers[reader], Route) for reader in self._readers.get(other.index, ()))
        )

    def source_of(self, index: int) -> tuple[int, int]:
        """(layer that owns the memory, first channel) of a layer that only renames another's output."""
        first = 0
        while index >= 0:
            layer = self.graph.layers[index]
            if isinstance(layer, Route) and len(layer.inputs) == 1:
                first += layer.group_id * layer.shape.c
            elif not isinstance(layer, Dropout):
                break
            index = layer.inputs[0]
        return index, first

    def _find_joined(self) -> dict[int, tuple[int, int]]:
        """Layer → (route, first channel): whose slice of a joint buffer it writes, so that the route copies nothing.

        A layer that two routes read belongs to the first; the second copies it.
        """
        joined: dict[int, tuple[int, int]] = {}
        for route in self.graph.layers:
            if not isinstance(route, Route) or len(route.inputs) == 1:
                continue
            first = 0
            for index in route.inputs:
                owner, shift = self.source_of(index)
                whole = route.groups == 1 and owner >= 0 and shift == 0
                if whole and owner not in joined and self.graph.layers[owner].shape == self.graph.layers[index].shape:
                    joined[owner] = (route.index, first)
                first += self.graph.layers[index].shape.c // route.groups
        return joined

    def _find_in_place(self) -> dict[int, int]:
        """Shortcut → the layer whose memory it overwrites: its ``from``, where nobody reads that any more.

        Each pixel is read before it is written, and its lines are in the cache already.
        """
        found: dict[int, int] = {}
        for layer in self.graph.layers:
            if not isinstance(layer, Shortcut) or len(layer.inputs) != 2 or layer.index in self._joined:
                continue
            source = layer.inputs[1]
            if source < 0 or source in self._joined or source in self.keep or source == layer.inputs[0]:
                continue
            if isinstance(self.graph.layers[source], Route):  # its memory is that of the layers it joins
                continue
            # A fused convolution that itself reads the memory would find it half overwritten; one behind a depthwise
            # convolution may become the last link of a chain that reads it.
            before = self.source_of(layer.inputs[0])[0]
            if before in self._fused and (self._reads(before, source) or self._reads_depthwise(before)):
                continue
            readers = self._readers[source]
            renamed = any(self.source_of(reader)[0] == source for reader in readers)
            owns = self.source_of(source)[0] == source
            if owns and not renamed and max(readers) == layer.index and self.graph.layers[source].shape == layer.shape:
                found[layer.index] = source
        return found

    def _reads_depthwise(self, index: int) -> bool:
        before = self.source_of(self.graph.layers[index].inputs[0])[0]
        layer = self.graph.layers[before] if before >= 0 else None
        return isinstance(layer, Convolutional) and layer.groups > 1

    def _reads(self, index: int, owner: int) -> bool:
        """Whether layer `index` reads memory that layer `owner` wrote."""
        return any(self.source_of(read)[0] == owner for read in self.graph.layers[index].inputs)

    def is_joined(self, index: int, route: Route, first: int) -> bool:
        """Whether input `index` of `route` already lies at channel `first` of the joint buffer."""
        owner, _ = self.source_of(index)
        return self._joined.get(owner) == (route.index, first)

    def view(self, index: int) -> View:
        """The output of layer `index` (-1: the blob), to read."""
        if index == BLOB:
            return self.input
        owner, first = self.source_of(index)
        whole = self.input if owner == BLOB else self._views[owner]
        return whole.channels(first, self.graph.layers[index].shape.c)

    def target(self, index: int) -> View:
        """Where layer `index` writes: its slice of a joint buffer, or a buffer of its own."""
        if index not in self._views:
            shape = self.graph.layers[index].shape
            if index in self._joined:
                route, first = self._joined[index]
                self._views[index] = self.target(route).channels(first, shape.c)
            elif index in self._in_place:
                self._views[index] = self._views[self._in_place[index]]
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
        if not self._is_private(index):
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
