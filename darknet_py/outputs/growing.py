"""Files of lines that grow where they are, and hold whole lines at any moment."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from types import TracebackType
from typing import TextIO

from darknet_py.files import descriptor_of, write_error

__all__ = ["GrowingFile"]

_BINARY = getattr(os, "O_BINARY", 0)


class GrowingFile:
    """A file that is written in place, as lines come; a context manager.

    Who reads it, or finds it after the process was killed, has every line that was written. What was there before stays
    until the first line is written, and for good if the block raises before that. A line that does not get on the disk
    wholly is taken back.

    Parameters
    ----------
    path : path or "-"
        "-" is standard output. Pipes, devices and descriptors get each line at once, and what they got is theirs.

    Raises
    ------
    OptionError
        It cannot be written: on entering, and nothing was touched.
    OutputError
        The disk is full, or fails.

    Attributes
    ----------
    begun : bool
        Whether anything was written.
    kept : str
        The path, once the block raised and there are lines; else empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.begun, self.kept = False, ""
        self._descriptor = -1
        self._stream: TextIO | None = None
        self._seekable = self._new = False
        self._end = 0

    def __enter__(self) -> GrowingFile:
        if self.path == "-":
            self._stream = sys.stdout
            return self
        try:
            self._open()
        except (OSError, ValueError) as error:
            raise write_error(self.path, error) from error
        return self

    def _open(self) -> None:
        descriptor = descriptor_of(self.path)
        if descriptor is not None:
            self._descriptor = os.dup(descriptor)
            return
        try:
            before = os.stat(self.path)
        except FileNotFoundError:
            flags, self._new, self._seekable = os.O_CREAT | os.O_EXCL, True, True
        else:
            flags, self._seekable = 0, stat.S_ISREG(before.st_mode)
            if stat.S_ISDIR(before.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self._descriptor = os.open(os.path.realpath(self.path), os.O_WRONLY | flags | _BINARY, 0o666)

    def go_on_after(self, size: int) -> None:
        """Keep the first `size` bytes of what is there, and nothing else."""
        self._end = size
        self._cut()

    def write(self, text: str) -> None:
        """Write whole lines."""
        if self._stream is not None:
            self.begun = True
            self._stream.write(text)
            self._stream.flush()
            return
        try:
            self._append(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            if error.errno == errno.EPIPE:  # a reader that has enough
                raise
            raise write_error(self.path, error) from error

    def _append(self, data: bytes) -> None:
        if not self._seekable:
            self._put(data)
            return
        if not self.begun:
            self._cut()
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        try:
            self._put(data)
            self._end += len(data)
        except BaseException:  # an interrupt as well
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise

    def _cut(self) -> None:
        self.begun = True
        os.ftruncate(self._descriptor, self._end)

    def _put(self, data: bytes) -> None:
        self.begun = True
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor < 0:
            return
        try:
            if kind is None and not self.begun and self._seekable:
                self._cut()
        except OSError as failure:
            raise write_error(self.path, failure) from failure
        finally:
            os.close(self._descriptor)
            self._descriptor = -1
            if kind is not None and self._seekable and self._end:
                self.kept = self.path
            if kind is not None and not self.begun and self._new:
                with suppress(OSError):
                    os.unlink(self.path)
