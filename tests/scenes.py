"""Made-up truth and detections for the measures: boxes near each other, missed, found twice, of the wrong class."""

from __future__ import annotations

import numpy as np

from darknet_py.evaluation.truths import Found, Truth


def make_scenes(seed: int, pictures: int = 12, classes: int = 4) -> tuple[list[Found], list[Truth]]:
    """Detections and truth of some pictures, some of them empty, with crowds, small and large objects, equal scores."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(pictures):
        count = int(rng.integers(0, 9))
        sizes = np.exp(rng.uniform(np.log(5), np.log(300), (count, 2)))
        boxes = np.concatenate([rng.uniform(0, 400, (count, 2)), sizes], axis=1).round(2)
        class_id = rng.integers(0, classes, count)
        truth.append(Truth(class_id, boxes, crowd=rng.random(count) < 0.15))
        times = rng.integers(0, 4, count)
        shifted = np.repeat(boxes, times, axis=0)
        shifted = shifted + rng.normal(0, 0.15, shifted.shape) * np.tile(shifted[:, 2:], 2)
        lost = rng.uniform(1, 100, (int(rng.integers(0, 5)), 4))
        every = np.concatenate([shifted, lost])
        every[:, 2:] = np.abs(every[:, 2:]) + 1
        of = np.concatenate([np.repeat(class_id, times), rng.integers(0, classes, len(lost))])
        of = np.where(rng.random(len(of)) < 0.1, rng.integers(0, classes, len(of)), of)
        order = rng.permutation(len(of))
        found.append(Found(of[order], rng.integers(1, 60, len(of)) / 60, every[order]))
    return found, truth
