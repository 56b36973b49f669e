"""Rows of OpenCV's Region layers from the maps of a network's heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.decode import anchor_array
from darknet_py.boxes.kernels.region_rows import region_rows, suppress_rows, yolo_rows
from darknet_py.errors import UnsupportedError
from darknet_py.graph import Graph
from darknet_py.layers import Head

__all__ = ["fill_rows", "row_shape"]

Floats = NDArray[np.float32]


def row_shape(layer: Head) -> tuple[int, int]:
    """How many rows a head gives for one image, and how long they are."""
    return layer.shape.h * layer.shape.w * layer.num, 5 + layer.classes


def fill_rows(graph: Graph, layer: Any, head_map: Floats, limits: tuple[float, float], rows: Floats) -> None:
    """Decode a head's map (h, w, c) to rows (`row_shape`); `limits` as `Source.thresholds` gives them."""
    thresh, overlap = limits
    anchors = anchor_array(layer.used_anchors)
    if layer.kind == "yolo":
        yolo_rows(head_map, anchors, graph.blob.w, graph.blob.h, bool(layer.new_coords), thresh, rows)
    elif layer.kind == "region" and layer.coords == 4 and layer.tree is None:
        region_rows(head_map, anchors, layer.classfix == -1, thresh, rows)
    else:
        raise UnsupportedError(
            f"{layer.where}: OpenCV has no rows for this head ([detection], [Gaussian_yolo], a tree): "
            "use darknet_py.Detector"
        )
    if overlap > 0:
        suppress_rows(rows, overlap, np.empty(len(rows), np.int64), np.empty(len(rows), np.int64))
