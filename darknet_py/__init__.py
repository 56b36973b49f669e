"""Darknet models on an ordinary CPU: ``.cfg`` + ``.weights`` + a picture → the boxes Darknet gives."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from darknet_py.errors import (
    CfgError,
    DarknetError,
    DownloadError,
    ImageError,
    OptionError,
    OutputError,
    UnsupportedError,
    VideoError,
    WeightsError,
)

if TYPE_CHECKING:
    __version__: str
    from darknet_py.boxes.detections import Detection, Detections
    from darknet_py.classifier import Classification, Classifier
    from darknet_py.detector import Detector
    from darknet_py.draw import annotate, save_image
    from darknet_py.graph import Graph, load_graph
    from darknet_py.limits import Limits
    from darknet_py.network import Network
    from darknet_py.onnx_export import export_onnx
    from darknet_py.session import Session
    from darknet_py.weights import SeededWeights
    from darknet_py.weights_loaded import LoadedWeights, load_weights
    from darknet_py.weights_writer import save_weights, write_weights

__all__ = [
    "CfgError",
    "Classification",
    "Classifier",
    "DarknetError",
    "Detection",
    "Detections",
    "Detector",
    "DownloadError",
    "Graph",
    "ImageError",
    "Limits",
    "LoadedWeights",
    "Network",
    "OptionError",
    "OutputError",
    "SeededWeights",
    "Session",
    "UnsupportedError",
    "VideoError",
    "WeightsError",
    "__version__",
    "annotate",
    "export_onnx",
    "load_graph",
    "load_weights",
    "save_image",
    "save_weights",
    "write_weights",
]

#: Imported when first asked for: a Network needs neither cv2 nor Pillow (35 MB, 0.1 s), an error none of it.
_LAZY = {
    "Classification": "classifier",
    "Classifier": "classifier",
    "Detection": "boxes.detections",
    "Detections": "boxes.detections",
    "Detector": "detector",
    "Graph": "graph",
    "Limits": "limits",
    "LoadedWeights": "weights_loaded",
    "Network": "network",
    "SeededWeights": "weights",
    "Session": "session",
    "annotate": "draw",
    "export_onnx": "onnx_export",
    "load_graph": "graph",
    "load_weights": "weights_loaded",
    "save_image": "draw",
    "save_weights": "weights_writer",
    "write_weights": "weights_writer",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module(f"{__name__}.version").installed_version()
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
