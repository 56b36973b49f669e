"""Rules of the layers that join and move values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.add import add
from darknet_py.kernels.ops.copy import copy
from darknet_py.kernels.ops.fill import fill
from darknet_py.kernels.ops.multiply import BY_CHANNEL, BY_PIXEL, BY_VALUE, multiply
from darknet_py.kernels.ops.upsample import upsample as upsample_values
from darknet_py.kernels.vector.activate import ACTIVATION_CODES
from darknet_py.kernels.vector.formats import FORMATS, Format
from darknet_py.layers import (
    Contrastive,
    Cost,
    Dropout,
    Empty,
    Implicit,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Upsample,
)
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules.heads import gather
from darknet_py.plan.rules.windows import activated, normalize, zeros

__all__ = ["cost", "dropout", "implicit", "reorg", "route", "sam", "scale_channels", "shortcut", "upsample"]


def route(lower: Lowering, layer: Route) -> None:
    """Nothing for a renamed layer; a copy for each input that does not write the joint buffer itself."""
    if len(layer.inputs) == 1:
        return
    for format in FORMATS:
        if lower.formats.joins(layer.index, format):
            _join(lower, layer, format)


def _join(lower: Lowering, layer: Route, format: Format) -> None:
    """Copy what does not lie in the joint buffer of a format yet."""
    target, first = lower.target(layer.index, format, layer), 0
    for index in layer.inputs:
        whole = lower.read(layer, index, format)
        count = whole.shape.c // layer.groups
        if not lower.sharing.is_joined(index, layer, first):
            part = whole.channels(layer.group_id * count, count)
            lower.emit(copy, layer, part, target.channels(first, count))
        first += count


def shortcut(lower: Lowering, layer: Shortcut) -> None:
    """A chain of additions; nothing if it was fused into the convolution before it."""
    if lower.sharing.is_fused(layer):
        return
    factors = _shortcut_factors(lower, layer)
    target = lower.target(layer.index)
    y, activation = activated(lower, layer, layer.activation, target)
    x = lower.view(layer.inputs[0])
    last = len(layer.inputs) - 1
    for n, index in enumerate(layer.inputs[1:], 1):
        second = lower.added(layer, layer) if last == 1 else lower.view(index)
        before = factors[0] if n == 1 else np.ones_like(factors[0])
        lower.emit(
            add, layer, x, y, second,
            factors=np.stack([before, factors[n]]),
            activation=activation if n == last else ACTIVATION_CODES["linear"],
            stride=max(1, second.shape.w // x.shape.w),
            sample=max(1, x.shape.w // second.shape.w),
        )  # fmt: skip
        x = y
    normalize(lower, layer, layer.activation, y, target)


def _shortcut_factors(lower: Lowering, layer: Shortcut) -> NDArray[np.float32]:
    """(inputs, channels) factors: ones, or the weights normalised once over the inputs, as Darknet does at load."""
    count, channels = len(layer.inputs), layer.shape.c
    if layer.weights_type == "none":
        return np.ones((count, channels), np.float32)
    raw = lower.plain[layer.index].reshape(count, -1).astype(np.float32)
    if layer.weights_normalization == "softmax":
        raw = np.exp(raw - raw.max(axis=0))
    else:
        raw = np.maximum(raw, np.float32(0.001))
    normal = raw / (np.float32(1e-4) + raw.sum(axis=0))
    return np.ascontiguousarray(np.broadcast_to(normal, (count, channels)), np.float32)


def scale_channels(lower: Lowering, layer: ScaleChannels) -> None:
    """The ``from`` layer times the previous one's factors."""
    _multiply(lower, layer, layer.inputs[1], layer.inputs[0], BY_PIXEL if layer.scale_wh else BY_CHANNEL)


def sam(lower: Lowering, layer: Sam) -> None:
    """The product of two layers."""
    _multiply(lower, layer, layer.inputs[0], layer.inputs[1], BY_VALUE)


def _multiply(lower: Lowering, layer: ScaleChannels | Sam, whole: int, factor: int, by: int) -> None:
    target = lower.target(layer.index)
    y, activation = activated(lower, layer, layer.activation, target)
    lower.emit(multiply, layer, lower.view(whole), y, lower.view(factor), by=by, activation=activation)
    normalize(lower, layer, layer.activation, y, target)


def upsample(lower: Lowering, layer: Upsample) -> None:
    """Nearest neighbour, or block sums."""
    x, y = lower.moved(layer)
    lower.emit(upsample_values, layer, x, y, stride=layer.stride, sums=layer.reduce, scale=layer.scale)


def reorg(lower: Lowering, layer: Reorg) -> None:
    """A fixed rearrangement, given as the (C, H, W) index each output value comes from."""
    gather(lower, layer, _reorg_sources(layer), lower.view(layer.inputs[0]), lower.target(layer.index))


def _reorg_sources(layer: Reorg) -> NDArray[Any]:
    """Flat (C, H, W) input index of every flat output value, by the formulas of Darknet's reorg_cpu."""
    c, h, w = layer.in_shape
    s = layer.stride
    if not layer.flat and not layer.reverse:
        grid = np.arange(layer.in_shape.size, dtype=np.int64).reshape(c, h // s, s, w // s, s)
        return np.ravel(grid.transpose(2, 4, 0, 1, 3))
    if not layer.flat:
        c, h, w = layer.shape
    k, j, i = np.meshgrid(*(np.arange(extent, dtype=np.int64) for extent in (c, h, w)), indexing="ij")
    block = c // (s * s)
    offset = k // block
    far = (i * s + offset % s) + w * s * ((j * s + offset // s) + h * s * (k % block))
    near = np.arange(c * h * w, dtype=np.int64)
    if not layer.reverse:
        return np.ravel(far)
    sources = np.empty_like(near)
    sources[far.ravel()] = near
    return sources


def implicit(lower: Lowering, layer: Implicit) -> None:
    """Its weights."""
    y = lower.target(layer.index)
    lower.emit(fill, layer, y, y, values=lower.plain[layer.index])


def dropout(lower: Lowering, layer: Dropout | Empty) -> None:
    """The same memory under another index."""


def cost(lower: Lowering, layer: Cost | Contrastive) -> None:
    """Zeros."""
    zeros(lower, layer, lower.view(layer.inputs[0]), lower.target(layer.index))
