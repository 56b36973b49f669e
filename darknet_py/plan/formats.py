"""In which format each layer's output is wanted: as floats, in bfloat16, or both; and with what border of zeros.

Convolutions by matrix tiles read bfloat16. Where they alone read an output it is stored in no other format, which
halves the traffic and saves a step that rounds. Layers that only move or compare values pass on what their readers
want: rounding before or after is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from darknet_py.graph import Graph
from darknet_py.kernels.jit import MATRIX_TILES
from darknet_py.kernels.ops.depthwise_rows import WINDOWS
from darknet_py.kernels.ops.steps import Op
from darknet_py.kernels.vector.approximate import QUICK
from darknet_py.layers import Convolutional, Dropout, Layer, MaxPool, Route, Shortcut, Upsample
from darknet_py.plan.packing import Packed, border_of
from darknet_py.plan.sharing import Sharing

__all__ = ["Formats", "moves_values"]


def moves_values(layer: Layer) -> bool:
    """Whether outputs are inputs, as they are: the layer can work on pairs of bfloat16."""
    if isinstance(layer, MaxPool):
        # A window that lies outside the image has a maximum that no bfloat16 is.
        reaches_inside = layer.padding - layer.padding // 2 < layer.size
        return reaches_inside and not layer.depth and not layer.antialiasing
    return isinstance(layer, Upsample) and not layer.reduce and layer.scale == 1


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
        self._floats: set[int] = set()
        self._pairs: set[int] = set()
        self._joins: set[int] = set()
        self._borders: dict[int, int] = {}
        if not MATRIX_TILES:
            self._floats.update(range(len(graph.layers)))
            return
        for index in keep:
            self._want(index, pairs=False)
        for layer in reversed(graph.layers):
            self._ask(layer)
        for index, (route, _) in sorted(sharing.joined.items()):
            if route in self._joins:
                self._borders[route] = max(self._borders[route], self._borders.get(index, 0))

    def wants_floats(self, index: int) -> bool:
        """Whether anybody reads the output of layer `index` as floats."""
        return index in self._floats

    def wants_pairs(self, index: int) -> bool:
        """Whether anybody reads it in bfloat16."""
        return index in self._pairs

    def joins_pairs(self, index: int) -> bool:
        """Whether a route's inputs are wanted in bfloat16, one beside the other."""
        return index in self._joins

    def border(self, index: int) -> int:
        """Pixels of zeros around the output of layer `index` in bfloat16."""
        return self._borders[index]

    def adds_pairs(self, layer: Layer) -> bool:
        """Whether a shortcut can be computed where matrix tiles are finished, which can add bfloat16.

        It adds the same where it is computed by itself, as somebody looks at the convolution.
        """
        source = self._sharing.fusing.get(layer.index)
        if source is None or not isinstance(layer, Shortcut):
            return False
        conv = self._graph.layers[source]
        assert isinstance(conv, Convolutional)
        return self._op(source) == Op.MATRIX and conv.activation in QUICK and layer.activation == "linear"

    def reads_pairs_by_rows(self, layer: Convolutional) -> bool:
        """Whether a depthwise convolution reads what matrix tiles write."""
        by_rows = layer.dilation == 1 and (layer.size, layer.stride_x) in WINDOWS
        source, first = self._sharing.source_of(layer.inputs[0])
        writes_pairs = self._op(source) == Op.MATRIX and self._holds_pairs(source, first)
        return self._op(layer.index) == Op.DEPTHWISE and by_rows and writes_pairs

    def _op(self, index: int) -> Op | None:
        packed = self._packed.get(index)
        return None if packed is None else packed.op

    def _holds_pairs(self, owner: int, first: int) -> bool:
        """Whether channels from `first` on of a layer's output are whole pairs."""
        return first % 2 == 0 and self._graph.layers[owner].shape.c % 2 == 0

    def _want(self, index: int, pairs: bool, border: int = 0) -> None:
        owner, first = self._sharing.source_of(index)
        if owner < 0:
            return
        if pairs and self._holds_pairs(owner, first):
            self._pairs.add(owner)
            self._borders[owner] = max(border, self._borders.get(owner, 0))
        else:
            self._floats.add(owner)

    def _ask(self, layer: Layer) -> None:
        """Note what a layer wants of its inputs, which depends on what is wanted of it."""
        index = layer.index
        if isinstance(layer, Dropout) or (isinstance(layer, Route) and len(layer.inputs) == 1):
            return  # other names of what they read
        if isinstance(layer, Route):
            if self.wants_pairs(index):
                # No pair may hold channels of two inputs.
                even = all(self._graph.layers[read].shape.c // layer.groups % 2 == 0 for read in layer.inputs)
                (self._joins if even else self._floats).add(index)
            for read in layer.inputs:
                if self.joins_pairs(index):
                    self._want(read, pairs=True)
                if self.wants_floats(index):
                    self._want(read, pairs=False)
        elif moves_values(layer):
            self._want(layer.inputs[0], pairs=self.wants_pairs(index) and not self.wants_floats(index))
        else:
            for n, read in enumerate(layer.inputs):
                border = self._wanted_border(layer, n)
                self._want(read, pairs=border is not None, border=border or 0)

    def _wanted_border(self, layer: Layer, n: int) -> int | None:
        """The border that a layer wants around its n-th input in bfloat16, None if it reads floats."""
        if isinstance(layer, Convolutional):
            if self._op(layer.index) == Op.MATRIX:
                return border_of(layer)
            return 0 if self.reads_pairs_by_rows(layer) else None
        return 0 if n == 1 and self.adds_pairs(layer) else None
