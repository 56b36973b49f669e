"""One rule per layer type: how it becomes steps. The table is all that the plan looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darknet_py.layers import (
    AvgPool,
    Connected,
    Convolutional,
    Cost,
    Dropout,
    GaussianYolo,
    Layer,
    LocalAvgPool,
    MaxPool,
    Region,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Softmax,
    Upsample,
    Yolo,
)
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules.heads import gaussian_yolo, region, softmax, yolo
from darknet_py.plan.rules.joining import cost, dropout, reorg, route, sam, scale_channels, shortcut, upsample
from darknet_py.plan.rules.windows import avgpool, connected, convolutional, local_avgpool, maxpool

__all__ = ["RULES"]

#: Layer type → rule.
RULES: dict[type[Layer], Callable[[Lowering, Any], None]] = {
    AvgPool: avgpool,
    Connected: connected,
    Convolutional: convolutional,
    Cost: cost,
    Dropout: dropout,
    GaussianYolo: gaussian_yolo,
    LocalAvgPool: local_avgpool,
    MaxPool: maxpool,
    Region: region,
    Reorg: reorg,
    Route: route,
    Sam: sam,
    ScaleChannels: scale_channels,
    Shortcut: shortcut,
    Softmax: softmax,
    Upsample: upsample,
    Yolo: yolo,
}
