"""Records as JSON objects, and back: what ``record.schema.json`` describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darknet_py.boxes.detections import Detections
from darknet_py.codes.code import Code
from darknet_py.outputs.json_text import shortest, strict, text_of
from darknet_py.outputs.record import Problem, Record
from darknet_py.outputs.run import SOFTWARE

__all__ = ["SCHEMA", "detection_rows", "record_from_json", "record_schema", "record_to_json"]

#: Goes up with every change that a reader of the version before would not take; what is only added does not count.
SCHEMA = 1

_CORNERS = ("left", "top", "right", "bottom")


def record_schema() -> dict[str, Any]:
    """The JSON Schema of a line of JSON lines (of 2020-12), as it ships with the package."""
    text = Path(__file__).with_name("record.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def record_to_json(record: Record, common: Mapping[str, Any]) -> dict[str, Any]:
    """A record as plain values; numbers of its detections in as few digits as give the same float32 back.

    Parameters
    ----------
    record : Record
    common : mapping
        What all records of the run have in common: ``model`` and ``settings``.
    """
    width, height = record.size or (None, None)
    error = record.error
    plain: dict[str, Any] = strict(
        {
            "schema": SCHEMA,
            "name": record.name,
            "stem": record.stem,
            "index": record.index,
            "frame": record.frame,
            "time": None if record.time is None else round(record.time, 6),
            "width": width,
            "height": height,
            "detections": [] if record.detections is None else detection_rows(record.detections),
            "counts": {} if record.detections is None else record.detections.counts(),
            **({} if record.codes is None else {"codes": [code.to_json() for code in record.codes]}),
            "error": None if error is None else {"kind": error.kind, "message": error.message},
            "timings": {f"{stage}_ms": round(1000 * seconds, 3) for stage, seconds in record.timings.items()},
            **common,
            "software": SOFTWARE,
        }
    )
    return plain


def detection_rows(detections: Detections) -> list[dict[str, Any]]:
    """`Detections.records` with the shortest numbers."""
    columns = [shortest(column) for column in (detections.confidence, detections.objectness, *detections.xyxy.T)]
    names = ("confidence", "objectness", *_CORNERS)
    return [
        {"class_id": class_id, "class_name": str(name), **dict(zip(names, numbers, strict=True))}
        for class_id, name, *numbers in zip(detections.class_id.tolist(), detections.class_names, *columns, strict=True)
    ]


def record_from_json(plain: Mapping[str, Any]) -> Record:
    """The record of which `record_to_json` made these values; without pixels.

    Raises
    ------
    KeyError, TypeError, ValueError
        It made no such values.
    """
    error = plain["error"]
    return Record(
        name=text_of(plain, "name"),
        index=int(plain["index"]),
        detections=_detections(plain) if error is None else None,
        error=None if error is None else Problem(text_of(error, "kind"), text_of(error, "message")),
        frame=plain["frame"],
        time=plain["time"],
        size=None if plain["width"] is None else (int(plain["width"]), int(plain["height"])),
        timings={stage.removesuffix("_ms"): milliseconds / 1000 for stage, milliseconds in plain["timings"].items()},
        stem=text_of(plain, "stem"),
        codes=tuple(map(Code.from_json, plain["codes"])) if "codes" in plain else None,
    )


def _detections(plain: Mapping[str, Any]) -> Detections:
    rows = plain["detections"]

    def numbers(*names: str) -> Any:
        return np.array([[np.nan if row[name] is None else row[name] for name in names] for row in rows], np.float32)

    return Detections(
        xyxy=numbers(*_CORNERS),
        confidence=numbers("confidence").reshape(len(rows)),
        class_id=np.array([row["class_id"] for row in rows], np.int64),
        class_names=np.array([text_of(row, "class_name") for row in rows], np.str_),
        image_width=int(plain["width"]),
        image_height=int(plain["height"]),
        objectness=numbers("objectness").reshape(len(rows)),
    )
