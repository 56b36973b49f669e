"""What was found as columns of a table, and back: the layout of the Parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darknet_py.boxes.detections import Detections
from darknet_py.errors import ImageError, OptionError
from darknet_py.outputs.record import Problem
from darknet_py.plaintext import unicode_only
from darknet_py.ray.installed import need

__all__ = ["COLUMNS", "detections_of", "with_found"]

#: What is added to a row. Those of ``detections`` are named as in JSON lines.
COLUMNS = ("width", "height", "detections", "error", "error_kind")

_CORNERS = ("left", "top", "right", "bottom")


def with_found(table: Any, found: Sequence[Detections | Problem]) -> Any:
    """A table with what came of each of its rows.

    Parameters
    ----------
    table : pyarrow.Table
    found : sequence of Detections or Problem
        One for each row.

    Returns
    -------
    pyarrow.Table
        With ``width`` and ``height`` (int32, null where there is an error), ``detections`` (a list of structs; float32
        numbers, to the bit) and ``error`` and ``error_kind`` (text, null where there is none).

    Raises
    ------
    OptionError
        The table has a column of such a name.
    """
    pa = need("pyarrow")
    taken = [name for name in COLUMNS if name in table.column_names]
    if taken:
        raise OptionError(f"the dataset has a column {taken[0]!r}, which detections are written to: rename it")
    boxes = [one if isinstance(one, Detections) else None for one in found]
    errors = [one if isinstance(one, Problem) else None for one in found]
    columns = (
        pa.array([None if one is None else one.image_width for one in boxes], pa.int32()),
        pa.array([None if one is None else one.image_height for one in boxes], pa.int32()),
        _lists(boxes),
        pa.array([None if one is None else unicode_only(one.message) for one in errors], pa.string()),
        pa.array([None if one is None else one.kind for one in errors], pa.string()),
    )
    for name, column in zip(COLUMNS, columns, strict=True):
        table = table.append_column(name, column)
    return table


def _lists(boxes: Sequence[Detections | None]) -> Any:
    """A list of structs for each picture; empty where there is an error."""
    pa = need("pyarrow")
    there = [one for one in boxes if one is not None]

    def joined(name: str, dtype: Any) -> Any:
        return np.concatenate([getattr(one, name) for one in there]).astype(dtype) if there else np.empty(0, dtype)

    corners = np.concatenate([one.xyxy for one in there]) if there else np.empty((0, 4), np.float32)
    columns = {
        "class_id": pa.array(joined("class_id", np.int32)),
        "class_name": pa.array([str(name) for one in there for name in one.class_names], pa.string()),
        "confidence": pa.array(joined("confidence", np.float32)),
        "objectness": pa.array(joined("objectness", np.float32)),
        **{name: pa.array(np.ascontiguousarray(side)) for name, side in zip(_CORNERS, corners.T, strict=True)},
    }
    ends = np.cumsum([0, *(0 if one is None else len(one) for one in boxes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(list(columns.values()), list(columns)))


def detections_of(row: Mapping[str, Any]) -> Detections:
    """The detections of a row, as `Detector.detect` gave them, to the bit.

    Parameters
    ----------
    row : mapping
        Of ``Dataset.iter_rows``, or of ``Table.to_pylist`` of a Parquet file.

    Raises
    ------
    ImageError
        The row has an error in their place.
    """
    if row["error"] is not None:
        raise ImageError(row["error"])
    boxes = list(row["detections"])

    def numbers(*names: str) -> Any:
        return np.array([[box[name] for name in names] for box in boxes], np.float32)

    return Detections(
        xyxy=numbers(*_CORNERS),
        confidence=numbers("confidence").reshape(len(boxes)),
        class_id=np.array([box["class_id"] for box in boxes], np.int64),
        class_names=np.array([box["class_name"] for box in boxes], np.str_),
        image_width=int(row["width"]),
        image_height=int(row["height"]),
        objectness=numbers("objectness").reshape(len(boxes)),
    )
