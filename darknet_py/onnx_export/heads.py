"""Emitters of detection heads: the activated map as Darknet leaves it, and boxes with the scores of their classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import UnsupportedError
from darknet_py.layers import Detection, GaussianYolo, Head, Layer, Region, Yolo
from darknet_py.onnx_export.emission import Emission
from darknet_py.onnx_export.joining import softmax_of

__all__ = ["decode", "detection", "gaussian_yolo", "region", "yolo"]


@dataclass(frozen=True)
class _Entries:
    """Consecutive entries of an anchor and what the head does to them."""

    count: int
    logistic: bool = True
    scaled: bool = False


def yolo(g: Emission, layer: Yolo) -> str:
    """Logistic on all but w and h, none at all with ``new_coords``; x and y scaled."""
    active = not layer.new_coords
    entries = (_Entries(2, active, True), _Entries(2, False), _Entries(1 + layer.classes, active))
    return _activated(g, layer, entries, layer.num, layer.scale_x_y)


def gaussian_yolo(g: Emission, layer: GaussianYolo) -> str:
    """As yolo, with the deviation after each coordinate."""
    mean, deviation, free = _Entries(1, True, True), _Entries(1), _Entries(1, False)
    coordinates = (mean, deviation, mean, deviation, free, deviation, free, deviation)
    entries = (*coordinates, _Entries(1 + layer.classes))
    return _activated(g, layer, entries, layer.num, layer.scale_x_y)


def _activated(g: Emission, layer: Layer, entries: Sequence[_Entries], anchors: int, scale_x_y: float) -> str:
    (x,) = g.inputs(layer)
    shape = layer.shape
    blocks = g.reshape(x, anchors, shape.c // anchors, shape.h, shape.w)
    parts = g.split(blocks, [run.count for run in entries], 2)
    for n, (part, run) in enumerate(zip(parts, entries, strict=True)):
        if run.logistic:
            part = g.node("Sigmoid", part)
        if run.scaled and scale_x_y != 1:
            part = g.node("Mul", part, g.constant(scale_x_y))
            part = g.node("Sub", part, g.constant(0.5 * (scale_x_y - 1)))
        parts[n] = part
    g.parts[layer.index] = tuple(parts)
    if scale_x_y == 1 and not any(run.logistic for run in entries):
        return x
    return g.reshape(g.concat(parts, 2), *shape)


def region(g: Emission, layer: Region) -> str:
    """Logistic on the fifth entry, softmax over the classes or over each group of the tree."""
    (x,) = g.inputs(layer)
    shape = layer.shape
    blocks = g.reshape(x, layer.num, shape.c // layer.num, shape.h, shape.w)
    xy, wh, objectness, classes = g.split(blocks, [2, 2, 1, layer.classes], 2)
    objectness = g.node("Sigmoid", objectness)
    if layer.tree is not None:
        classes = softmax_of(g, classes, layer.tree.groups, 2)
    elif layer.softmax:
        classes = g.node("Softmax", classes, axis=2)
    g.parts[layer.index] = (xy, wh, objectness, classes)
    return g.reshape(g.concat([xy, wh, objectness, classes], 2), *shape)


def detection(g: Emission, layer: Detection) -> str:
    """The flat input; softmax over the classes of each cell, which come first."""
    cells, num = layer.side**2, layer.num
    flat = g.reshape(g.inputs(layer)[0], layer.shape.c)
    classes, objectness, boxes = g.split(flat, [cells * layer.classes, cells * num, cells * num * 4], 1)
    if layer.softmax:
        by_cells = g.node("Softmax", g.reshape(classes, cells, layer.classes), axis=2)
        classes = g.reshape(by_cells, cells * layer.classes)
    g.parts[layer.index] = (classes, objectness, boxes)
    return g.reshape(g.concat([classes, objectness, boxes], 1), *layer.shape)


# Boxes --------------------------------------------------------------------------------------------------------


def decode(g: Emission, layer: Head) -> tuple[str, str]:
    """(boxes, scores) of a head, (N, cells * anchors, 4) and (N, cells * anchors, classes).

    Cells row by row, anchors innermost, as Darknet lists candidates. A box is centre x, centre y, width and height as
    fractions of the network's input; a score is the probability of a class, not thresholded.
    """
    return _DECODERS[type(layer)](g, layer)


def _on_cells(g: Emission, layer: Head, xy: str, wh: str, scores: str) -> tuple[str, str]:
    """The boxes whose xy count from the corner of their cell."""
    _, h, w = layer.shape
    columns, rows = np.meshgrid(np.arange(w), np.arange(h))
    corner = g.initializer("cells", np.stack([columns, rows])[None, None].astype(np.float32))
    xy = g.node("Div", g.node("Add", xy, corner), g.constant([[[[w]], [[h]]]]))
    return _listed(g, g.concat([xy, wh], 2), 4), _listed(g, scores, layer.classes)


def _listed(g: Emission, x: str, last: int) -> str:
    """(N, A, k, H, W) → (N, H * W * A, k)."""
    return g.reshape(g.transpose(x, 2, 3, 0, 1), -1, last)


def _anchored(g: Emission, anchors: NDArray[np.float32], unit: tuple[int, int]) -> str:
    """(1, A, 2, 1, 1) sizes of the anchors as fractions of the network's input."""
    sizes = (anchors.astype(np.float64) / unit).astype(np.float32)
    return g.initializer("anchors", sizes.reshape(1, -1, 2, 1, 1))


def _masked(g: Emission, layer: Yolo | GaussianYolo) -> str:
    listed = np.asarray(layer.anchors, np.float32).reshape(-1, 2)
    return _anchored(g, listed[list(layer.mask)], (g.graph.blob.w, g.graph.blob.h))


def _yolo_boxes(g: Emission, layer: Yolo) -> tuple[str, str]:
    xy, wh, probabilities = g.parts[layer.index]
    objectness, classes = g.split(probabilities, [1, layer.classes], 2)
    anchors = _masked(g, layer)
    grown = g.node("Mul", g.node("Mul", wh, wh), g.constant(4)) if layer.new_coords else g.node("Exp", wh)
    return _on_cells(g, layer, xy, g.node("Mul", grown, anchors), g.node("Mul", objectness, classes))


def _gaussian_boxes(g: Emission, layer: GaussianYolo) -> tuple[str, str]:
    x, x_dev, y, y_dev, w, w_dev, h, h_dev, probabilities = g.parts[layer.index]
    objectness, classes = g.split(probabilities, [1, layer.classes], 2)
    wh = g.node("Mul", g.node("Exp", g.concat([w, h], 2)), _masked(g, layer))
    xy = g.concat([x, y], 2)
    # The point that x and y stand for may be a corner; in units of cells, as the grid is added after this.
    shift = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}[layer.yolo_point]
    if shift:
        cells = g.constant([[[[shift * layer.shape.w]], [[shift * layer.shape.h]]]])
        xy = g.node("Add", xy, g.node("Mul", wh, cells))
    uncertainty = g.node("Mul", g.node("Sum", x_dev, y_dev, w_dev, h_dev), g.constant(0.25))
    certainty = g.node("Sub", g.constant(1), uncertainty)
    return _on_cells(g, layer, xy, wh, g.node("Mul", g.node("Mul", objectness, classes), certainty))


def _region_boxes(g: Emission, layer: Region) -> tuple[str, str]:
    xy, wh, objectness, classes = g.parts[layer.index]
    if layer.tree is not None:
        raise UnsupportedError(
            f"{layer.where}: the boxes of a head with a tree= cannot be decoded in ONNX; export its raw output"
        )
    anchors = np.asarray(layer.anchors, np.float32).reshape(-1, 2)[: layer.num]
    sizes = _anchored(g, anchors, (layer.shape.w, layer.shape.h))
    if layer.classfix == -1:
        likely = g.node("Cast", g.node("GreaterOrEqual", objectness, g.constant(0.5)), to=g.onnx.TensorProto.FLOAT)
        objectness = g.node("Mul", objectness, likely)
    boxes = g.node("Mul", g.node("Exp", wh), sizes)
    return _on_cells(g, layer, g.node("Sigmoid", xy), boxes, g.node("Mul", objectness, classes))


def _detection_boxes(g: Emission, layer: Detection) -> tuple[str, str]:
    classes, objectness, boxes = g.parts[layer.index]
    cells, num, side = layer.side**2, layer.num, layer.side
    rows, columns = np.divmod(np.arange(cells * num) // num, side)
    corner = g.initializer("cells", np.stack([columns, rows], axis=1)[None].astype(np.float32))
    xy, wh = g.split(g.reshape(boxes, cells * num, 4), [2, 2], 2)
    xy = g.node("Div", g.node("Add", xy, corner), g.constant(side))
    wh = g.node("Mul", wh, wh) if layer.sqrt else wh
    scores = g.node("Mul", g.reshape(objectness, cells, num, 1), g.reshape(classes, cells, 1, layer.classes))
    return g.concat([xy, wh], 2), g.reshape(scores, cells * num, layer.classes)


_DECODERS: dict[type[Layer], Callable[[Emission, Any], tuple[str, str]]] = {
    Detection: _detection_boxes,
    GaussianYolo: _gaussian_boxes,
    Region: _region_boxes,
    Yolo: _yolo_boxes,
}
