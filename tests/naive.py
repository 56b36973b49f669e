"""Darknet's layers the slow, obvious way: float64, (C, H, W), one output pixel at a time, nothing from the package.

Written from what Darknet computes, so that a mistake in the package cannot hide here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPSILON = 1e-5
LOWEST = -float(np.finfo(np.float32).max)


# Activations ------------------------------------------------------------------------------------------------


def logistic(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _tanh(x: Array) -> Array:
    return 2 * logistic(2 * x) - 1


def _softplus(x: Array) -> Array:
    inside = np.log1p(np.exp(np.clip(x, -20, 20)))
    return np.where(x > 20, x, np.where(x < -20, np.exp(np.minimum(x, 0)), inside))


def _stair(x: Array) -> Array:
    n = np.floor(x)
    return np.where(n % 2 == 0, np.floor(x / 2), (x - n) + np.floor(x / 2))


def _negative_exp(x: Array) -> Array:
    return np.expm1(np.minimum(x, 0))


ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "logistic": logistic,
    "loggy": lambda x: 2 * logistic(x) - 1,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.minimum(np.maximum(x, 0), 6),
    "elu": lambda x: np.where(x >= 0, x, _negative_exp(x)),
    "selu": lambda x: np.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * _negative_exp(x)),
    "gelu": lambda x: 0.5 * x * (1 + _tanh(0.797885 * x + 0.035677 * x**3)),
    "relie": lambda x: np.where(x > 0, x, 0.01 * x),
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "revleaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "tanh": _tanh,
    "plse": lambda x: np.where(x < -4, 0.01 * (x + 4), np.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5)),
    "stair": _stair,
    "hardtan": lambda x: np.clip(x, -1, 1),
    "lhtan": lambda x: np.where(x < 0, 0.001 * x, np.where(x > 1, 0.001 * (x - 1) + 1, x)),
    "swish": lambda x: x * logistic(x),
    "mish": lambda x: x * _tanh(_softplus(x)),
    "hard_mish": lambda x: np.where(x > 0, x, np.where(x > -2, x * x / 2 + x, 0)),
}


def _over_channels(values: Array) -> Array:
    return values / (1e-4 + values.sum(axis=0))


def _over_exponentials(x: Array) -> Array:
    """In float32, as Darknet's expf and its sum are: above 88.7 it is infinity, which divided by itself is NaN."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _over_channels(np.exp(x).astype(np.float32)).astype(np.float64)


CHANNELWISE: dict[str, Callable[[Array], Array]] = {
    "normalize_channels": lambda x: _over_channels(np.maximum(x, 0)),
    "normalize_channels_softmax": _over_exponentials,
    "normalize_channels_softmax_maxval": lambda x: _over_channels(np.exp(x - x.max(axis=0))),
}

ACTIVATIONS = {**ELEMENTWISE, **CHANNELWISE}


def activate(x: Array, name: str) -> Array:
    """The activation called `name` in a cfg, on (C, H, W)."""
    return ACTIVATIONS[name](x)


# Layers with weights ----------------------------------------------------------------------------------------


def batch_norm(x: Array, scales: Array, mean: Array, variance: Array, biases: Array) -> Array:
    """Not folded: (x - mean) / sqrt(variance + eps) * scale + bias, per channel."""
    scales, mean, variance, biases = (a.reshape(-1, 1, 1) for a in (scales, mean, variance, biases))
    return (x - mean) / np.sqrt(variance + EPSILON) * scales + biases


def convolution(
    x: Array,
    weights: Array,
    *,
    stride_x: int = 1,
    stride_y: int = 1,
    pad: int = 0,
    groups: int = 1,
    dilation: int = 1,
    outside: float = 0.0,
) -> Array:
    """Cross-correlation without bias; `weights` (filters, C / groups, size, size).

    The window's padding is pad * dilation; the shape formula knows nothing of dilation.
    """
    _, height, width = x.shape
    filters, _, size, _ = weights.shape
    out_h, out_w = (height + 2 * pad - size) // stride_y + 1, (width + 2 * pad - size) // stride_x + 1
    reach = (size - 1) * dilation + 1
    border = pad * dilation
    padded = np.pad(x, ((0, 0), (border, border + reach), (border, border + reach)), constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), axis=(1, 2))
    # (C, out_h, out_w, size, size): where the window lies, then what it covers
    taps = windows[:, : out_h * stride_y : stride_y, : out_w * stride_x : stride_x, ::dilation, ::dilation]
    columns = taps.transpose(0, 3, 4, 1, 2).reshape(groups, -1, out_h * out_w)
    return (weights.reshape(groups, filters // groups, -1) @ columns).reshape(filters, out_h, out_w)


def xnor_convolution(x: Array, folded: Array, **options: int) -> Array:
    """Signs of input and (folded) weights, the weights' mean magnitude per filter; the padding counts as -1."""
    mean = np.abs(folded).mean(axis=(1, 2, 3), keepdims=True)
    return convolution(np.where(x > 0, 1.0, -1.0), np.where(folded > 0, mean, -mean), outside=-1.0, **options)


def blur(x: Array, kind: int, stride_x: int, stride_y: int) -> Array:
    """The fixed blur of an antialiased layer: 3x3 binomial with padding 1, or (kind 2) the mean of 2x2."""
    window, pad = (np.full((2, 2), 0.25), 0) if kind == 2 else (np.outer([1, 2, 1], [1, 2, 1]) / 16, 1)
    kernels = np.broadcast_to(window, (len(x), 1, *window.shape))
    return convolution(x, kernels, stride_x=stride_x, stride_y=stride_y, pad=pad, groups=len(x))


def connected(x: Array, weights: Array) -> Array:
    """weights (outputs, inputs) times the flat input, as (outputs, 1, 1)."""
    return (weights @ x.ravel()).reshape(-1, 1, 1)


# Pooling ----------------------------------------------------------------------------------------------------


def _windows(
    x: Array, reduce: Callable[[Array], Array], size: int, padding: int, stride_x: int, stride_y: int
) -> Array:
    channels, height, width = x.shape
    out_h, out_w = (height + padding - size) // stride_y + 1, (width + padding - size) // stride_x + 1
    out = np.empty((channels, out_h, out_w))
    for row in range(out_h):
        for col in range(out_w):
            top, left = row * stride_y - padding // 2, col * stride_x - padding // 2
            out[:, row, col] = reduce(x[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)])
    return out


def maxpool(x: Array, size: int, padding: int, stride_x: int, stride_y: int) -> Array:
    """`padding` is the total of both sides; taps outside the image are the lowest float32."""
    return _windows(x, lambda window: window.max(axis=(1, 2), initial=LOWEST), size, padding, stride_x, stride_y)


def maxpool_depth(x: Array, out_channels: int) -> Array:
    """out[g] = max over channels g, g + out_channels, ..."""
    return np.stack([x[g::out_channels].max(axis=0) for g in range(min(out_channels, len(x)))])


def local_avgpool(x: Array, size: int, padding: int, stride_x: int, stride_y: int) -> Array:
    """Mean over the taps inside the image."""
    return _windows(x, lambda window: window.mean(axis=(1, 2)), size, padding, stride_x, stride_y)


def avgpool(x: Array) -> Array:
    return x.mean(axis=(1, 2)).reshape(-1, 1, 1)


# Joining ----------------------------------------------------------------------------------------------------


def route(parts: Sequence[Array], groups: int = 1, group_id: int = 0) -> Array:
    """One flat group of every part, one after the other."""
    _, height, width = parts[0].shape
    slices = [part.ravel()[part.size // groups * group_id :][: part.size // groups] for part in parts]
    return np.concatenate(slices).reshape(-1, height, width)


def shortcut_weights(raw: Array, normalization: str) -> Array:
    """(inputs, 1 or C) raw weights, normalised over the inputs as Darknet does once after loading."""
    values = np.exp(raw - raw.max(axis=0)) if normalization == "softmax" else np.maximum(raw, 0.001)
    return values / (1e-4 + values.sum(axis=0))


def shortcut(x: Array, others: Sequence[Array], weights: Array | None = None) -> Array:
    """x plus each of `others` over the channels both have; between sizes pjreddie's strided addition.

    `weights` (1 + others, 1 or C): the first row is x's.
    """
    channels, height, width = x.shape
    out = x.copy() if weights is None else x * weights[0].reshape(-1, 1, 1)
    for n, other in enumerate(others, 1):
        term = np.zeros_like(x)
        stride, sample = max(1, other.shape[2] // width), max(1, width // other.shape[2])
        for k in range(min(channels, other.shape[0])):
            for j in range(min(height, other.shape[1])):
                for i in range(min(width, other.shape[2])):
                    term[k, j * sample, i * sample] = other[k, j * stride, i * stride]
        out += term if weights is None else term * weights[n].reshape(-1, 1, 1)
    return out


def scale_channels(factor: Array, whole: Array) -> Array:
    """`whole` times one factor per channel (C, 1, 1) or per pixel (1, H, W)."""
    return factor * whole


# Moving -----------------------------------------------------------------------------------------------------


def upsample(x: Array, stride: int, scale: float = 1.0) -> Array:
    """Nearest neighbour; a negative stride sums blocks instead."""
    if stride > 0:
        return scale * x.repeat(stride, axis=1).repeat(stride, axis=2)
    channels, height, width = x.shape
    s = -stride
    out = np.empty((channels, height // s, width // s))
    for row in range(height // s):
        for col in range(width // s):
            out[:, row, col] = scale * x[:, row * s : row * s + s, col * s : col * s + s].sum(axis=(1, 2))
    return out


def _shuffle(flat: Array, width: int, height: int, channels: int, stride: int, scatter: bool) -> Array:
    """Darknet's reorg_cpu with the extents it is called with."""
    out = np.empty_like(flat)
    block = channels // (stride * stride)
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                near = i + width * (j + height * k)
                c2, offset = k % block, k // block
                w2, h2 = i * stride + offset % stride, j * stride + offset // stride
                far = w2 + width * stride * (h2 + height * stride * c2)
                if scatter:
                    out[far] = flat[near]
                else:
                    out[near] = flat[far]
    return out


def reorg(x: Array, stride: int, reverse: bool = False) -> Array:
    """[reorg] of yolov2: a shuffle of flat memory with the extents of the input."""
    c, h, w = x.shape
    flat = _shuffle(x.ravel(), w, h, c, stride, reverse)
    square = stride * stride
    return flat.reshape((c // square, h * stride, w * stride) if reverse else (c * square, h // stride, w // stride))


def reorg3d(x: Array, stride: int, reverse: bool = False) -> Array:
    """True space-to-depth; reverse is the flat shuffle with the extents of the output."""
    c, h, w = x.shape
    if reverse:
        shape = (c // (stride * stride), h * stride, w * stride)
        return _shuffle(x.ravel(), shape[2], shape[1], shape[0], stride, True).reshape(shape)
    out = np.empty((c * stride * stride, h // stride, w // stride))
    for dy in range(stride):
        for dx in range(stride):
            first = (dy * stride + dx) * c
            out[first : first + c] = x[:, dy::stride, dx::stride]
    return out


def tree_groups(parents: Sequence[int]) -> list[tuple[int, int]]:
    """(start, count) of each run of equal parents."""
    starts = [i for i, parent in enumerate(parents) if i == 0 or parent != parents[i - 1]]
    return [(start, end - start) for start, end in zip(starts, [*starts[1:], len(parents)], strict=True)]


def _softmax(x: Array, temperature: float = 1.0) -> Array:
    e = np.exp((x - x.max()) / temperature)
    return e / e.sum()


def softmax(
    x: Array, groups: int = 1, temperature: float = 1.0, spans: Sequence[tuple[int, int]] | None = None
) -> Array:
    """Over each of `groups` flat blocks, or over the (start, count) spans of a tree in each."""
    flat, size = x.ravel(), x.size // groups
    out = np.empty_like(flat)
    for first in range(0, flat.size, size):
        for start, count in spans or [(0, size)]:
            part = slice(first + start, first + start + count)
            out[part] = _softmax(flat[part], temperature)
    return out.reshape(x.shape)


# Heads ------------------------------------------------------------------------------------------------------


def yolo(x: Array, classes: int, scale_x_y: float = 1.0, new_coords: bool = False) -> Array:
    blocks = x.reshape(-1, 5 + classes, *x.shape[1:]).copy()
    if not new_coords:
        blocks[:, :2], blocks[:, 4:] = logistic(blocks[:, :2]), logistic(blocks[:, 4:])
    blocks[:, :2] = blocks[:, :2] * scale_x_y - 0.5 * (scale_x_y - 1)
    return blocks.reshape(x.shape)


def gaussian_yolo(x: Array, classes: int, scale_x_y: float = 1.0) -> Array:
    blocks = x.reshape(-1, 9 + classes, *x.shape[1:]).copy()
    for k in (0, 1, 2, 3, 5, 7, *range(8, 9 + classes)):
        blocks[:, k] = logistic(blocks[:, k])
    for k in (0, 2):
        blocks[:, k] = blocks[:, k] * scale_x_y - 0.5 * (scale_x_y - 1)
    return blocks.reshape(x.shape)


def region(
    x: Array, classes: int, *, softmax_classes: bool = False, spans: Sequence[tuple[int, int]] | None = None
) -> Array:
    """(C, H, W), although Darknet stores this head cell by cell."""
    blocks = x.reshape(-1, 5 + classes, *x.shape[1:]).copy()
    blocks[:, 4] = logistic(blocks[:, 4])
    for block in blocks:
        for row in range(x.shape[1]):
            for col in range(x.shape[2]):
                for start, count in spans or ([(0, classes)] if softmax_classes else []):
                    part = slice(5 + start, 5 + start + count)
                    block[part, row, col] = _softmax(block[part, row, col])
    return blocks.reshape(x.shape)
