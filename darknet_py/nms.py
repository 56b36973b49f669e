"""Suppression of boxes that a likelier box of the same class overlaps: Darknet's ``do_nms_sort`` and ``diounms_sort``.

Stands between ``decode`` and ``detections``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from darknet_py.decode import Candidates
from darknet_py.errors import OptionError
from darknet_py.kernels.nms import count_members, suppress_classes

__all__ = ["NMS_KINDS", "suppress"]

#: What ``nms_kind=`` may say in a cfg, and the metric each compares with the threshold. In [Gaussian_yolo]
#: cornersnms is IoU; [yolo] does not know it and takes the default, which is IoU as well.
NMS_KINDS: dict[str, str] = {
    "default": "IoU",
    "cornersnms": "IoU",
    "greedynms": "IoU - (d2 / c2) ** 0.6",
    "diounms": "IoU - (d2 / c2) ** beta_nms",
}


def suppress(candidates: Candidates, *, nms: float, kind: str = "default", beta: float = 0.6) -> Candidates:
    """Suppress overlapping boxes class by class.

    Parameters
    ----------
    candidates : Candidates
        Left untouched.
    nms : float, in [0, 1]
        Boxes whose metric with a likelier box of the class is above it lose their probability of that class.
        0 suppresses nothing, as in Darknet.
    kind : str
        One of ``NMS_KINDS``: the ``nms_kind`` of the network's last head. `greedynms` is not plain IoU: its exponent
        is 0.6 whatever `beta` says.
    beta : float
        ``beta_nms`` of that head: the exponent of `diounms`, of no effect elsewhere.

    Returns
    -------
    Candidates
        The same boxes, probabilities of suppressed ones 0, in the order in which Darknet leaves its array
        (and prints it): sorted by one class after the other.

    Raises
    ------
    OptionError
        A threshold outside [0, 1], or an unknown kind.
    """
    if not 0 <= nms <= 1:
        raise OptionError(f"nms={nms!r}: expected an overlap between 0 and 1 (0 suppresses nothing)")
    if kind not in NMS_KINDS:
        raise OptionError(f"nms_kind {kind!r} is not known: expected one of {', '.join(NMS_KINDS)}")
    if nms == 0 or candidates.probs.size == 0:
        return candidates
    order, alive = _objects_first(candidates.objectness)
    probs = candidates.probs[order]
    counts = np.empty(probs.shape[1], np.int64)
    count_members(probs[:alive], counts)
    ends = np.cumsum(counts)
    cxcywh = np.ascontiguousarray(candidates.cxcywh[order])
    members = np.empty(counts.sum(), np.int64)
    keys = np.arange(alive, dtype=np.int64)
    exponent = 0.6 if kind == "greedynms" else float(np.float32(beta))
    edges = _edges(cxcywh)
    suppress_classes(
        cxcywh,
        edges,
        ends,
        np.float32(nms),
        kind in ("greedynms", "diounms"),
        exponent,
        members,
        np.empty_like(members),
        np.empty_like(edges),
        keys,
        probs[:alive],
    )
    last = np.arange(len(order))
    last[:alive] = np.argsort(keys)
    return Candidates(cxcywh[last], candidates.objectness[order][last], probs[last])


def _objects_first(objectness: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], int]:
    """Darknet's order with the boxes of objectness 0 swapped to the end, and how many stand before them."""
    order = np.arange(len(objectness), dtype=np.int64)
    alive = len(order)
    if objectness.all():
        return order, alive
    at = 0
    while at < alive:
        if objectness[order[at]] == 0:
            alive -= 1
            order[at], order[alive] = order[alive], order[at]
        else:
            at += 1
    return order, alive


def _edges(cxcywh: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Left, top, right, bottom and area of centre boxes, (5, n)."""
    x, y, w, h = cxcywh.T
    two = np.float32(2)
    with np.errstate(invalid="ignore", over="ignore"):  # a box may be infinite: exp() of anything
        return np.stack((x - w / two, y - h / two, x + w / two, y + h / two, w * h))
