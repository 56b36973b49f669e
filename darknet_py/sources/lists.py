"""Names that come from elsewhere than the command line: directories, patterns, list files, standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from darknet_py.errors import ImageError
from darknet_py.pictures.containers.kinds import HEAD, begins_as_picture, kind_of
from darknet_py.sources.input_kinds import is_address, is_picture_file, is_video_file

__all__ = ["files_in", "files_of_pattern", "lines_of", "read_stdin"]

#: Bytes of a list file, and of one line of a list.
_LARGEST_LIST = 1 << 28
_LONGEST_LINE = 1 << 16
_CHUNK = 1 << 16


def files_in(folder: str, recursive: bool = False, leave_out: Path | None = None, *, videos: bool = True) -> list[str]:
    """The pictures and videos of a directory, by name; hidden ones left out.

    Parameters
    ----------
    folder : str
    recursive : bool
        Those in its subdirectories as well, links to directories not followed.
    leave_out : Path, optional
        A subdirectory that is not entered: where results go.
    videos : bool
        Whether videos count.

    Raises
    ------
    ImageError
        There are none.
    OSError
        It cannot be read.
    """
    entries = _walk(folder, recursive, leave_out)
    found = [path for path in entries if is_picture_file(path) or (videos and is_video_file(path))]
    if not found:
        below = "" if recursive else " (those in its subdirectories count with --recursive)"
        if not videos:
            raise ImageError(f"{folder}: no picture in this directory, expected files such as .jpg or .png in it")
        raise ImageError(
            f"{folder}: no picture and no video in this directory, expected files such as .jpg or .mp4 in it{below}"
        )
    return found


def _walk(folder: str, recursive: bool, leave_out: Path | None) -> Iterator[str]:
    entries = sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
    paths = [os.path.join(folder, entry) for entry in entries]
    yield from paths
    if not recursive:
        return
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path) and not (leave_out and _same(path, leave_out)):
            try:
                yield from _walk(path, recursive, leave_out)
            except PermissionError as error:
                raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _same(path: str, other: Path) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def files_of_pattern(pattern: str) -> list[str]:
    """The files that a pattern such as ``photos/**/*.jpg`` matches.

    Raises
    ------
    ImageError
        There are none.
    """
    found = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not found:
        raise ImageError(f"{pattern}: no file matches this pattern (looked from {os.getcwd()})")
    return found


def lines_of(path: str) -> list[str]:
    """The names that a list file has, one a line; what is not found from here is looked for beside the list.

    A line that begins with # is a remark, unless there is a file of that name.

    Raises
    ------
    ImageError
        It has none, or is no text.
    OSError
        It cannot be read.
    """
    if os.path.getsize(path) > _LARGEST_LIST:
        raise ImageError(f"{path}: {os.path.getsize(path):,} bytes are no list of paths, at most {_LARGEST_LIST:,}")
    with open(path, "rb") as file:
        found = (_beside(name, path) for name in _names(file, path, file.read(HEAD)))
        names = [name for name in found if not _is_remark(name)]
    if not names:
        raise ImageError(f"{path}: an empty list, expected a path on each line")
    return names


def _beside(name: str, path: str) -> str:
    if is_address(name) or os.path.isabs(name) or glob.has_magic(name) or os.path.lexists(name):
        return name
    there = os.path.join(os.path.dirname(path), name)
    return there if os.path.lexists(there) else name


def _is_remark(name: str) -> bool:
    return os.path.basename(name).startswith("#") and not os.path.lexists(name)


def read_stdin() -> bytes | Generator[str, None, None]:
    """Standard input: the bytes of one picture, or names as they come, one a line or, as find -print0 has it, with a
    character 0 after each.

    Raises
    ------
    ImageError
        It is closed, or neither.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise ImageError("-: standard input is closed, expected paths, one a line, or a picture's bytes")
    file: BinaryIO = sys.stdin.buffer
    head = _first(file)
    if begins_as_picture(head) or kind_of(head) is not None:
        from darknet_py.sources.addresses import read_limited

        return read_limited(file, head, "-")
    return (name for name in _names(file, "-", head) if not _is_remark(name))


def _first(file: BinaryIO) -> bytes:
    """The first bytes, as soon as they say what comes: paths that trickle in are not waited for."""
    head = b""
    while len(head) < HEAD and not (b"\n" in head and _is_text(head)):
        chunk = file.read1(HEAD - len(head)) if hasattr(file, "read1") else file.read(HEAD - len(head))
        if not chunk:
            break
        head += chunk
    return head


def _is_text(data: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 27 for byte in data if byte)


def _is_utf16(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    # Without its mark; names that end in 0 have no ends of lines.
    return b"\n" in head and b"\0" in head and not (any(head[1::2]) and any(head[::2]))


def _names(file: BinaryIO, where: str, head: bytes) -> Generator[str, None, None]:
    """Names in a text, each as soon as its line is whole."""
    if _is_utf16(head):
        raise ImageError(f"{where}: text in UTF-16, expected UTF-8: save it as that")
    rest = head.removeprefix(b"\xef\xbb\xbf")
    if not _is_text(rest):
        raise ImageError(f"{where}: neither text nor a picture, expected paths, one a line")
    separator = b"\0" if b"\0" in rest else b"\n"
    while True:
        *lines, rest = rest.split(separator)
        for line in lines:
            yield from _name(line)
        if len(rest) > _LONGEST_LINE:
            raise ImageError(f"{where}: a line of more than {_LONGEST_LINE:,} bytes is no path")
        chunk = file.read1(_CHUNK) if hasattr(file, "read1") else file.read(_CHUNK)
        if not chunk:
            break
        rest += chunk
    yield from _name(rest)


def _name(line: bytes) -> Iterator[str]:
    name = os.fsdecode(line.rstrip(b"\r")).strip("\t ")
    if name:
        yield name
