"""AP50, AP75 and AP as COCO defines them: 101-point interpolation, mean over the classes that occur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boxes", "average_precisions"]

_THRESHOLDS = np.arange(50, 100, 5) / 100
_RECALLS = np.linspace(0, 1, 101)
#: Of one class in one image, the most confident.
_MOST_DETECTIONS = 100


class Boxes(NamedTuple):
    """Boxes of one image: class_id (n,), confidence (n,) (any values for true boxes), xyxy (n, 4)."""

    class_id: NDArray[Any]
    confidence: NDArray[Any]
    xyxy: NDArray[Any]


def average_precisions(found: Sequence[Boxes], truth: Sequence[Boxes]) -> dict[str, float]:
    """AP50, AP75 and AP (mean over IoU .50 to .95) of detections, image by image beside their truth."""
    classes = sorted({int(c) for boxes in truth for c in boxes.class_id})
    values = np.array([_of_class(found, truth, c) for c in classes]).reshape(-1, len(_THRESHOLDS))
    mean = values.mean(axis=0) if len(values) else np.full(len(_THRESHOLDS), np.nan)
    return {"AP50": float(mean[0]), "AP75": float(mean[5]), "AP": float(mean.mean())}


def _of_class(found: Sequence[Boxes], truth: Sequence[Boxes], class_id: int) -> NDArray[Any]:
    """(thresholds,) average precision of one class."""
    hits, confidences, truths = [], [], 0
    for ours, true in zip(found, truth, strict=True):
        mine, wanted = np.flatnonzero(ours.class_id == class_id), true.class_id == class_id
        mine = mine[np.argsort(-ours.confidence[mine], kind="stable")][:_MOST_DETECTIONS]
        truths += int(wanted.sum())
        confidences.append(ours.confidence[mine])
        hits.append(_matched(_iou(ours.xyxy[mine], true.xyxy[wanted])))
    order = np.argsort(-np.concatenate(confidences), kind="stable")
    true_positives = np.concatenate(hits, axis=1)[:, order].cumsum(axis=1)
    precision = true_positives / np.arange(1, len(order) + 1)
    # Precision at a recall is the best at that recall or any higher.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.array([_interpolated(p, r) for p, r in zip(precision, true_positives / truths, strict=True)])


def _interpolated(precision: NDArray[Any], recall: NDArray[Any]) -> float:
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[at].mean())


def _matched(iou: NDArray[Any]) -> NDArray[np.bool_]:
    """(thresholds, detections) whether each detection, in falling confidence, takes a true box not taken yet."""
    hits = np.zeros((len(_THRESHOLDS), len(iou)), bool)
    for n, threshold in enumerate(_THRESHOLDS):
        free = np.ones(iou.shape[1], bool)
        for i, row in enumerate(iou):
            overlap = np.where(free, row, -1)
            # Of equal overlaps COCO's program takes the last.
            best = len(overlap) - 1 - int(overlap[::-1].argmax()) if len(overlap) else -1
            if best >= 0 and overlap[best] >= min(threshold, 1 - 1e-10):
                hits[n, i], free[best] = True, False
    return hits


def _iou(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """(n, m) overlaps of xyxy boxes."""
    a, b = a.astype(np.float64)[:, None], b.astype(np.float64)[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clip(0).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return shared / np.maximum(areas - shared, 1e-30)
