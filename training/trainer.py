"""One training: the network, its optimiser and where they stand; one `step` is Darknet's iteration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darknet_py.cfg import read_cfg
from darknet_py.errors import DarknetError
from darknet_py.graph import build_graph
from darknet_py.weights import WeightsSource
from darknet_py.weights_writer import write_weights
from training.adversarial import deceive, is_adversarial
from training.average import MovingAverage
from training.checkpoint import load_checkpoint, save_checkpoint
from training.loss import LossParts
from training.network import DarknetModule, cross_normalized
from training.options import read_options
from training.schedule import learning_rate, training_size

__all__ = ["Progress", "Trainer", "TrainingError"]

#: A gradient longer than this (all parameters together) is shortened to it: the first iterations throw far else.
#: yolov4-codes from scratch, 300 iterations: class loss a positive 1.58 with this, 1.78 with 25 (cls_normalizer=2).
LONGEST_GRADIENT = 60.0


class TrainingError(DarknetError):
    """A training that cannot go on."""


class Progress(NamedTuple):
    """What one iteration did; losses are sums over predictions per picture."""

    iteration: int
    rate: float
    size: tuple[int, int]
    box: float
    objectness: float
    classes: float
    positives: int
    mean_iou: float

    @property
    def loss(self) -> float:
        return self.box + self.objectness + self.classes


class Trainer:
    """A network in training.

    Parameters
    ----------
    cfg : Path
        Its options of [net] and [yolo] rule the training.
    seed : int
        Of the first weights, the training shapes and the deceived pictures.
    start : WeightsSource, optional
        Weights to start from instead of random ones.

    Attributes
    ----------
    options : TrainOptions
    iteration : int
        Iterations done.

    Raises
    ------
    CfgError, UnsupportedError
    """

    def __init__(self, cfg: Path, seed: int = 0, start: WeightsSource | None = None) -> None:
        sections = read_cfg(cfg)
        self.options, self._losses = read_options(sections)
        self.graph = build_graph(sections)
        self.seed = seed
        self._identity = {"cfg": cfg.read_text(), "seed": seed}
        torch.manual_seed(seed)
        # Channels last: 41 ms a picture against 53 for a step of yolov4-codes, two threads.
        self.network = DarknetModule(self.graph, cmbn=cross_normalized(sections)).to(memory_format=torch.channels_last)
        if start is None:
            self.network.prime_heads()
        else:
            self.network.load_arrays(start)
        self.average = MovingAverage(self.network, self.options.ema_alpha)
        self._optimiser = self._make_optimiser()
        self.iteration = 0

    def _make_optimiser(self) -> torch.optim.Optimizer:
        """SGD with Nesterov's momentum, or Adam; only kernels decay, never biases or batch norm's scales."""
        kernels = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        options = self.options
        groups = [{"params": kernels, "weight_decay": options.decay}, {"params": others, "weight_decay": 0.0}]
        if options.adam:
            return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(options.beta1, options.beta2))
        momentum = options.momentum
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=momentum, nesterov=momentum > 0)

    def schedule(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Iterations still to do, with the input size of each: what the augmentation's stream is given."""
        for iteration in range(self.iteration, self.options.max_batches):
            yield iteration, training_size(self.options, iteration, self.seed)

    def step(self, images: NDArray[np.float32], truth: NDArray[np.float32]) -> Progress:
        """Train on one batch.

        Parameters
        ----------
        images : float32 array (batch, 3, H, W)
        truth : float32 array (m, 6)
            Image in the batch, class, cx, cy, w, h; relative to the image.

        Raises
        ------
        TrainingError
            The loss is no longer a number.
        """
        options, iteration = self.options, self.iteration
        rate = learning_rate(options, iteration)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self.network.start_batch()
        self.network.ramp_dropblock(iteration / options.max_batches)
        self._optimiser.zero_grad(set_to_none=True)
        found = [self._mini_batch(*part) for part in self._mini_batches(images, truth)]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST_GRADIENT)
        self._optimiser.step()
        self.average.update(self.network)
        self.iteration += 1
        size = (images.shape[3], images.shape[2])
        progress = Progress(iteration, rate, size, *_summed(found))
        if not math.isfinite(progress.loss):
            raise TrainingError(f"iteration {iteration}: the loss is {progress.loss}; lower learning_rate={rate:g}")
        return progress

    def _mini_batches(self, images: NDArray[np.float32], truth: NDArray[np.float32]) -> Iterator[tuple[Tensor, Tensor]]:
        count = self.options.mini_batch
        for first in range(0, len(images), count):
            mine = truth[(truth[:, 0] >= first) & (truth[:, 0] < first + count)].copy()
            mine[:, 0] -= first
            some = torch.from_numpy(images[first : first + count]).contiguous(memory_format=torch.channels_last)
            yield some, torch.from_numpy(mine)

    def _mini_batch(self, images: Tensor, truth: Tensor) -> list[LossParts]:
        """Forward and backward of one mini-batch; the gradients add up to the mean over the batch."""
        options = self.options
        size = (images.shape[3], images.shape[2])
        if options.adversarial_lr and is_adversarial(self.iteration, options.burn_in, self.seed):
            nothing = truth[:0]
            images = deceive(
                self.network, images, lambda heads: _total(self._charge(heads, nothing, size)), options.adversarial_lr
            )
        parts = self._charge(self.network(images), truth, size)
        (_total(parts) / options.subdivisions).backward()
        return parts

    def _charge(self, heads: Sequence[Tensor], truth: Tensor, size: tuple[int, int]) -> list[LossParts]:
        return [loss(raw, truth, size) for loss, raw in zip(self._losses, heads, strict=True)]

    @property
    def seen(self) -> int:
        """Pictures trained on, as the weights file counts them."""
        return self.iteration * self.options.batch

    def write(self, path: Path) -> None:
        """Write the averaged weights as a Darknet file."""
        write_weights(path, self.graph, self.average.network.arrays(), seen=self.seen)

    def save(self, path: Path) -> None:
        """Write a checkpoint that `resume` goes on from, to the bit."""
        state: dict[str, Any] = {
            "identity": self._identity,
            "iteration": self.iteration,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "average_count": self.average.count,
            "optimiser": self._optimiser.state_dict(),
            "random": torch.get_rng_state(),
        }
        save_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same cfg and seed.

        Raises
        ------
        CheckpointError
        """
        state = load_checkpoint(path, self._identity)
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.count = state["average_count"]
        self._optimiser.load_state_dict(state["optimiser"])
        self.iteration = state["iteration"]
        torch.set_rng_state(state["random"])


def _total(parts: Sequence[LossParts]) -> Tensor:
    return torch.stack([part.total for part in parts]).sum()


def _summed(found: Sequence[Sequence[LossParts]]) -> tuple[float, float, float, int, float]:
    """Loss parts of a batch from those of its mini-batches and heads, the overlap as a mean over all positives."""
    parts = [part for mini_batch in found for part in mini_batch]
    box, objectness, classes = (
        sum(float(getattr(part, name).detach()) for part in parts) / len(found)
        for name in ("box", "objectness", "classes")
    )
    positives = sum(int(part.positives) for part in parts)
    overlap = sum(int(part.positives) * float(part.mean_iou) for part in parts) / max(1, positives)
    return box, objectness, classes, positives, overlap
