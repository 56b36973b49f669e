"""Detections painted on a picture, and pictures written to files; the end of the flow, nothing depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darknet_py.draw.imagewriter import IMAGE_SUFFIXES, save_image
from darknet_py.draw.palette import class_color

if TYPE_CHECKING:
    from darknet_py.draw.painting import annotate

__all__ = ["IMAGE_SUFFIXES", "annotate", "class_color", "save_image"]


def __getattr__(name: str) -> Any:
    """`annotate` is imported when it is asked for: who saves pictures needs no fonts."""
    if name != "annotate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from darknet_py.draw.painting import annotate

    globals()[name] = annotate
    return annotate
