"""Darknet models on an ordinary CPU: ``.cfg`` + ``.weights`` + a picture → the boxes Darknet gives."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from darknet_py.errors import (
    CfgError,
    DarknetError,
    DownloadError,
    ImageError,
    OptionError,
    UnsupportedError,
    WeightsError,
)

if TYPE_CHECKING:
    from darknet_py.detections import Detections
    from darknet_py.detector import Detector
    from darknet_py.network import Network

__all__ = [
    "CfgError",
    "DarknetError",
    "Detections",
    "Detector",
    "DownloadError",
    "ImageError",
    "Network",
    "OptionError",
    "UnsupportedError",
    "WeightsError",
    "__version__",
]

try:
    __version__ = version("darknet-numba")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"

#: Imported when first asked for: a Network needs neither cv2 nor Pillow (35 MB, 0.1 s), an error none of it.
_LAZY = {"Detections": "detections", "Detector": "detector", "Network": "network"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"darknet_py.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
