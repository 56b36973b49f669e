"""Emitters of layers that join others, [route] to [sam], and of those that move values or hold some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import UnsupportedError
from darknet_py.layers import (
    Contrastive,
    Cost,
    Crop,
    Dropout,
    Empty,
    Implicit,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Softmax,
    Upsample,
)
from darknet_py.onnx_export.activating import activate
from darknet_py.onnx_export.emission import Emission
from darknet_py.shape import Shape

__all__ = [
    "cost", "crop", "dropout", "implicit", "reorg", "route", "sam", "scale_channels", "shortcut", "softmax",
    "softmax_of", "upsample",
]  # fmt: skip


def route(g: Emission, layer: Route) -> str:
    """Concat over channels of one group of each input; no node for one whole input."""
    parts = []
    for index, x in zip(layer.inputs, g.inputs(layer), strict=True):
        channels = (g.graph.layers[index].shape if index >= 0 else g.graph.blob).c // layer.groups
        first = layer.group_id * channels
        parts.append(x if layer.groups == 1 else g.slice(x, 1, first, first + channels))
    return g.concat(parts, 1)


def shortcut(g: Emission, layer: Shortcut) -> str:
    """Sum over the channels both have; each input times its weight where the layer has weights."""
    factors = _shortcut_factors(g, layer)
    total = ""
    for n, (index, x) in enumerate(zip(layer.inputs, g.inputs(layer), strict=True)):
        if n:
            x = _fitted(g, layer, x, g.graph.layers[index].shape)
        if factors is not None:
            x = g.node("Mul", x, g.per_channel("weights", factors[n]))
        total = g.node("Add", total, x) if total else x
    return activate(g, layer, layer.activation, total)


def _shortcut_factors(g: Emission, layer: Shortcut) -> NDArray[np.float32] | None:
    """(inputs, 1 or channels) weights, normalised once over the inputs, as Darknet does at load."""
    if layer.weights_type == "none":
        return None
    raw = np.array(g.arrays(layer)["weights"], np.float32).reshape(len(layer.inputs), -1)
    g.weights.release(layer)
    if layer.weights_normalization == "softmax":
        raw = np.exp(raw - raw.max(axis=0))
    else:
        raw = np.maximum(raw, np.float32(0.001))
    return np.asarray(raw / (np.float32(1e-4) + raw.sum(axis=0)), np.float32)


def _fitted(g: Emission, layer: Shortcut, x: str, shape: Shape) -> str:
    """`x` with the channels of `layer`, every n-th row and column of a larger map, zeros between those of a smaller."""
    wanted = layer.shape
    if shape[1:] != wanted[1:]:
        step, sample = max(1, shape.w // wanted.w), max(1, wanted.w // shape.w)
        if (shape.h * sample, shape.w * sample) != (wanted.h * step, wanted.w * step):
            raise UnsupportedError(
                f"{layer.where}: adds a map of {shape.w} x {shape.h} to one of {wanted.w} x {wanted.h}; "
                "ONNX export needs one to be a whole multiple of the other"
            )
        if step > 1:
            x = g.slice(g.slice(x, 2, 0, shape.h, step), 3, 0, shape.w, step)
        elif sample > 1:
            x = g.reshape(x, shape.c, shape.h, 1, shape.w, 1)
            ends = g.integers(0, 0, 0, 0, 0, 0, 0, 0, 0, sample - 1, 0, sample - 1)
            x = g.reshape(g.node("Pad", x, ends, g.constant(0)), shape.c, wanted.h, wanted.w)
    if shape.c > wanted.c:
        return g.slice(x, 1, 0, wanted.c)
    return g.pad(x, wanted, (0, 0, 0), (wanted.c - shape.c, 0, 0))


def scale_channels(g: Emission, layer: ScaleChannels) -> str:
    """Mul: a factor per channel or per pixel is spread over the other axes."""
    factor, whole = g.inputs(layer)
    return activate(g, layer, layer.activation, g.node("Mul", whole, factor))


def sam(g: Emission, layer: Sam) -> str:
    """Mul of two layers."""
    return activate(g, layer, layer.activation, g.node("Mul", *g.inputs(layer)))


def upsample(g: Emission, layer: Upsample) -> str:
    """Resize to the nearest; or the sum of each block, as its mean times its size."""
    (x,), scale, s = g.inputs(layer), layer.scale, layer.stride
    if layer.reduce:
        x = g.node("AveragePool", x, kernel_shape=[s, s], strides=[s, s])
        scale *= s * s
    elif s > 1:
        x = g.node(
            "Resize", x, "", g.constant([1, 1, s, s]),
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
    return x if scale == 1 else g.node("Mul", x, g.constant(scale))


def reorg(g: Emission, layer: Reorg) -> str:
    """Darknet's reorg_cpu as Reshape, Transpose, Reshape.

    Its flat index is a digit expansion over (offset y, offset x, channel, row, column), which the true
    space-to-depth of [reorg3d] has too, and over (channel, row, offset y, column, offset x) on the other side.
    """
    (x,), s = g.inputs(layer), layer.stride
    c, h, w = layer.in_shape
    if layer.reverse:
        # [reorg3d] is then called with the extents of its output.
        c, h, w = layer.in_shape if layer.flat else layer.shape
        x = g.transpose(g.reshape(x, s, s, c // (s * s), h, w), 2, 3, 0, 4, 1)
    elif layer.flat:
        x = g.transpose(g.reshape(x, c // (s * s), h, s, w, s), 2, 4, 0, 1, 3)
    else:
        x = g.transpose(g.reshape(x, c, h // s, s, w // s, s), 2, 4, 0, 1, 3)
    return g.reshape(x, *layer.shape)


def crop(g: Emission, layer: Crop) -> str:
    """Slice, and 2 x - 1 unless ``noadjust``."""
    _, h, w = layer.shape
    x = g.slice(g.inputs(layer)[0], 2, layer.top, layer.top + h)
    x = g.slice(x, 3, layer.left, layer.left + w)
    return x if layer.noadjust else g.node("Sub", g.node("Mul", x, g.constant(2)), g.constant(1))


def implicit(g: Emission, layer: Implicit) -> str:
    """The weights, as often as the blob has pictures."""
    weights = g.initializer("weights", np.array(g.arrays(layer)["weights"], np.float32)[None])
    g.weights.release(layer)
    if g.batch == 1:
        return g.node("Identity", weights)
    pictures = g.node("Slice", g.node("Shape", g.output(-1)), g.integers(0), g.integers(1))
    shape = g.node("Concat", pictures, g.integers(*layer.shape), axis=0)
    return g.node("Expand", weights, shape)


def dropout(g: Emission, layer: Dropout | Empty) -> str:
    """Nothing: identity at inference."""
    return g.inputs(layer)[0]


def cost(g: Emission, layer: Cost | Contrastive) -> str:
    """Zeros."""
    return g.node("Mul", g.inputs(layer)[0], g.constant(0))


def softmax(g: Emission, layer: Softmax) -> str:
    """Softmax of x / temperature over blocks of the flat input, or over the groups of a tree in each."""
    size = layer.shape.size // layer.groups
    x = g.reshape(g.inputs(layer)[0], layer.groups, size)
    if layer.temperature != 1:
        x = g.node("Div", x, g.constant(layer.temperature))
    spans = layer.tree.groups if layer.tree else ((0, size),)
    return g.reshape(softmax_of(g, x, spans, 2), *layer.shape)


def softmax_of(g: Emission, x: str, spans: Sequence[tuple[int, int]], axis: int) -> str:
    """Softmax over each (start, count) of consecutive spans along an axis (N is 0)."""
    parts = g.split(x, [count for _, count in spans], axis)
    return g.concat([g.node("Softmax", part, axis=axis) for part in parts], axis)
