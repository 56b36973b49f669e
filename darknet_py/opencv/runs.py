"""Runs of a net: networks for the sizes of its blobs, and outputs of any of OpenCV's layers in OpenCV's shapes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darknet_py.bench import measure_layers
from darknet_py.errors import OptionError
from darknet_py.graph import Graph
from darknet_py.network import MOST_TOGETHER, Network
from darknet_py.opencv.layers import INPUT, NORMALIZED, RAW, WHOLE, NamedLayer
from darknet_py.opencv.regions import fill_rows, row_shape
from darknet_py.opencv.source import Source
from darknet_py.plan.state import State
from darknet_py.planes import read_planes, write_pixels

__all__ = ["Runs"]

Floats = NDArray[np.float32]

#: Networks that are kept, of which each has its own copy of the weights; a script rarely has more sizes than two.
MOST_NETWORKS = 4

#: Layers whose output has as many axes as their input, where a fully connected layer's has two.
_KEEP_AXES = ("softmax", "dropout", "cost", "route")


class Runs:
    """One net's blob, its networks, and the state of the last run, which further outputs are read from."""

    def __init__(self, source: Source, graph: Graph) -> None:
        self.suppresses = True
        self._source = source
        self._graph = graph
        self._limits = source.thresholds()
        self._networks: OrderedDict[tuple[tuple[int, int], int, str], Network] = OrderedDict()
        self._blob: Floats | None = None
        self._held: tuple[Network, State] | None = None
        self._is_current = False
        self._seconds = 0.0

    def begin(self, blob: Floats) -> None:
        """Take a blob (N, C, H, W)."""
        self._blob, self._is_current = blob, False

    def results(self, wanted: Sequence[NamedLayer]) -> list[Floats]:
        """The outputs of some layers for the blob."""
        if self._blob is None:
            raise OptionError("forward before setInput: give the net a blob first")
        network = self._network()
        kept = {layer.index for layer in network.heads} or {network.graph.output.index}
        if all(layer.part == WHOLE and layer.index in kept for layer in wanted):
            return self._run(network, self._blob, wanted)
        return self._run_tapped(network, self._blob, wanted)

    def profile(self) -> tuple[float, dict[int, float]]:
        """Seconds of the last run, and those of each layer by itself (of a fused one: with that it is fused into)."""
        if self._held is None:
            return 0.0, {}
        seconds: dict[int, float] = {}
        for timed in measure_layers(self._held[0], 1):
            layer = timed.layer
            while self._graph.layers[layer].kind == "cost":  # which is the layer before it, under OpenCV's name
                layer -= 1
            seconds[max(layer, 0)] = seconds.get(max(layer, 0), 0.0) + timed.seconds
        return self._seconds, seconds

    def _network(self, index: int = -1, part: str = WHOLE) -> Network:
        """The network for blobs of this size, whole or ending inside layer `index`."""
        assert self._blob is not None
        size = self._blob.shape[3], self._blob.shape[2]
        key = (size, index, part)
        if key not in self._networks:
            graph = self._graph if size == (self._graph.blob.w, self._graph.blob.h) else self._source.graph(size)
            source = self._source
            made = source.network(graph) if part == WHOLE else source.network_up_to(graph, index, part)
            self._networks[key] = made
            if len(self._networks) > MOST_NETWORKS:
                self._networks.popitem(last=False)
        self._networks.move_to_end(key)
        return self._networks[key]

    def _run(self, network: Network, blob: Floats, wanted: Sequence[NamedLayer]) -> list[Floats]:
        """Outputs that a plain run leaves in its state, which stays for those asked for later."""
        if len(blob) > MOST_TOGETHER:
            parts = range(0, len(blob), MOST_TOGETHER)
            each = []
            for first in parts:
                self._is_current = False
                each.append(self._run(network, blob[first : first + MOST_TOGETHER], wanted))
            self._is_current = False
            return [np.concatenate([self._batched(one) for one in column]) for column in zip(*each, strict=True)]
        state = self._forward(network, blob)
        images = range(len(blob))
        return [self._output(network, layer, [state.output(layer.index, n) for n in images]) for layer in wanted]

    @staticmethod
    def _batched(result: Floats) -> Floats:
        return result[None] if result.ndim == 2 else result

    def _forward(self, network: Network, blob: Floats) -> State:
        """The state of a run on this blob: the last one's, if that was on it."""
        held, self._held = self._held, None  # not held where an exception ends the run: helpers may be in it
        if held is not None and (held[0] is not network or held[1].plan.images != len(blob)):
            held[0].release(held[1])
            held, self._is_current = None, False
        state = held[1] if held is not None else network.acquire(len(blob))
        if not self._is_current:
            start = time.perf_counter()
            for target, image in zip(state.blobs, blob, strict=True):
                write_pixels(image, target)
            network.forward(state)
            self._seconds = time.perf_counter() - start
        self._held, self._is_current = (network, state), True
        return state

    def _output(self, network: Network, named: NamedLayer, maps: Sequence[Floats]) -> Floats:
        """One layer's output for a batch from maps (h, w, c), in OpenCV's shape."""
        head = next((head for head in network.heads if head.index == named.index), None)
        if head is None:
            planes = np.stack([read_planes(one) for one in maps])
            return planes.reshape(len(maps), -1) if _is_flat(network.graph, named.index) else planes
        rows = np.empty((len(maps), *row_shape(head)), np.float32)
        thresh, overlap = self._limits[head.index]
        for one, out in zip(maps, rows, strict=True):
            fill_rows(network.graph, head, one, (thresh, overlap if self.suppresses else 0.0), out)
        return rows if len(rows) > 1 else rows[0]

    def _run_tapped(self, network: Network, blob: Floats, wanted: Sequence[NamedLayer]) -> list[Floats]:
        """Outputs of any layers, and of parts of them, which a network that ends there computes."""
        layers = network.graph.layers
        whole = {named: named.index if named.part == WHOLE else layers[named.index].inputs[0] for named in wanted
                 if named.part in (WHOLE, INPUT)}  # fmt: skip
        planes = network.run(blob, sorted(set(whole.values()))) if whole else {}
        found = []
        for named in wanted:
            if named.part in (RAW, NORMALIZED):
                found.append(self._shaped(network, named, self._network(named.index, named.part).run(blob, [-1])[-1]))
            elif named.part == INPUT:
                found.append(np.ascontiguousarray(planes[whole[named]].transpose(0, 2, 3, 1)))
            else:
                found.append(self._shaped(network, named, planes[whole[named]]))
        return found

    def _shaped(self, network: Network, named: NamedLayer, planes: Floats) -> Floats:
        return self._output(network, named, [np.ascontiguousarray(one.transpose(1, 2, 0)) for one in planes])


def _is_flat(graph: Graph, index: int) -> bool:
    """Whether OpenCV gives this layer's output as (N, values)."""
    layer = graph.layers[index]
    if layer.kind in _KEEP_AXES and len(layer.inputs) == 1 and layer.inputs[0] >= 0:
        return _is_flat(graph, layer.inputs[0])
    return layer.kind == "connected"
