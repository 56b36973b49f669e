"""Darknet's JSON array, whole at any moment, and any other array of records."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

from darknet_py.files import WholeFile, write_error
from darknet_py.outputs.json_text import rounded_json

__all__ = ["JsonWriter", "darknet_json"]


class JsonWriter:
    """Writes records one by one as a JSON array like Darknet's ``-out`` file.

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
    kept : str
        The file, if it took its place though the block raised; else empty.

    Examples
    --------
    >>> with JsonWriter("result.json") as writer:
    ...     writer.write(found.to_darknet_json("dog.jpg", 1))
    """

    def __init__(self, target: str | os.PathLike[str] | TextIO, *, keep: bool = False) -> None:
        self._keep = keep
        self._target = target
        self.count = 0
        self.kept = ""
        self._stream: TextIO | None = None
        self._file: WholeFile | None = None
        self._head, self._end, self._settled = "[\n", 0, False

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
        self._append((",\n" if self.count else "") + rounded_json(record), 1)

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
        return "\n]\n" if count else "]\n"

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
        self.kept = "" if complete or file.direct else os.fspath(self._target)  # type: ignore[arg-type]


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
        yield separator + rounded_json(record)
        separator = ",\n"
    yield "\n]\n" if separator else "]\n"
