"""Darknet's own mean average precision: what ``detector map`` prints, matched and counted as it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.evaluation.truths import Found, Truth, overlaps

__all__ = ["LEAST_CONFIDENCE", "POINTS", "DarknetFigures", "OfClass", "darknet_figures"]

Floats = NDArray[np.float64]

#: Detections that ``detector map`` looks at have more.
LEAST_CONFIDENCE = np.float32(0.005)
#: ``-points``: 0 is the area under the curve.
POINTS = (0, 11, 101)


class OfClass(NamedTuple):
    """What is said of one class: its average precision, and counts at the confidence asked for."""

    ap: float
    right: int
    wrong: int
    truths: int
    mean_iou: float

    @property
    def precision(self) -> float:
        """0 where nothing was found."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 0.0

    @property
    def recall(self) -> float:
        """0 where there is nothing to be found."""
        return self.right / self.truths if self.truths else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, eq=False)
class DarknetFigures:
    """What ``detector map`` says.

    Attributes
    ----------
    iou : float
        Overlap above which a detection is right.
    points : int
        Recalls at which precision is taken; 0 for the area under the curve.
    confidence : float
        Above which detections are counted for precision and recall.
    classes : tuple of OfClass
        One per class of the model.
    curves : tuple of (recall, precision)
        Of each class, an entry per detection, the most confident first.
    """

    iou: float
    points: int
    confidence: float
    classes: tuple[OfClass, ...]
    curves: tuple[tuple[Floats, Floats], ...]

    @property
    def mean_ap(self) -> float:
        """Over all classes of the model; one without objects counts 0."""
        return float(np.mean([one.ap for one in self.classes])) if self.classes else 0.0

    @property
    def total(self) -> OfClass:
        """All classes counted together; `ap` is their mean."""
        right, wrong = sum(one.right for one in self.classes), sum(one.wrong for one in self.classes)
        truths = sum(one.truths for one in self.classes)
        summed = sum(one.mean_iou * (one.right + one.wrong) for one in self.classes)
        return OfClass(self.mean_ap, right, wrong, truths, summed / (right + wrong) if right + wrong else 0.0)


class _Matched(NamedTuple):
    """Detections of one class in all pictures: confidence, number of the true box or -1."""

    confidence: list[NDArray[np.float32]]
    truth: list[NDArray[np.int64]]


def darknet_figures(
    found: Sequence[Found],
    truth: Sequence[Truth],
    classes: int,
    *,
    iou: float = 0.5,
    points: int = 0,
    confidence: float = 0.25,
) -> DarknetFigures:
    """Darknet's figures of detections, picture by picture beside their truth.

    Parameters
    ----------
    found : sequence of Found
        In Darknet's order, as a detector gives them: it decides between detections of one object below.
    truth : sequence of Truth
        Crowds are taken for difficult objects.
    classes : int
    iou, points, confidence
        ``-iou_thresh``, ``-points`` and ``-thresh`` of ``detector map``.

    Notes
    -----
    As in AlexeyAB's ``validate_detector_map``: a detection belongs to the object of its class with the highest IoU
    above `iou`, whether that is taken or not; of those of one object the most confident is right. One that belongs to
    none and overlaps a difficult object is left out. Precision and recall at `confidence` are counted picture by
    picture, in the order of the detections: of those of one object the first is right, if it is above.
    """
    matched = [_Matched([], []) for _ in range(classes)]
    right, wrong, truths = np.zeros((3, classes), np.int64)
    ious = np.zeros(classes)
    first = 0
    for ours, true in zip(found, truth, strict=True):
        counted = np.flatnonzero(true.counts)
        truths += np.bincount(true.class_id[counted], minlength=classes)[:classes]
        kept, best, of_best = _match(ours, true, counted, iou)
        confidences = ours.confidence[kept].astype(np.float32)
        _count(ours.class_id[kept], confidences, best, of_best, np.float32(confidence), right, wrong, ious)
        stays = ~((best < 0) & _on_difficult(ours, true, kept, iou))
        for k in np.unique(ours.class_id[kept]):
            mine = stays & (ours.class_id[kept] == k)
            matched[k].confidence.append(confidences[mine])
            matched[k].truth.append(np.where(best[mine] < 0, -1, best[mine] + first))
        first += len(true.class_id)
    curves = tuple(_curve(one, int(total)) for one, total in zip(matched, truths, strict=True))
    rows = tuple(
        OfClass(
            _average_precision(*curves[k], points),
            int(right[k]),
            int(wrong[k]),
            int(truths[k]),
            float(ious[k] / (right[k] + wrong[k])) if right[k] + wrong[k] else 0.0,
        )
        for k in range(classes)
    )
    return DarknetFigures(iou, points, confidence, rows, curves)


def _match(
    ours: Found, true: Truth, counted: NDArray[np.intp], iou: float
) -> tuple[NDArray[np.intp], NDArray[np.int64], Floats]:
    """Which detections are looked at, the true box that each belongs to (or -1), and their overlap."""
    kept = np.flatnonzero(ours.confidence.astype(np.float32) > LEAST_CONFIDENCE)
    if not len(counted):
        return kept, np.full(len(kept), -1), np.zeros(len(kept))
    shares = overlaps(ours.xywh[kept], true.xywh[counted])
    same = ours.class_id[kept][:, None] == true.class_id[counted][None]
    shares = np.where(same & (shares > iou), shares, 0.0)
    at = shares.argmax(axis=1)
    of_best = shares[np.arange(len(kept)), at]
    return kept, np.where(of_best > 0, counted[at], -1), of_best


def _on_difficult(ours: Found, true: Truth, kept: NDArray[np.intp], iou: float) -> NDArray[np.bool_]:
    hard = np.flatnonzero(~true.counts)
    shares = overlaps(ours.xywh[kept], true.xywh[hard])
    same = ours.class_id[kept][:, None] == true.class_id[hard][None]
    hit: NDArray[np.bool_] = (same & (shares > iou)).any(axis=1)
    return hit


def _count(
    class_id: NDArray[np.int64],
    confidences: NDArray[np.float32],
    best: NDArray[np.int64],
    of_best: Floats,
    confidence: np.float32,
    right: NDArray[np.int64],
    wrong: NDArray[np.int64],
    ious: Floats,
) -> None:
    """Right and wrong ones of a picture: of an object, the first detection listed, be it above `confidence` or not."""
    seen: set[int] = set()
    for k, value, truth, share in zip(class_id, confidences, best, of_best, strict=True):
        if value > confidence:
            if truth >= 0 and truth not in seen:
                right[k] += 1
                ious[k] += share
            else:
                wrong[k] += 1
        seen.add(int(truth))


def _curve(matched: _Matched, truths: int) -> tuple[Floats, Floats]:
    """Recall and precision after each detection, the most confident first."""
    if not matched.confidence:
        return np.empty(0), np.empty(0)
    order = np.argsort(-np.concatenate(matched.confidence), kind="stable")
    boxes = np.concatenate(matched.truth)[order]
    hit = np.zeros(len(boxes), bool)
    _, firsts = np.unique(boxes, return_index=True)
    hit[firsts] = True
    hit &= boxes >= 0
    right = hit.cumsum()
    precision = right / np.arange(1, len(boxes) + 1)
    return right / max(truths, 1), precision


def _average_precision(recall: Floats, precision: Floats, points: int) -> float:
    if not len(recall):
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if points == 0:
        return float((np.diff(recall, prepend=0.0) * best).sum())
    wanted = np.arange(points) * 1.0 / (points - 1)
    at = np.searchsorted(recall, wanted, side="left")
    return float(np.append(best, 0.0)[at].mean())
