"""Detections painted on a picture, and pictures written to files; the end of the flow, nothing depends on it."""

from __future__ import annotations

from darknet_py.draw.imagewriter import IMAGE_SUFFIXES, save_image
from darknet_py.draw.painting import annotate
from darknet_py.draw.palette import class_color

__all__ = ["IMAGE_SUFFIXES", "annotate", "class_color", "save_image"]
