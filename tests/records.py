"""Records, and runs of them, for tests of outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from darknet_py.boxes.detections import Detections
from darknet_py.outputs import Outputs, Record, Run

NAMES = ("cat", "dog", "owl")
SETTINGS: dict[str, Any] = {
    "thresh": 0.25,
    "nms": 0.45,
    "class_thresh": None,
    "classes": None,
    "agnostic_nms": False,
    "single_class": False,
    "max_det": None,
    "like": "darknet",
    "letterbox": False,
    "width": 32,
    "height": 24,
    "precision": "float32",
    "exact": False,
    "threads": 2,
}
MODEL: dict[str, Any] = {
    "cfg": "tiny.cfg",
    "cfg_sha256": "a" * 64,
    "weights": "tiny.weights",
    "weights_sha256": "b" * 64,
    "classes": 3,
    "names_sha256": "c" * 64,
}
RUN = Run(NAMES, MODEL, SETTINGS)


def detections(*boxes: tuple[int, float, Sequence[float]], size: tuple[int, int] = (64, 48)) -> Detections:
    """Of (class, confidence, corners)."""
    return Detections(
        xyxy=np.array([box for _, _, box in boxes], np.float32).reshape(-1, 4),
        confidence=np.array([confidence for _, confidence, _ in boxes], np.float32),
        class_id=np.array([class_id for class_id, _, _ in boxes], np.int64),
        class_names=np.array([NAMES[class_id] for class_id, _, _ in boxes], np.str_),
        image_width=size[0],
        image_height=size[1],
        objectness=np.array([min(1, 1.1 * confidence) for _, confidence, _ in boxes], np.float32),
    )


#: Two dogs and a cat, of which one reaches beyond the border.
FOUND = detections((1, 0.5, (1, 2, 30, 40)), (0, 0.75, (-5, 10, 20.5, 60)), (1, 0.9, (10, 10.25, 14, 12)))
NOTHING = Detections.empty(64, 48)


def write(writer: Any, *records: Record, run: Run = RUN) -> None:
    """A whole run of these."""
    with Outputs([writer]) as outputs:
        outputs.begin(run)
        for record in records:
            outputs.write(record)
