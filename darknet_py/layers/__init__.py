"""The layer types, one dataclass each; `LAYERS` is the table a section's name is looked up in."""

from __future__ import annotations

from darknet_py.layers.base import Layer, Parameter
from darknet_py.layers.convolution import Connected, Convolutional, Deconvolutional, Local
from darknet_py.layers.heads import Detection, GaussianYolo, Head, Region, Yolo
from darknet_py.layers.joining import Route, Sam, ScaleChannels, Shortcut
from darknet_py.layers.normalizing import Activation, BatchNorm, Iseg, L2Norm, Normalization
from darknet_py.layers.pooling import AvgPool, LocalAvgPool, MaxPool
from darknet_py.layers.reshaping import (
    Contrastive,
    Cost,
    Crop,
    Dropout,
    Empty,
    Implicit,
    Reorg,
    Softmax,
    Upsample,
)

__all__ = [
    "LAYERS",
    "Activation",
    "AvgPool",
    "BatchNorm",
    "Connected",
    "Contrastive",
    "Convolutional",
    "Cost",
    "Crop",
    "Deconvolutional",
    "Detection",
    "Dropout",
    "Empty",
    "GaussianYolo",
    "Head",
    "Implicit",
    "Iseg",
    "L2Norm",
    "Layer",
    "Local",
    "LocalAvgPool",
    "MaxPool",
    "Normalization",
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
    Dropout, Cost, Softmax, Yolo, GaussianYolo, Region, Detection, Local, Deconvolutional, Activation, BatchNorm,
    Normalization, L2Norm, Crop, Implicit, Empty, Contrastive, Iseg,
)  # fmt: skip

#: Section name (with Darknet's aliases) → layer type.
LAYERS = {kind: layer for layer in _TYPES for kind in layer.kinds}
