"""Label files: a line ``class cx cy w h`` per object, relative to its picture, as Darknet trains with."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import CfgError

__all__ = ["label_path", "read_labels", "read_lines"]

#: How far a label may leave the picture and still count as rounded, as a fraction of the side.
_ROUNDING = 1e-3
#: Folders of pictures, and of their labels, as people and Darknet call them.
_FOLDERS = {"images": "labels", "JPEGImages": "labels"}


def label_path(picture: Path) -> Path:
    """Where the labels of a picture are: its last folder ``images`` (or ``JPEGImages``) becomes ``labels``.

    Without such a folder, or without the file there but with one beside the picture, they are beside the picture.
    """
    beside = picture.with_suffix(".txt")
    parts = list(beside.parts)
    at = next((i for i in reversed(range(len(parts) - 1)) if parts[i] in _FOLDERS), None)
    if at is None:
        return beside
    parts[at] = _FOLDERS[parts[at]]
    apart = Path(*parts)
    return beside if beside.exists() and not apart.exists() else apart


def read_labels(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Classes (n,) and boxes (n, 4), centre and size as fractions of the picture; no file is no object.

    Raises
    ------
    CfgError
        A line is not ``class cx cy w h``.
    """
    rows = [_label(line, f"{path}:{number}") for number, line in read_lines(path)] if path.exists() else []
    classes = np.array([row[0] for row in rows], np.int64)
    return classes, np.array([row[1] for row in rows], np.float64).reshape(-1, 4)


def _label(line: str, where: str) -> tuple[int, list[float]]:
    expected = "expected 'class cx cy w h' with cx, cy, w, h relative to the picture (0..1)"
    fields = line.split()
    try:
        class_id, box = int(fields[0]), [float(field) for field in fields[1:]]
    except ValueError:
        raise CfgError(f"{where}: {line[:80]!r}, {expected}") from None
    if len(box) != 4 or not all(math.isfinite(value) for value in box) or class_id < 0:
        raise CfgError(f"{where}: {line[:80]!r}, {expected}")
    if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in box) or min(box[2:]) <= 0:
        raise CfgError(f"{where}: {line[:80]!r}, {expected}; are these pixels?")
    return class_id, box


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Lines of a text file that are not blank, stripped, with their numbers from 1.

    Raises
    ------
    CfgError
        It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CfgError(f"{path}: cannot be read ({error.strerror or error}), expected a text file") from error
    except UnicodeDecodeError as error:
        raise CfgError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}), expected a text file"
        ) from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
