"""In which formats each layer's output is wanted, and with what border of zeros.

Convolutions by matrix tiles read bfloat16. Where they alone read an output it is stored in no other format, which
halves the traffic and saves a step that converts. Layers that only move or compare values pass on what their readers
want: rounding before or after is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from darknet_py.graph import Graph
from darknet_py.kernels.jit import MATRIX_TILES
from darknet_py.kernels.tiles.row import WINDOWS
from darknet_py.kernels.vector.approximate import QUICK
from darknet_py.kernels.vector.formats import FLOAT32, FORMATS, Format
from darknet_py.layers import Convolutional, Layer, Route
from darknet_py.plan.blocks import Packed
from darknet_py.plan.sharing import Sharing

__all__ = ["Formats"]


class Formats:
    """What every layer, asked from the last to the first, wants of its inputs.

    Parameters
    ----------
    graph : Graph
    keep : collection of int
        Layers that are read from outside, as floats.
    packed : mapping of int to Packed
        Weights by layer index.
    sharing : Sharing
    """

    def __init__(self, graph: Graph, keep: Collection[int], packed: Mapping[int, Packed], sharing: Sharing) -> None:
        self._graph, self._packed, self._sharing = graph, packed, sharing
        self._routes = {route.index: route for route in graph.of_type(Route)}
        #: Layer → format → pixels of zeros around it.
        self._wanted: dict[int, dict[Format, int]] = {}
        self._joins: set[tuple[int, Format]] = set()
        if not MATRIX_TILES:
            # Who multiplies in another format converts his input himself.
            self._wanted = {index: {FLOAT32: 0} for index in range(len(graph.layers))}
            self._joins = {(layer.index, FLOAT32) for layer in graph.layers}
            return
        for index in keep:
            self._want(index, FLOAT32)
        for layer in reversed(graph.layers):
            self._ask(layer)
        for index, (route, _) in sorted(sharing.joined.items()):
            for format in FORMATS[1:]:
                if self.joins(route, format):
                    wanted = self._wanted[route]
                    wanted[format] = max(wanted[format], self.border(index, format))

    def wanted(self, index: int) -> tuple[Format, ...]:
        """The formats in which anybody reads the output of layer `index`, float32 first."""
        return tuple(format for format in FORMATS if format in self._wanted.get(index, ()))

    def wants(self, index: int, format: Format) -> bool:
        """Whether anybody reads the output of layer `index` in a format."""
        return format in self._wanted.get(index, ())

    def joins(self, index: int, format: Format) -> bool:
        """Whether a route's inputs are wanted in a format, one beside the other."""
        return (index, format) in self._joins

    def border(self, index: int, format: Format) -> int:
        """Pixels of zeros around the output of layer `index` in a format."""
        return self._wanted.get(index, {}).get(format, 0)

    def adds(self, layer: Layer) -> Format:
        """The format of what a shortcut adds.

        Another than float32 only where it can be computed at the end of a matrix tile, which can add any. It adds the
        same where it is computed by itself, as somebody looks at the convolution.
        """
        source = self._sharing.fusing.get(layer.index)
        if source is None:
            return FLOAT32
        convolution, shortcut = self._sharing.convolutions[source], self._sharing.shortcuts[layer.index]
        may_add = self._uses_tiles(source) and convolution.activation in QUICK and shortcut.activation == "linear"
        return self._packed[source].format if may_add else FLOAT32

    def reads(self, layer: Convolutional) -> Format:
        """The format that a depthwise convolution reads: what matrix tiles wrote, where it can."""
        by_rows = layer.dilation == 1 and (layer.size, layer.stride_x) in WINDOWS
        packed = self._packed.get(layer.index)
        source, first = self._sharing.source_of(layer.inputs[0])
        if packed is None or not packed.is_depthwise or not by_rows or not self._uses_tiles(source):
            return FLOAT32
        format = self._packed[source].format
        return format if self._holds(source, first, format) else FLOAT32

    def _uses_tiles(self, index: int) -> bool:
        packed = self._packed.get(index)
        return packed is not None and packed.by_matrix_tiles

    def _holds(self, owner: int, first: int, format: Format) -> bool:
        """Whether channels from `first` on of a layer's output are whole groups of joined ones."""
        return first % format.joined == 0 and self._graph.layers[owner].shape.c % format.joined == 0

    def _want(self, index: int, format: Format, border: int = 0) -> None:
        owner, first = self._sharing.source_of(index)
        if owner < 0:
            return
        if not self._holds(owner, first, format):
            format, border = FLOAT32, 0
        wanted = self._wanted.setdefault(owner, {})
        wanted[format] = max(border, wanted.get(format, 0))

    def _ask(self, layer: Layer) -> None:
        """Note what a layer wants of its inputs, which depends on what is wanted of it."""
        wanted = self.wanted(layer.index)
        if layer.renames is not None:
            return
        route = self._routes.get(layer.index)
        if route is not None:
            self._ask_route(route, wanted)
        elif layer.moves_values:
            self._want(layer.inputs[0], wanted[0] if len(wanted) == 1 else FLOAT32)
        else:
            for n, read in enumerate(layer.inputs):
                self._want(read, *self._wanted_of(layer, n))

    def _ask_route(self, layer: Route, wanted: Collection[Format]) -> None:
        counts = [self._graph.layers[read].shape.c // layer.groups for read in layer.inputs]
        for format in wanted:
            # No group of joined channels may hold some of two inputs.
            whole = all(count % format.joined == 0 for count in counts)
            self._joins.add((layer.index, format if whole else FLOAT32))
            if not whole:
                self._wanted[layer.index][FLOAT32] = 0
        for read in layer.inputs:
            for format in FORMATS:
                if self.joins(layer.index, format):
                    self._want(read, format)

    def _wanted_of(self, layer: Layer, n: int) -> tuple[Format, int]:
        """The format that a layer wants its n-th input in, and the border around it."""
        convolution = self._sharing.convolutions.get(layer.index)
        if convolution is not None:
            if self._uses_tiles(layer.index):
                return self._packed[layer.index].format, layer.border
            return self.reads(convolution), 0
        return self.adds(layer) if n == 1 else FLOAT32, 0
