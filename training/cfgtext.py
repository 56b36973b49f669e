"""Variants of a cfg: options and layers changed in its text; comments and all the rest stay as they are.

Darknet's syntax as in `darknet_py.cfg`: blanks inside a line do not count, the first of two equal keys wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from darknet_py.errors import OptionError

__all__ = ["insert_layer", "set_options"]

#: Options that name layers: by their number, or counted back from the layer itself where negative.
_REFERENCES = ("layers", "from", "share_index")


@dataclass
class _Block:
    """A section's lines, its header first; what stands before the first header is a block of kind ''."""

    kind: str
    lines: list[str]

    @property
    def end(self) -> int:
        """Behind the last option: comments and blank lines that follow belong to what comes next."""
        return 1 + max(n for n, line in enumerate(self.lines) if n == 0 or _key(line))


def set_options(text: str, kind: str, options: Mapping[str, str | None], *, only_present: bool = False) -> str:
    """Set options in every section of a kind.

    Parameters
    ----------
    text : str
        A cfg.
    kind : str
        ``net``, ``yolo``, ...
    options : mapping
        Value by key; None removes the option, so that Darknet's default holds.
    only_present : bool
        Leave sections alone that do not have the key.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        There is no such section.
    """
    blocks = _split(text)
    chosen = [block for block in blocks if block.kind == kind]
    if not chosen:
        raise OptionError(f"the cfg has no [{kind}] to set {', '.join(options)} in")
    for block in chosen:
        for key, value in options.items():
            _set(block, key, value, only_present)
    return _join(blocks)


def insert_layer(text: str, after: int, section: str) -> str:
    """Put a layer behind another one, before the layer that reads it; all references keep their meaning.

    A reference to layer `after` still means that layer, not the new one: only the layer that follows and reads what
    comes before it sees the difference.

    Parameters
    ----------
    text : str
        A cfg.
    after : int
        Number of the layer, 0 for the first one after [net].
    section : str
        The new layer, header and options.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        No such layer, or the one behind it does not read it.
    """
    blocks = _split(text)
    layers = blocks[2:]  # behind what precedes [net], and [net]
    if not 0 <= after < len(layers) - 1:
        raise OptionError(f"no layer can follow layer {after}; expected 0 to {len(layers) - 2}")
    follower = layers[after + 1]
    if follower.kind == "route":
        raise OptionError(
            f"layer {after + 1} behind layer {after} is a [route], which reads the layers it names: nothing would read "
            "the new one"
        )
    for index, layer in enumerate(layers):
        for n, line in enumerate(layer.lines):
            if _key(line) in _REFERENCES:
                layer.lines[n] = _renumbered(line, index, after)
    before = layers[after]
    before.lines[before.end : before.end] = ["", *section.strip().splitlines()]
    return _join(blocks)


def _renumbered(line: str, index: int, after: int) -> str:
    """A reference of layer `index`, as it reads once a layer stands behind layer `after`."""

    def shift(found: re.Match[str]) -> str:
        value = int(found.group())
        target = index + value if value < 0 else value
        moved = target + (target > after)
        return str(moved - index - (index > after) if value < 0 else moved)

    option, remark = line.partition("#")[::2]
    numbers = re.sub(r"[+-]?[0-9]+", shift, option)
    return f"{numbers}#{remark}" if remark else numbers


def _set(block: _Block, key: str, value: str | None, only_present: bool) -> None:
    places = [n for n, line in enumerate(block.lines) if _key(line) == key]
    at = places[0] if places else block.end
    for n in reversed(places):
        del block.lines[n]
    if value is not None and (places or not only_present):
        block.lines.insert(at, f"{key}={value}")


def _key(line: str) -> str:
    """What an option is called; '' for a header, a comment or a blank line."""
    bare = "".join(line.split())
    return "" if bare.startswith(("[", "#", ";")) else bare.partition("=")[0]


def _split(text: str) -> list[_Block]:
    blocks = [_Block("", [])]
    for line in text.splitlines():
        bare = "".join(line.split())
        if bare.startswith("["):
            blocks.append(_Block(bare[1:].partition("]")[0], []))
        blocks[-1].lines.append(line)
    return blocks


def _join(blocks: list[_Block]) -> str:
    return "".join(f"{line}\n" for block in blocks for line in block.lines)
