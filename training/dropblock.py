"""DropBlock: dropout for feature maps, which drops whole squares (Ghiasi, Lin and Le, arXiv 1810.12890).

YOLOv4 (arXiv 2004.10934, sections 2.2 and 3.4) compares methods of regularisation and takes DropBlock. A convolution
guesses a single dropped value from its neighbours; it cannot guess a dropped square, so the layers after it learn to
find an object by more than its most telling part.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DropBlock"]


class DropBlock(nn.Module):
    """Zero random squares of every channel in training; identity in evaluation.

    A square's upper left cell is any that leaves it whole, with the probability γ of the paper's equation 1, so that
    about `probability` of the values are dropped (less where squares overlap). Every channel has a mask of its own,
    which the paper finds better than a common one. The kept values of an image are multiplied by
    (all values) / (kept values), as in the paper's algorithm 1; the count is per image, as in Darknet, so that an
    image's result does not depend on the others of its mini-batch.

    Parameters
    ----------
    probability : float
        Of a value to be dropped, 0 to below 1: ``probability`` of ``[dropout]``, 1 - keep_prob of the paper.
    size : int
        Side of a square in cells: ``dropblock_size_abs``.
    relative_size : float, optional
        Side as a share of the map's shorter side, in place of `size`: ``dropblock_size_rel``.

    Attributes
    ----------
    ramp : float
        0 to 1: how much of the probability and of the size is in force. The paper (section 4.1, "scheduled
        DropBlock") raises the probability slowly during training; Darknet does so with the size as well.

    Raises
    ------
    ValueError
        If the probability or a size is out of range.
    """

    def __init__(self, probability: float, size: int = 7, relative_size: float = 0.0) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"probability={probability}: expected at least 0 and less than 1")
        if relative_size == 0 and size < 1:
            raise ValueError(f"dropblock_size_abs={size}: expected at least 1 cell")
        if not 0 <= relative_size <= 1:
            raise ValueError(f"dropblock_size_rel={relative_size}: expected 0 to 1 of the map's shorter side")
        self.probability = probability
        self.size = size
        self.relative_size = relative_size
        self.ramp = 1.0

    def block_size(self, height: int, width: int) -> int:
        """Side of a square, in cells, on a map of this extent at the present `ramp`."""
        shorter = min(height, width)
        side = self.relative_size * shorter if self.relative_size else self.size
        return min(shorter, max(1, int(side * self.ramp)))

    def gamma(self, height: int, width: int) -> float:
        """Probability of a cell to be a square's upper left one (the paper's equation 1)."""
        side = self.block_size(height, width)
        places = (height - side + 1) * (width - side + 1)
        return min(1.0, self.probability * self.ramp / side**2 * height * width / places)

    def forward(self, x: Tensor) -> Tensor:
        """Float tensor (B, C, H, W) with squares of it dropped, in training."""
        if not self.training or self.probability == 0 or self.ramp == 0:
            return x
        kept = 1 - self._dropped(x)
        # An image that lost everything is all zeros; 1 in place of its count avoids 0 / 0.
        count = kept.sum((1, 2, 3), keepdim=True).clamp(min=1)
        return x * (kept * (x[0].numel() / count))

    def _dropped(self, x: Tensor) -> Tensor:
        """Float mask like `x`: 1 inside a square."""
        batch, channels, height, width = x.shape
        side = self.block_size(height, width)
        places = torch.rand(batch, channels, height - side + 1, width - side + 1, device=x.device, dtype=x.dtype)
        corners = (places < self.gamma(height, width)).to(x.dtype)
        # The maximum over the windows that end at a cell tells whether one of the squares that cover it was drawn.
        return functional.max_pool2d(functional.pad(corners, (side - 1,) * 4), side, stride=1)

    def extra_repr(self) -> str:
        side = f"relative_size={self.relative_size}" if self.relative_size else f"size={self.size}"
        return f"probability={self.probability}, {side}"
