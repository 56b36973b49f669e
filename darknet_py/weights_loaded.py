"""A weights file in memory, with its header: to be looked at, changed, and saved again by `save_weights`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.arguments import as_integer, as_path, short
from darknet_py.errors import OptionError
from darknet_py.graph import Graph, load_graph
from darknet_py.layers import Layer
from darknet_py.weights import WeightsFile

__all__ = ["LoadedWeights", "load_weights"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class LoadedWeights:
    """What a ``.weights`` file holds; `Network`, `Detector`, `export_onnx` and `save_weights` take it as it is.

    Attributes
    ----------
    graph : Graph
        The network that the values belong to.
    values : dict of int to dict of str to ndarray
        Layer index → parameter name → float32 values, of the shapes in `Layer.parameters`, and writable. Layers without
        parameters are not in it.
    version : (int, int, int)
        Major, minor and revision, as the header says.
    seen : int
        Training images that the header counts.
    header_bytes : int
        20, or 16 in old files; it may be another than the version means.
    """

    graph: Graph
    values: dict[int, dict[str, Array]]
    version: tuple[int, int, int]
    seen: int
    header_bytes: int

    def arrays(self, layer: Layer) -> dict[str, Array]:
        """The arrays of `layer` by parameter name; none for one that the file does not hold."""
        return self.values.get(layer.index, {})

    def release(self, layer: Layer) -> None:
        """Nothing to drop: the arrays stay for who looks at them."""


def load_weights(
    cfg: str | Path | Graph, weights: str | Path, *, upto: int | None = None, header_bytes: int | None = None
) -> LoadedWeights:
    """Read a weights file into memory.

    Parameters
    ----------
    cfg : str, Path or Graph
        The ``.cfg`` file, the name of a shipped one, or a graph already loaded.
    weights : str or Path
        The ``.weights`` file.
    upto : int, optional
        How many layers the file holds, from the first on, where that is not all of them: 74 for ``darknet53.conv.74``.

    header_bytes : {20, 16}, optional
        Where the values begin, for a file whose header was written in one length and says the version of the other. By
        default what the version says, or the file's size leaves no doubt about.

    Returns
    -------
    LoadedWeights

    Raises
    ------
    CfgError, UnsupportedError, WeightsError, OptionError

    Examples
    --------
    >>> loaded = load_weights("my.cfg", "my.weights")
    >>> loaded.values[0]["biases"][:3] = 0
    >>> save_weights("changed.weights", loaded)
    """
    graph = cfg if isinstance(cfg, Graph) else load_graph(cfg)
    upto = None if upto is None else as_integer("upto", upto, low=1, high=len(graph.layers))
    path = as_path("weights", weights, "the path of a .weights file")
    if header_bytes not in (None, 16, 20):
        raise OptionError(f"header_bytes={short(header_bytes)}: expected 20 or 16")
    with WeightsFile(path, graph, upto=upto, header_bytes=header_bytes) as file:
        values = {
            layer.index: {name: np.array(values) for name, values in file.arrays(layer).items()}
            for layer in file.layers
            if layer.parameters
        }
        return LoadedWeights(graph, values, file.version, file.seen, file.header_bytes)
