"""The layers of older Darknets the slow, obvious way: as in `naive`, of which this is a part."""

from __future__ import annotations

import naive
import numpy as np
from naive import Array


def local(x: Array, weights: Array, biases: Array, stride: int, pad: int) -> Array:
    """biases (filters, out_h, out_w); weights (positions, filters, C, size, size), another for each position."""
    filters, out_h, out_w = biases.shape
    size = weights.shape[-1]
    padded = np.pad(x, ((0, 0), (pad, pad + size), (pad, pad + size)))
    out = biases.copy()
    for row in range(out_h):
        for col in range(out_w):
            window = padded[:, row * stride : row * stride + size, col * stride : col * stride + size]
            for f in range(filters):
                out[f, row, col] += (window * weights[row * out_w + col, f]).sum()
    return out


def deconvolution(x: Array, weights: Array, stride: int, pad: int) -> Array:
    """weights (C, filters, size, size): each pixel adds its window; then `pad` is cut from all sides."""
    _, height, width = x.shape
    _, filters, size, _ = weights.shape
    out = np.zeros((filters, (height - 1) * stride + size, (width - 1) * stride + size))
    for row in range(height):
        for col in range(width):
            at = (slice(None), slice(row * stride, row * stride + size), slice(col * stride, col * stride + size))
            out[at] += np.tensordot(x[:, row, col], weights, 1)
    return out[:, pad : out.shape[1] - pad, pad : out.shape[2] - pad]


def crop(x: Array, width: int, height: int, noadjust: bool = False) -> Array:
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
    middle = x[:, top : top + height, left : left + width]
    return middle if noadjust else 2 * middle - 1


def local_response(x: Array, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, kappa: float = 1.0) -> Array:
    """[normalization]: the norm of channel k, kept from channel to channel as Darknet's normalization_layer.c does."""
    squares, norms = x * x, np.empty_like(x)
    norms[0] = kappa + alpha * squares[: size // 2].sum(axis=0)
    for k in range(1, len(x)):
        norms[k] = norms[k - 1]
        before, after = k - (size - 1) // 2 - 1, k + size // 2
        if before >= 0:
            norms[k] -= alpha * squares[before]
        if after < len(x):
            norms[k] += alpha * squares[after]
    return np.asarray(x * norms**-beta)


def l2norm(x: Array) -> Array:
    length = np.sqrt((x * x).sum(axis=0))
    return x / np.where(length == 0, 1, length)


def iseg(x: Array, classes: int) -> Array:
    return np.concatenate([naive.logistic(x[:classes]), x[classes:]])


def detection(x: Array, classes: int, side: int, softmax_classes: bool = False) -> Array:
    """Flat: side * side * classes, then confidences, then boxes."""
    flat = x.ravel().copy()
    for cell in range(side * side if softmax_classes else 0):
        part = slice(cell * classes, (cell + 1) * classes)
        flat[part] = naive.softmax(flat[part])
    return flat.reshape(-1, 1, 1)
