"""One rule per layer type: how it becomes steps. The table is all that the plan looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darknet_py.layers import (
    Activation,
    AvgPool,
    BatchNorm,
    Connected,
    Contrastive,
    ConvLstm,
    Convolutional,
    Cost,
    Crnn,
    Crop,
    Deconvolutional,
    Detection,
    Dropout,
    Empty,
    GaussianYolo,
    Gru,
    History,
    Implicit,
    Iseg,
    L2Norm,
    Layer,
    Local,
    LocalAvgPool,
    Lstm,
    MaxPool,
    Normalization,
    Region,
    Reorg,
    Rnn,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Softmax,
    Upsample,
    Yolo,
)
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules.heads import detection, gaussian_yolo, region, softmax, yolo
from darknet_py.plan.rules.joining import (
    cost,
    dropout,
    implicit,
    reorg,
    route,
    sam,
    scale_channels,
    shortcut,
    upsample,
)
from darknet_py.plan.rules.normalizing import activation, batchnorm, crop, iseg, l2norm, normalization
from darknet_py.plan.rules.recurrent import conv_lstm, gru, history, lstm, recurrence
from darknet_py.plan.rules.windows import (
    avgpool,
    connected,
    convolutional,
    deconvolutional,
    local,
    local_avgpool,
    maxpool,
)

__all__ = ["RULES"]

#: Layer type → rule.
RULES: dict[type[Layer], Callable[[Lowering, Any], None]] = {
    Activation: activation,
    AvgPool: avgpool,
    BatchNorm: batchnorm,
    ConvLstm: conv_lstm,
    Connected: connected,
    Contrastive: cost,
    Convolutional: convolutional,
    Cost: cost,
    Crop: crop,
    Deconvolutional: deconvolutional,
    Detection: detection,
    Crnn: recurrence,
    Dropout: dropout,
    Empty: dropout,
    GaussianYolo: gaussian_yolo,
    Implicit: implicit,
    Iseg: iseg,
    L2Norm: l2norm,
    Local: local,
    Gru: gru,
    History: history,
    LocalAvgPool: local_avgpool,
    Lstm: lstm,
    MaxPool: maxpool,
    Normalization: normalization,
    Region: region,
    Reorg: reorg,
    Rnn: recurrence,
    Route: route,
    Sam: sam,
    ScaleChannels: scale_channels,
    Shortcut: shortcut,
    Softmax: softmax,
    Upsample: upsample,
    Yolo: yolo,
}
