"""AP50, AP75 and AP as COCO defines them, by the measure of ``darknet-py evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.evaluation.coco import coco_figures
from darknet_py.evaluation.truths import Found, Truth

__all__ = ["Boxes", "average_precisions"]


class Boxes(NamedTuple):
    """Boxes of one image: class_id (n,), confidence (n,) (any values for true boxes), xyxy (n, 4)."""

    class_id: NDArray[Any]
    confidence: NDArray[Any]
    xyxy: NDArray[Any]


def average_precisions(found: Sequence[Boxes], truth: Sequence[Boxes]) -> dict[str, float]:
    """AP50, AP75 and AP (mean over IoU .50 to .95) of detections, image by image beside their truth."""
    summary = coco_figures(
        [Found(boxes.class_id, boxes.confidence, _xywh(boxes)) for boxes in found],
        [Truth(boxes.class_id, _xywh(boxes)) for boxes in truth],
    ).summary()
    return {name: summary[name] if summary[name] >= 0 else float("nan") for name in ("AP50", "AP75", "AP")}


def _xywh(boxes: Boxes) -> NDArray[np.float64]:
    xyxy = np.asarray(boxes.xyxy, np.float64).reshape(-1, 4)
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
