"""Darknet models on an ordinary CPU: ``.cfg`` + ``.weights`` + a picture → the boxes Darknet gives."""

from importlib.metadata import PackageNotFoundError, version

from darknet_py.detections import Detections
from darknet_py.detector import Detector
from darknet_py.errors import (
    CfgError,
    DarknetError,
    ImageError,
    OptionError,
    UnsupportedError,
    WeightsError,
)
from darknet_py.network import Network

__all__ = [
    "CfgError",
    "DarknetError",
    "Detections",
    "Detector",
    "ImageError",
    "Network",
    "OptionError",
    "UnsupportedError",
    "WeightsError",
    "__version__",
]

try:
    __version__ = version("darknet-py")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"
