"""darknet-py itself: ``Network.run`` on the blob, from the weights file."""

from __future__ import annotations

import inspect
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import numpy as np

from darknet_py import Network
from darknet_py.graph import load_graph


def version() -> str:
    try:
        return installed_version("darknet-numba")
    except PackageNotFoundError:
        return "checkout"


class Session:
    """``options`` are further arguments of Network, such as exact=True."""

    def __init__(self, files: dict[str, str], threads: int, options: dict[str, Any]) -> None:
        known = inspect.signature(Network).parameters
        for name in options:
            if name not in known:
                raise RuntimeError(f"this darknet-py has no Network({name}=...)")
        self.blob = np.load(files["blob"])
        size = (self.blob.shape[3], self.blob.shape[2])
        self._network = Network(load_graph(files["cfg"], size), files["weights"], threads=threads, **options)
        layers = self._network.heads or (self._network.graph.output,)
        self._kinds = [layer.kind for layer in layers]
        self.precision = str(options.get("precision", "float32"))

    def run(self) -> list[np.ndarray]:
        outputs = zip(self._kinds, self._network.run(self.blob[0]), strict=True)
        # As the others give a [region]: cell by cell.
        return [(output.transpose(1, 2, 0) if kind == "region" else output)[None] for kind, output in outputs]
