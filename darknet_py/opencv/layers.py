"""Layers as ``cv2.dnn``'s importer names them: one of a cfg's sections becomes up to three there.

``conv_7``, ``bn_7``, ``leaky_8`` are the convolution, its batch norm and its activation of the cfg's layer 7; scripts
ask for outputs by these names, and count in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from darknet_py.graph import Graph
from darknet_py.layers import Layer

__all__ = ["NamedLayer", "name_layers", "unconnected"]

#: What a layer's name begins with, and its type in OpenCV.
_KINDS = {
    "convolutional": ("conv", "Convolution"),
    "connected": ("fullyConnected", "InnerProduct"),
    "maxpool": ("pool", "Pooling"),
    "avgpool": ("avgpool", "Pooling"),
    "local_avgpool": ("local_avgpool", "Pooling"),
    "softmax": ("softmax", "Softmax"),
    "route": ("concat", "Concat"),
    "shortcut": ("shortcut", "Eltwise"),
    "scale_channels": ("scale_channels", "Scale"),
    "sam": ("sam", "Eltwise"),
    "upsample": ("upsample", "Resize"),
    "reorg": ("reorg", "Reorg"),
    "yolo": ("yolo", "Region"),
    "Gaussian_yolo": ("gaussian_yolo", "Region"),
    "region": ("detection_out", "Region"),
}
_SLICE, _IDENTITY = ("slice", "Slice"), ("identity", "Identity")

#: Types of activations in OpenCV; others keep the cfg's word.
_ACTIVATIONS = {
    "leaky": "ReLU", "relu": "ReLU", "mish": "Mish", "swish": "Swish", "logistic": "Sigmoid", "tanh": "TanH",
}  # fmt: skip

#: What of a cfg's layer an output is: before its batch norm, before its activation, before a head, or all of it.
RAW, NORMALIZED, INPUT, WHOLE = "raw", "normalized", "input", "whole"


@dataclass(frozen=True)
class NamedLayer:
    """One layer of OpenCV's.

    Attributes
    ----------
    name, type : str
    index : int
        Of the cfg's layer that it is a part of; of the one before a [cost], which OpenCV passes on.
    part : {"raw", "normalized", "input", "whole"}
        How far into that layer its output lies.
    """

    name: str
    type: str
    index: int
    part: str


def name_layers(graph: Graph) -> tuple[NamedLayer, ...]:
    """The layers of `graph` under OpenCV's names, in its order; number 1 is the first."""
    found: list[NamedLayer] = []
    taken: dict[str, int] = {}
    for layer in graph.layers:
        for part in _parts(layer):
            times = taken.get(part.name, 0)
            taken[part.name] = times + 1
            name = f"{part.name}_{times}" if times else part.name
            found.append(NamedLayer(name, part.type, part.index, part.part))
    return tuple(found)


def unconnected(graph: Graph) -> tuple[int, ...]:
    """Indices of the layers that no other one reads: the network's outputs."""
    layers = [layer for layer in graph.layers if layer.kind != "cost"]
    read = {index for layer in layers for index in layer.inputs}
    return tuple(layer.index for layer in layers if layer.index not in read)


def _parts(layer: Layer) -> list[NamedLayer]:
    n = layer.index
    stem, kind = _stem(layer)
    if layer.kind == "cost":
        return [NamedLayer(f"{stem}_{n}", kind, layer.inputs[0], WHOLE)]
    name = stem if layer.kind == "region" else f"{stem}_{n}"
    if layer.is_head:
        return [NamedLayer(f"permute_{n}", "Permute", n, INPUT), NamedLayer(name, kind, n, WHOLE)]
    normalizes = bool(getattr(layer, "batch_normalize", False))
    activation = str(getattr(layer, "activation", "linear"))
    activates = activation != "linear"
    parts = [NamedLayer(name, kind, n, RAW if normalizes else NORMALIZED if activates else WHOLE)]
    if normalizes:
        parts.append(NamedLayer(f"bn_{n}", "BatchNorm", n, NORMALIZED if activates else WHOLE))
    if activates:
        parts.append(NamedLayer(f"{activation}_{n + 1}", _ACTIVATIONS.get(activation, activation), n, WHOLE))
    return parts


def _stem(layer: Layer) -> tuple[str, str]:
    if layer.kind == "route" and layer.renames:
        return _IDENTITY if layer.shape == layer.in_shape else _SLICE
    return _KINDS.get(layer.kind, _IDENTITY)  # [dropout] and [cost]
