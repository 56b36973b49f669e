"""Which pictures the inputs of ``darknet-py detect`` name, and where the drawn ones go."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from darknet_py.draw import IMAGE_SUFFIXES
from darknet_py.errors import ImageError
from darknet_py.pictures.containers.kinds import HEAD, begins_as_picture

__all__ = ["gather", "targets_of"]

#: What counts as a picture in a directory by its name, read or not: one that is not gets its line. Files of other
#: names count if they begin as a picture does; a file named on the command line is tried whatever its name.
_PICTURES = frozenset({
    *IMAGE_SUFFIXES,
    ".apng", ".avif", ".avifs", ".bpg", ".cr2", ".cr3", ".dcm", ".dds", ".dib", ".dng", ".exr", ".gif", ".hdr",
    ".heic", ".heics", ".heif", ".heifs", ".hif", ".icns", ".ico", ".j2c", ".j2k", ".jfi", ".jfif", ".jif", ".jp2",
    ".jpc", ".jpe", ".jpf", ".jpx", ".jxl", ".jxr", ".mpo", ".nef", ".orf", ".arw", ".pam", ".pbm", ".pcx", ".pfm",
    ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".raf", ".ras", ".rw2", ".sgi", ".sr", ".tga", ".tif", ".tiff",
    ".wdp", ".xcf",
})  # fmt: skip


def gather(inputs: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The pictures that `inputs` name, and (input, cause) for those that name none."""
    pictures: list[str] = []
    wrong: list[tuple[str, str]] = []
    for name in inputs:
        try:
            pictures.extend(_pictures_of(name))
        except (ImageError, OSError) as error:
            wrong.append((name, getattr(error, "strerror", None) or str(error)))
    return pictures, wrong


def _pictures_of(name: str) -> list[str]:
    if not name:
        raise ImageError("an empty name: expected a picture, a directory or a pattern")
    if os.path.isdir(name):
        entries = sorted(entry for entry in os.listdir(name) if not entry.startswith("."))
        found = [path for path in (os.path.join(name, entry) for entry in entries) if _is_picture(path)]
        if not found:
            raise ImageError(f"{name}: no picture in this directory, expected files such as .jpg or .png in it")
        return found
    # Not every shell expands patterns; a file whose name looks like one is still a file.
    if glob.has_magic(name) and not os.path.lexists(name):
        found = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
        if not found:
            raise ImageError(f"{name}: no file matches this pattern (looked from {os.getcwd()})")
        return found
    return [name]


def _is_picture(path: str) -> bool:
    """Whether an entry of a directory is one by its name or, failing that, by its first bytes.

    A broken link with a picture's name is one: it gets its line.
    """
    if os.path.splitext(path)[1].lower() in _PICTURES:
        return os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return begins_as_picture(file.read(HEAD))
    except OSError:  # nothing says that it is a picture
        return False


def targets_of(pictures: Sequence[str], out: Path | None) -> Iterator[Path | None]:
    """Where each picture goes in `out`: names that no other picture has, and no picture that is read."""
    if out is None:
        yield from [None] * len(pictures)
        return
    taken = {_folded(Path(picture)) for picture in pictures}
    counts: dict[str, int] = {}  # of equal names, which would be asked for over and over
    for picture in pictures:
        path = Path(picture)
        suffix = path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else ".png"
        target = out / f"{path.stem}{suffix}"
        name, count = target.name.casefold(), counts.get(target.name.casefold(), 1)
        while count > 1 or _folded(target) in taken:
            count += 1
            target = out / f"{path.stem}-{count}{suffix}"
            if _folded(target) not in taken:
                break
        counts[name] = count
        taken.add(_folded(target))
        yield target


def _folded(path: Path) -> str:
    """The path as one string, equal for names that one file may have on a file system that ignores case."""
    return os.path.realpath(path).casefold()
