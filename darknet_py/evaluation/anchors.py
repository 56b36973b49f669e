"""Anchors that suit labelled boxes: k-means with 1 - IoU for the distance, as Darknet's ``calc_anchors``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import OptionError

__all__ = ["Sizes", "by_area", "cluster_sizes", "find_anchors", "mean_best_iou"]

Sizes = NDArray[np.float64]

#: The best of this many clusterings from different starting points is taken; k-means only finds the next local optimum.
RESTARTS = 8
#: Darknet's bound; k-means settles far earlier.
_MOST_ITERATIONS = 1000


def find_anchors(sizes: NDArray[np.floating], count: int, seed: int) -> Sizes:
    """The anchors (count, 2) that fit boxes of widths and heights (n, 2) best, by ascending area, as masks expect them.

    Raises
    ------
    OptionError
        As `cluster_sizes`.
    """
    return by_area(cluster_sizes(sizes, count, seed))


def by_area(anchors: Sizes) -> Sizes:
    """Anchors (k, 2) by ascending area."""
    return anchors[np.argsort(anchors.prod(1), kind="stable")]


def cluster_sizes(sizes: NDArray[np.floating], count: int, seed: int) -> Sizes:
    """The means (count, 2) of the best clustering found, in no order.

    Raises
    ------
    OptionError
        Sizes that are no sizes, or fewer different ones than anchors.
    """
    sizes = np.asarray(sizes, np.float64).reshape(-1, 2)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise OptionError("sizes: expected positive widths and heights; leave out boxes without area")
    distinct = len(np.unique(sizes, axis=0))
    if not 1 <= count <= distinct:
        raise OptionError(f"count={count} anchors of {distinct} different sizes: expected 1 to {distinct}")
    rng = np.random.default_rng(seed)
    found = [_cluster(sizes, _spread(sizes, count, rng)) for _ in range(RESTARTS)]
    return max(found, key=lambda anchors: mean_best_iou(sizes, anchors))


def mean_best_iou(sizes: NDArray[np.floating], anchors: NDArray[np.floating]) -> float:
    """How well anchors fit boxes, 0 to 1: the mean over the boxes (n, 2) of the best IoU with an anchor (k, 2)."""
    return float(_overlap(np.asarray(sizes, np.float64), np.asarray(anchors, np.float64)).max(1).mean())


def _overlap(sizes: Sizes, anchors: Sizes) -> Sizes:
    """IoU (n, k) of boxes (n, 2) and anchors (k, 2) that share a centre."""
    shared = np.minimum(sizes[:, :1], anchors[:, 0]) * np.minimum(sizes[:, 1:], anchors[:, 1])
    overlap: Sizes = shared / (sizes.prod(1)[:, None] + anchors.prod(1) - shared)
    return overlap


def _spread(sizes: Sizes, count: int, rng: np.random.Generator) -> Sizes:
    """Starting points far apart: each is drawn with the squared distance to the nearest one before (k-means++)."""
    chosen = sizes[[rng.integers(len(sizes))]]
    while len(chosen) < count:
        weight = np.square(1 - _overlap(sizes, chosen).max(1))
        chosen = np.vstack([chosen, sizes[rng.choice(len(sizes), p=weight / weight.sum())]])
    return chosen


def _cluster(sizes: Sizes, anchors: Sizes) -> Sizes:
    """Lloyd's iteration until no box changes its cluster; a cluster without boxes keeps its centre."""
    nearest = np.full(len(sizes), -1)
    for _ in range(_MOST_ITERATIONS):
        before, nearest = nearest, _overlap(sizes, anchors).argmax(1)
        if np.array_equal(before, nearest):
            break
        members = np.bincount(nearest, minlength=len(anchors))
        totals = np.stack([np.bincount(nearest, side, len(anchors)) for side in sizes.T], 1)
        anchors = np.where(members[:, None] > 0, totals / np.maximum(members, 1)[:, None], anchors)
    return anchors
