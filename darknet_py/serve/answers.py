"""Detections as JSON: our own form, and that of DeepStack and CodeProject.AI, which camera software reads."""

from __future__ import annotations

from typing import Any

from darknet_py.boxes.detections import Detection
from darknet_py.coco_names import NEWER_NAMES
from darknet_py.outputs.json_text import strict
from darknet_py.outputs.record_json import detection_rows
from darknet_py.serve.engine import Found

__all__ = ["deepstack", "deepstack_error", "own"]


def own(found: Found, model: str, *, newer_names: bool) -> dict[str, Any]:
    """The answer of ``/detect``: detections as in a line of JSON lines, in Darknet's order."""
    rows = detection_rows(found.detections)
    for row in rows:
        row["class_name"] = _label(row["class_name"], newer_names)
    answer: dict[str, Any] = strict(
        {
            "model": model,
            "width": found.detections.image_width,
            "height": found.detections.image_height,
            "detections": rows,
            "timings": {
                "read_ms": round(1e3 * found.decoding, 3),
                "detect_ms": round(1e3 * found.detecting / found.together, 3),
            },
        }
    )
    return answer


def deepstack(found: Found, model: str, waited: float, *, newer_names: bool) -> dict[str, Any]:
    """The answer of ``/v1/vision/detection``: whole pixels within the picture, most confident first.

    What DeepStack answers is "success", "predictions" and "duration"; CodeProject.AI adds the rest, with times in
    milliseconds.
    """
    predictions = [_prediction(one, newer_names) for one in found.detections.clipped().sorted()]
    milliseconds = round(1e3 * found.detecting / found.together)
    return {
        "success": True,
        "code": 200,
        "command": "detect",
        "message": _message(predictions),
        "count": len(predictions),
        "predictions": predictions,
        "duration": 0,
        "inferenceMs": milliseconds,
        "processMs": round(1e3 * found.decoding) + milliseconds,
        "analysisRoundTripMs": round(1e3 * waited),
        "moduleId": "darknet-py",
        "moduleName": model,
        "executionProvider": "CPU",
        "canUseGPU": False,
    }


def deepstack_error(status: int, message: str) -> dict[str, Any]:
    """What DeepStack's clients look at where something is wrong."""
    return {"success": False, "code": status, "error": message, "predictions": [], "count": 0, "duration": 0}


def _prediction(one: Detection, newer_names: bool) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = map(round, one.xyxy)
    return {
        "label": _label(one.class_name, newer_names),
        "confidence": round(one.confidence, 6),
        "x_min": x_min,
        "y_min": y_min,
        "x_max": x_max,
        "y_max": y_max,
    }


def _message(predictions: list[dict[str, Any]]) -> str:
    if not predictions:
        return "No objects found"
    labels = list(dict.fromkeys(one["label"] for one in predictions))
    return "Found " + ", ".join(labels[:5]) + ("..." if len(labels) > 5 else "")


def _label(name: str, newer: bool) -> str:
    return NEWER_NAMES.get(name, name) if newer else name
