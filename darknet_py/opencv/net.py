"""What ``cv2.dnn.readNetFromDarknet`` returned: a net that takes a blob and gives outputs by OpenCV's names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.files import write_whole
from darknet_py.find_cv2 import need_cv2
from darknet_py.graph import Graph
from darknet_py.opencv.failure import as_cv2_errors
from darknet_py.opencv.indices import Indices
from darknet_py.opencv.layers import NamedLayer, name_layers, unconnected
from darknet_py.opencv.runs import Runs
from darknet_py.opencv.source import Source
from darknet_py.summary import format_table, summarize

__all__ = ["Layer", "Net"]

Floats = NDArray[np.float32]

log = logging.getLogger(__name__)

_INPUT_NAMES = ("", "data", "_input")

#: Backends and targets of OpenCV that mean this CPU: default and OpenCV; CPU.
_HERE = (0, 3)


@dataclass(frozen=True, eq=False)
class Layer:
    """What ``getLayer`` gives.

    Attributes
    ----------
    name, type : str
    blobs : tuple of ndarray, float32
        As in the weights file: a convolution's weights, and its biases unless a batch norm follows; of that mean,
        variance, scales and biases; a Region's anchors.
    preferableTarget : int
    """

    name: str
    type: str
    blobs: tuple[Floats, ...] = ()
    preferableTarget: int = 0

    def outputNameToIndex(self, outputName: str) -> int:
        """0, the only output, whatever it is called; of the input layer it is called "data", and -1 is any other."""
        return 0 if self.type or outputName == "data" else -1


class Net:
    """A Darknet network with the interface of ``cv2.dnn.Net``; made by `readNetFromDarknet`.

    Outputs are those of OpenCV 4's importer. Blobs of every size that the cfg's layers fit are taken; for each size a
    network is kept. Methods are described in OpenCV's documentation; what differs is said here. Errors are
    ``cv2.error`` as well as this package's.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.graph: Graph = source.graph()
        source.check(self.graph)
        self._runs = Runs(source, self.graph)
        self._says_cpu = True

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.Net of {self.graph.file}>"

    # Structure ----------------------------------------------------------------------------------------------------

    @cached_property
    def _layers(self) -> tuple[NamedLayer, ...]:
        return name_layers(self.graph)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {layer.name: number for number, layer in enumerate(self._layers, 1)}

    @cached_property
    def _outputs(self) -> tuple[int, ...]:
        """Numbers of the layers that no other reads."""
        last = {layer.index: number for number, layer in enumerate(self._layers, 1)}
        return tuple(last[index] for index in unconnected(self.graph))

    def empty(self) -> bool:
        return False

    def getLayerNames(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self._layers)

    def getUnconnectedOutLayers(self) -> Indices:
        """Numbers of the output layers, from 1, shape (n,); what is iterated also answers ``[0]``, as until 4.5.3."""
        return np.array(self._outputs, np.int32).view(Indices)

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:
        return tuple(self._layers[number - 1].name for number in self._outputs)

    def getLayerId(self, layer: str) -> int:
        return 0 if layer == "_input" else self._numbers.get(str(layer), -1)

    @as_cv2_errors
    def getLayer(self, layerId: Any) -> Layer:
        number = self.getLayerId(layerId) if isinstance(layerId, str) else int(layerId)
        if number == 0:
            return Layer("_input", "")
        if not 0 < number <= len(self._layers):
            raise OptionError(f"layer {layerId!r}: expected a name of getLayerNames() or 0 to {len(self._layers)}")
        found = self._layers[number - 1]
        return Layer(found.name, found.type, self._source.blobs(self.graph, found))

    @as_cv2_errors
    def getParam(self, layer: Any, numParam: int = 0) -> Floats:
        """One of the layer's `blobs`."""
        blobs = self.getLayer(layer).blobs
        if not 0 <= numParam < len(blobs):
            raise OptionError(f"layer {layer!r} has {len(blobs)} parameters, none with number {numParam}")
        return blobs[numParam]

    def getLayerTypes(self) -> tuple[str, ...]:
        return tuple(sorted({*(layer.type for layer in self._layers), "__NetInputLayer__"}))

    def getLayersCount(self, layerType: str) -> int:
        return [*(layer.type for layer in self._layers), "__NetInputLayer__"].count(layerType)

    def dump(self) -> str:
        """The layer table of ``darknet-py inspect``, not OpenCV's graph in DOT."""
        return format_table(summarize(self.graph).layers)

    @as_cv2_errors
    def dumpToFile(self, path: str) -> None:
        write_whole(path, f"{self.dump()}\n".encode())

    @as_cv2_errors
    def getFLOPS(self, *shapes: Any) -> int:
        """Operations for a blob of a shape (N, C, H, W); as ``getFLOPS(number, shape)`` those of one layer."""
        number = int(shapes[0]) if len(shapes) == 2 else 0
        images, graph = self._graph_for(shapes[-1])
        if not number:
            return round(images * graph.bflops * 1e9)
        named = self._layers[number - 1]
        first = next(layer for layer in self._layers if layer.index == named.index)
        return round(images * graph.layers[named.index].bflops * 1e9) if named == first else 0

    @as_cv2_errors
    def getMemoryConsumption(self, *shapes: Any) -> tuple[int, int]:
        """Bytes of the weights as in the file, and of the activations that a run holds at once."""
        images, graph = self._graph_for(shapes[-1])
        return 4 * graph.parameter_count, images * summarize(graph).arena_bytes

    def _graph_for(self, shape: Any) -> tuple[int, Graph]:
        while len(shape) == 1 and not isinstance(shape[0], int | np.integer):
            shape = shape[0]
        if len(shape) != 4:
            raise OptionError(f"shape {tuple(shape)}: expected (N, C, H, W)")
        images, _, height, width = (int(side) for side in shape)
        return images, self._source.graph((width, height))

    # Hints --------------------------------------------------------------------------------------------------------

    def setPreferableBackend(self, backendId: int) -> None:
        """Accepted; the CPU computes whatever is asked for."""
        self._say_cpu("backend", backendId)

    def setPreferableTarget(self, targetId: int) -> None:
        """Accepted; the CPU computes whatever is asked for."""
        self._say_cpu("target", targetId)

    def _say_cpu(self, what: str, asked: int) -> None:
        if asked not in _HERE and self._says_cpu:
            self._says_cpu = False
            log.warning("%s %s was asked for; darknet-py computes on the CPU", what, asked)

    def enableFusion(self, fusion: bool) -> None:
        """Accepted: layers are fused anyway."""

    def enableWinograd(self, useWinograd: bool) -> None:
        """Accepted: algorithms are chosen by measurement."""

    def setInputsNames(self, inputBlobNames: Sequence[str]) -> None:
        """Accepted: there is one input, whatever it is called."""

    def setInputShape(self, inputName: str, shape: Sequence[int]) -> None:
        """Accepted: the shape is that of the blob."""

    # Runs ---------------------------------------------------------------------------------------------------------

    @as_cv2_errors
    def setInput(self, blob: Any, name: str = "", scalefactor: float = 1.0, mean: Any = ()) -> None:
        """The next input: (N, C, H, W) of any number type, or a UMat; computes on ``(blob - mean) * scalefactor``."""
        if name not in _INPUT_NAMES:
            raise OptionError(f"setInput: no input is called {name!r}: leave the name out")
        values = np.asarray(blob.get() if hasattr(blob, "get") else blob)
        channels = self.graph.blob.c
        if values.ndim != 4 or values.shape[1] != channels or not values.size:
            raise OptionError(
                f"setInput: blob of shape {values.shape}, expected (N, {channels}, height, width): "
                "make it with cv2.dnn.blobFromImage"
            )
        pixels = np.array(values, np.float32)
        # A number alone is the first channel's mean: that is how OpenCV makes a Scalar of it.
        for channel, value in enumerate(np.atleast_1d(np.asarray(mean, np.float32))[:channels]):
            if value:
                pixels[:, channel] -= value
        if scalefactor != 1:
            pixels *= np.float32(scalefactor)
        self._runs.begin(pixels)

    @as_cv2_errors
    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Run the net.

        Returns
        -------
        ndarray or tuple of ndarray
            The last output; with a name that output; with a list of names a tuple. Float32: (rows, 5 + classes) of a
            Region layer, (N, C, H, W) of others; a batch of more than one has N first everywhere.
        """
        wanted = named.get("outBlobNames", named.get("outputName", arguments[-1] if arguments else None))
        if wanted is None or (isinstance(wanted, str) and not wanted):
            return self._runs.results([self._layers[-1]])[0]
        if isinstance(wanted, str):
            return self._runs.results([self._named(wanted)])[0]
        if not len(wanted):
            return (self._runs.results([self._layers[-1]])[0],)
        return tuple(self._runs.results([self._named(name) for name in wanted]))

    def forwardAndRetrieve(self, outBlobNames: Sequence[str]) -> tuple[tuple[Floats, ...], ...]:
        return tuple((result,) for result in self.forward(outBlobNames))

    @as_cv2_errors
    def forwardAsync(self, outputName: str = "") -> NoReturn:
        """As in OpenCV, where the CPU backend has it not either."""
        raise UnsupportedError("forwardAsync: call forward() in a thread of your own, it releases the GIL")

    def leave_suppression(self) -> None:
        """Leave rows of heads that suppress inside ([region]) as they are decoded, for who suppresses after that."""
        self._runs.suppresses = False

    def getPerfProfile(self) -> tuple[int, NDArray[np.float64]]:
        """Ticks of the last run, and of each layer (n,); one tick is ``1 / cv2.getTickFrequency()`` seconds.

        The layers are timed now, one by one, and scaled so that they add up to the run.
        """
        cv2: Any = need_cv2("getPerfProfile")
        run, by_layer = self._runs.profile()
        ticks = np.zeros(len(self._layers))
        if not by_layer:
            return 0, ticks
        first: dict[int, int] = {}
        for number, layer in enumerate(self._layers):
            first.setdefault(layer.index, number)
        scale = run / sum(by_layer.values()) * cv2.getTickFrequency()
        for index, seconds in by_layer.items():
            ticks[first[index]] = seconds * scale
        return round(run * cv2.getTickFrequency()), ticks

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'Net' object has no attribute {name!r} (a Darknet net of darknet-py, not cv2.dnn's)")

    def _named(self, name: Any) -> NamedLayer:
        number = self._numbers.get(str(name))
        if number is None:
            raise OptionError(f"forward: no layer is called {str(name)!r}; getLayerNames() lists them")
        return self._layers[number - 1]
