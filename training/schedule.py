"""How fast and at which size: learning rate and training shape of an iteration, both functions of its number alone."""

from __future__ import annotations

import math

import numpy as np

from training.options import TrainOptions

__all__ = ["learning_rate", "training_size"]

#: Iterations that share one size, as in Darknet.
SIZE_PERIOD = 10


def learning_rate(options: TrainOptions, iteration: int) -> float:
    """Learning rate of an iteration, counted from 0.

    Warm-up: the first ``burn_in`` iterations rise to the full rate as ``(iteration / burn_in) ** power``. Then:

    - ``constant``;
    - ``steps``: times each of ``scales`` from the iteration of its ``steps`` on;
    - ``sgdr``: cosine annealing (Loshchilov and Hutter, 2017; arXiv 2004.10934, sections 2.2 and 3.4) from the full
      rate to ``learning_rate_min`` over the rest of ``max_batches``: one cycle, Darknet's default for ``sgdr_cycle``.
    """
    rate = options.learning_rate
    if iteration < options.burn_in:
        return rate * ((iteration + 1) / options.burn_in) ** options.power
    if options.policy == "steps":
        passed = [scale for step, scale in zip(options.steps, options.scales, strict=True) if iteration >= step]
        return rate * math.prod(passed)
    if options.policy == "sgdr":
        progress = (iteration - options.burn_in) / max(1, options.max_batches - options.burn_in)
        low = min(options.learning_rate_min, rate)
        return low + (rate - low) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return rate


def training_size(options: TrainOptions, iteration: int, seed: int) -> tuple[int, int]:
    """Width and height of the input in an iteration: random training shapes (arXiv 2004.10934, section 3.4).

    Every ten iterations a factor between ``1 / random`` and ``random`` is drawn, uniform in its logarithm; both sides
    are multiples of ``resize_step``. Darknet's ``random=1`` is 1.4; 0 keeps the cfg's size.
    """
    if options.random <= 1:
        return options.size
    draw = np.random.default_rng((seed, iteration // SIZE_PERIOD)).uniform(-1, 1)
    step, factor = options.resize_step, options.random**draw
    width, height = (max(step, round(side * factor / step) * step) for side in options.size)
    return width, height
