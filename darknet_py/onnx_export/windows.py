"""Emitters of layers with windows, from [convolutional] to [avgpool], and of [connected]."""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.folding import fold
from darknet_py.layers import AvgPool, Connected, Convolutional, Deconvolutional, Local, LocalAvgPool, MaxPool
from darknet_py.onnx_export.activating import activate
from darknet_py.onnx_export.emission import Emission, Kernels
from darknet_py.shape import Shape

__all__ = ["avgpool", "connected", "convolutional", "deconvolutional", "local", "local_avgpool", "maxpool"]

_LOWEST = float(np.finfo(np.float32).min)
_BLUR_3 = np.outer([1, 2, 1], [1, 2, 1]) / 16
_BLUR_2 = np.full((2, 2), 0.25)


def convolutional(g: Emission, layer: Convolutional) -> str:
    """Conv with batch norm folded into it; signs before it for xnor, a fixed blur after it for antialiasing."""
    (x,) = g.inputs(layer)
    kernels = _kernels(g, layer) if layer.share is None else g.kernels[layer.share]
    g.kernels[layer.index] = kernels
    # The window's padding grows with dilation; the shape formula's does not.
    begin, shape, outside = layer.pad * layer.dilation, layer.in_shape, 0.0
    if layer.xnor:
        x = g.node("Where", g.node("Greater", x, g.constant(0)), g.constant(1), g.constant(-1))
        outside = -1.0  # a bit of 0 stands for -1, and Darknet's padding is made of such bits
    ends = _ends(layer.in_shape, layer.unblurred, layer, begin)
    pads = (begin, begin, *(max(0, end) for end in ends))
    if outside and any(pads):
        x = g.pad(x, shape, (0, *pads[:2]), (0, *pads[2:]), outside)
        pads = (0, 0, 0, 0)
    y = g.node(
        "Conv", x, kernels.weights, *(() if kernels.scale else (kernels.biases,)),
        kernel_shape=[layer.size, layer.size], strides=[layer.stride_y, layer.stride_x], pads=pads,
        dilations=[layer.dilation, layer.dilation], group=layer.groups,
    )  # fmt: skip
    if min(ends) < 0:
        y = _crop(g, y, layer.unblurred)
    if kernels.scale:
        y = g.node("Add", g.node("Mul", y, kernels.scale), kernels.biases)
    y = activate(g, layer, layer.activation, y)
    return _blur(g, layer, y)


def _kernels(g: Emission, layer: Convolutional) -> Kernels:
    arrays = g.arrays(layer)
    factor, bias = fold(arrays)
    folded = arrays["weights"] * factor[:, None, None, None].astype(np.float64)
    g.weights.release(layer)
    if not layer.xnor:
        weights = g.initializer("weights", folded.astype(np.float32))
        return Kernels(weights, g.initializer("biases", bias.astype(np.float32)))
    # Signs alone keep the sums exact, so that the next layer's signs are Darknet's.
    signs = np.where(folded.astype(np.float32) > 0, np.float32(1), np.float32(-1))
    mean = np.abs(folded.astype(np.float32)).mean(axis=(1, 2, 3), dtype=np.float64)
    return Kernels(g.initializer("signs", signs), g.per_channel("biases", bias), g.per_channel("scale", mean))


def _ends(shape: Shape, out: Shape, window: Any, begin: int) -> tuple[int, int]:
    """(bottom, right) padding that makes the output's size Darknet's; negative where rows are left unread."""
    reach = (window.size - 1) * getattr(window, "dilation", 1) + 1
    return (
        _end((out.h - 1) * window.stride_y + reach - shape.h - begin, begin, window.stride_y),
        _end((out.w - 1) * window.stride_x + reach - shape.w - begin, begin, window.stride_x),
    )


def _end(needed: int, begin: int, stride: int) -> int:
    """Padding at an end, at least what is needed: as at the beginning where rounding down drops the rest anyway."""
    for end in (begin, 0):
        if needed <= end < needed + stride:
            return end
    return needed


def _crop(g: Emission, x: str, shape: Shape) -> str:
    return g.slice(g.slice(x, 2, 0, shape.h), 3, 0, shape.w)


def _blur(g: Emission, layer: Convolutional | MaxPool, x: str) -> str:
    if not layer.antialiasing:
        return x
    window, pad = (_BLUR_2, 0) if layer.antialiasing == 2 else (_BLUR_3, 1)
    channels = layer.unblurred.c
    weights = np.broadcast_to(window.astype(np.float32), (channels, 1, *window.shape))
    stride_x, stride_y = layer.blur_strides
    return g.node(
        "Conv", x, g.initializer("blur", weights),
        kernel_shape=list(window.shape), strides=[stride_y, stride_x], pads=[pad] * 4, group=channels,
    )  # fmt: skip


def connected(g: Emission, layer: Connected) -> str:
    """Gemm over the flat input."""
    arrays = g.arrays(layer)
    factor, bias = fold(arrays)
    weights = g.initializer("weights", (arrays["weights"] * factor[:, None]).astype(np.float32))
    biases = g.initializer("biases", bias.astype(np.float32))
    g.weights.release(layer)
    flat = g.node("Flatten", g.inputs(layer)[0], axis=1)
    y = g.reshape(g.node("Gemm", flat, weights, biases, transB=1), *layer.shape)
    return activate(g, layer, layer.activation, y)


def deconvolutional(g: Emission, layer: Deconvolutional) -> str:
    """ConvTranspose with batch norm folded into it."""
    arrays = g.arrays(layer)
    factor, bias = fold(arrays)
    weights = (arrays["weights"] * factor[None, :, None, None]).astype(np.float32)
    g.weights.release(layer)
    y = g.node(
        "ConvTranspose", g.inputs(layer)[0], g.initializer("weights", weights),
        g.initializer("biases", bias.astype(np.float32)),
        kernel_shape=[layer.size] * 2, strides=[layer.stride] * 2, pads=[layer.pad] * 4,
    )  # fmt: skip
    return activate(g, layer, layer.activation, y)


def local(g: Emission, layer: Local) -> str:
    """What lies under the window of each position, by a Conv whose kernels pick one tap each, times its weights."""
    (x,), arrays = g.inputs(layer), g.arrays(layer)
    channels, (filters, h, w), size = layer.in_shape.c, layer.shape, layer.size
    taps = channels * size * size
    picks = np.tile(np.eye(size * size, dtype=np.float32).reshape(-1, 1, size, size), (channels, 1, 1, 1))
    ends = [
        max(0, (out - 1) * layer.stride + size - layer.pad - inputs)
        for out, inputs in zip((h, w), layer.in_shape[1:], strict=True)
    ]
    columns = g.node(
        "Conv", x, g.initializer("picks", picks), kernel_shape=[size, size], strides=[layer.stride] * 2,
        pads=[layer.pad, layer.pad, *ends], group=channels,
    )  # fmt: skip
    columns = g.reshape(_crop(g, columns, layer.shape), taps, h * w)
    by_position = g.reshape(g.transpose(columns, 1, 0), h * w, taps, 1)
    weights = np.array(arrays["weights"], np.float32).reshape(h * w, filters, taps)
    products = g.node("MatMul", g.initializer("weights", weights[None]), by_position)
    y = g.reshape(g.transpose(g.reshape(products, h * w, filters), 1, 0), *layer.shape)
    y = g.node("Add", y, g.initializer("biases", np.array(arrays["biases"], np.float32)[None]))
    g.weights.release(layer)
    return activate(g, layer, layer.activation, y)


def maxpool(g: Emission, layer: MaxPool) -> str:
    """MaxPool that ignores what lies outside; over every n-th channel with ``maxpool_depth``."""
    (x,) = g.inputs(layer)
    if layer.depth:
        return _maximum_of_channels(g, layer, x)
    y = _maximum(g, layer, x)
    return _blur(g, layer, y)


def local_avgpool(g: Emission, layer: LocalAvgPool) -> str:
    """AveragePool over the taps inside the image."""
    pads = _pool_pads(layer, layer.shape)
    return g.node("AveragePool", g.inputs(layer)[0], pads=pads, count_include_pad=0, **_pool_window(layer))


def _pool_pads(layer: MaxPool | LocalAvgPool, out: Shape) -> list[int]:
    """Of a pool whose window starts half the padding before the image (rounded down) and looks past the other side."""
    begin = layer.padding // 2
    return [begin, begin, *(max(0, end) for end in _ends(layer.in_shape, out, layer, begin))]


def _pool_window(layer: MaxPool | LocalAvgPool) -> dict[str, Any]:
    return {"kernel_shape": [layer.size, layer.size], "strides": [layer.stride_y, layer.stride_x]}


def _maximum(g: Emission, layer: MaxPool, x: str) -> str:
    top, left, *ends = pads = _pool_pads(layer, layer.unblurred)
    if max(pads) >= layer.size:  # more than runtimes accept as padding of a pool
        x = g.pad(x, layer.in_shape, (0, top, left), (0, *ends), _LOWEST)
        pads = [0, 0, 0, 0]
    return g.node("MaxPool", x, pads=pads, **_pool_window(layer))


def _maximum_of_channels(g: Emission, layer: MaxPool, x: str) -> str:
    wanted, channels = layer.shape.c, layer.in_shape.c
    sizes = [min(wanted, channels - first) for first in range(0, channels, wanted)]
    parts = g.split(x, sizes, axis=1)
    if sizes[-1] < wanted:
        parts[-1] = g.pad(parts[-1], layer.shape, (0, 0, 0), (wanted - sizes[-1], 0, 0), _LOWEST)
    return parts[0] if len(parts) == 1 else g.node("Max", *parts)


def avgpool(g: Emission, layer: AvgPool) -> str:
    """Mean of each channel."""
    return g.node("GlobalAveragePool", g.inputs(layer)[0])
