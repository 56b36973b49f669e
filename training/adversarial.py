"""Self-adversarial training: the network first deceives itself, then learns from the picture that deceived it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["deceive", "is_adversarial"]


def is_adversarial(iteration: int, burn_in: int, seed: int) -> bool:
    """Whether an iteration is one with deceived pictures: after the burn-in, half of them, as in Darknet."""
    return iteration > burn_in and bool(np.random.default_rng((seed, iteration, 1)).integers(2))


def deceive(
    network: nn.Module, images: Tensor, loss_of_nothing: Callable[[Sequence[Tensor]], Tensor], step: float
) -> Tensor:
    """Change pictures so that the network sees less in them (arXiv 2004.10934, section 3.3, "SAT").

    "In the 1st stage the neural network alters the original image instead of the network weights. In this way the
    neural network executes an adversarial attack on itself, altering the original image to create the deception that
    there is no desired object on the image." The second stage trains on the result with the true boxes, as usual.

    Parameters
    ----------
    network : Module
        Left as it was: in evaluation during the attack, so that no running statistic sees it, and no gradient stays.
    images : float32 Tensor (B, 3, H, W)
        In [0, 1]; not changed.
    loss_of_nothing : callable
        Heads' logits → loss against pictures without any object.
    step : float
        Change of each value, by the sign of the gradient (Goodfellow et al., 2015), towards a lower such loss.

    Returns
    -------
    Tensor (B, 3, H, W)
        In [0, 1].
    """
    was_training = network.training
    network.eval()
    try:
        attacked = images.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of_nothing(network(attacked)), attacked)
    finally:
        network.train(was_training)
    return (images - step * gradient.sign()).clamp_(0, 1).detach()
