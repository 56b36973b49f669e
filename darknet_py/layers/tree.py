"""The word tree of yolo9000: which class is a kind of which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darknet_py.cfg import Section
from darknet_py.errors import CfgError

__all__ = ["Tree", "read_tree"]


@dataclass(frozen=True)
class Tree:
    """Parents of each node (-1 for a root) and the groups: (start, count) of each maximal run of equal parents."""

    parents: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]


def read_tree(section: Section) -> Tree | None:
    """The tree named by the section's ``tree=``, looked up as written and beside the cfg."""
    name = section.text("tree")
    if name is None:
        return None
    beside = Path(section.file).parent
    for path in (beside / name, Path(name), beside / Path(name).name):
        if path.is_file():
            return _parse(path)
    raise section.error(f"tree={name}: no such file, neither as written nor beside the cfg", "tree")


def _parse(path: Path) -> Tree:
    parents: list[int] = []
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = text.split()
        if not words:
            continue
        try:
            parent = int(words[1])
        except (IndexError, ValueError):
            raise CfgError(f"{path}:{line}: {text!r}: expected a name and the number of its parent") from None
        if not -1 <= parent < len(parents):
            raise CfgError(f"{path}:{line}: parent {parent}: expected -1 or an earlier line's number")
        parents.append(parent)
    if not parents:
        raise CfgError(f"{path}: the tree is empty")
    starts = [i for i, parent in enumerate(parents) if i == 0 or parent != parents[i - 1]]
    ends = [*starts[1:], len(parents)]
    return Tree(tuple(parents), tuple((start, end - start) for start, end in zip(starts, ends, strict=True)))
