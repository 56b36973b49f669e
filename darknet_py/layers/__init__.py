"""The layer types, one dataclass each; `LAYERS` is the table a section's name is looked up in."""

from __future__ import annotations

from darknet_py.layers.base import Layer, Parameter
from darknet_py.layers.convolution import Connected, Convolutional
from darknet_py.layers.heads import GaussianYolo, Head, Region, Yolo
from darknet_py.layers.joining import Route, Sam, ScaleChannels, Shortcut
from darknet_py.layers.pooling import AvgPool, LocalAvgPool, MaxPool
from darknet_py.layers.reshaping import Cost, Dropout, Reorg, Softmax, Upsample

__all__ = [
    "LAYERS",
    "AvgPool",
    "Connected",
    "Convolutional",
    "Cost",
    "Dropout",
    "GaussianYolo",
    "Head",
    "Layer",
    "LocalAvgPool",
    "MaxPool",
    "Parameter",
    "Region",
    "Reorg",
    "Route",
    "Sam",
    "ScaleChannels",
    "Shortcut",
    "Softmax",
    "Upsample",
    "Yolo",
]

_TYPES = (
    Convolutional, Connected, MaxPool, LocalAvgPool, AvgPool, Route, Shortcut, ScaleChannels, Sam, Upsample, Reorg,
    Dropout, Cost, Softmax, Yolo, GaussianYolo, Region,
)  # fmt: skip

#: Section name (with Darknet's aliases) → layer type.
LAYERS = {kind: layer for layer in _TYPES for kind in layer.kinds}
