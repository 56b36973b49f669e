"""cfg text → sections: Darknet's syntax and line numbers, no arrays and no layers.

The first arrow of the flow. The rules are those of Darknet's ``read_cfg``/``option_list.c``: every blank inside a line
is deleted, a comment is a line that starts with ``#`` or ``;``, an option splits at its first ``=``, the first of two
equal keys wins, numbers are read like C's ``atoi``/``atof``.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from darknet_py.characters import decoded, strange, without_strangers
from darknet_py.errors import CfgError
from darknet_py.filekind import HEAD_BYTES, what_it_is
from darknet_py.limits import Limits, variable_of

__all__ = ["Option", "Section", "parse_cfg", "parse_cfg_bytes", "read_cfg"]

_log = logging.getLogger(__name__)

_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)")
#: A cfg is a few hundred short lines; a model or a picture given by mistake is not.
_LARGEST_FILE = 4 << 20
#: As many as of a graph are shown.
_MOST_WARNINGS = 50
#: Of a message: a line of such a file may be as long as the file.
_LONGEST_MESSAGE = 600


@dataclass(frozen=True)
class Option:
    """One ``key=value`` line; `value` is None for a line without ``=``, which Darknet stores as an absent value."""

    key: str
    value: str | None
    line: int


@dataclass
class Section:
    """One ``[kind]`` with its options, which remember whether anybody read them.

    Attributes
    ----------
    kind : str
        The word between the brackets, as written.
    file : str
        Where it was read from, for messages.
    line : int
        1-based line of the header.
    index : int
        Position among the layers: -1 for the first section (``[net]``), 0 for the first layer.
    options : dict of str to Option
        First occurrence of each key.
    warnings : list of str
        What was read differently from how it looks (trailing characters, rejected lines).
    """

    kind: str
    file: str
    line: int
    index: int
    options: dict[str, Option] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _read: set[str] = field(default_factory=set, repr=False)

    @property
    def where(self) -> str:
        """``file:line: [kind] (layer 3)``, the start of every message about this section."""
        layer = f" (layer {self.index})" if self.index >= 0 else ""
        return f"{self.file}:{self.line}: [{self.kind}]{layer}"

    def error(self, message: str, key: str | None = None) -> CfgError:
        """A CfgError located at this section, or at the line of `key`."""
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[: _LONGEST_MESSAGE // 2]} ... {message[-_LONGEST_MESSAGE // 2 :]}"
        option = self.options.get(key) if key else None
        if option is None:
            return CfgError(f"{self.where}: {message}")
        layer = f" (layer {self.index})" if self.index >= 0 else ""
        return CfgError(f"{self.file}:{option.line}: [{self.kind}]{layer}: {message}")

    def has(self, key: str) -> bool:
        """Whether `key` is present with a value."""
        return self.text(key) is not None

    def text(self, key: str) -> str | None:
        """The value of `key` as written (blanks removed), or None."""
        self._read.add(key)
        option = self.options.get(key)
        return None if option is None else option.value

    def word(self, key: str) -> str | None:
        """The value of `key` where it is a word: without a remark behind it, which Darknet would take as part of it."""
        value = self.text(key)
        if value is None:
            return None
        word = re.split("[#;]|//", value, maxsplit=1)[0]
        why = "in Darknet a remark stands on a line of its own" if word != value else "Darknet knows no quotation marks"
        word = word.strip("\"'")
        if word != value:
            self.warnings.append(
                f"{self.file}:{self.options[key].line}: [{self.kind}] {key}={value} is read as {word}: {why}"
            )
        return word or None

    def integer(self, key: str, default: int, *, low: int | None = None, high: int | None = None) -> int:
        """The leading integer of `key`, as ``atoi`` reads it, inside [low, high]."""
        text = self.text(key)
        value = default if text is None else int(self._leading(_INTEGER, key, text))
        self._check_within(key, value, low, high)
        return value

    def number(self, key: str, default: float, *, low: float | None = None, high: float | None = None) -> float:
        """The leading number of `key`, as ``atof`` reads it, inside [low, high]."""
        text = self.text(key)
        value = default if text is None else float(self._leading(_NUMBER, key, text))
        self._check_within(key, value, low, high)
        return value

    def flag(self, key: str) -> bool:
        """Whether `key` is present and not 0."""
        return self.integer(key, 0) != 0

    def integers(self, key: str, zero: str = "0") -> tuple[int, ...] | None:
        """A comma-separated list of integers, or None when absent; nothing between commas is 0, as in Darknet."""
        value = (self.text(key) or "").split("#")[0]
        if not value:
            return None
        items = self._told(key, value.split(","), zero)
        return tuple(int(self._leading(_INTEGER, key, item)) if item else 0 for item in items)

    def _told(self, key: str, items: list[str], zero: str) -> list[str]:
        if not all(items):
            self.warnings.append(
                f"{self.file}:{self.options[key].line}: [{self.kind}] {key}={','.join(items)}: nothing between commas "
                f"is {zero}, as in Darknet"
            )
        return items

    def references(self, key: str) -> tuple[int, ...] | None:
        """A list of layers; where nothing stands behind a comma Darknet reads a 0, which is the first layer."""
        return self.integers(key, "layer 0")

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """A comma-separated list of numbers, or None when absent; a comma at its end counts for nothing."""
        items = self._items(key)
        if items is None:
            return None
        return tuple(float(self._leading(_NUMBER, key, item)) if item else 0.0 for item in self._told(key, items, "0"))

    def choice(self, key: str, default: str, names: tuple[str, ...], *, lenient: bool = False) -> str:
        """The value of `key`, which must be one of `names`; with `lenient` any other is the default, as in Darknet."""
        value = self.word(key)
        if value is None or value in names:
            return default if value is None else value
        if not lenient:
            raise self.error(f"{key}={value}: expected one of {', '.join(names)}", key)
        self.warnings.append(
            f"{self.file}:{self.options[key].line}: [{self.kind}] {key}={value} is taken for {default}, as Darknet "
            f"does; it knows {', '.join(names)}"
        )
        return default

    @property
    def is_read(self) -> bool:
        """Whether anybody asked this section for an option."""
        return bool(self._read)

    def unread(self) -> Iterator[Option]:
        """Options that nobody asked for, in file order."""
        return (option for option in self.options.values() if option.key not in self._read)

    def _items(self, key: str) -> list[str] | None:
        value = self.text(key)
        if value is None:
            return None
        # Darknet counts commas only up to a '#', so that a trailing remark does not add elements.
        items = value.split("#")[0].rstrip(",").split(",")
        return items if items != [""] else None

    def _leading(self, pattern: re.Pattern[str], key: str, value: str) -> str:
        found = pattern.match(value)
        if not found:
            raise self.error(f"{key}={value}: expected a number", key)
        if not math.isfinite(float(found.group())):
            raise self.error(f"{key}={value[:20]}...: expected a number that a computer can hold", key)
        rest = value[found.end() :]
        if rest and rest[0] != "#":
            self.warnings.append(
                f"{self.file}:{self.options[key].line}: [{self.kind}] {key}={value[:80]} is read as "
                f"{found.group()[:80]}"
            )
        # Leading zeros count as digits, of which Python converts 4300 at most.
        return re.sub(r"^([+-]?)0+(?=\d)", r"\1", found.group())

    def _check_within(self, key: str, value: float, low: float | None, high: float | None) -> None:
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
            raise self.error(f"{key}={value}: expected {bounds}", key)


def parse_cfg(text: str, file: str = "<text>", limits: Limits | None = None) -> list[Section]:
    """Split cfg text into sections.

    Parameters
    ----------
    text : str
        The whole file.
    file : str
        Name used in messages.
    limits : Limits, optional
        Those of the environment by default.

    Returns
    -------
    list of Section
        ``[net]`` (or ``[network]``) first.

    Raises
    ------
    CfgError
        If there is no section, the first one is not ``[net]``, an option stands before the first section, or there are
        more sections than `limits` allows.
    """
    sections: list[Section] = []
    warnings: list[str] = []
    try:
        _parse(text, file, (limits or Limits.from_environment()).max_layers, sections, warnings)
    except CfgError:
        # Who builds the graph tells them otherwise.
        for told in [*(one for section in sections for one in section.warnings), *warnings][:_MOST_WARNINGS]:
            _log.warning("%s", told)
        raise
    return sections


def _parse(text: str, file: str, most: int, sections: list[Section], warnings: list[str]) -> None:
    for line, raw in _lines(text, file, warnings):
        stripped = raw.translate(_BLANKS)
        if not (stripped.isascii() and stripped.isprintable()) and stripped[:1] not in ("#", ";"):
            stripped = without_strangers(stripped, f"{file}:{line}", warnings)
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[":
            stripped = _without_remark(stripped, f"{file}:{line}", warnings)
            if not stripped.endswith("]"):
                raise CfgError(f"{file}:{line}: section header {raw.strip()[:60]!r} does not end with ']'")
            if len(sections) > most:
                raise CfgError(
                    f"{file}:{line}: more than {most} layers: if that is meant, allow more with the environment "
                    f"variable {variable_of('max_layers')}"
                )
            sections.append(Section(stripped[1:-1], file, line, len(sections) - 1))
        elif not sections:
            raise CfgError(f"{file}:{line}: {raw.strip()[:60]!r} stands before any section; a cfg starts with [net]")
        else:
            _add_option(sections[-1], stripped, line)
        sections[-1].warnings += warnings
        warnings.clear()
    if not sections:
        raise CfgError(f"{file}: no [section] in it; a Darknet cfg starts with [net]")
    kind = sections[0].kind
    if kind not in ("net", "network"):
        advice = f": names are case-sensitive in Darknet: write [{kind.lower()}]"
        raise CfgError(
            f"{sections[0].file}:{sections[0].line}: the first section is [{kind[:60]}], expected [net]"
            f"{advice if kind.lower() in ('net', 'network') else strange(kind)}"
        )


_BLANKS = str.maketrans("", "", " \t\r\n")


def _lines(text: str, file: str, warnings: list[str]) -> Iterator[tuple[int, str]]:
    """The lines with their numbers; what a lone CR divides are lines as well."""
    lines = text.split("\n")
    if not any("\r" in line.strip("\r") for line in lines):
        yield from enumerate(lines, 1)
        return
    warnings.append(f"{file}: lines end in CR alone, which Darknet takes for one line; they are read one by one")
    yield from enumerate(re.sub(r"\r*\n\r*", "\n", text).replace("\r", "\n").split("\n"), 1)


def _without_remark(header: str, where: str, warnings: list[str]) -> str:
    """A section header without the remark behind it, with which Darknet would not know the section."""
    found = re.match(r"(\[[^\]]*\])(#|;|//)", header)
    if found is None:
        return header
    warnings.append(f"{where}: {header[:60]} is read as {found[1]}: in Darknet a remark stands on a line of its own")
    return found[1]


def _add_option(section: Section, stripped: str, line: int) -> None:
    key, equals, value = stripped.partition("=")
    if equals and not value:
        section.warnings.append(f"{section.file}:{line}: [{section.kind}] {key}= has no value and is ignored")
        return
    first = section.options.setdefault(key, Option(key, value if equals else None, line))
    if first.line != line and first.value != value:
        section.warnings.append(
            f"{section.file}:{line}: [{section.kind}] {key}={value} is ignored: the first counts, "
            f"{key}={first.value} in line {first.line}"
        )


def read_cfg(path: str | Path, limits: Limits | None = None) -> list[Section]:
    """Read a cfg file into sections; see `parse_cfg`.

    Raises
    ------
    CfgError
        If the file is missing, unreadable, not text, or not a cfg.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise CfgError(f"{path}: cannot read the cfg: {error.strerror or error}") from error
    return parse_cfg_bytes(data, str(path), limits)


def parse_cfg_bytes(data: bytes, file: str, limits: Limits | None = None) -> list[Section]:
    """Split the bytes of a cfg file into sections; see `parse_cfg`. UTF-16 and UTF-32 are read as well."""
    if len(data) > _LARGEST_FILE:
        raise CfgError(f"{file}: over {_LARGEST_FILE >> 20} MB; a cfg is a small text file (is this the weights file?)")
    kind = what_it_is(data[:HEAD_BYTES])
    if kind is not None:
        raise CfgError(f"{file}: this is {kind}; expected the text of a Darknet cfg")
    text = decoded(data)
    if text is not None:
        return parse_cfg(text.removeprefix("\ufeff"), file, limits)
    if b"\0" in data:
        raise CfgError(f"{file}: this is a binary file; expected the text of a Darknet cfg (cfg and weights swapped?)")
    return parse_cfg(data.decode("utf-8", errors="replace").removeprefix("\ufeff"), file, limits)
