"""Which layers of a graph are computed together or share memory: found once, before any step is made."""

from __future__ import annotations

from collections.abc import Collection

from darknet_py.activations import CHANNEL_ACTIVATIONS
from darknet_py.graph import Graph
from darknet_py.layers import Convolutional, Layer, MaxPool, Route, Shortcut

__all__ = ["Sharing"]


class Sharing:
    """Who reads what, and what follows from it.

    Parameters
    ----------
    graph : Graph
    keep : collection of int
        Layers whose output must be readable after a run: they are not fused away.

    Attributes
    ----------
    convolutions, shortcuts : dict of int to layer
        The layers of these types, by index.
    fusable : dict of int to int
        Convolution to the shortcut that adds to it and can be computed in its epilogue, if neither is looked at.
    fusing : dict of int to int
        The convolution of each such shortcut.
    fused : dict of int to int
        Those that are.
    joined : dict of int to (int, int)
        Layer to (route, first channel): whose slice of a joint buffer it writes, so that the route copies nothing.
    in_place : dict of int to int
        Shortcut to the layer whose memory it overwrites.
    """

    def __init__(self, graph: Graph, keep: Collection[int]) -> None:
        self._graph = graph
        self._keep = frozenset(keep)
        self.convolutions = {layer.index: layer for layer in graph.of_type(Convolutional)}
        self.shortcuts = {layer.index: layer for layer in graph.of_type(Shortcut)}
        self._readers = self._find_readers()
        self._sources = self._find_sources()
        self.fusable = self._find_fusable()
        self.fusing = {adds: conv for conv, adds in self.fusable.items()}
        self.fused = {conv: adds for conv, adds in self.fusable.items() if self._leaves_nothing(conv, adds)}
        self._added = frozenset(self.fused.values())
        self.joined = self._find_joined()
        self.in_place = self._find_in_place()

    def _find_readers(self) -> dict[int, list[int]]:
        readers: dict[int, list[int]] = {}
        for layer in self._graph.layers:
            for index in layer.inputs:
                readers.setdefault(index, []).append(layer.index)
        return readers

    def _find_sources(self) -> list[tuple[int, int]]:
        """See `source_of`; once for all layers, as they may be names of names of names."""
        sources: list[tuple[int, int]] = []
        for layer in self._graph.layers:
            if layer.renames is None:
                sources.append((layer.index, 0))
                continue
            index, shift = layer.renames
            owner, first = sources[index] if index >= 0 else (index, 0)
            sources.append((owner, first + shift))
        return sources

    def _find_fusable(self) -> dict[int, int]:
        fusable = {}
        for layer in self.shortcuts.values():
            if layer.weights_type != "none" or len(layer.inputs) != 2:
                continue
            source, other = layer.inputs
            while source >= 0 and self._has_one_reader(source) and self._graph.layers[source].kind == "dropout":
                source = self._graph.layers[source].inputs[0]  # as in Yolo-Fastest: convolution, dropout, shortcut
            before = self.convolutions.get(source)
            if (
                before is not None
                and self._has_one_reader(source)
                and not before.antialiasing
                and before.activation not in CHANNEL_ACTIVATIONS
                and layer.activation not in CHANNEL_ACTIVATIONS
                and self._graph.layers[other].shape == layer.shape
            ):
                fusable[source] = layer.index
        return fusable

    def _leaves_nothing(self, conv: int, shortcut: int) -> bool:
        """Whether nobody looks at what is between a convolution and its shortcut."""
        index = self._graph.layers[shortcut].inputs[0]
        while index != conv and index not in self._keep:
            index = self._graph.layers[index].inputs[0]
        return index not in self._keep

    def _has_one_reader(self, index: int) -> bool:
        return len(self._readers[index]) == 1

    def is_private(self, index: int) -> bool:
        """Whether one layer alone reads the output of layer `index`."""
        return self._has_one_reader(index) and index not in self._keep

    def fused_shortcut(self, layer: Layer) -> Shortcut | None:
        """The shortcut computed together with this convolution, if any."""
        return self.shortcuts.get(self.fused.get(layer.index, -1))

    def is_fused(self, layer: Layer) -> bool:
        """Whether this shortcut was computed together with its convolution."""
        return layer.index in self._added

    def may_be_continued(self, pool: MaxPool) -> bool:
        """Whether larger maxpools of the same input may start from the output of this one.

        Its memory must still be its own then: a shortcut may overwrite what it reads last.
        """
        readers = self._readers.get(pool.index, ())
        return pool.is_centred and all(self._graph.layers[reader].kind == "route" for reader in readers)

    def source_of(self, index: int) -> tuple[int, int]:
        """(layer that owns the memory, first channel) of a layer that only renames another's output."""
        return self._sources[index] if index >= 0 else (index, 0)

    def home_of(self, index: int) -> int:
        """The layer whose buffer holds the output of layer `index`, where all is float32."""
        owner = self.source_of(index)[0]
        while (further := self.joined[owner][0] if owner in self.joined else self.in_place.get(owner, owner)) != owner:
            owner = further
        return owner

    def _find_joined(self) -> dict[int, tuple[int, int]]:
        """A layer that two routes read belongs to the first; the second copies it."""
        joined: dict[int, tuple[int, int]] = {}
        for route in self._graph.of_type(Route):
            if len(route.inputs) == 1:
                continue
            first = 0
            for index in route.inputs:
                owner, shift = self.source_of(index)
                whole = route.groups == 1 and owner >= 0 and shift == 0
                if whole and owner not in joined and self._graph.layers[owner].shape == self._graph.layers[index].shape:
                    joined[owner] = (route.index, first)
                first += self._graph.layers[index].shape.c // route.groups
        return joined

    def _find_in_place(self) -> dict[int, int]:
        """A shortcut may overwrite its ``from`` where nobody reads that any more.

        Each pixel is read before it is written, and its lines are in the cache already.
        """
        found: dict[int, int] = {}
        renamed = {layer.inputs[0] for layer in self._graph.layers if self.source_of(layer.index)[0] != layer.index}
        for layer in self.shortcuts.values():
            if len(layer.inputs) != 2 or layer.index in self.joined:
                continue
            source = layer.inputs[1]
            if source < 0 or source in self.joined or source in self._keep or source == layer.inputs[0]:
                continue
            if self._graph.layers[source].kind == "route":  # its memory is that of the layers it joins
                continue
            # A fused convolution that itself reads the memory would find it half overwritten; one behind a depthwise
            # convolution may become the last link of a chain that reads it.
            before = self.source_of(layer.inputs[0])[0]
            if before in self.fused and (self._reads(before, source) or self._reads_depthwise(before)):
                continue
            is_last = self._readers[source][-1] == layer.index
            is_owned = self.source_of(source)[0] == source and source not in renamed
            if is_owned and is_last and self._graph.layers[source].shape == layer.shape:
                found[layer.index] = source
        return found

    def _reads_depthwise(self, index: int) -> bool:
        before = self.source_of(self._graph.layers[index].inputs[0])[0]
        layer = self.convolutions.get(before)
        return layer is not None and layer.groups > 1

    def _reads(self, index: int, owner: int) -> bool:
        """Whether layer `index` reads memory that layer `owner` wrote."""
        return any(self.source_of(read)[0] == owner for read in self._graph.layers[index].inputs)

    def is_joined(self, index: int, route: Route, first: int) -> bool:
        """Whether input `index` of `route` already lies at channel `first` of the joint buffer."""
        owner, _ = self.source_of(index)
        return self.joined.get(owner) == (route.index, first)
