"""OpenCV's dnn module: ``readNetFromDarknet`` where it still exists (4.x), or the ONNX file."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def version() -> str:
    return str(cv2.__version__)


class Session:
    """``options["format"]`` is "darknet" or "onnx"."""

    precision = "float32"

    def __init__(self, files: dict[str, str], threads: int, options: dict[str, Any]) -> None:
        cv2.setNumThreads(threads)
        self._heads = []
        if options["format"] == "darknet":
            if not hasattr(cv2.dnn, "readNetFromDarknet"):
                raise RuntimeError(
                    f"OpenCV {cv2.__version__} has no readNetFromDarknet: name a Python with opencv-python<5"
                )
            self._net = cv2.dnn.readNetFromDarknet(files["cfg_at_size"], files["weights"])
            self._heads = [f"permute_{index}" for index in files["heads"]]
        else:
            self._net = cv2.dnn.readNetFromONNX(files["onnx_mish"])
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self._names = self._net.getUnconnectedOutLayersNames()
        self.blob = np.load(files["blob"])

    def run(self) -> list[np.ndarray]:
        self._net.setInput(self.blob)
        return list(self._net.forward(self._names))

    def before_heads(self) -> list[np.ndarray] | None:
        """The maps that enter the heads, (1, C, H, W), where the outputs themselves are decoded boxes."""
        if not self._heads:
            return None
        self._net.setInput(self.blob)
        return [map_.transpose(0, 3, 1, 2) for map_ in self._net.forward(self._heads)]
