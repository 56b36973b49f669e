"""Tables for spreadsheets and data frames: a row per detection, or counts per class in a row per picture or frame."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from darknet_py.outputs.growing import GrowingFile
from darknet_py.outputs.record import Record
from darknet_py.outputs.record_json import detection_rows
from darknet_py.outputs.run import Run
from darknet_py.plaintext import unicode_only

__all__ = ["CountsCsv", "DetectionsCsv"]

_OF_RECORD = ("name", "index", "frame", "time")
_OF_DETECTION = ("class_id", "class_name", "confidence", "objectness", "left", "top", "right", "bottom")


class DetectionsCsv:
    """A row per detection, as they come; corners in pixels, and the picture's width and height.

    A picture in which nothing was found, or that could not be read, has no row.
    """

    needs_pixels = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._table = _Table(path)

    @property
    def kept(self) -> str:
        return self._table.kept

    def __enter__(self) -> DetectionsCsv:
        self._table.__enter__()
        return self

    def begin(self, run: Run) -> None:
        self._table.head = [*_OF_RECORD, "width", "height", *_OF_DETECTION]

    def write(self, record: Record) -> None:
        if record.detections is None:
            return
        size = record.size or (None, None)
        self._table.add(
            [*_common(record), *size, *(row[name] for name in _OF_DETECTION)]
            for row in detection_rows(record.detections)
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)


class CountsCsv:
    """A row per picture or frame with a column per class: how many of it were found, 0 included.

    Of the classes that were asked for (``settings["classes"]`` of the run), or else all. What could not be read has no
    row.
    """

    needs_pixels = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._table = _Table(path)
        self._classes: tuple[str, ...] = ()

    @property
    def kept(self) -> str:
        return self._table.kept

    def __enter__(self) -> CountsCsv:
        self._table.__enter__()
        return self

    def begin(self, run: Run) -> None:
        wanted = run.settings.get("classes")
        self._classes = tuple(dict.fromkeys(run.names if wanted is None else wanted))
        self._table.head = [*_OF_RECORD, *self._classes]

    def write(self, record: Record) -> None:
        if record.detections is not None:
            counts = record.detections.counts()
            self._table.add([[*_common(record), *(counts.get(name, 0) for name in self._classes)]])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)


def _common(record: Record) -> list[Any]:
    return [record.name, record.index, record.frame, None if record.time is None else round(record.time, 6)]


class _Table:
    """Rows in a file that grows, under their head, which is there also when no row comes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = GrowingFile(path)
        self.head: Sequence[str] = ()
        self._headed = False

    @property
    def kept(self) -> str:
        return self._file.kept

    def __enter__(self) -> None:
        self._file.__enter__()

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        if not self._headed:
            lines.writerow(map(_cell, self.head))
        lines.writerows([_cell(value) for value in row] for row in rows)
        if text.tell():
            self._file.write(text.getvalue())
        self._headed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.head and not self._headed:
                self.add([])
        finally:
            self._file.__exit__(kind, error, trace)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return unicode_only(value)
    return "" if value is None or value != value else value
