"""A file written in place, where nothing else can be done: from a copy that is complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

__all__ = ["BINARY", "overwrite"]

#: Of Windows, whose files are text unless one says otherwise.
BINARY = getattr(os, "O_BINARY", 0)
_CHUNK = 1 << 20


def overwrite(source: BinaryIO, target: Path) -> None:
    """Make the contents of `source` those of the target, which keeps its own if there is no room.

    Raises
    ------
    OSError
    """
    try:
        _copy_onto(source, target)
    except KeyboardInterrupt:  # half a copy would be neither file
        _copy_onto(source, target)
        raise


def _copy_onto(source: BinaryIO, target: Path) -> None:
    try:
        descriptor, new = os.open(target, os.O_WRONLY | BINARY), False
    except FileNotFoundError:
        descriptor, new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666), True
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        before, size = file.seek(0, os.SEEK_END), source.seek(0, os.SEEK_END)
        try:
            # What it is longer by comes first: this alone needs room, and nothing of the old is lost if it fails.
            _copy(source, file, before, size)
        except OSError:
            file.truncate(before)
            if new:
                target.unlink()
            raise
        _copy(source, file, 0, min(before, size))
        file.truncate(size)
        os.fsync(descriptor)


def _copy(source: BinaryIO, file: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    file.seek(start)
    while start < end:
        view = memoryview(source.read(min(_CHUNK, end - start)))
        start += len(view)
        while view:
            view = view[file.write(view) :]
