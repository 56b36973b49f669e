"""The layer types, one dataclass each; `LAYERS` is the table a section's name is looked up in."""

from __future__ import annotations

from darknet_py.layers.base import Layer, Parameter
from darknet_py.layers.convolution import Connected, Convolutional, Deconvolutional, Local
from darknet_py.layers.heads import Detection, GaussianYolo, Head, Region, Yolo
from darknet_py.layers.joining import Route, Sam, ScaleChannels, Shortcut
from darknet_py.layers.normalizing import Activation, BatchNorm, Iseg, L2Norm, Normalization
from darknet_py.layers.pooling import AvgPool, LocalAvgPool, MaxPool
from darknet_py.layers.recurrent import ConvLstm, Crnn, Gru, History, Lstm, Recurrent, Rnn
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
    "ConvLstm",
    "Convolutional",
    "Cost",
    "Crnn",
    "Crop",
    "Deconvolutional",
    "Detection",
    "Dropout",
    "Empty",
    "GaussianYolo",
    "Gru",
    "Head",
    "History",
    "Implicit",
    "Iseg",
    "L2Norm",
    "Layer",
    "Local",
    "LocalAvgPool",
    "Lstm",
    "MaxPool",
    "Normalization",
    "Parameter",
    "Recurrent",
    "Region",
    "Reorg",
    "Rnn",
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
    Normalization, L2Norm, Crop, Implicit, Empty, Contrastive, Iseg, Rnn, Gru, Lstm, Crnn, ConvLstm, History,
)  # fmt: skip

#: Section name (with Darknet's aliases) → layer type.
LAYERS = {kind: layer for layer in _TYPES for kind in layer.kinds}
