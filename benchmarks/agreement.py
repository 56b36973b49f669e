"""Whether runtimes computed the same: their outputs against each other, before any of their times counts."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.decode import decode
from darknet_py.boxes.nms import suppress
from darknet_py.graph import Graph
from darknet_py.pictures.geometry import Geometry

__all__ = [
    "BOX_TOLERANCE",
    "TOLERANCES",
    "activate_heads",
    "box_difference",
    "largest_difference",
    "pick_reference",
    "read_outputs",
]

#: Largest difference allowed, relative to the largest magnitude of a head's output, by precision.
TOLERANCES = {"float32": 2e-3, "float16": 3e-2, "bfloat16": 0.15}

#: What Darknet's program runs with, and how far its printed whole numbers may be from the exact ones.
_THRESH, _NMS, _ROUNDING = 0.25, 0.45, 1.01
#: Share of boxes that may differ: those near the threshold.
BOX_TOLERANCE = 0.02

Outputs = Sequence[NDArray[Any]]


def read_outputs(path: Path) -> list[NDArray[Any]]:
    """The arrays that a runtime's process left in a file, in order."""
    with np.load(path) as file:
        return [file[name] for name in file.files]


def largest_difference(outputs: Outputs, reference: Outputs) -> float:
    """Largest difference over all heads, relative to the head's largest magnitude; infinite if shapes differ."""
    if len(outputs) != len(reference):
        return float("inf")
    worst = 0.0
    for found, expected in zip(outputs, reference, strict=True):
        if found.size != expected.size:
            return float("inf")
        apart = np.abs(found.reshape(expected.shape) - expected).max() / max(np.abs(expected).max(), 1e-30)
        worst = max(worst, float(apart) if np.isfinite(apart) else float("inf"))
    return worst


def pick_reference(outputs: Mapping[str, Outputs]) -> str:
    """The runtime that the others are nearest to: nobody's result is right by definition."""

    def distance(name: str) -> float:
        others = [largest_difference(other, outputs[name]) for key, other in outputs.items() if key != name]
        return statistics.median(others) if others else 0.0

    return min(outputs, key=distance)


def activate_heads(graph: Graph, maps: Outputs) -> list[NDArray[Any]]:
    """What the heads make of the maps (1, C, H, W) that enter them, for runtimes that only give decoded boxes."""
    return [_ACTIVATE[head.kind](head, map_[0])[None] for head, map_ in zip(graph.heads, maps, strict=True)]


def box_difference(graph: Graph, found: Sequence[Sequence[float]], reference: Outputs) -> float:
    """Share of boxes without a partner in the other list, for a program that only prints its boxes.

    `found` are [percent, left, top, width, height] as Darknet prints them; the reference's maps are decoded here.
    """
    _, height, width = graph.blob
    last: Any = graph.heads[-1]
    maps = [
        (head, np.ascontiguousarray(map_[0] if head.kind == "region" else map_[0].transpose(1, 2, 0), np.float32))
        for head, map_ in zip(graph.heads, reference, strict=True)
    ]
    candidates = decode(maps, Geometry(width, height, width, height, False), _THRESH)
    kept = suppress(candidates, nms=_NMS, kind=last.nms_kind, beta=last.beta_nms)
    box, class_id = np.nonzero(kept.probs)
    x, y, w, h = (kept.cxcywh[box] * (width, height, width, height)).T
    expected = np.stack([100 * kept.probs[box, class_id], x - w / 2, y - h / 2, w, h], axis=1)
    total = max(len(found), len(expected))
    # Two empty lists say nothing about whether the program works.
    return 1 - _paired(np.asarray(found, np.float64).reshape(-1, 5), expected) / total if total else float("inf")


def _paired(found: NDArray[Any], expected: NDArray[Any]) -> int:
    """How many rows have a partner within rounding: nearly all the very same, the others searched for."""
    same = Counter(map(tuple, np.rint(found))) & Counter(map(tuple, np.rint(expected)))
    left, searched = (_without(rows, same) for rows in (found, expected))
    free = np.ones(len(left), bool)
    for row in searched:
        apart = np.where(free, np.abs(left - row).max(axis=1), np.inf)
        if len(apart) and apart.min() <= _ROUNDING:
            free[apart.argmin()] = False
    return same.total() + len(left) - int(free.sum())


def _without(rows: NDArray[Any], taken: Counter[tuple[float, ...]]) -> NDArray[Any]:
    open_ = taken.copy()
    kept = []
    for row, key in zip(rows, map(tuple, np.rint(rows)), strict=True):
        if open_[key] > 0:
            open_[key] -= 1
        else:
            kept.append(row)
    return np.asarray(kept).reshape(-1, rows.shape[1])


def _logistic(x: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _yolo(head: Any, x: NDArray[Any]) -> NDArray[Any]:
    blocks = x.reshape(len(head.mask), -1, *x.shape[1:]).copy()
    if not head.new_coords:
        blocks[:, :2], blocks[:, 4:] = _logistic(blocks[:, :2]), _logistic(blocks[:, 4:])
    blocks[:, :2] = blocks[:, :2] * head.scale_x_y - 0.5 * (head.scale_x_y - 1)
    return blocks.reshape(x.shape)


def _region(head: Any, x: NDArray[Any]) -> NDArray[Any]:
    blocks = x.reshape(head.num, -1, *x.shape[1:]).copy()
    blocks[:, 4] = _logistic(blocks[:, 4])
    if head.softmax:
        powers = np.exp(blocks[:, 5:] - blocks[:, 5:].max(axis=1, keepdims=True))
        blocks[:, 5:] = powers / powers.sum(axis=1, keepdims=True)
    return blocks.reshape(x.shape).transpose(1, 2, 0)


_ACTIVATE = {"region": _region, "yolo": _yolo}
