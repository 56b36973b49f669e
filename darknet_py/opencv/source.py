"""What a net is read from: a cfg and weights, as files or in memory, and networks of them at any size of input."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darknet_py.boxes.decode import anchor_array
from darknet_py.cfg import Section, parse_cfg_bytes, read_cfg
from darknet_py.errors import CfgError, OptionError
from darknet_py.graph import Graph, build_graph
from darknet_py.network import Network
from darknet_py.opencv.layers import RAW, NamedLayer
from darknet_py.threads import physical_cores
from darknet_py.weights import WeightsFile

__all__ = ["Source", "open_source"]

#: The importer of OpenCV 4 adds this to batch norm's variances, where Darknet adds 1e-5 (measured on 4.14).
EPSILON = 1e-6

#: What its Region layers fall back to: [yolo] and [region] differ.
_THRESH = {"yolo": 0.2, "Gaussian_yolo": 0.2, "region": 0.001}
#: Of [region] whatever the cfg says; [yolo] suppresses only if its cfg asks for it.
_REGION_OVERLAP = 0.4


@dataclass(frozen=True)
class Source:
    """A cfg and the weights that belong to it.

    Attributes
    ----------
    cfg : str or bytes
        Path, or the text of the file.
    weights : str, bytes or None
        Path, or the bytes of the file; None for a net that can only be asked for its structure.
    """

    cfg: str | bytes
    weights: str | bytes | None

    def sections(self) -> list[Section]:
        """The cfg, read anew: building a graph marks what was read."""
        return parse_cfg_bytes(self.cfg, "cfg in memory") if isinstance(self.cfg, bytes) else read_cfg(self.cfg)

    def graph(self, size: tuple[int, int] | None = None) -> Graph:
        """The graph for inputs of (width, height), by default those of the cfg."""
        return build_graph(self.sections(), size, whole_cells=False)

    def network(self, graph: Graph) -> Network:
        """The network of a graph of this cfg, with the arithmetic of OpenCV's importer."""
        return Network(graph, self._opened(graph), epsilon=EPSILON, threads=_threads())

    def network_up_to(self, graph: Graph, index: int, part: str) -> Network:
        """One whose last layer is layer `index`, left before its activation, or ("raw") before its batch norm."""
        last: Any = replace(graph.layers[index], activation="linear")  # type: ignore[call-arg]
        cut = replace(graph, layers=(*graph.layers[:index], last), warnings=())
        opened = self._opened(graph)
        weights = _Unnormalized(opened, index) if part == RAW else opened
        return Network(cut, weights, epsilon=EPSILON, threads=_threads())

    def check(self, graph: Graph) -> None:
        """Raise WeightsError now, not at the first run, where the weights do not belong to the cfg."""
        if self.weights is not None:
            self._opened(graph).close()

    def thresholds(self) -> dict[int, tuple[float, float]]:
        """By layer: the lowest probability that a head lets through, and the overlap that it suppresses (0: none)."""
        return {
            section.index: (
                section.number("thresh", _THRESH[section.kind]),
                _REGION_OVERLAP if section.kind == "region" else section.number("nms_threshold", 0.0),
            )
            for section in self.sections()
            if section.kind in _THRESH
        }

    def blobs(self, graph: Graph, named: NamedLayer) -> tuple[Any, ...]:
        """The arrays of a layer under OpenCV's name, as `Net.Layer.blobs` describes them; none without weights."""
        layer: Any = graph.layers[named.index]
        if named.type == "Region":
            return (anchor_array(layer.used_anchors).reshape(1, -1),)
        names = {
            "Convolution": ("weights",) if getattr(layer, "batch_normalize", False) else ("weights", "biases"),
            "BatchNorm": ("mean", "variance", "scales", "biases"),
        }
        names["InnerProduct"] = names["Convolution"]
        if self.weights is None or named.type not in names:
            return ()
        arrays = self._opened(graph).arrays(layer)
        return tuple(np.array(arrays[name]) for name in names[named.type] if name in arrays)

    def _opened(self, graph: Graph) -> WeightsFile:
        if self.weights is None:
            raise OptionError(
                f"{graph.file}: read without weights, so that nothing can be computed: give the .weights file as well"
            )
        return WeightsFile(self.weights, graph)


class _Unnormalized:
    """Weights whose layer `index` has a batch norm that changes nothing, and no bias."""

    def __init__(self, weights: WeightsFile, index: int) -> None:
        self._weights = weights
        self._index = index

    def arrays(self, layer: Any) -> dict[str, Any]:
        """As `WeightsFile.arrays`."""
        found = self._weights.arrays(layer)
        if layer.index == self._index:
            for name, value in {"scales": 1.0, "mean": 0.0, "variance": 1.0 - EPSILON, "biases": 0.0}.items():
                found[name] = np.full(layer.filters, value, np.float32)
        return found

    def release(self, layer: Any) -> None:
        """As `WeightsFile.release`."""
        self._weights.release(layer)


def open_source(cfg: Any, weights: Any = None) -> Source:
    """The source that OpenCV's arguments mean: paths, or buffers of both files (bytes or uint8 arrays)."""
    return Source(_file(cfg, "cfg"), None if weights is None or _is_empty(weights) else _file(weights, "weights"))


def _file(value: Any, what: str) -> str | bytes:
    if isinstance(value, str | os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.tobytes()
    if isinstance(value, list | tuple) and value and isinstance(value[0], int):
        with contextlib.suppress(ValueError, TypeError):
            return bytes(value)
    raise (CfgError if what == "cfg" else OptionError)(
        f"{what} of type {type(value).__name__}: expected a path, or the file's content as bytes or a uint8 array"
    )


def _is_empty(value: Any) -> bool:
    return not len(value) if hasattr(value, "__len__") else False


def _threads() -> int:
    """All physical cores, or fewer where the script asked so by ``cv2.setNumThreads``."""
    cv2 = sys.modules.get("cv2")
    return physical_cores() if cv2 is None else max(1, min(physical_cores(), cv2.getNumThreads()))
