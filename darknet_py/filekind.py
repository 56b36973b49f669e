"""What a file is that somebody gives, or a server hands out, in place of a cfg or weights, and what to do then."""

from __future__ import annotations

import html
import re

__all__ = ["HEAD_BYTES", "cure_of", "what_it_is"]

#: Enough of a file to say what it is, the title of a web page included.
HEAD_BYTES = 4096

_AGAIN = "get it again, and look at what you get"
_UNPACK = "unpack it first"
_PYTORCH = (
    "where it was trained, save it as Darknet weights (programs with a cfg have a converter), or write its arrays with "
    "darknet_py.write_weights"
)
_RUNTIME = "only Darknet's .weights are read here: get those, or run this with a runtime of its own format"

#: First bytes of what has nothing to do with Darknet: where they stand, what it is, what to do.
_BINARY = (
    (0, b"PK\x03\x04", "a ZIP archive, as PyTorch's .pt files are", f"{_PYTORCH}; if it is an archive, {_UNPACK}"),
    (0, b"PK\x05\x06", "an empty ZIP archive", _AGAIN),
    (0, b"\x80\x02", "a pickle, as PyTorch's older .pt files are", _PYTORCH),
    (0, b"\x80\x03", "a pickle, as PyTorch's older .pt files are", _PYTORCH),
    (0, b"\x80\x04", "a pickle of Python", _PYTORCH),
    (0, b"\x80\x05", "a pickle of Python", _PYTORCH),
    (0, b"\x89HDF", "an HDF5 file, as Keras's are", _RUNTIME),
    (4, b"TFL3", "a TensorFlow Lite model", _RUNTIME),
    (8, b'{"', "a safetensors file", _PYTORCH),
    (0, b"GGUF", "a GGUF model", _RUNTIME),
    (0, b"\x93NUMPY", "a NumPy array", "write its values with darknet_py.write_weights"),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\xff\xd8\xff", "a JPEG picture", "cfg, weights and picture stand in this order"),
    (0, b"\x89PNG", "a PNG picture", "cfg, weights and picture stand in this order"),
    (0, b"%PDF-", "a PDF document", _AGAIN),
    (0, b"\x7fELF", "a program", _AGAIN),
    (0, b"MZ\x90\0", "a program", _AGAIN),
)
_LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"<!doctype html|<html[\s>]|<head[\s>]", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_CFG = "a Darknet cfg"
_SECTION = re.compile(rb"^\s*\[\s*(net|network)\s*\]", re.MULTILINE | re.IGNORECASE)


def what_it_is(head: bytes, *, weights: bool = False, names: bool = False) -> str | None:
    """Name what these first bytes of a file show it to be in place of weights or a cfg; None if nothing known.

    In place of `weights` any text is named, in place of `names` a cfg.
    """
    found = _known(head, weights)
    if found is None and names and _SECTION.search(head):
        return _CFG
    return found and found[0]


def cure_of(head: bytes) -> str:
    """What to do about such a file in place of weights."""
    found = _known(head, True)
    return found[1] if found else _AGAIN


def _known(head: bytes, weights: bool) -> tuple[str, str] | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_LFS):
        size = re.search(rb"^size (\d+)", text, re.MULTILINE)
        stands_for = f" that stands for a file of {int(size[1]):,} bytes" if size else ""
        return f"a Git LFS pointer{stands_for}, not the file itself", "git lfs pull brings it"
    if b"/annex/objects/" in text[:200]:
        return "a pointer of git-annex, not the file itself", "git annex get brings it"
    for at, magic, kind, cure in _BINARY:
        if head.startswith(magic, at):
            return kind, cure
    if b"\0" in head:
        is_onnx = b"onnx" in head[:64].lower() or b"pytorch" in head[:64]
        return ("an ONNX model", _RUNTIME) if is_onnx else None
    if _PAGE.search(text):
        title = _TITLE.search(text)
        words = html.unescape(" ".join(title[1].decode("utf-8", "replace").split())) if title else ""
        return (f'a web page ("{words}")' if words else "a web page"), f"the download failed: {_AGAIN}"
    if text.startswith(b"<?xml"):
        return "an XML document", _AGAIN
    if text.startswith((b'{"', b"{\n")):
        return "a JSON document", _AGAIN
    return _text(head, text) if weights else None


def _text(head: bytes, text: bytes) -> tuple[str, str] | None:
    """Any text, of which weights have no more than a few letters by chance."""
    if _SECTION.search(text):
        return _CFG, "cfg and weights are swapped, or the cfg was given twice"
    if not text or not all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head[:256]):
        return None
    return f'a text ("{" ".join(text[:60].decode("ascii").split())[:40]}")', _AGAIN
