"""Unicode of text that need not be: Python has those bytes of a file name that are not UTF-8 as lone surrogates."""

from __future__ import annotations

__all__ = ["bytes_of", "unicode_only"]


def unicode_only(text: str) -> str:
    """The text with ``\\xe9`` for each byte that is not UTF-8; the very same object if there is none."""
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return bytes_of(text).decode("utf-8", "backslashreplace")


def bytes_of(text: str) -> bytes:
    """The bytes that the text stands for: of a file name, those of the file."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that come from no file name
        return text.encode("utf-8", "surrogatepass")
