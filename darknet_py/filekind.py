"""What a file is that somebody gives, or a server hands out, in place of a cfg or weights."""

from __future__ import annotations

import html
import re

__all__ = ["HEAD_BYTES", "what_it_is"]

#: Enough of a file to say what it is, the title of a web page included.
HEAD_BYTES = 4096

#: First bytes of what has nothing to do with Darknet.
_BINARY = {
    b"PK\x03\x04": "a ZIP archive, as PyTorch's .pt files are",
    b"\x80\x02": "a pickle, as PyTorch's older .pt files are",
    b"\x89HDF": "an HDF5 file, as Keras's are",
    b"\x1f\x8b": "a gzip archive",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
}
_LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"<!doctype html|<html[\s>]|<head[\s>]", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def what_it_is(head: bytes) -> str | None:
    """Name what these first bytes of a file show it to be in place of weights or a cfg; None if nothing known."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_LFS):
        size = re.search(rb"^size (\d+)", text, re.MULTILINE)
        stands_for = f" that stands for a file of {int(size[1]):,} bytes" if size else ""
        return f"a Git LFS pointer{stands_for}, not the file itself"
    for magic, kind in _BINARY.items():
        if head.startswith(magic):
            return kind
    if b"\0" in head:
        return "an ONNX model" if b"onnx" in head[:64].lower() or b"pytorch" in head[:64] else None
    if _PAGE.search(text):
        title = _TITLE.search(text)
        words = html.unescape(" ".join(title[1].decode("utf-8", "replace").split())) if title else ""
        return f'a web page ("{words}")' if words else "a web page"
    if text.startswith(b"<?xml"):
        return "an XML document"
    if text.startswith((b'{"', b"{\n")):
        return "a JSON document"
    return None
