"""Cross mini-Batch Normalization (YOLOv4, arXiv 2004.10934, section 3.3 and figure 4).

A batch of 64 does not fit in memory, so Darknet cuts it into mini-batches (``subdivisions``) and adds up their
gradients before it changes the weights. Batch norm then sees a mini-batch at a time, too few images for good
statistics. Within a batch the weights do not change, so the statistics of its earlier mini-batches are as valid as
those of the present one: CmBN pools them. It is Cross-Iteration Batch Normalization (arXiv 2002.05712) confined to
one batch, where that method's compensation for changing weights is not needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CmBN", "start_batch"]


class CmBN(nn.BatchNorm2d):
    """Batch norm over all mini-batches of the present batch so far; in evaluation the same as BatchNorm2d.

    What is accumulated: the number of values per channel, their mean and their (biased) variance, over the mini-batches
    since `start_batch`. Mini-batch t is normalised with the mean and variance of the values of mini-batches 1 to t
    pooled, each value of equal weight; the first one as BatchNorm2d does.

    Which gradients flow: the accumulated part is a constant. Through the statistics, a gradient reaches the present
    mini-batch alone, by its true share in them (about 1/t), never the earlier ones, whose graphs are gone.

    The running statistics that evaluation uses move once per batch, towards the pooled ones, however many mini-batches
    it has: each mini-batch replaces the step of the one before it. As in BatchNorm2d the running variance is unbiased.

    Parameters
    ----------
    channels : int
    eps : float
        Added to the variance; Darknet's is 1e-5.
    momentum : float
        Share of a batch's statistics in the running ones.
    """

    running_mean: Tensor
    running_var: Tensor
    first_mean: Tensor
    first_var: Tensor
    pooled_mean: Tensor
    pooled_var: Tensor
    momentum: float

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.03) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        self.register_buffer("first_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("first_var", torch.ones(channels), persistent=False)
        self.register_buffer("pooled_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("pooled_var", torch.zeros(channels), persistent=False)
        self.pooled_count = 0

    def start_batch(self) -> None:
        """Forget the mini-batches seen so far: the weights have changed."""
        self.pooled_count = 0

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a mini-batch (B, C, H, W).

        Raises
        ------
        ValueError
            If a batch begins with a single value per channel, which has no variance.
        """
        if not self.training:
            return super().forward(x)
        count = x.numel() // x.shape[1]
        y = self._later(x, count) if self.pooled_count else self._first(x, count)
        self.pooled_count += count
        unbiased = self.pooled_var * (self.pooled_count / (self.pooled_count - 1))
        self.running_mean.copy_(torch.lerp(self.first_mean, self.pooled_mean, self.momentum))
        self.running_var.copy_(torch.lerp(self.first_var, unbiased, self.momentum))
        return y

    def _first(self, x: Tensor, count: int) -> Tensor:
        """Plain batch norm; with a momentum of 1 it hands out its own statistics."""
        self.first_mean.copy_(self.running_mean)
        self.first_var.copy_(self.running_var)
        # Not the buffers: backward refuses tensors that have changed since.
        mean, variance = torch.zeros_like(self.pooled_mean), torch.zeros_like(self.pooled_var)
        y = functional.batch_norm(x, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
        self.pooled_mean.copy_(mean)
        self.pooled_var.copy_(variance * ((count - 1) / count))
        return y

    def _later(self, x: Tensor, count: int) -> Tensor:
        """Normalise with the values so far and these, pooled by Chan's formula."""
        share = count / (self.pooled_count + count)
        # Cloned for the same reason.
        old_mean, old_variance = self.pooled_mean.clone(), self.pooled_var.clone()
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        apart = mean - old_mean
        variance = (1 - share) * old_variance + share * variance + share * (1 - share) * apart.square()
        mean = old_mean + share * apart
        self.pooled_mean.copy_(mean.detach())
        self.pooled_var.copy_(variance.detach())
        factor = self.weight * torch.rsqrt(variance + self.eps)
        shape = (1, -1, 1, 1)
        return torch.addcmul((self.bias - mean * factor).view(shape), x, factor.view(shape))


def start_batch(module: nn.Module) -> None:
    """Begin a batch in every CmBN inside `module`: call it after each step of the optimiser."""
    for part in module.modules():
        if isinstance(part, CmBN):
            part.start_batch()
