"""Arrays of JSON: Darknet's, and the results that COCO's tools read."""

from __future__ import annotations

import os
from types import TracebackType

from darknet_py.outputs.coco_ids import CocoIds, plain_ids
from darknet_py.outputs.json_array import JsonWriter
from darknet_py.outputs.record import Record
from darknet_py.outputs.run import Run

__all__ = ["CocoResults", "DarknetJson"]


class DarknetJson:
    """The array of Darknet's ``-out`` file, whose ``frame_id`` is the record's index; what failed is not in it."""

    needs_pixels = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._array = JsonWriter(path, keep=True)

    @property
    def kept(self) -> str:
        return self._array.kept

    def __enter__(self) -> DarknetJson:
        self._array.__enter__()
        return self

    def begin(self, run: Run) -> None: ...

    def write(self, record: Record) -> None:
        if record.detections is not None:
            self._array.write(record.detections.to_darknet_json(record.name, record.index))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._array.__exit__(kind, error, trace)


class CocoResults:
    """COCO's results: an array of ``image_id``, ``category_id``, ``bbox`` and ``score``, boxes cut at the border.

    Parameters
    ----------
    path : path or "-"
    ids : CocoIds, optional
        Those of an annotation file, whose pictures and categories alone are written. By default an ``image_id`` is the
        number that the picture's file is called, or else its stem, and a ``category_id`` COCO's own where the classes
        are the 80 of COCO, or else the number of the class.
    """

    needs_pixels = False

    def __init__(self, path: str | os.PathLike[str], ids: CocoIds | None = None) -> None:
        self._array = JsonWriter(path, keep=True)
        self._ids = ids

    @property
    def kept(self) -> str:
        return self._array.kept

    def __enter__(self) -> CocoResults:
        self._array.__enter__()
        return self

    def begin(self, run: Run) -> None:
        self._ids = plain_ids(run.names) if self._ids is None else self._ids.of_classes(run.names)

    def write(self, record: Record) -> None:
        assert self._ids is not None
        if record.detections is None:
            return
        image = self._ids.image(record)
        if image is None:
            return
        known = [class_id in self._ids.categories for class_id in record.detections.class_id.tolist()]
        for result in record.detections[known].to_coco(image, self._ids.categories):
            self._array.write(result)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._array.__exit__(kind, error, trace)
