"""True boxes and found ones of a picture, as the measures take them, and how much they overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.detections import Detections

__all__ = ["Found", "Truth", "by_class", "overlaps"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is to be found in a picture.

    Attributes
    ----------
    class_id : ndarray, shape (n,), int64
    xywh : ndarray, shape (n, 4), float64
        Left, top, width, height in pixels.
    crowd : ndarray, shape (n,), bool
        Boxes around many objects (COCO's ``iscrowd``): what is found in them is neither right nor wrong.
    difficult : ndarray, shape (n,), bool
        Objects that need not be found (VOC's, Darknet's ``difficult=``): likewise.
    area : ndarray, shape (n,), float64
        In pixels, for COCO's small, medium and large; of the object, not of its box, where that is known.
    """

    class_id: NDArray[np.int64]
    xywh: Floats
    crowd: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    difficult: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    area: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_id", np.asarray(self.class_id, np.int64))
        object.__setattr__(self, "xywh", np.asarray(self.xywh, np.float64).reshape(-1, 4))
        n = len(self.class_id)
        for name in ("crowd", "difficult"):
            if len(getattr(self, name)) != n:
                object.__setattr__(self, name, np.zeros(n, bool))
        if len(self.area) != n:
            object.__setattr__(self, "area", self.xywh[:, 2] * self.xywh[:, 3])

    def of_classes(self, classes: Mapping[int, int]) -> Truth:
        """The objects of some classes, which are numbered anew."""
        kept = np.array([k in classes for k in self.class_id.tolist()], bool)
        return Truth(
            np.array([classes[k] for k in self.class_id[kept].tolist()], np.int64),
            *(part[kept] for part in (self.xywh, self.crowd, self.difficult, self.area)),
        )

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Which objects are to be found: no crowds, none that are difficult."""
        counts: NDArray[np.bool_] = ~(self.crowd | self.difficult)
        return counts


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in a picture, in Darknet's order.

    Attributes
    ----------
    class_id : ndarray, shape (n,), int64
    confidence : ndarray, shape (n,), float64
    xywh : ndarray, shape (n, 4), float64
        Left, top, width, height in pixels.
    """

    class_id: NDArray[np.int64]
    confidence: Floats
    xywh: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_id", np.asarray(self.class_id, np.int64))
        object.__setattr__(self, "confidence", np.asarray(self.confidence, np.float64))
        object.__setattr__(self, "xywh", np.asarray(self.xywh, np.float64).reshape(-1, 4))

    @classmethod
    def of(cls, detections: Detections) -> Found:
        """Of what a detector gives."""
        xyxy = detections.xyxy.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
        return cls(detections.class_id, detections.confidence.astype(np.float64), xywh)


def by_class(class_id: NDArray[np.int64]) -> dict[int, NDArray[np.intp]]:
    """The places of each class that occurs, in order."""
    order = np.argsort(class_id, kind="stable")
    classes, first = np.unique(class_id[order], return_index=True)
    return dict(zip(classes.tolist(), np.split(order, first[1:]), strict=True)) if len(order) else {}


def overlaps(a: Floats, b: Floats, crowd: NDArray[np.bool_] | None = None) -> Floats:
    """IoU (n, m) of boxes (left, top, width, height); of a crowd, the share of `a` that lies in it."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        low = np.maximum(a[:, None, :2], b[None, :, :2])
        high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
        sides = (high - low).clip(0)
        shared = sides[..., 0] * sides[..., 1]
        of_a, of_b = (boxes[:, 2] * boxes[:, 3] for boxes in (a, b))
        union = of_a[:, None] + of_b[None] - shared
        if crowd is not None:
            union = np.where(crowd[None], of_a[:, None], union)
        result: Floats = np.where(shared > 0, shared / union, 0.0)
    return np.nan_to_num(result, nan=0.0)
