"""Emitters of the layers that change values where they are."""

from __future__ import annotations

import numpy as np

from darknet_py.folding import fold
from darknet_py.layers import Activation, BatchNorm, Iseg, L2Norm, Normalization
from darknet_py.onnx_export.activating import activate
from darknet_py.onnx_export.emission import Emission

__all__ = ["activation", "batchnorm", "iseg", "l2norm", "normalization"]


def activation(g: Emission, layer: Activation) -> str:
    """The activation alone."""
    return activate(g, layer, layer.activation, g.inputs(layer)[0])


def batchnorm(g: Emission, layer: BatchNorm) -> str:
    """Mul and Add by channel."""
    factor, bias = fold(g.arrays(layer))
    g.weights.release(layer)
    y = g.node("Mul", g.inputs(layer)[0], g.per_channel("factors", factor))
    return g.node("Add", y, g.per_channel("biases", bias))


def normalization(g: Emission, layer: Normalization) -> str:
    """The squares that Darknet's loops leave in the norm of each channel, by a 1x1 Conv; x / norm^beta.

    ONNX's LRN is centred, and has no channel that is left out and then subtracted.
    """
    (x,), channels = g.inputs(layer), layer.shape.c
    ahead, behind = layer.size // 2, (layer.size - 1) // 2 + 1
    counts = np.zeros((channels, channels), np.float64)
    counts[0, : min(ahead, channels)] = 1
    for c in range(1, channels):
        counts[c] = counts[c - 1]
        if c >= behind:
            counts[c, c - behind] -= 1
        if c + ahead < channels:
            counts[c, c + ahead] += 1
    weights = g.initializer("weights", (layer.alpha * counts)[:, :, None, None].astype(np.float32))
    kappa = g.initializer("kappa", np.full(channels, layer.kappa, np.float32))
    norm = g.node("Conv", g.node("Mul", x, x), weights, kappa, kernel_shape=[1, 1])
    return g.node("Mul", x, g.node("Pow", norm, g.constant(-layer.beta)))


def l2norm(g: Emission, layer: L2Norm) -> str:
    """Each pixel over its length."""
    (x,) = g.inputs(layer)
    length = g.node("ReduceL2", x, g.integers(1), keepdims=1)
    is_zero = g.node("Equal", length, g.constant(0))
    return g.node("Div", x, g.node("Where", is_zero, g.constant(1), length))


def iseg(g: Emission, layer: Iseg) -> str:
    """Sigmoid of the classes alone."""
    if not layer.ids:
        return g.node("Sigmoid", g.inputs(layer)[0])
    classes, ids = g.split(g.inputs(layer)[0], [layer.classes, layer.ids], 1)
    return g.concat([g.node("Sigmoid", classes), ids], 1)
