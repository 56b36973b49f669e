"""Where the paths that stand in a cfg or a .data file may lead: such a file may be a stranger's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

__all__ = ["places_beside"]

#: Darknet runs one level above these, and its files name each other from there: ``names=data/coco.names``.
_OF_DARKNET = ("cfg", "data")


def places_beside(file: str | os.PathLike[str], name: str) -> Iterator[Path]:
    """Where a path written in `file` may point to, most likely first; none of these need be there.

    All lie in the folder of `file`, or where that is called ``cfg`` or ``data`` in the folder above it. Whatever else
    the name says (``/etc/passwd``, ``../../other``, a link that leads away), only its last part counts.
    """
    folder = Path(file).parent
    roots = [folder]
    if Path(os.path.abspath(folder)).name.lower() in _OF_DARKNET:
        roots.append(folder / os.pardir)
    for root in roots:
        place = root / name.replace("\\", "/")
        if _is_inside(place, root):
            yield place
    place = folder / PureWindowsPath(name).name
    if _is_inside(place, folder):
        yield place


def _is_inside(place: Path, root: Path) -> bool:
    try:
        inside = os.path.realpath(root)
        return os.path.commonpath([inside, os.path.realpath(place)]) == inside
    except (OSError, ValueError):  # another drive, or no path at all
        return False
