"""The word tree of yolo9000: which class is a kind of which."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from darknet_py.beside import places_beside
from darknet_py.cfg import Section
from darknet_py.errors import CfgError

__all__ = ["Tree", "read_tree"]

#: yolo9000's has 150 KB.
_LARGEST_FILE = 4 << 20


@dataclass(frozen=True)
class Tree:
    """Parents of each node (-1 for a root) and the groups: (start, count) of each maximal run of equal parents."""

    parents: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]


def read_tree(section: Section) -> Tree | None:
    """The tree named by the section's ``tree=``, looked up beside the cfg."""
    name = section.text("tree")
    if name is None:
        return None
    for path in places_beside(section.file, name):
        if os.path.isfile(path):
            return _parse(path)
    raise section.error(
        f"tree={name}: no such file beside the cfg; files elsewhere are not opened: copy it there", "tree"
    )


def _parse(path: Path) -> Tree:
    parents: list[int] = []
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise CfgError(f"{path}: cannot read the tree: {error.strerror or error}") from error
    if len(data) > _LARGEST_FILE:
        raise CfgError(f"{path}: over {_LARGEST_FILE >> 20} MB, expected a text file: a name and a number a line")
    for line, text in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
        # In C a line ends at its first zero: there are thousands of them in the tree of AlexeyAB's cfg/.
        words = text.partition("\0")[0].split()
        if not words:
            continue
        try:
            parent = int(words[1])
        except (IndexError, ValueError):
            raise CfgError(f"{path}:{line}: {text[:60]!r}: expected a name and the number of its parent") from None
        if not -1 <= parent < len(parents):
            raise CfgError(f"{path}:{line}: parent {parent}: expected -1 or an earlier line's number")
        parents.append(parent)
    if not parents:
        raise CfgError(f"{path}: the tree is empty")
    starts = [i for i, parent in enumerate(parents) if i == 0 or parent != parents[i - 1]]
    ends = [*starts[1:], len(parents)]
    return Tree(tuple(parents), tuple((start, end - start) for start, end in zip(starts, ends, strict=True)))
