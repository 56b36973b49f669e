"""ONNX Runtime's CPU provider, Mish written in elementary operators: it has no kernel of its own for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime


def version() -> str:
    return str(onnxruntime.__version__)


class Session:
    """All graph optimisations, one thread pool of the size asked for."""

    precision = "float32"

    def __init__(self, files: dict[str, str], threads: int, options: dict[str, Any]) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = onnxruntime.InferenceSession(files["onnx"], settings, providers=["CPUExecutionProvider"])
        self.blob = np.load(files["blob"])

    def run(self) -> list[np.ndarray]:
        return list(self._session.run(None, {"blob": self.blob}))
