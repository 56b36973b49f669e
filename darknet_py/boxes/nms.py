"""Suppression of boxes that a likelier box overlaps, of the same class, as Darknet's ``do_nms_sort``, or of any.

Stands between ``decode`` and ``detections``.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from darknet_py.boxes.decode import Candidates
from darknet_py.boxes.kernels.suppression import suppress_boxes, work_size
from darknet_py.errors import OptionError
from darknet_py.nms_kinds import DEFAULT_BETA, DEFAULT_KIND, NMS_KINDS

__all__ = ["MOST_COMPARISONS", "Boxes", "suppress", "suppress_across_classes"]

_log = logging.getLogger(__name__)

#: Every box of a class may have to be compared with every other: a detector that finds a million would work for hours.
#: So many take a second or two. They are those of 46340 boxes of one class, or of 5181 of each of 80: far more than
#: anybody looks at (yolov3 at 608 has 22743 boxes in all, of which hundreds exceed 0.001).
MOST_COMPARISONS = 1 << 31

#: Centre, width and height, (n, 4).
Boxes = npt.NDArray[np.float32]


def suppress(
    candidates: Candidates,
    *,
    nms: float,
    kind: str = DEFAULT_KIND,
    beta: float = DEFAULT_BETA,
    boxes: Boxes | None = None,
) -> Candidates:
    """Suppress overlapping boxes class by class.

    Parameters
    ----------
    candidates : Candidates
        Left untouched.
    nms : float, in [0, 1]
        Boxes whose metric with a likelier box of the class is above it lose their probability of that class.
        0 suppresses nothing, as in Darknet. Of more than `MOST_COMPARISONS` the likeliest boxes of each class are
        compared, and the others lose their probability as well, with a warning in the log.
    kind : str
        One of ``NMS_KINDS``, which says what each compares: the ``nms_kind`` of the network's last head.
    beta : float
        ``beta_nms`` of that head.
    boxes : ndarray, shape (n, 4), float32, optional
        Centre, width and height to compare in place of the candidates' own.

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
    # Darknet moves boxes of objectness 0 to the end, which other programs' boxes have none of.
    objectness = candidates.objectness if boxes is None else np.ones_like(candidates.objectness)
    probs = np.array(candidates.probs, np.float32, order="C")
    order = _suppress(candidates.cxcywh if boxes is None else boxes, objectness, probs, nms, kind, beta)
    return Candidates(candidates.cxcywh[order], candidates.objectness[order], probs[order])


def _suppress(
    compared: Boxes, objectness: Boxes, probs: Boxes, nms: float, kind: str, beta: float
) -> npt.NDArray[np.int64]:
    """Set the probabilities of suppressed boxes in `probs` to 0; the order in which Darknet leaves the boxes."""
    # Copies, as arrays that may not be written to are another type to Numba.
    cxcywh, objectness = (np.array(array, np.float32, order="C") for array in (compared, objectness))
    count, classes = probs.shape
    members = int(np.count_nonzero(probs))
    work = np.empty(work_size(count, classes, members), np.int64)
    edges, kept = np.empty((2, 5, count), np.float32)
    order = np.empty(count, np.int64)
    suppress_boxes(
        cxcywh,
        objectness,
        probs,
        members if members * members <= MOST_COMPARISONS else _most_of_a_class(probs),
        np.float32(nms),
        NMS_KINDS[kind].distance,
        _exponent(kind, beta),
        work,
        edges,
        kept,
        order,
    )
    return order


def _exponent(kind: str, beta: float) -> float:
    """As a double, which Darknet's constant is; ``beta_nms`` is a float there."""
    fixed = NMS_KINDS[kind].fixed_exponent
    return float(np.float32(beta)) if fixed is None else fixed


def _most_of_a_class(probs: npt.NDArray[np.float32]) -> int:
    """How many boxes of each class may be compared."""
    counts = np.count_nonzero(probs, axis=0)
    low, high = 1, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        if int((np.minimum(counts, middle).astype(np.int64) ** 2).sum()) <= MOST_COMPARISONS:
            low = middle
        else:
            high = middle - 1
    if low < counts.max():
        _log.warning(
            "NMS: %d boxes, up to %d of a class: only the likeliest %d of each class are compared, the others are "
            "dropped (raise thresh)", len(probs), counts.max(), low,
        )  # fmt: skip
    return low


def suppress_across_classes(
    candidates: Candidates,
    *,
    nms: float,
    kind: str = DEFAULT_KIND,
    beta: float = DEFAULT_BETA,
    boxes: Boxes | None = None,
) -> Candidates:
    """Suppress overlapping boxes whatever their classes, each under its likeliest class alone.

    Parameters
    ----------
    candidates : Candidates
        Left untouched.
    nms, kind, beta, boxes
        As for `suppress`, of two boxes of whatever classes. With ``nms=0`` no box is suppressed.

    Returns
    -------
    Candidates
        The boxes that stay, most confident first and equally confident ones in the order given, each with the
        probability of one class: its likeliest, the first of several.

    Raises
    ------
    OptionError
        As `suppress`.
    """
    if candidates.probs.size == 0:
        return suppress(candidates, nms=nms, kind=kind, beta=beta)
    best = candidates.probs.argmax(axis=1)
    confidence = candidates.probs[np.arange(len(best)), best]
    order = np.argsort(-confidence, kind="stable")[: np.count_nonzero(confidence)]
    # Of one class and in order already, so that the boxes come back in their places.
    compared = candidates.cxcywh if boxes is None else boxes
    ranked = Candidates(compared[order], np.ones(len(order), np.float32), confidence[order, None])
    order = order[suppress(ranked, nms=nms, kind=kind, beta=beta).probs[:, 0] != 0]
    probs = np.zeros((len(order), candidates.probs.shape[1]), np.float32)
    probs[np.arange(len(order)), best[order]] = confidence[order]
    return Candidates(candidates.cxcywh[order], candidates.objectness[order], probs)
