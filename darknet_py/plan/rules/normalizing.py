"""Rules of the layers that change values where they are, and of [crop]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.normalize_channels import LENGTH, normalize_channels
from darknet_py.kernels.ops.normalize_response import normalize_response
from darknet_py.kernels.ops.scale import scale
from darknet_py.kernels.ops.yolo import yolo as logistic_or_raw
from darknet_py.layers import Activation, BatchNorm, Crop, Iseg, L2Norm, Layer, Normalization
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules.windows import activated, normalize

__all__ = ["activation", "batchnorm", "crop", "iseg", "l2norm", "normalization"]


def activation(lower: Lowering, layer: Activation) -> None:
    """The activation of x times 1."""
    _scale(lower, layer, lower.view(layer.inputs[0]), _alike(layer, 1, 0), layer.activation)


def batchnorm(lower: Lowering, layer: BatchNorm) -> None:
    """A factor and a term a channel."""
    _scale(lower, layer, lower.view(layer.inputs[0]), lower.plain[layer.index])


def crop(lower: Lowering, layer: Crop) -> None:
    """Some rows and columns, 2 x - 1 of them unless ``noadjust``."""
    _, h, w = layer.shape
    x = lower.view(layer.inputs[0]).window(layer.top, layer.left, h, w)
    _scale(lower, layer, x, _alike(layer, 1, 0) if layer.noadjust else _alike(layer, 2, -1))


def _alike(layer: Layer, factor: float, term: float) -> NDArray[np.float32]:
    return np.repeat(np.array([[factor], [term]], np.float32), layer.shape.c, axis=1)


def _scale(lower: Lowering, layer: Layer, x: View, factors: NDArray[np.float32], name: str = "linear") -> None:
    target = lower.target(layer.index)
    y, code = activated(lower, layer, name, target)
    lower.emit(scale, layer, x, y, factors=factors, activation=code)
    normalize(lower, layer, name, y, target)


def normalization(lower: Lowering, layer: Normalization) -> None:
    """Local response normalisation over channels."""
    lower.emit(
        normalize_response, layer, lower.view(layer.inputs[0]), lower.target(layer.index),
        size=layer.size, alpha=layer.alpha, beta=layer.beta, kappa=layer.kappa,
    )  # fmt: skip


def l2norm(lower: Lowering, layer: L2Norm) -> None:
    """Each pixel over its length."""
    lower.emit(normalize_channels, layer, lower.view(layer.inputs[0]), lower.target(layer.index), of=LENGTH)


def iseg(lower: Lowering, layer: Iseg) -> None:
    """Logistic on the classes alone."""
    rules = np.zeros((3, layer.shape.c), np.float32)
    rules[0, layer.classes :] = 1
    rules[1] = 1
    lower.emit(logistic_or_raw, layer, lower.view(layer.inputs[0]), lower.target(layer.index), rules=rules)
