"""How a detector is set, as every record says it."""

from __future__ import annotations

import os
from typing import Any

from darknet_py.boxes.selection import Selection
from darknet_py.detector import Detector
from darknet_py.outputs.run import Run, describe_model
from darknet_py.pictures.looks import ONCE

__all__ = ["describe_run"]


def describe_run(detector: Detector, wanted: Selection, **more: Any) -> Run:
    """What all records of a run have in common.

    Parameters
    ----------
    detector : Detector
    wanted : Selection
        What is asked of it (see `Detector.selection`).
    **more
        Settings beyond those, as plain values.

    Raises
    ------
    CfgError, WeightsError
        A file of the model cannot be read any more.
    """
    cfg, weights = detector.network.files
    names, blob = detector.names, detector.graph.blob
    return Run(
        names,
        describe_model(
            cfg if isinstance(cfg, str | os.PathLike) else None,
            weights if isinstance(weights, str | os.PathLike) else None,
            names,
        ),
        {
            "thresh": wanted.thresh,
            "nms": wanted.nms,
            "class_thresh": {names[number]: thresh for number, thresh in wanted.class_thresh or ()} or None,
            "classes": None if wanted.classes is None else [names[number] for number in wanted.classes],
            "agnostic_nms": wanted.agnostic,
            "single_class": wanted.single_class,
            "max_det": wanted.max_det,
            "like": detector.like,
            "letterbox": detector.letterbox,
            "width": blob.w,
            "height": blob.h,
            "precision": detector.network.precision,
            "exact": detector.network.exact,
            "threads": detector.network.threads,
            # Files of before there were others are resumed.
            **({} if detector.looks == ONCE else {"looks": list(detector.looks)}),
            **more,
        },
    )
