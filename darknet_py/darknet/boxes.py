"""Boxes after a prediction, by the functions of the C library: arrays of DETECTION, suppressed in place."""

from __future__ import annotations

import ctypes as ct
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from darknet_py.boxes.decode import Candidates, decode
from darknet_py.boxes.nms import suppress
from darknet_py.darknet.networks import LoadedNetwork, network_of
from darknet_py.darknet.structures import DETECTION
from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.pictures.geometry import Geometry

__all__ = [
    "do_nms_obj",
    "do_nms_sort",
    "find_candidates",
    "free_batch_detections",
    "free_detections",
    "get_network_boxes",
    "make_network_boxes",
    "network_predict_batch",
    "remove_negatives",
    "remove_negatives_faster",
]

Floats = npt.NDArray[np.float32]

#: The fields of DETECTION that are read and written here.
_FIELDS = {"bbox": "4f4", "classes": "i4", "best_class_idx": "i4", "prob": np.uintp, "objectness": "f4"}
_RECORD = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": list(_FIELDS.values()),
        "offsets": [getattr(DETECTION, name).offset for name in _FIELDS],
        "itemsize": ct.sizeof(DETECTION),
    }
)


def find_candidates(
    loaded: LoadedNetwork, maps: Sequence[tuple[Any, Floats]], geometry: Geometry, thresh: float
) -> Candidates:
    """Boxes of a prediction, before suppression, without the classes that the network is told to skip."""
    found = decode(maps, geometry, thresh)
    skipped = [class_id for class_id in loaded.skipped if 0 <= class_id < found.probs.shape[1]]
    found.probs[:, skipped] = 0
    return found


def get_network_boxes(
    network: Any,
    w: int,
    h: int,
    thresh: float,
    hier_thresh: float,
    map: Any,
    relative: int,
    num: Any,
    letter: int = 0,
) -> Any:
    """The boxes of the last prediction of this network, before suppression.

    Parameters
    ----------
    network : LoadedNetwork
    w, h : int
        Size of the image that was given to `predict_image`, in pixels.
    thresh : float
    hier_thresh : float
        Without effect, as in AlexeyAB's library.
    map : None
    relative : int
        1 for boxes as fractions of the image, 0 for pixels.
    num : pointer to c_int
        Receives how many there are.
    letter : int
        1 after `predict_image_letterbox`.

    Returns
    -------
    ctypes array of DETECTION
        It owns its memory: `free_detections` is accepted, and not needed.
    """
    loaded = network_of(network)
    if map is not None:
        raise UnsupportedError("get_network_boxes: map= (of yolo9000's categories) is not supported: pass None")
    if loaded.maps is None:
        raise OptionError("get_network_boxes before any prediction: call predict_image first")
    found = find_candidates(loaded, loaded.maps, Geometry(w, h, *loaded.size, letterbox=bool(letter)), thresh)
    scale = np.ones(4, np.float32) if relative else np.array((w, h, w, h), np.float32)
    detections = (DETECTION * len(found))()
    _write(detections, found.cxcywh * scale, found.objectness, found.probs)
    _put(num, len(found))
    return detections


def _put(target: Any, value: int) -> None:
    """Store an int where C would: behind a pointer, byref() or in the c_int itself."""
    target = getattr(target, "_obj", target)
    if isinstance(target, ct.c_int):
        target.value = value
    elif isinstance(target, ct.Array | ct.POINTER(ct.c_int)):
        target[0] = value
    else:
        raise OptionError(f"num of type {type(target).__name__}: expected pointer(c_int(0))")


def _records(detections: Any, num: int) -> Any:
    """The first `num` detections as a structured array over their memory."""
    if not isinstance(detections, ct.Array) or not hasattr(detections, "probs"):
        raise OptionError(f"detections of type {type(detections).__name__}: expected what get_network_boxes gave")
    if not 0 <= num <= len(detections):
        raise OptionError(f"{num} detections of {len(detections)}: expected the number get_network_boxes stored")
    return np.frombuffer(memoryview(detections), _RECORD, num) if num else np.empty(0, _RECORD)


def _write(detections: Any, boxes: Floats, objectness: Floats, probs: Floats) -> None:
    """Fill detections, whose probabilities lie in an array that they keep."""
    detections.probs = probs = np.ascontiguousarray(probs)
    records = _records(detections, len(boxes))
    records["bbox"], records["objectness"], records["classes"] = boxes, objectness, probs.shape[1]
    records["best_class_idx"] = _best(probs)
    records["prob"] = probs.ctypes.data + np.arange(len(boxes)) * probs.strides[0]


def _best(probs: Floats) -> npt.NDArray[np.int64]:
    """The likeliest class of each row, -1 where none has a probability."""
    if not probs.size:
        return np.full(len(probs), -1)
    return np.where(probs.any(axis=1), probs.argmax(axis=1), -1)


def do_nms_sort(dets: Any, num: int, classes: int, nms: float) -> None:
    """Suppress overlapping boxes class by class, by plain IoU, and sort as Darknet does, in place."""
    records, probs = _records(dets, num), _probs(dets, num, classes)
    objects = np.flatnonzero(records["objectness"])
    order, kept = _suppressed(records["bbox"][objects], probs[objects, :classes], nms)
    order = np.concatenate((objects[order], np.flatnonzero(records["objectness"] == 0)))
    probs = probs[order]
    probs[: len(objects), :classes] = kept
    _rewrite(dets, records[order], probs)


def do_nms_obj(dets: Any, num: int, classes: int, nms: float) -> None:
    """Suppress boxes that overlap one of higher objectness, whatever their classes, and sort by it, in place."""
    records, probs = _records(dets, num), _probs(dets, num, classes)
    order, kept = _suppressed(records["bbox"], records["objectness"][:, None], nms)
    records, probs = records[order], probs[order]
    records["objectness"] = kept[:, 0]
    probs[records["objectness"] == 0, :classes] = 0
    _rewrite(dets, records, probs)


def _suppressed(boxes: Floats, probs: Floats, nms: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """The order in which `suppress` leaves the boxes, and their probabilities in this order."""
    # Where a box came from travels in place of its objectness, counted from 1: those of objectness 0 would go last.
    came = np.arange(1, len(boxes) + 1, dtype=np.float32)
    kept = suppress(Candidates(boxes, came, probs), nms=nms)
    return kept.objectness.astype(np.int64) - 1, kept.probs


def _probs(dets: Any, num: int, classes: int) -> Floats:
    """A copy of the probabilities (num, all classes)."""
    probs: Floats = dets.probs[:num].copy()
    if not 0 <= classes <= probs.shape[1]:
        raise OptionError(f"{classes} classes: expected at most {probs.shape[1]}, those of the network")
    return probs


def _rewrite(dets: Any, ordered: Any, probs: Floats) -> None:
    """Put the first detections back in a new order; each keeps its place in the array of probabilities."""
    records = _records(dets, len(ordered))
    records["bbox"], records["objectness"] = ordered["bbox"], ordered["objectness"]
    records["best_class_idx"] = _best(probs)
    dets.probs[: len(probs)] = probs


def free_detections(dets: Any, num: int) -> None:
    """Accepted: memory goes when nobody holds the detections any more."""


def remove_negatives(detections: Any, class_names: Sequence[Any], num: int) -> list[tuple[Any, float, Any]]:
    """(name, probability, (x, y, w, h)) of every class of every detection that has a probability above 0."""
    return [
        (name, detections[j].prob[k], _corners(detections[j].bbox))
        for j in range(num)
        for k, name in enumerate(class_names)
        if k < detections[j].classes and detections[j].prob[k] > 0
    ]


def remove_negatives_faster(detections: Any, class_names: Sequence[Any], num: int) -> list[tuple[Any, float, Any]]:
    """`remove_negatives` of the likeliest class of each detection alone."""
    found = ((detections[j], detections[j].best_class_idx) for j in range(num))
    return [(class_names[k], one.prob[k], _corners(one.bbox)) for one, k in found if k != -1]


def _corners(box: Any) -> tuple[float, float, float, float]:
    return box.x, box.y, box.w, box.h


def network_predict_batch(*arguments: Any) -> NoReturn:
    """Not here: batches are ``Detector.detect_batch``."""
    _no_batches("network_predict_batch")


def free_batch_detections(*arguments: Any) -> NoReturn:
    """Not here: batches are ``Detector.detect_batch``."""
    _no_batches("free_batch_detections")


def _no_batches(name: str) -> NoReturn:
    raise UnsupportedError(
        f"{name}: batches by C pointers are not supported; expected one image at a time (detect_image), or "
        'darknet_py.Detector(cfg, weights, like="darknet.py").detect_batch(pictures)'
    )


def make_network_boxes(*arguments: Any) -> NoReturn:
    """Not here: an array of empty boxes is of no use."""
    raise UnsupportedError("make_network_boxes is not supported: get_network_boxes gives the boxes of a prediction")
