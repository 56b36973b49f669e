"""A lock that one process at a time holds, and that the system takes back from a process that ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["FileLock", "NoLocks"]


class NoLocks(Exception):
    """The file system has no locks."""


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise NoLocks(error.strerror) from error
        return True


class FileLock:
    """A lock on a file made for it, which is removed when the lock is released.

    The system's own locks: one that a killed process held is free. Nothing depends on the file being removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody has it.

        Raises
        ------
        OSError
            The file cannot be made.
        NoLocks
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _lock(descriptor) and self._is_current(descriptor):
                self._descriptor, descriptor = descriptor, -1
                return True
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return False

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file is still there: who had the lock before may have removed it between opening and locking."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back, if it was taken."""
        if self._descriptor is None:
            return
        if sys.platform == "win32":  # which removes no file that anybody has open
            os.close(self._descriptor)
        with suppress(OSError):
            self._path.unlink()
        if sys.platform != "win32":  # elsewhere the next one would take the lock before the file is gone
            os.close(self._descriptor)
        self._descriptor = None
