"""What the command line writes: Darknet's JSON array, as it comes, and a table for the terminal."""

from __future__ import annotations

import base64
import errno
import json
import math
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from darknet_py.boxes.detections import Detections
from darknet_py.files import WholeFile, write_error
from darknet_py.plaintext import bytes_of, unicode_only

__all__ = ["JsonWriter", "darknet_json", "format_table", "to_json"]

#: Darknet prints %f.
DECIMALS = 6

WIDEST_NAME = 40


class JsonWriter:
    """Writes records one by one as a JSON array like Darknet's ``-out`` file, or one per line.

    A context manager. A file is written beside its target and takes its place when all went well (see `WholeFile`):
    what was there before stays whole until then, and for good if the block raises. Strings are escaped and numbers that
    JSON does not have (infinite, NaN) become null, unlike Darknet's. Text that is not Unicode, as a file name of other
    bytes than UTF-8 is in Python, is written with those bytes as ``\\xe9``, and beside it, in ``<key>_base64``, all its
    bytes.

    Parameters
    ----------
    target : path, "-" or text stream
        "-" is standard output. Streams, pipes and devices get each record at once; an array broken off by an error
        stays open there: who reads it sees no exit code, and shall not take it for all there was.
    lines : bool
        JSON lines: a record per line, no array.
    keep : bool
        If the block raises after the first record, or the disk is full, a file holds the records so far, as an array
        that is closed.

    Raises
    ------
    OptionError
        The target cannot be written: on entering, before anything is done.
    OutputError
        The disk is full, or fails.

    Attributes
    ----------
    count : int
        Records written.
    kept : bool
        Whether the file took its place though the block raised.

    Examples
    --------
    >>> with JsonWriter("result.json") as writer:
    ...     writer.write(found.to_darknet_json("dog.jpg", 1))
    """

    def __init__(self, target: str | os.PathLike[str] | TextIO, *, lines: bool = False, keep: bool = False) -> None:
        self._lines, self._keep = lines, keep
        self._target = target
        self.count = 0
        self.kept = False
        self._stream: TextIO | None = None
        self._file: WholeFile | None = None
        self._head, self._end, self._settled = "" if lines else "[\n", 0, False

    def __enter__(self) -> JsonWriter:
        if not isinstance(self._target, str | os.PathLike):
            self._stream = self._target
        elif os.fspath(self._target) == "-":
            self._stream = sys.stdout
        else:
            self._file = WholeFile(self._target, lasting=True, rescue=True)
            with self._writing():
                self._file.open()
        return self

    def write(self, record: Mapping[str, Any]) -> None:
        """Add one record."""
        text = _encode(record)
        self._append(text + "\n" if self._lines else (",\n" if self.count else "") + text, 1)

    def _append(self, text: str, records: int = 0) -> None:
        text, count = self._head + text, self.count + records
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
        elif self._file is not None:
            with self._writing():
                if self._file.direct:
                    self._file.write(text.encode())
                else:
                    # At rest it is always a whole array: to get back to one, a full disk needs no room.
                    self._file.seek(self._end)
                    self._file.write((text + self._closing(count)).encode())
        self._head, self._end, self.count = "", self._end + len(text), count

    def _closing(self, count: int) -> str:
        return "" if self._lines else "\n]\n" if count else "]\n"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) == errno.EPIPE:  # a reader that has enough
                raise
            raise write_error(os.fspath(self._target), error) from error  # type: ignore[arg-type]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is None:
            if kind is None:
                self._append("")
                self._append(self._closing(self.count))
        elif kind is None or (self._keep and self.count):
            try:
                self._finish(self._file, kind is None)
            except KeyboardInterrupt:
                self._finish(self._file, kind is None)
                raise
        else:
            self._file.discard()

    def _finish(self, file: WholeFile, complete: bool) -> None:
        if self._head:
            self._append("")
        with self._writing():
            if file.direct and complete and not self._settled:
                self._settled = True
                file.write(self._closing(self.count).encode())
            elif not file.direct and not self._settled:
                file.seek(self._end)
                file.write(self._closing(self.count).encode())
                file.truncate()  # what is left of a record that got no further
                self._settled = True
            file.commit()
        self.kept = not complete and not file.direct


def darknet_json(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The text of Darknet's JSON array, piece by piece as the records come.

    Parameters
    ----------
    records : iterable of mappings
        As ``Detections.to_darknet_json`` gives them.
    """
    yield "[\n"
    separator = ""
    for record in records:
        yield separator + _encode(record)
        separator = ",\n"
    yield "\n]\n" if separator else "]\n"


def _encode(record: Mapping[str, Any]) -> str:
    return json.dumps(_strict(_plain(record)), allow_nan=False)


def _plain(value: Any) -> Any:
    """The value with floats as Darknet prints them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, DECIMALS)
    return value


def to_json(value: Any) -> str:
    """Plain values as JSON over several lines, as strictly valid as what `JsonWriter` writes."""
    return json.dumps(_strict(value), indent=2, allow_nan=False)


def _strict(value: Any) -> Any:
    """The value with what every reader of JSON takes: finite numbers, and text that is Unicode.

    Python has a file name's bytes that are not UTF-8 as lone surrogates, which are no Unicode. Of text with such,
    ``\\xe9`` stands for the byte, and what the text was in all is beside it: its bytes under ``<key>_base64``.
    """
    if isinstance(value, Mapping):
        plain: dict[str, Any] = {}
        for key, item in value.items():
            name = unicode_only(str(key))
            plain[name] = _strict(item)
            if isinstance(item, str) and plain[name] != item:
                plain[f"{name}_base64"] = base64.b64encode(bytes_of(item)).decode()
        return plain
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return unicode_only(value) if isinstance(value, str) else value


def format_table(detections: Detections, title: str, seconds: float) -> str:
    """What was found in one image, as a table for the terminal.

    Parameters
    ----------
    detections : Detections
    title : str
        Usually the file name.
    seconds : float
        Time taken, shown in milliseconds as Darknet does.

    Returns
    -------
    str
        Lines of class, confidence in percent, and left, top, width, height in pixels; likeliest first; no line end
        after the last.
    """
    head = f"{_printable(title)}: {len(detections) or 'nothing'} found in {1000 * seconds:.1f} ms"
    if len(detections) == 0:
        return head
    order = (-detections.confidence).argsort(kind="stable")
    rows: list[tuple[str, ...]] = [("class", "conf", "left", "top", "width", "height")]
    for found, box in zip(detections[order], detections.xywh[order].tolist(), strict=True):
        rows.append((_shortened(_printable(found.class_name)), f"{100 * found.confidence:.0f}%", *map(_pixels, box)))
    name_width = max(_columns(row[0]) for row in rows)
    widths = [max(len(row[i]) for row in rows) for i in range(1, 6)]
    lines = [head]
    for name, *cells in rows:
        padded = name + " " * (name_width - _columns(name))
        lines.append("  ".join(["", padded, *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))]))
    return "\n".join(lines)


def _pixels(value: float) -> str:
    return str(round(value)) if math.isfinite(value) else str(value)


def _printable(text: str) -> str:
    """The text without what could move the terminal's cursor or cannot be encoded."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _columns(text: str) -> int:
    """Columns the text takes on a terminal: two for wide characters, none for combining marks."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _shortened(name: str) -> str:
    if _columns(name) <= WIDEST_NAME:
        return name
    while _columns(name) > WIDEST_NAME - 3:
        name = name[:-1]
    return name + "..."
