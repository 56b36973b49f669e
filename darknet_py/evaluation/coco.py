"""COCO's average precision and recall: the twelve figures of its own program, and the curves behind them.

Computed here, not by pycocotools, so that an ordinary installation evaluates, and training while it runs; tests compare
every figure with pycocotools'. What it does is in cocoeval.py of COCO's API: ten overlaps, 101 recalls, at most 100
detections of a class in a picture, each taking the best true box that is left; a class without objects does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.kernels.matching import match_boxes
from darknet_py.evaluation.truths import Found, Truth, by_class, overlaps

__all__ = ["IOUS", "RECALLS", "CocoFigures", "coco_figures"]

Floats = NDArray[np.float64]

#: As pycocotools makes them: not all are what one would write, and equality with one decides.
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
#: Detections of a class in a picture.
_MOST = (1, 10, 100)
_AREAS = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}


class _Matches(NamedTuple):
    """Of one class in one picture and one range of areas: confidences (n,), flags (t, n), true boxes that count."""

    confidence: Floats
    matched: NDArray[np.uint8]
    ignored: NDArray[np.bool_]
    truths: int


@dataclass(frozen=True, eq=False)
class CocoFigures:
    """What COCO's program says.

    Attributes
    ----------
    classes : tuple of int
        That have objects, or detections, ascending.
    precision : ndarray, shape (10, 101, classes, 4)
        By IoU (`IOUS`), recall (`RECALLS`), class and area (all, small, medium, large), of up to 100 detections; -1
        where there are no objects.
    recall : ndarray, shape (10, classes, 4, 3)
        The highest reached; the last axis is of up to 1, 10 and 100 detections.
    confidence : ndarray, shape (10, 101, classes)
        At which that precision is reached, of all areas.
    """

    classes: tuple[int, ...]
    precision: Floats
    recall: Floats
    confidence: Floats

    def summary(self) -> dict[str, float]:
        """The twelve figures by their names: AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl; -1 for
        none."""
        precision, recall = self.precision, self.recall
        return {
            "AP": _mean(precision[..., 0]),
            "AP50": _mean(precision[0, ..., 0]),
            "AP75": _mean(precision[5, ..., 0]),
            "APs": _mean(precision[..., 1]),
            "APm": _mean(precision[..., 2]),
            "APl": _mean(precision[..., 3]),
            "AR1": _mean(recall[..., 0, 0]),
            "AR10": _mean(recall[..., 0, 1]),
            "AR100": _mean(recall[..., 0, 2]),
            "ARs": _mean(recall[..., 1, 2]),
            "ARm": _mean(recall[..., 2, 2]),
            "ARl": _mean(recall[..., 3, 2]),
        }

    def of_class(self, class_id: int) -> dict[str, float]:
        """AP, AP50, AP75 and AR100 of one class; -1 where it has no objects."""
        if class_id not in self.classes:
            return dict.fromkeys(("AP", "AP50", "AP75", "AR100"), -1.0)
        k = self.classes.index(class_id)
        precision = self.precision[:, :, k, 0]
        return {
            "AP": _mean(precision),
            "AP50": _mean(precision[0]),
            "AP75": _mean(precision[5]),
            "AR100": _mean(self.recall[:, k, 0, 2]),
        }


def _mean(values: Floats) -> float:
    kept = values[values > -1]
    return float(kept.mean()) if kept.size else -1.0


def coco_figures(found: Sequence[Found], truth: Sequence[Truth]) -> CocoFigures:
    """COCO's figures of detections, picture by picture beside their truth.

    Objects that are difficult are ignored as those of another size are: neither found nor missed.
    """
    matches: dict[int, list[list[_Matches]]] = {}
    for ours, true in zip(found, truth, strict=True):
        mine, wanted = by_class(ours.class_id), by_class(true.class_id)
        for k in mine.keys() | wanted.keys():
            none = np.empty(0, np.intp)
            per_area = matches.setdefault(k, [[] for _ in _AREAS])
            for several, one in zip(
                per_area, _of_picture(ours, true, mine.get(k, none), wanted.get(k, none)), strict=True
            ):
                several.append(one)
    classes = tuple(sorted(matches))
    shape = len(IOUS), len(RECALLS), len(classes)
    precision, confidence = np.full((*shape, len(_AREAS)), -1.0), np.full(shape, -1.0)
    recall = np.full((len(IOUS), len(classes), len(_AREAS), len(_MOST)), -1.0)
    for k, class_id in enumerate(classes):
        for a, parts in enumerate(matches[class_id]):
            for m, most in enumerate(_MOST):
                curve = _curve(parts, most)
                if curve is not None:
                    recall[:, k, a, m] = curve[1]
                    if most == _MOST[-1]:
                        precision[:, :, k, a] = curve[0]
                        if a == 0:
                            confidence[:, :, k] = curve[2]
    return CocoFigures(classes, precision, recall, confidence)


def _of_picture(ours: Found, true: Truth, mine: NDArray[np.intp], wanted: NDArray[np.intp]) -> list[_Matches]:
    """The matches of one class in one picture, by area."""
    mine = mine[np.argsort(-ours.confidence[mine], kind="stable")][: _MOST[-1]]
    shares = overlaps(ours.xywh[mine], true.xywh[wanted], true.crowd[wanted])
    sizes = ours.xywh[mine, 2] * ours.xywh[mine, 3]
    result = []
    for low, high in _AREAS.values():
        outside = (true.area[wanted] < low) | (true.area[wanted] > high)
        ignored = outside | ~true.counts[wanted]
        order = np.argsort(ignored, kind="stable")
        matched, with_ignored = np.empty((2, len(IOUS), len(mine)), np.uint8)
        match_boxes(
            np.ascontiguousarray(shares[:, order]),
            IOUS,
            ignored[order].astype(np.uint8),
            true.crowd[wanted][order].astype(np.uint8),
            np.empty(len(wanted), np.uint8),
            matched,
            with_ignored,
        )
        left_out = (with_ignored != 0) | ((matched == 0) & ((sizes < low) | (sizes > high)))
        result.append(_Matches(ours.confidence[mine], matched, left_out, int((~ignored).sum())))
    return result


def _curve(parts: Sequence[_Matches], most: int) -> tuple[Floats, Floats, Floats] | None:
    """Precision (t, 101), the highest recall (t,) and confidences (t, 101) of up to `most` of each picture."""
    truths = sum(part.truths for part in parts)
    if truths == 0:
        return None
    confidence = np.concatenate([part.confidence[:most] for part in parts])
    order = np.argsort(-confidence, kind="stable")
    matched = np.concatenate([part.matched[:, :most] for part in parts], axis=1)[:, order] != 0
    ignored = np.concatenate([part.ignored[:, :most] for part in parts], axis=1)[:, order]
    right = (matched & ~ignored).cumsum(axis=1, dtype=np.float64)
    wrong = (~matched & ~ignored).cumsum(axis=1, dtype=np.float64)
    recalls, precisions = right / truths, right / (right + wrong + np.spacing(1))
    precisions = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    precision, at_confidence = np.zeros((2, len(IOUS), len(RECALLS)))
    for t in range(len(IOUS)):
        at = np.searchsorted(recalls[t], RECALLS, side="left")
        reached = at < len(order)
        precision[t, reached] = precisions[t, at[reached]]
        at_confidence[t, reached] = confidence[order][at[reached]]
    highest = recalls[:, -1] if len(order) else np.zeros(len(IOUS))
    return precision, highest, at_confidence
