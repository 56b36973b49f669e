"""Folders that outputs of many files go to, and names of classes as names of folders."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from darknet_py.files import MOST_OF_NAME, write_error
from darknet_py.plaintext import unicode_only

__all__ = ["clear_leftovers", "folder_name", "open_folder"]

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
#: Names that Windows keeps for devices, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 100

#: What `WholeFile` calls a file that has not its name yet, and OpenCV's encoder, which needs the ending.
_LEFTOVER = re.compile(rf"\.(.{{1,{MOST_OF_NAME}}})-[0-9a-f]{{8}}\.tmp(\.mp4)?", re.DOTALL)


def open_folder(folder: str | os.PathLike[str]) -> None:
    """Create the folder if need be, and see that files can be made in it.

    Raises
    ------
    OptionError, OutputError
        They cannot.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        raise write_error(folder, error) from error


def folder_name(text: str) -> str:
    """A name that every file system takes for a folder, as near to the text as may be."""
    name = _NOT_IN_NAMES.sub("_", unicode_only(text)).strip().rstrip(".")
    while len(name.encode()) > _LONGEST:
        name = name[:-1]
    return f"_{name}" if not name or _DEVICES.fullmatch(name) else name


def clear_leftovers(folder: Path, name: str = "") -> None:
    """Remove what a process that was killed was writing in a folder, under one name or any; nobody else may be writing.

    What cannot be removed stays.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            begun = _LEFTOVER.fullmatch(entry.name)
            if begun is not None and (not name or f"{begun[1]}{begun[2] or ''}"[:MOST_OF_NAME] == name[:MOST_OF_NAME]):
                with suppress(OSError):
                    os.unlink(entry)
