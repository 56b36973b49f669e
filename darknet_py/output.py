"""What the command line writes: Darknet's JSON array, as it comes, and a table for the terminal."""

from __future__ import annotations

import json
import math
import os
import secrets
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from darknet_py.detections import Detections
from darknet_py.errors import OptionError

__all__ = ["JsonWriter", "darknet_json", "format_table"]

#: Darknet prints %f.
DECIMALS = 6

WIDEST_NAME = 40


class JsonWriter:
    """Writes records one by one as a JSON array like Darknet's ``-out`` file, or one per line.

    A context manager. A file is written beside its target and takes its place when all went well: what was there
    before stays whole until then, and for good if the block raises. Strings are escaped and numbers that JSON does
    not have (infinite, NaN) become null, unlike Darknet's.

    Parameters
    ----------
    target : path, "-" or text stream
        "-" is standard output. Streams, pipes and devices get each record at once.
    lines : bool
        JSON lines: a record per line, no array.

    Raises
    ------
    OptionError
        The target cannot be written.

    Attributes
    ----------
    count : int
        Records written.

    Examples
    --------
    >>> with JsonWriter("result.json") as writer:
    ...     writer.write(found.to_darknet_json("dog.jpg", 1))
    """

    def __init__(self, target: str | os.PathLike[str] | TextIO, *, lines: bool = False) -> None:
        self._lines = lines
        self._target = target
        self.count = 0
        self._stream: TextIO
        self._final: Path | None = None
        self._written: Path | None = None

    def _open(self, target: Path) -> TextIO:
        """Open a temporary neighbour of the target, or the target itself where it is a pipe or a device."""
        final = Path(os.path.realpath(target))
        if final.is_file() or not final.exists():
            self._final = final
            self._written = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
        try:
            return (self._written or final).open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise OptionError(f"{target}: cannot be written ({error.strerror or error})") from error

    def __enter__(self) -> JsonWriter:
        if not isinstance(self._target, str | os.PathLike):
            self._stream = self._target
        else:
            self._stream = sys.stdout if os.fspath(self._target) == "-" else self._open(Path(self._target))
        if not self._lines:
            self._stream.write("[\n")
        return self

    def write(self, record: Mapping[str, Any]) -> None:
        """Add one record."""
        text = _encode(record)
        separator = "" if self._lines or self.count == 0 else ",\n"
        self._stream.write(separator + text + ("\n" if self._lines else ""))
        self.count += 1
        if self._final is None:
            self._stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        complete = False
        try:
            # An array broken off by an error stays open: nobody shall take it for all there was.
            if kind is None:
                self._stream.write("" if self._lines else "\n]\n" if self.count else "]\n")
                self._stream.flush()
                complete = True
        finally:
            if self._stream not in (self._target, sys.stdout):
                self._stream.close()
            if self._written is not None and self._final is not None:
                if complete:
                    os.replace(self._written, self._final)
                else:
                    self._written.unlink(missing_ok=True)


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
    return json.dumps(_plain(record), allow_nan=False)


def _plain(value: Any) -> Any:
    """The value with floats as Darknet prints them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    return value


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
