"""Whether a Matroska file is whole: what OpenCV has for its length is that of the longest of its streams."""

from __future__ import annotations

import os

__all__ = ["is_cut_off"]

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD = 4096


def is_cut_off(path: str) -> bool | None:
    """Whether the file is shorter than it says that it is; None if it is no Matroska or WebM.

    One that says nothing, as it was written to a pipe, counts as whole.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        length = os.fstat(file.fileno()).st_size
    if not head.startswith(_EBML):
        return None
    size, at = _size(head, len(_EBML))
    at += size or 0
    if head[at : at + len(_SEGMENT)] != _SEGMENT:
        return False
    size, at = _size(head, at + len(_SEGMENT))
    return size is not None and at + size > length


def _size(data: bytes, at: int) -> tuple[int | None, int]:
    """An element's size, None if it is not known, and where what it counts begins."""
    if at >= len(data) or not data[at]:
        return None, at
    width = 9 - data[at].bit_length()
    most = (1 << 7 * width) - 1
    size = int.from_bytes(data[at : at + width], "big") & most
    return None if size == most else size, at + width
