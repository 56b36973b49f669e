"""A file as bytes that are read when they are sliced: what readers that need not all of it are given."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any, Protocol

__all__ = ["Bytes", "FileBytes"]


class Bytes(Protocol):
    """A bytes object, or what reads those of a file when it is sliced."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...


class FileBytes:
    """The bytes of a file by slices, as of a bytes object: nothing is kept, nothing mapped; a context manager.

    A mapped file's pages would count as the process's memory until the system takes them back.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file: Any = open(path, "rb")  # noqa: SIM115, closed by `__exit__`
        self._length = os.fstat(self._file.fileno()).st_size
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        first, last, _ = part.indices(self._length)
        with self._lock:
            self._file.seek(first)
            read: bytes = self._file.read(max(0, last - first))
        return read

    def __enter__(self) -> FileBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
