"""Rules of the layers that join and move values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.steps import Op
from darknet_py.layers import Cost, Dropout, Reorg, Route, Sam, ScaleChannels, Shortcut, Upsample
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules.heads import gather
from darknet_py.plan.rules.windows import activated, normalize

__all__ = ["cost", "dropout", "reorg", "route", "sam", "scale_channels", "shortcut", "upsample"]


def route(plan: Lowering, layer: Route) -> None:
    """Nothing for a renamed layer; a copy for each input that does not write the joint buffer itself."""
    if len(layer.inputs) == 1:
        return
    if plan.formats.wants_floats(layer.index):
        _join(plan, layer, plan.target(layer.index), plan.view, 1)
    if plan.formats.joins_pairs(layer.index):
        _join(plan, layer, plan.pairs_target(layer.index, layer), lambda index: plan.pairs(layer, index), 2)


def _join(plan: Lowering, layer: Route, target: View, view: Callable[[int], View], per_value: int) -> None:
    """Copy what does not lie in `target` yet; its values hold `per_value` channels."""
    first = 0
    for index in layer.inputs:
        whole = view(index)
        count = whole.shape.c // layer.groups
        if not plan.sharing.is_joined(index, layer, per_value * first):
            part = whole.channels(layer.group_id * count, count)
            plan.emit(Op.COPY, layer, part, target.channels(first, count))
        first += count


def shortcut(plan: Lowering, layer: Shortcut) -> None:
    """A chain of additions; nothing if it was fused into the convolution before it."""
    if plan.sharing.is_fused(layer):
        return
    factors = _shortcut_factors(plan, layer)
    target = plan.target(layer.index)
    y, activation = activated(plan, layer, layer.activation, target)
    x = plan.view(layer.inputs[0])
    last = len(layer.inputs) - 1
    for n, index in enumerate(layer.inputs[1:], 1):
        second, rounded = plan.added(layer, layer) if last == 1 else (plan.view(index), 0)
        before = factors[0] if n == 1 else np.ones_like(factors[0])
        plan.emit(
            Op.ADD, layer, x, y, second,
            PARAMETERS=plan.floats([before, factors[n]]),
            ACTIVATION=activation if n == last else 0,
            SECOND_BFLOAT16=rounded,
            STRIDE_Y=max(1, second.shape.w // x.shape.w),
            STRIDE_X=max(1, x.shape.w // second.shape.w),
        )  # fmt: skip
        x = y
    normalize(plan, layer, layer.activation, y, target)


def _shortcut_factors(plan: Lowering, layer: Shortcut) -> NDArray[np.float32]:
    """(inputs, channels) factors: ones, or the weights normalised once over the inputs, as Darknet does at load."""
    count, channels = len(layer.inputs), layer.shape.c
    if layer.weights_type == "none":
        return np.ones((count, channels), np.float32)
    raw = plan.shortcut_weights[layer.index].reshape(count, -1).astype(np.float32)
    if layer.weights_normalization == "softmax":
        raw = np.exp(raw - raw.max(axis=0))
    else:
        raw = np.maximum(raw, np.float32(0.001))
    normal = raw / (np.float32(1e-4) + raw.sum(axis=0))
    return np.ascontiguousarray(np.broadcast_to(normal, (count, channels)), np.float32)


def scale_channels(plan: Lowering, layer: ScaleChannels) -> None:
    """The ``from`` layer times the previous one's factors."""
    _multiply(plan, layer, layer.inputs[1], layer.inputs[0], int(layer.scale_wh))


def sam(plan: Lowering, layer: Sam) -> None:
    """The product of two layers."""
    _multiply(plan, layer, layer.inputs[0], layer.inputs[1], 2)


def _multiply(plan: Lowering, layer: ScaleChannels | Sam, whole: int, factor: int, mode: int) -> None:
    target = plan.target(layer.index)
    y, activation = activated(plan, layer, layer.activation, target)
    plan.emit(Op.MULTIPLY, layer, plan.view(whole), y, plan.view(factor), MODE=mode, ACTIVATION=activation)
    normalize(plan, layer, layer.activation, y, target)


def upsample(plan: Lowering, layer: Upsample) -> None:
    """Nearest neighbour, or block sums."""
    x, y, _ = plan.moved(layer)
    plan.emit(
        Op.UPSAMPLE, layer, x, y,
        STRIDE_Y=layer.stride, MODE=int(layer.reduce), PARAMETERS=plan.floats([layer.scale]),
    )  # fmt: skip


def reorg(plan: Lowering, layer: Reorg) -> None:
    """A fixed rearrangement, given as the (C, H, W) index each output value comes from."""
    gather(plan, layer, _reorg_sources(layer), plan.view(layer.inputs[0]), plan.target(layer.index))


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


def dropout(plan: Lowering, layer: Dropout) -> None:
    """The same memory under another index."""


def cost(plan: Lowering, layer: Cost) -> None:
    """Zeros."""
    plan.emit(
        Op.UPSAMPLE, layer, plan.view(layer.inputs[0]), plan.target(layer.index),
        STRIDE_Y=0, MODE=1, PARAMETERS=plan.floats([0.0]),  # sums of no pixel
    )  # fmt: skip
