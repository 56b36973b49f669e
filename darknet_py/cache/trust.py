"""One file of the cache: read only if nobody else can have written it, written wholly or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from darknet_py.files import WholeFile

__all__ = ["Distrusted", "distrust", "read_file", "write_file"]

#: Of files, before the umask: what is in them is no secret, and a folder for one user alone has mode 700 itself.
_MODE = 0o644

#: Never waits for the writer of a pipe that lies where a file should; Windows has no pipes there, but text mode.
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Distrusted(OSError):
    """Somebody else may have written a file, and compiled kernels are code."""


def distrust(status: os.stat_result, named: bool) -> str | None:
    """Why a file or folder is not to be trusted; None if it is.

    Parameters
    ----------
    status : os.stat_result
    named : bool
        Whether it lies in a folder that an environment variable names. There it may also be root's, who can do
        anything in any case, and writable by root's group: so are caches that came with a container image.
    """
    if not hasattr(os, "geteuid"):
        return None  # the user's folders on Windows are the user's
    if status.st_uid != os.geteuid() and not (named and status.st_uid == 0):
        return f"belongs to user {status.st_uid}, not to user {os.geteuid()}"
    if status.st_mode & stat.S_IWOTH:
        return f"may be written to by everybody (mode {stat.S_IMODE(status.st_mode):o})"
    if status.st_mode & stat.S_IWGRP and not (named and status.st_gid == 0):
        return f"may be written to by its group (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def read_file(path: Path, named: bool) -> bytes:
    """The bytes of a file that `distrust` has nothing against.

    What counts is the owner of the file that was opened: whoever exchanges folders meanwhile gains nothing.

    Raises
    ------
    Distrusted
    OSError
        It is not there, no file, or cannot be read.
    """
    descriptor = os.open(path, _READING)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Distrusted(f"{path}: not a file")
        reason = distrust(status, named)
        if reason:
            raise Distrusted(f"{path}: {reason}")
        return file.read()


def write_file(path: Path, data: bytes) -> None:
    """Put a file in place in one move.

    Raises
    ------
    OSError
        What was there before is unchanged.
    """
    with WholeFile(path, own=True, mode=_MODE) as file:
        file.write(data)
