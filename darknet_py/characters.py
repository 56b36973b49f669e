"""Characters of a text that nobody sees, or that look like others: what programs take for letters, and people don't."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["decoded", "named", "strange", "without_strangers"]

#: What web pages, chats and editors put between letters, to no eye: control characters, soft hyphens, spaces of no or
#: another width, fillers, marks, tags.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\u00ad\u034f\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef]"
)

#: What is typed, or made by a word processor, in place of a character of ASCII.
_LOOKALIKES = {
    **{0xFF01 + n: chr(0x21 + n) for n in range(94)},
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0xFE63), "-"),
    **dict.fromkeys((0x3001, 0xFF64, 0x060C, 0x201A), ","),
    **dict.fromkeys((0x201C, 0x201D, 0x201E, 0x00AB, 0x00BB), '"'),
    **dict.fromkeys((0x2018, 0x2019), "'"),
    **dict.fromkeys((0x3010, 0x3014), "["),
    **dict.fromkeys((0x3011, 0x3015), "]"),
}


def named(character: str) -> str:
    """Such as "U+00A0 (no-break space)"."""
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character').lower()})"


def strange(text: str) -> str:
    """A remark on letters that are not ASCII's, which may look as if they were; empty if there are none."""
    found = list(dict.fromkeys(char for char in text if not char.isascii()))[:3]
    return f" (it holds {', '.join(map(named, found))})" if found else ""


def without_strangers(line: str, where: str, warnings: list[str]) -> str:
    """A line without characters that nobody sees, and with ASCII for those that look like it; says what it did."""
    found = dict.fromkeys(_INVISIBLE.findall(line))
    if found:
        warnings.append(f"{where}: characters that cannot be seen are left out: {', '.join(map(named, found))}")
        line = _INVISIBLE.sub("", line)
    alike = dict.fromkeys(char for char in line if ord(char) in _LOOKALIKES)
    if alike:
        told = ", ".join(f"{named(char)} as {_LOOKALIKES[ord(char)]!r}" for char in alike)
        warnings.append(f"{where}: characters of ASCII are read in place of others, which Darknet would not do: {told}")
    return line.translate(_LOOKALIKES)


def decoded(data: bytes) -> str | None:
    """The text of a file in UTF-16 or UTF-32, with its mark or without; None if it is in neither."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return data.decode("utf-32", errors="replace")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    head = data[:200]
    for codec, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        # ASCII in 16 bits: every other byte is 0.
        if len(head) > 8 and not any(zeros) and all(letters):
            return data.decode(codec, errors="replace")
    return None
