"""What is to be said of a cfg that can be read: what its sections found odd, and options that nobody asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from darknet_py.cfg import Section
from darknet_py.characters import strange
from darknet_py.layers.base import LAYER_KEYS, TRAINING_KEYS, did_you_mean

__all__ = ["log_warnings", "warnings_of"]

_log = logging.getLogger(__name__)

#: Nobody reads more, and a file may give cause for a hundred thousand.
_MOST_WARNINGS = 50


def warnings_of(sections: Sequence[Section], *, built_only: bool = False) -> list[str]:
    """What sections say, in order and once: one that was read for two sizes says the same twice.

    With `built_only` nothing of those that were not read at all, whose options nobody knows yet.
    """
    read = [section for section in sections if not built_only or section.is_read]
    passed = LAYER_KEYS | TRAINING_KEYS if built_only else TRAINING_KEYS
    return list(dict.fromkeys(text for section in read for text in (*section.warnings, *_unknown(section, passed))))


def _unknown(section: Section, passed: frozenset[str]) -> list[str]:
    return [
        f"{section.file}:{option.line}: [{section.kind}] unknown option {option.key}={option.value or ''} is ignored"
        f"{_remark(option.key)}"
        for option in section.unread()
        if option.key not in passed
    ]


def _remark(key: str) -> str:
    """What may be wrong with an option's name; nothing where other layers have it."""
    return "" if key in LAYER_KEYS else strange(key) + did_you_mean(key, LAYER_KEYS)


def log_warnings(warnings: Sequence[str], file: str) -> None:
    """Log them, the first ones each by itself."""
    for text in warnings[:_MOST_WARNINGS]:
        _log.warning("%s", text)
    if len(warnings) > _MOST_WARNINGS:
        _log.warning("%s: and %d more of such", file, len(warnings) - _MOST_WARNINGS)
