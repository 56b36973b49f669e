"""Blocks of pages that scripts write: what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``."""

from __future__ import annotations

import re

__all__ = ["has_block", "with_block"]


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)


def has_block(text: str, name: str) -> bool:
    """Whether a page has a block of that name."""
    return _pattern(name).search(text) is not None


def with_block(text: str, name: str, block: str) -> str:
    """A page's text with `block`, which ends without a newline, in place of what the block had; LookupError if none."""
    text, found = _pattern(name).subn(lambda marks: f"{marks[1]}{block}\n{marks[2]}", text)
    if not found:
        raise LookupError(f"no block named {name}: expected <!-- begin {name} --> and <!-- end {name} -->")
    return text
