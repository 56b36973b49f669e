"""What the rules that turn layers into steps work with: steps, and where each layer reads and writes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.graph import Graph
from darknet_py.kernels.jit import LANES, MATRIX_TILES
from darknet_py.kernels.ops import OPERATIONS
from darknet_py.kernels.ops.clear_border import clear_border
from darknet_py.kernels.ops.convert import convert
from darknet_py.kernels.ops.depthwise_rows import depthwise_rows
from darknet_py.kernels.ops.operation import Operation, OperationFault
from darknet_py.kernels.ops.round_image import round_image
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32, Format
from darknet_py.layers import Layer, MaxPool, Shortcut
from darknet_py.plan.buffers import Buffer, View
from darknet_py.plan.first_layer import blob_view, input_padding, reads_rows
from darknet_py.plan.memory import MemoryFault, aligned
from darknet_py.plan.packing import PackedWeights, values_of_pixel
from darknet_py.plan.sharing import Sharing
from darknet_py.plan.wanted import Formats
from darknet_py.shape import Shape

__all__ = ["Lowering", "Step"]

BLOB = -1


@dataclass(eq=False)
class Step:
    """One step before memory is placed: what is done, for which layer, and where; `own` are its operation's arguments.

    Results go to `y` and, if there is such a place, `also`, in another format.
    """

    operation: Operation
    layer: int
    x: View
    y: View
    second: View | None
    also: View | None
    own: NDArray[Any]


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
        self.plain = weights.plain
        self.parts = weights.parts
        self.sharing = Sharing(graph, keep)
        self.formats = Formats(graph, keep, weights.packed, self.sharing)
        self.steps: list[Step] = []
        #: In the order in which they were made: only these are given a place.
        self.buffers: dict[Buffer, None] = {}
        #: What steps have the address of.
        self.constants: list[NDArray[Any]] = []
        self._views: dict[tuple[int, Format], View] = {}
        self._converted: dict[tuple[int, Format], View] = {}
        # Maxpools by what they read and in which format they are wanted: sizes in order, and the first of each size.
        self._pools: dict[tuple[tuple[int, int], Shape, bool], tuple[list[int], dict[int, MaxPool]]] = {}
        self._filled: dict[tuple[float, int], NDArray[np.float32]] = {}
        self._input: View | None = None
        #: What layers keep from run to run, by layer and name; filled before a run as the blob is.
        self.kept: dict[tuple[int, str], View] = {}

    def images_of(self, layer: Layer) -> int:
        """How many images a step of this layer is about."""
        return self.images if layer.index >= self.together else 1

    # Where layers read and write ----------------------------------------------------------------------------

    def view(self, index: int, format: Format = FLOAT32) -> View:
        """The output of layer `index` (-1: the blob) in a format that somebody wrote it in, to read."""
        if index == BLOB:
            return self.input
        owner, first = self.sharing.source_of(index)
        whole = self.input if owner == BLOB else self._views.get((owner, format))
        if whole is None:
            raise MemoryFault(f"{self.graph.layers[index].where}: read as {format}, which nobody wrote")
        return whole.channels(first, self.graph.layers[index].shape.c)

    def target(self, index: int, format: Format = FLOAT32, layer: Layer | None = None) -> View:
        """Where layer `index` has a format: its slice of a joint buffer, or a buffer of its own, made for `layer`."""
        key = index, format
        if key not in self._views:
            shape = self.graph.layers[index].shape
            route, first = self.sharing.joined.get(index, (BLOB, 0))
            in_place = self.sharing.in_place.get(index, BLOB), format
            if self.formats.joins(route, format):
                self._views[key] = self.target(route, format, layer).channels(first, shape.c)
            elif format is FLOAT32 and in_place in self._views:
                self._views[key] = self._views[in_place]
            else:
                self._views[key] = self._new_view(shape, format, self.formats.border(index, format), layer)
        return self._views[key]

    def read(self, layer: Layer, index: int, format: Format) -> View:
        """The output of layer `index` in a format for `layer`; made now, unless it was when it was computed."""
        if format is FLOAT32 or self._has(index, format):
            return self.view(index, format)
        key = index, format
        if key not in self._converted:
            x = self.view(index)
            border = layer.border if MATRIX_TILES else 0
            y = self._converted[key] = self._new_view(x.shape, format, border, layer)
            self._convert(layer, index, x, y)
        return self._converted[key]

    def _has(self, index: int, format: Format) -> bool:
        """Whether the output of layer `index` is there in a format, in whole groups of joined channels."""
        owner, first = self.sharing.source_of(index)
        return (owner, format) in self._views and first % format.joined == 0

    def _new_view(self, shape: Shape, format: Format, border: int, layer: Layer | None) -> View:
        view = View.made(shape, format, border)
        self.buffers[view.buffer] = None
        if border:
            assert layer is not None
            self.emit(clear_border, layer, view, view, border=border)
        return view

    def temporary(self, shape: Shape) -> View:
        """A new buffer for values between two steps."""
        return self._new_view(shape, FLOAT32, 0, None)

    def outputs(self, index: int, layer: Layer) -> tuple[View, View | None]:
        """Where `layer`, which can write any format, writes the output of layer `index`: `y` and `also`."""
        wanted = [self.target(index, format, layer) for format in self.formats.wanted(index) or (FLOAT32,)]
        return wanted[0], wanted[1] if len(wanted) > 1 else None

    def added(self, layer: Layer, shortcut: Shortcut) -> View:
        """What a shortcut of two layers adds, in whichever format that is."""
        index, format = shortcut.inputs[1], self.formats.adds(shortcut)
        return self.read(layer, index, format) if self._has(index, format) else self.view(index)

    def smaller_pool(self, layer: MaxPool) -> MaxPool | None:
        """The largest smaller maxpool of the same input, asked for before, from whose output this one may start.

        One of the same format, and of those that are equally large the first.
        """
        if not layer.is_centred:
            return None
        source = self.sharing.source_of(layer.inputs[0])
        key = source, layer.in_shape, self.formats.wants(layer.index, FLOAT32)
        sizes, pools = self._pools.setdefault(key, ([], {}))
        place = bisect_left(sizes, layer.size)
        if self.sharing.may_be_continued(layer) and layer.size not in pools:
            sizes.insert(place, layer.size)
            pools[layer.size] = layer
        return pools[sizes[place - 1]] if place else None

    def moved(self, layer: Layer) -> tuple[View, View]:
        """Where a layer that may only move values reads and writes: both of the same format."""
        index, wanted = layer.inputs[0], self.formats.wanted(layer.index)
        if len(wanted) == 1 and layer.moves_values and self._has(index, wanted[0]):
            return self.read(layer, index, wanted[0]), self.target(layer.index, wanted[0], layer)
        return self.view(index), self.target(layer.index)

    def convert_output(self, layer: Layer) -> None:
        """Convert what a layer wrote to what somebody wants and the layer could not write."""
        for format in self.formats.wanted(layer.index):
            if (layer.index, format) not in self._views and format is not FLOAT32:
                x = self.view(layer.index)
                self._convert(layer, layer.index, x, self.target(layer.index, format, layer))

    def _convert(self, layer: Layer, index: int, x: View, y: View) -> None:
        if not self._convert_at_source(index, x, y):
            self.emit(convert, layer, x, y)

    def _convert_at_source(self, index: int, x: View, y: View) -> bool:
        """Have the step before write `y` instead of `x`, if it is depthwise (or a blur) and nobody reads floats of it.

        Returns False, and changes nothing, where that cannot be: such a step writes whole vectors, without a border.
        """
        step = self.steps[-1] if self.steps else None
        if step is None or step.operation is not depthwise_rows or (step.layer, step.y) != (index, x):
            return False
        only_reader = not self.formats.wants(index, FLOAT32) if MATRIX_TILES else self.sharing.is_private(index)
        if not only_reader or index in self.sharing.joined or not y.is_dense:
            return False
        # Nobody may find memory any more that is not to be placed: a shortcut would work in place there.
        del self.buffers[x.buffer], self._views[index, FLOAT32]
        y.buffer.use(len(self.steps) - 1)
        step.y = y
        return True

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
        pad, blob = self.input_padding, self.input
        return View(blob.buffer, Shape(c, h + 2 * pad, w + 2 * pad), FLOAT32, blob.pixel, blob.row)

    def rounded_image(self, layer: Layer) -> View:
        """The blob with its border in bfloat16, a few values a pixel."""
        x = self.whole_input
        values = values_of_pixel(x.shape.c)
        pixel = values * BFLOAT16.value_bytes
        row = x.shape.w * pixel
        buffer = Buffer(x.shape.h * row + 4 * LANES)
        self.buffers[buffer] = None
        y = View(buffer, x.shape._replace(c=values), BFLOAT16, pixel, row)
        self.emit(round_image, layer, x, y)
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
        operation: Operation,
        layer: Layer,
        x: View,
        y: View,
        second: View | None = None,
        also: View | None = None,
        *,
        alive: Iterable[NDArray[Any]] = (),
        **own: Any,
    ) -> None:
        """Append a step, and note which buffers it uses.

        Parameters
        ----------
        operation : Operation
        layer : Layer
        x, y, second, also : View
            See `PLACES`.
        alive : iterable of ndarray
            What tables among the arguments have the address of.
        **own
            Every one of the operation's own arguments: numbers, and arrays, which live as long as the plan.

        Raises
        ------
        OperationFault
            If an argument is missing, unknown or not what it should be, or the operation is not in `OPERATIONS`.
        """
        for view in (x, y, second, also):
            if view is not None:
                view.buffer.use(len(self.steps))
        self.constants.extend(alive)
        self.steps.append(self.step(operation, layer, x, y, second, also, own))

    def step(
        self,
        operation: Operation,
        layer: Layer,
        x: View,
        y: View,
        second: View | None,
        also: View | None,
        own: Mapping[str, Any],
    ) -> Step:
        """A step with the record of its own arguments, which live as long as the plan; see `emit`."""
        if OPERATIONS.get(operation.name) is not operation:
            raise OperationFault(f"{layer.where}: {operation.name} is not in the table of operations, OPERATIONS")
        values = {name: self.constant(value) if isinstance(value, np.ndarray) else value for name, value in own.items()}
        record = operation.encode(layer.where, values)
        self.constants.append(record)
        return Step(operation, layer.index, x, y, second, also, record)

    def constant(self, values: NDArray[Any]) -> NDArray[Any]:
        """A copy that lives as long as the plan, with what is read by whole vectors behind it."""
        if any(values is kept for kept in self._filled.values()):
            return values
        count = values.size
        array = aligned(count + -(-4 * LANES // values.dtype.itemsize), values.dtype)
        array[:count] = np.ravel(values)
        self.constants.append(array)
        return array[:count]

    def filled(self, value: float, count: int) -> NDArray[np.float32]:
        """At least `count` floats of one value (and a vector more), shared by all that ask for as many."""
        key = (value, 1 << (count + 16).bit_length())
        if key not in self._filled:
            array = aligned(key[1])
            array[:] = value
            self.constants.append(array)
            self._filled[key] = array
        return self._filled[key]
