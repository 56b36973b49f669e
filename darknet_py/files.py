"""Files written whole or not at all, also where a finished one cannot be moved to its name.

All that the package writes goes through here: results, drawn pictures, weights, ONNX models, downloads, the cache.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import secrets
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from darknet_py.errors import DarknetError, OptionError, OutputError
from darknet_py.overwriting import BINARY, overwrite

__all__ = [
    "MOST_OF_NAME",
    "WholeFile",
    "check_writable",
    "descriptor_of",
    "move_whole",
    "write_error",
    "write_whole",
]

_log = logging.getLogger(__name__)

#: What happens to disks while one writes to them, and is no fault of the name that was given.
_OF_THE_DISK = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "ESTALE") if hasattr(errno, name)
)

#: Names of what is open already, such as ``/dev/stdout`` or a shell's ``>(...)``.
_DESCRIPTORS = re.compile(r"/dev/std(out|err)|/(?:dev|proc/self)/fd/(\d{1,9})")

#: Characters of a target's name: with all that is added to it, it must not be longer than names may be.
MOST_OF_NAME = 40

#: Folders of which was said that files in them are written in place.
_told: set[Path] = set()


class WholeFile:
    """A file under construction; a context manager that commits it, or drops it if the block raises.

    The bytes go to a temporary neighbour, which takes the target's name, mode and owner at the end: until then, and for
    good if it is dropped, what was there before stays whole. Where no neighbour can be made, or it cannot be moved (a
    bind mount, a file that may be written in a folder that may not), the target is written in place at the end, from a
    copy that is complete. Pipes, devices and descriptors are written at once.

    Parameters
    ----------
    path : path
        Links are followed.
    lasting : bool
        Have it on the disk, not only in the system's memory, before it gets its name.
    own : bool
        It is the package's own, such as one of the cache: replaced or left alone, never followed as a link, taken over
        or written in place.
    mode : int
        Of a new file, before the umask.
    rescue : bool
        If all else fails at the end, leave the bytes in a file beside the target, or in the temporary directory; the
        error names it.

    Attributes
    ----------
    direct : bool
        What is written cannot be taken back.

    Raises
    ------
    OSError
        From `open`, the target cannot be written, and nothing was touched; later, it could not.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        lasting: bool = False,
        rescue: bool = False,
        own: bool = False,
        mode: int = 0o666,
    ) -> None:
        self.path = Path(path)
        self.direct = False
        self._lasting, self._rescue, self._own, self._mode = lasting, rescue, own, mode
        self._target = Path(os.path.abspath(path) if own else os.path.realpath(path))
        self._part: Path | None = None
        self._beside, self._done = True, False
        self._file: BinaryIO | None = None
        self._before: os.stat_result | None = None

    def open(self) -> WholeFile:
        """See that the target can be written, and begin."""
        if self._own:
            self._begin(self._neighbour(), self._mode)
            return self
        descriptor = descriptor_of(self.path)
        if descriptor is not None:
            self.direct, self._file = True, os.fdopen(os.dup(descriptor), "wb", buffering=0)
            return self
        with suppress(FileNotFoundError):
            self._before = os.stat(self._target)
        if self._before is not None and not stat.S_ISREG(self._before.st_mode):
            self.direct, self._file = True, open(self.path, "wb", buffering=0)  # noqa: SIM115
            return self
        if self._before is not None:
            # A file that must not be written is not replaced either: and on a mount point nothing else would do.
            os.close(os.open(self._target, os.O_WRONLY | BINARY))
        try:
            self._begin(self._neighbour(), self._mode)
            self._take_over()
        except OSError as error:
            if self._before is None or error.errno in _OF_THE_DISK:
                raise
            self._tell(error)
            self._beside = False
            self._begin_elsewhere()
        return self

    def _neighbour(self) -> Path:
        return self._target.with_name(f".{self._target.name[:MOST_OF_NAME]}-{secrets.token_hex(4)}.tmp")

    def _begin(self, part: Path, mode: int) -> None:
        # Not even an interrupt between two lines, or one that ends the process here, leaves the file behind.
        self._part, self._remover = part, weakref.finalize(self, _remove, part, os.getpid())
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY
        self._file = os.fdopen(os.open(part, flags, mode), "r+b", buffering=0)

    def _begin_elsewhere(self) -> None:
        """In the temporary directory; in memory where there is none, as in a container that may write but one file."""
        try:
            self._begin(Path(tempfile.gettempdir(), f"darknet-py-{secrets.token_hex(8)}.tmp"), mode=0o600)
        except OSError:
            self._part, self._file = None, io.BytesIO()

    def _tell(self, error: OSError) -> None:
        if self._target.parent not in _told:
            _told.add(self._target.parent)
            _log.warning(
                "%s: cannot be replaced (%s), only be written in place", self.path, error.strerror or str(error)
            )

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`; unbuffered, so that a full disk shows here."""
        assert self._file is not None
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def seek(self, at: int) -> None:
        """Go on writing at byte `at`."""
        assert self._file is not None
        self._file.seek(at)

    def truncate(self) -> None:
        """Let the file end where it is being written."""
        assert self._file is not None
        self._file.truncate()

    def commit(self) -> None:
        """Give the file its name; an interrupt waits until that is done."""
        if self._done:
            return
        try:
            try:
                self._commit()
            except KeyboardInterrupt:
                if not self._beside or self._part is None or self._part.exists():
                    self._commit()
                raise
        finally:
            self._done = True
            self.discard()

    def _commit(self) -> None:
        if self.direct or self._file is None:
            return
        if self._beside and self._part is not None:
            if not self._file.closed:
                if self._lasting:
                    os.fsync(self._file.fileno())
                self._file.close()  # no open file can be moved on Windows; a network's disk may only now say it is full
            try:
                os.replace(self._part, self._target)
                return
            except OSError as error:
                if self._own:
                    raise
                self._tell(error)
            self._file = open(self._part, "rb", buffering=0)  # noqa: SIM115
        try:
            overwrite(self._file, self._target)
        except OSError as error:
            kept = self._rescued()
            if kept is None:
                raise
            raise OSError(error.errno, f"{error.strerror or error}; what was to be written is in {kept}") from error

    def _rescued(self) -> Path | None:
        """Where the bytes stay under a name that is not hidden."""
        if not self._rescue or self._part is None:
            return None
        kept = self._part.with_name(f"{self._target.stem[:40]}-{secrets.token_hex(4)}{self._target.suffix[:20]}")
        try:
            os.replace(self._part, kept)
        except OSError:
            return None
        return kept

    def _take_over(self) -> None:
        """Mode and owner of the file that will be replaced."""
        if self._before is None or self._part is None:
            return
        with suppress(OSError):
            if hasattr(os, "chown") and (self._before.st_uid, self._before.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(self._part, self._before.st_uid, self._before.st_gid)
        with suppress(OSError):
            os.chmod(self._part, stat.S_IMODE(self._before.st_mode))

    def discard(self) -> None:
        """Drop what was written; the target stays as it is."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        if self._part is not None:
            self._remover()

    def __enter__(self) -> WholeFile:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def write_whole(path: str | os.PathLike[str], data: bytes, *, lasting: bool = False) -> None:
    """Write a file, wholly or not at all; see `WholeFile`.

    Raises
    ------
    OptionError
        The path cannot be written.
    OutputError
        The disk is full, or fails.
    """
    try:
        with WholeFile(path, lasting=lasting) as file:
            file.write(data)
    except (OSError, ValueError) as error:
        raise write_error(path, error) from error


def move_whole(source: Path, target: Path) -> None:
    """Move a finished file to its name, or write it there in place and remove it.

    Raises
    ------
    OSError
        It stays where it is.
    """
    with source.open("rb+") as file:
        os.fsync(file.fileno())
    try:
        os.replace(source, target)
    except OSError as error:
        if not target.is_file():
            raise
        _log.warning("%s: cannot be replaced (%s), written in place", target, error.strerror or str(error))
        with open(source, "rb", buffering=0) as file:
            overwrite(file, target)
        source.unlink()


def check_writable(path: str | os.PathLike[str]) -> None:
    """See that a file could be written, ahead of the work for it; nothing is changed.

    Raises
    ------
    OptionError, OutputError
        As `write_whole`.
    """
    try:
        file = WholeFile(path)
        if not os.path.exists(path) or os.path.isfile(path):  # opening a pipe would wait for its reader
            file.open().discard()
        elif os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except (OSError, ValueError) as error:
        raise write_error(path, error) from error


def write_error(path: str | os.PathLike[str], error: OSError | ValueError) -> DarknetError:
    """The library's error for a file that could not be written: of the name, or of the disk."""
    number, text = getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)
    if number in _OF_THE_DISK:
        return OutputError(f"{path}: cannot be written ({text}): make room, or write to another disk")
    return OptionError(f"{path}: cannot be written ({text})")


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """The number of the open file that a name such as ``/dev/stdout`` stands for; None for other names."""
    found = _DESCRIPTORS.fullmatch(os.fspath(path)) if os.name == "posix" else None
    if found is None:
        return None
    return int(found[2]) if found[2] else 1 if found[1] == "out" else 2


def _remove(part: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a child forked meanwhile
        with suppress(OSError):
            part.unlink(missing_ok=True)
