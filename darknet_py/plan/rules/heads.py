"""Rules of the layers at the end: softmax, and the heads that boxes are decoded from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.copy import copy
from darknet_py.kernels.ops.gather import gather as gather_values
from darknet_py.kernels.ops.region import region as region_head
from darknet_py.kernels.ops.softmax import GROUP
from darknet_py.kernels.ops.softmax import softmax as softmax_groups
from darknet_py.kernels.ops.yolo import yolo as yolo_head
from darknet_py.layers import Detection, GaussianYolo, Layer, Region, Softmax, Yolo
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.shape import Shape

__all__ = ["detection", "gather", "gaussian_yolo", "region", "softmax", "yolo"]


def gather(lower: Lowering, layer: Layer, sources: NDArray[Any], x: View, y: View) -> None:
    """Emit a step that fetches output value n (in (C, H, W) order) from flat (C, H, W) input `sources[n]`."""
    c, h, w = np.unravel_index(sources, x.shape)
    offsets = h * x.row + w * x.pixel + x.format.value_bytes * c
    last = offsets.reshape(y.shape).transpose(1, 2, 0)
    lower.emit(gather_values, layer, x, y, sources=last)


def softmax(lower: Lowering, layer: Softmax) -> None:
    """Over the flat (C, H, W) input: gathered first, and put back after, unless it is one pixel."""
    x, y = lower.view(layer.inputs[0]), lower.target(layer.index)
    flat = Shape(layer.shape.size, 1, 1)
    source, result = x, y
    if layer.shape.h * layer.shape.w > 1:
        source, result = lower.temporary(flat), lower.temporary(flat)
        gather(lower, layer, np.arange(flat.size, dtype=np.int64), x, source)
    size = flat.size // layer.groups
    bounds = layer.tree.groups if layer.tree else ((0, size),)
    table = [(n * size + start, count) for n in range(layer.groups) for start, count in bounds]
    lower.emit(
        softmax_groups, layer, source, result,
        temperature=layer.temperature, groups=np.array(table, GROUP), count=len(table),
    )  # fmt: skip
    if result is not y:
        gather(lower, layer, np.arange(flat.size, dtype=np.int64), result, y)


def yolo(lower: Lowering, layer: Yolo) -> None:
    """Logistic on x, y, objectness and classes unless ``new_coords``; then x and y are scaled."""
    _yolo(lower, layer, layer.classes + 5, raw=range(layer.classes + 5) if layer.new_coords else (2, 3), scaled=(0, 1))


def gaussian_yolo(lower: Lowering, layer: GaussianYolo) -> None:
    """As yolo, on the mean and the deviation of each coordinate; w and h means stay raw."""
    _yolo(lower, layer, layer.classes + 9, raw=(4, 6), scaled=(0, 2))


def _yolo(lower: Lowering, layer: Yolo | GaussianYolo, entries: int, raw: Any, scaled: Any) -> None:
    rules = np.zeros((3, entries), np.float32)
    rules[0, list(raw)] = 1
    rules[1] = 1
    rules[1, list(scaled)] = layer.scale_x_y
    rules[2, list(scaled)] = -0.5 * (layer.scale_x_y - 1)
    rules = np.tile(rules, (1, len(layer.mask)))
    lower.emit(yolo_head, layer, lower.view(layer.inputs[0]), lower.target(layer.index), rules=rules)


def region(lower: Lowering, layer: Region) -> None:
    """Logistic on objectness, softmax over the classes or over each group of the tree."""
    entries = layer.coords + 1 + layer.classes
    bounds = layer.tree.groups if layer.tree else ((0, layer.classes),) if layer.softmax else ()
    table = [(layer.coords + 1 + start, count) for start, count in bounds]
    lower.emit(
        region_head, layer, lower.view(layer.inputs[0]), lower.target(layer.index),
        entries=entries, groups=np.array(table, GROUP), count=len(table),
    )  # fmt: skip


def detection(lower: Lowering, layer: Detection) -> None:
    """The flat (C, H, W) input; softmax over the classes of each cell, which come first."""
    x, y = lower.view(layer.inputs[0]), lower.target(layer.index)
    if x.shape.h * x.shape.w > 1:
        source = lower.temporary(y.shape) if layer.softmax else y
        gather(lower, layer, np.arange(y.shape.c, dtype=np.int64), x, source)
        x = source
    if x is not y:
        lower.emit(copy, layer, x, y)
    if layer.softmax:
        table = [(cell * layer.classes, layer.classes) for cell in range(layer.side**2)]
        lower.emit(
            softmax_groups, layer, x, y, temperature=1.0, groups=np.array(table, GROUP), count=len(table)
        )  # fmt: skip
