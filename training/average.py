"""The moving average of a network's weights, which detects better than the last ones: Darknet's ``ema_alpha``."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["MovingAverage"]


class MovingAverage:
    """A copy of a network that follows it slowly.

    Parameters
    ----------
    network : Module
    alpha : float
        Share of the old value after each step, 0 to 1; 0 follows at once. The first steps take less of it
        (``(1 + n) / (10 + n)``), so that the random start is soon forgotten.

    Attributes
    ----------
    network : Module
        In evaluation, without gradients; running statistics of batch norm are averaged as well.
    """

    def __init__(self, network: nn.Module, alpha: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.alpha = alpha
        self.count = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step towards `network`."""
        self.count += 1
        alpha = min(self.alpha, (1 + self.count) / (10 + self.count))
        current = network.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - alpha)
            else:
                value.copy_(current[name])
