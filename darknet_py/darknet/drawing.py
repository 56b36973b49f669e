"""Colours, boxes on pictures and lists on the terminal, as darknet.py has them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from darknet_py.find_cv2 import need_cv2

__all__ = [
    "Colors",
    "bbox2points",
    "class_colors",
    "draw_boxes",
    "non_max_suppression_fast",
    "print_detections",
]

Colors = dict[Any, tuple[int, int, int]]


def class_colors(names: Iterable[Any]) -> Colors:
    """A random colour per name; ``random.seed(3)`` before it gives the colours that AlexeyAB's scripts have."""
    return {name: (random.randint(0, 255), random.randint(0, 255), random.randint(0, 255)) for name in names}


def bbox2points(bbox: Sequence[float]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom, rounded, of a box given by its centre, width and height."""
    x, y, w, h = bbox
    return round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)


def draw_boxes(detections: Iterable[tuple[Any, Any, Sequence[float]]], image: Any, colors: Colors) -> Any:
    """Draw boxes, and labels such as ``dog [97.81]``, on a picture.

    Parameters
    ----------
    detections : iterable of (label, confidence, (x, y, w, h))
        Boxes in pixels of `image`.
    image : ndarray, shape (H, W, 3), uint8
        Is drawn on.
    colors : mapping of label to three numbers
        As `class_colors` gives it.

    Returns
    -------
    ndarray
        `image`.

    Raises
    ------
    UnsupportedError
        OpenCV is not installed.
    """
    cv2: Any = need_cv2("draw_boxes")
    for label, confidence, bbox in detections:
        left, top, right, bottom = bbox2points(bbox)
        color = colors[label]
        cv2.rectangle(image, (left, top), (right, bottom), color, 1)
        text = f"{label} [{float(confidence):.2f}]"
        cv2.putText(image, text, (left, top - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 2)
    return image


def print_detections(detections: Iterable[tuple[Any, Any, Sequence[float]]], coordinates: bool | int = False) -> None:
    """Print a line per detection, with its box if `coordinates` says so.

    ``left_x`` and ``top_y`` are the centre of the box, as in Darknet's module, whatever they are called.
    """
    print("\nObjects:")  # noqa: T201
    for label, confidence, (x, y, w, h) in detections:
        box = f"    (left_x: {x:.0f}   top_y:  {y:.0f}   width:   {w:.0f}   height:  {h:.0f})" if coordinates else ""
        print(f"{label}: {confidence}%{box}")  # noqa: T201


def non_max_suppression_fast(detections: Sequence[Any], overlap_thresh: float) -> list[Any]:
    """Detections left by a greedy suppression from the lowest box upwards, whatever their classes and confidences.

    Of no use after `detect_image`, whose boxes are suppressed already; it is here for scripts that call it, with four
    entries in each detection, the last of them (x, y, w, h).
    """
    if not detections:
        return []
    x, y, w, h = np.array([box for _, _, _, box in detections], np.float64).T
    left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    area = (right - left + 1) * (bottom - top + 1)
    waiting = np.argsort(bottom)
    kept = []
    while len(waiting):
        lowest, waiting = waiting[-1], waiting[:-1]
        kept.append(detections[lowest])
        width = np.minimum(right[lowest], right[waiting]) - np.maximum(left[lowest], left[waiting]) + 1
        height = np.minimum(bottom[lowest], bottom[waiting]) - np.maximum(top[lowest], top[waiting]) + 1
        overlap = width.clip(0) * height.clip(0) / area[waiting]
        waiting = waiting[overlap <= overlap_thresh]
    return kept
