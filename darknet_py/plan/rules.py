"""One rule per layer type: how it becomes steps. The table at the end is all that the plan looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.depthwise import LONG, SHORT, WINDOWS
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.steps import ACTIVATION_CODES, Op
from darknet_py.layers import (
    AvgPool,
    Connected,
    Convolutional,
    Cost,
    Dropout,
    GaussianYolo,
    Layer,
    LocalAvgPool,
    MaxPool,
    Region,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shape,
    Shortcut,
    Softmax,
    Upsample,
    Yolo,
)
from darknet_py.layers.base import CHANNEL_ACTIVATIONS
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.packing import Packed, aligned, channel_blocks
from darknet_py.plan.winograd import winograd

__all__ = ["RULES"]

_LOGISTIC = ACTIVATION_CODES["logistic"]
_BLUR_3 = np.outer([1, 2, 1], [1, 2, 1]) / np.float32(16)
_BLUR_2 = np.full((2, 2), 0.25)
#: What Darknet begins a maximum with: it stays where a whole window lies outside the image.
_LOWEST = float(np.finfo(np.float32).min)


def _activated(plan: Lowering, layer: Layer, name: str, target: View) -> tuple[View, int]:
    """Where a step writes and with which activation, when `name` may need the whole pixel first."""
    if name in CHANNEL_ACTIVATIONS:
        return plan.temporary(target.shape), 0
    return target, ACTIVATION_CODES[name]


def _normalize(plan: Lowering, layer: Layer, name: str, x: View, y: View) -> None:
    if name in CHANNEL_ACTIVATIONS:
        plan.emit(Op.NORMALIZE_CHANNELS, layer, x, y, MODE=CHANNEL_ACTIVATIONS.index(name))


def _convolve(
    plan: Lowering, layer: Layer, packed: Packed, x: View, y: View, second: View | None = None, **fields: int
) -> None:
    plan.constants.extend((packed.blocks, *packed.owners))
    fields = {
        "KERNEL_H": packed.kernel_h,
        "KERNEL_W": packed.kernel_w,
        "STRIDE_Y": 1,
        "STRIDE_X": 1,
        "DILATION": 1,
        "RUN": packed.run,
        "BLOCKS": packed.blocks.ctypes.data,
        "N_BLOCKS": len(packed.blocks),
        "OUTSIDE": plan.filled(0.0, x.shape.c),
        **fields,
    }
    op = packed.op
    window = (packed.kernel_w, fields["STRIDE_X"])
    if op == Op.DEPTHWISE and fields["DILATION"] == 1 and window in WINDOWS:
        wasted_long, wasted_short = -y.shape.w % LONG, -y.shape.w % SHORT
        op, fields["MODE"] = Op.DEPTHWISE_ROWS, 2 * WINDOWS.index(window) + (wasted_short < wasted_long)
    plan.emit(op, layer, x, y, second, **fields)


def convolutional(plan: Lowering, layer: Convolutional) -> None:
    """Sign (xnor), convolution with activation and fused shortcut, channel normalisation, blur: as far as needed."""
    shortcut = plan.fused_shortcut(layer)
    target = plan.target(layer.index if shortcut is None else shortcut.index)
    x = plan.view(layer.inputs[0])
    unblurred = plan.temporary(layer.unblurred) if layer.antialiasing else target
    y, activation = _activated(plan, layer, layer.activation, unblurred)
    fields = {"STRIDE_Y": layer.stride_y, "STRIDE_X": layer.stride_x, "DILATION": layer.dilation}
    second = None
    if shortcut is not None:
        second = plan.view(shortcut.inputs[1])
        fields["ACTIVATION_2"] = ACTIVATION_CODES[shortcut.activation]
    if layer.index == 0 and plan.first_reads_rows:
        x = View(x.buffer, Shape(x.shape.c, x.shape.h + 2 * layer.pad, x.shape.w + 2 * layer.pad), x.pixel, x.row)
    else:
        # The window's padding grows with dilation; the shape formula's does not (semantics of im2col_ext).
        fields |= {"PAD_Y": layer.pad * layer.dilation, "PAD_X": layer.pad * layer.dilation}
    if layer.xnor:
        signs = plan.temporary(x.shape)
        plan.emit(Op.SIGN, layer, x, signs)
        # A bit of 0 stands for -1, and Darknet's padding is made of such bits.
        x, fields["OUTSIDE"] = signs, plan.filled(-1.0, x.shape.c)
    packed = plan.packed[layer.index]
    if packed.algorithm:
        winograd(plan, layer, packed, x, y, second, fields | {"ACTIVATION": activation})
    else:
        if packed.paired:
            x, fields["BFLOAT16"] = plan.rounded(layer, layer.inputs[0]), 1
        _convolve(plan, layer, packed, x, y, second, ACTIVATION=activation, **fields)
    _normalize(plan, layer, layer.activation, y, unblurred)
    _blur(plan, layer, unblurred, target)


def _blur(plan: Lowering, layer: Convolutional | MaxPool, x: View, y: View) -> None:
    if not layer.antialiasing:
        return
    window, pad = (_BLUR_2, 0) if layer.antialiasing == 2 else (_BLUR_3, 1)
    data = np.repeat(window.astype(np.float32).ravel(), LANES)
    blocks = _same_weights(x.shape.c, data)
    side = len(window)
    packed = Packed(Op.DEPTHWISE, blocks, (data, _ZERO_BIAS), 1, side, side)
    stride_x, stride_y = layer.blur_strides
    _convolve(plan, layer, packed, x, y, PAD_Y=pad, PAD_X=pad, STRIDE_X=stride_x, STRIDE_Y=stride_y)


_ZERO_BIAS = aligned(16)


def _same_weights(channels: int, data: NDArray[np.float32]) -> NDArray[np.int64]:
    """Block table in which every vector of channels has the same weights."""
    blocks = channel_blocks(channels, data, _ZERO_BIAS)
    blocks[:, 3] = data.ctypes.data
    blocks[:, 4] = _ZERO_BIAS.ctypes.data
    return blocks


def connected(plan: Lowering, layer: Connected) -> None:
    """A convolution whose window is the whole input: weights stay in Darknet's (C, H, W) order."""
    y, activation = _activated(plan, layer, layer.activation, plan.target(layer.index))
    _convolve(plan, layer, plan.packed[layer.index], plan.view(layer.inputs[0]), y, ACTIVATION=activation)
    _normalize(plan, layer, layer.activation, y, plan.target(layer.index))


def maxpool(plan: Lowering, layer: MaxPool) -> None:
    """Maximum over windows; over channels with ``maxpool_depth``; blurred when antialiased."""
    x, y = plan.view(layer.inputs[0]), plan.target(layer.index)
    if layer.depth:
        plan.emit(Op.MAX_DEPTH, layer, x, y, RUN=x.shape.c)
        return
    target = plan.temporary(layer.unblurred) if layer.antialiasing else y
    lowest = np.full(16, _LOWEST, np.float32)
    blocks = channel_blocks(x.shape.c, lowest, lowest)
    blocks[:, 4] = lowest.ctypes.data
    size, pad = layer.size, layer.padding // 2
    smaller = plan.smaller_pool(layer)
    if smaller is not None:
        # The maximum of 5 x 5 maxima is one over 9 x 9: a spatial pyramid of 5, 9 and 13 takes 75 taps instead of 275.
        x, size = plan.view(smaller.index), size - smaller.size + 1
        pad = size // 2
    packed = Packed(Op.MAXPOOL, blocks, (lowest,), 1, size, size)
    _convolve(
        plan, layer, packed, x, target,
        STRIDE_Y=layer.stride_y, STRIDE_X=layer.stride_x, PAD_Y=pad, PAD_X=pad,
        OUTSIDE=plan.filled(_LOWEST, x.shape.c),
    )  # fmt: skip
    _blur(plan, layer, target, y)


def local_avgpool(plan: Lowering, layer: LocalAvgPool) -> None:
    """Mean of the window's taps inside the image."""
    pad = layer.padding // 2
    plan.emit(
        Op.AVGPOOL, layer, plan.view(layer.inputs[0]), plan.target(layer.index),
        KERNEL_H=layer.size, STRIDE_Y=layer.stride_y, STRIDE_X=layer.stride_x, PAD_Y=pad, PAD_X=pad,
    )  # fmt: skip


def avgpool(plan: Lowering, layer: AvgPool) -> None:
    """Mean of each channel."""
    plan.emit(Op.GLOBAL_AVGPOOL, layer, plan.view(layer.inputs[0]), plan.target(layer.index))


def route(plan: Lowering, layer: Route) -> None:
    """Nothing for a renamed layer; a copy for each input that does not write the joint buffer itself."""
    if len(layer.inputs) == 1:
        return
    target = plan.target(layer.index)
    first = 0
    for index in layer.inputs:
        whole = plan.view(index)
        count = whole.shape.c // layer.groups
        if not plan.is_joined(index, layer, first):
            part = whole.channels(layer.group_id * count, count)
            plan.emit(Op.COPY, layer, part, target.channels(first, count))
        first += count


def shortcut(plan: Lowering, layer: Shortcut) -> None:
    """A chain of additions; nothing if it was fused into the convolution before it."""
    if plan.is_fused(layer):
        return
    factors = _shortcut_factors(plan, layer)
    target = plan.target(layer.index)
    y, activation = _activated(plan, layer, layer.activation, target)
    x = plan.view(layer.inputs[0])
    last = len(layer.inputs) - 1
    for n, index in enumerate(layer.inputs[1:], 1):
        second = plan.view(index)
        before = factors[0] if n == 1 else np.ones_like(factors[0])
        plan.emit(
            Op.ADD, layer, x, y, second,
            PARAMETERS=plan.constant([before, factors[n]]),
            ACTIVATION=activation if n == last else 0,
            STRIDE_Y=max(1, second.shape.w // x.shape.w),
            STRIDE_X=max(1, x.shape.w // second.shape.w),
        )  # fmt: skip
        x = y
    _normalize(plan, layer, layer.activation, y, target)


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
    y, activation = _activated(plan, layer, layer.activation, target)
    plan.emit(Op.MULTIPLY, layer, plan.view(whole), y, plan.view(factor), MODE=mode, ACTIVATION=activation)
    _normalize(plan, layer, layer.activation, y, target)


def upsample(plan: Lowering, layer: Upsample) -> None:
    """Nearest neighbour, or block sums."""
    plan.emit(
        Op.UPSAMPLE, layer, plan.view(layer.inputs[0]), plan.target(layer.index),
        STRIDE_Y=layer.stride, MODE=int(layer.reduce), PARAMETERS=plan.constant([layer.scale]),
    )  # fmt: skip


def reorg(plan: Lowering, layer: Reorg) -> None:
    """A fixed rearrangement, given as the (C, H, W) index each output value comes from."""
    _gather(plan, layer, _reorg_sources(layer), plan.view(layer.inputs[0]), plan.target(layer.index))


def _reorg_sources(layer: Reorg) -> NDArray[Any]:
    """Flat (C, H, W) input index of every flat output value, by the formulas of Darknet's reorg_cpu."""
    c, h, w = layer.in_shape
    s = layer.stride
    if not layer.flat and not layer.reverse:
        grid = np.arange(layer.in_shape.size).reshape(c, h // s, s, w // s, s)
        return np.ravel(grid.transpose(2, 4, 0, 1, 3))
    if not layer.flat:
        c, h, w = layer.shape
    k, j, i = np.meshgrid(np.arange(c), np.arange(h), np.arange(w), indexing="ij")
    block = c // (s * s)
    offset = k // block
    far = (i * s + offset % s) + w * s * ((j * s + offset // s) + h * s * (k % block))
    near = np.arange(c * h * w)
    if not layer.reverse:
        return np.ravel(far)
    sources = np.empty_like(near)
    sources[far.ravel()] = near
    return sources


def _gather(plan: Lowering, layer: Layer, sources: NDArray[Any], x: View, y: View) -> None:
    """Emit a step that fetches output value n (in (C, H, W) order) from flat (C, H, W) input `sources[n]`."""
    c, h, w = np.unravel_index(sources, x.shape)
    offsets = 4 * (h * x.row + w * x.pixel + c)
    last = offsets.reshape(y.shape).transpose(1, 2, 0)
    plan.emit(Op.GATHER, layer, x, y, PARAMETERS=plan.constant(last, np.int64))


def dropout(plan: Lowering, layer: Dropout) -> None:
    """The same memory under another index."""


def cost(plan: Lowering, layer: Cost) -> None:
    """Zeros."""
    plan.emit(
        Op.UPSAMPLE, layer, plan.view(layer.inputs[0]), plan.target(layer.index),
        STRIDE_Y=0, MODE=1, PARAMETERS=plan.constant([0.0]),  # sums of no pixel
    )  # fmt: skip


def softmax(plan: Lowering, layer: Softmax) -> None:
    """Over the flat (C, H, W) input: gathered first, and put back after, unless it is one pixel."""
    x, y = plan.view(layer.inputs[0]), plan.target(layer.index)
    flat = Shape(layer.shape.size, 1, 1)
    source, result = x, y
    if layer.shape.h * layer.shape.w > 1:
        source, result = plan.temporary(flat), plan.temporary(flat)
        _gather(plan, layer, np.arange(flat.size), x, source)
    size = flat.size // layer.groups
    bounds = layer.tree.groups if layer.tree else ((0, size),)
    table = [(n * size + start, count) for n in range(layer.groups) for start, count in bounds]
    parameters = plan.constant([layer.temperature, *np.ravel(table)])
    plan.emit(Op.SOFTMAX, layer, source, result, RUN=len(table), PARAMETERS=parameters)
    if result is not y:
        _gather(plan, layer, np.arange(flat.size), result, y)


def yolo(plan: Lowering, layer: Yolo) -> None:
    """Logistic on x, y, objectness and classes unless ``new_coords``; then x and y are scaled."""
    _yolo(plan, layer, layer.classes + 5, raw=range(layer.classes + 5) if layer.new_coords else (2, 3), scaled=(0, 1))


def gaussian_yolo(plan: Lowering, layer: GaussianYolo) -> None:
    """As yolo, on the mean and the deviation of each coordinate; w and h means stay raw."""
    _yolo(plan, layer, layer.classes + 9, raw=(4, 6), scaled=(0, 2))


def _yolo(plan: Lowering, layer: Yolo | GaussianYolo, entries: int, raw: Any, scaled: Any) -> None:
    rules = np.zeros((3, entries), np.float32)
    rules[0, list(raw)] = 1
    rules[1] = 1
    rules[1, list(scaled)] = layer.scale_x_y
    rules[2, list(scaled)] = -0.5 * (layer.scale_x_y - 1)
    plan.emit(
        Op.YOLO, layer, plan.view(layer.inputs[0]), plan.target(layer.index),
        PARAMETERS=plan.constant(np.tile(rules, (1, len(layer.mask)))),
    )  # fmt: skip


def region(plan: Lowering, layer: Region) -> None:
    """Logistic on objectness, softmax over the classes or over each group of the tree."""
    entries = layer.coords + 1 + layer.classes
    bounds = layer.tree.groups if layer.tree else ((0, layer.classes),) if layer.softmax else ()
    table = [value for start, count in bounds for value in (layer.coords + 1 + start, count)]
    plan.emit(
        Op.REGION, layer, plan.view(layer.inputs[0]), plan.target(layer.index),
        ACTIVATION=_LOGISTIC, RUN=entries, PARAMETERS=plan.constant([len(bounds), *table]),
    )  # fmt: skip


#: Layer type → rule.
RULES: dict[type[Layer], Callable[[Lowering, Any], None]] = {
    AvgPool: avgpool,
    Connected: connected,
    Convolutional: convolutional,
    Cost: cost,
    Dropout: dropout,
    GaussianYolo: gaussian_yolo,
    LocalAvgPool: local_avgpool,
    MaxPool: maxpool,
    Region: region,
    Reorg: reorg,
    Route: route,
    Sam: sam,
    ScaleChannels: scale_channels,
    Shortcut: shortcut,
    Softmax: softmax,
    Upsample: upsample,
    Yolo: yolo,
}
