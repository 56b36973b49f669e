"""What callers pass, checked and brought to plain Python types; wrong ones become OptionErrors that name them.

Used wherever the public face takes an argument; NumPy's numbers are as good as Python's.
"""

from __future__ import annotations

import operator
import os
import reprlib
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from darknet_py.errors import OptionError

__all__ = [
    "MOST_THREADS",
    "PRECISIONS",
    "as_choice",
    "as_flag",
    "as_integer",
    "as_number",
    "as_path",
    "as_size",
    "lasting_path",
    "short",
]

#: Of what convolutions multiply.
PRECISIONS = ("float32", "bfloat16")

#: Per run: more help nobody, and each takes memory.
MOST_THREADS = 1024

#: No path is longer; the contents of a file, given in its place, are.
_LONGEST_PATH = 4096

#: Of a side in pixels: far more than can be computed, few enough digits to be printed.
_LARGEST_SIDE = 1 << 31


def short(value: Any) -> str:
    """The value as a message shows it, not too long of it."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python prints no more than 4300 digits
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__


def as_integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """A whole number; not a truth value, and not a float, however round."""
    try:
        number = _index(value)
    except TypeError:
        raise OptionError(f"{name}={short(value)}: expected a whole number, not {type(value).__name__}") from None
    if low is not None and number < low:
        raise OptionError(f"{name}={short(number)}: expected at least {low}")
    if high is not None and number > high:
        raise OptionError(f"{name}={short(number)}: expected at most {high}")
    return number


def as_size(name: str, value: Any) -> tuple[int, int]:
    """(width, height) of two whole numbers, or of one for a square."""
    try:
        width, height = map(_index, (value, value) if _is_whole(value) else value)
        if max(abs(width), abs(height)) > _LARGEST_SIDE:
            raise ValueError
    except (TypeError, ValueError):
        raise OptionError(
            f"{name}={short(value)}: expected (width, height) in whole numbers, such as (608, 416), or one for a square"
        ) from None
    return width, height


def as_number(name: str, value: Any, *, high: float) -> float:
    """A number from 0 to `high`."""
    number: Any = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if _is_number(number) and 0 <= number <= high:
        return float(number)
    raise OptionError(f"{name}={short(value)}: expected a number from 0 to {high:g}")


def as_flag(name: str, value: Any) -> bool:
    """True or False, also as 1 or 0."""
    if isinstance(value, bool | np.bool_) or (_is_whole(value) and value in (0, 1)):
        return bool(value)
    raise OptionError(f"{name}={short(value)}: expected True or False")


def as_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of some words."""
    if isinstance(value, str) and value in choices:
        return value
    raise OptionError(f"{name}={short(value)}: expected one of {', '.join(choices)}")


def as_path(name: str, value: Any, expected: str) -> Path:
    """A path given as str, bytes or PathLike; `expected` says what it should lead to."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise OptionError(f"{name} of type {type(value).__name__}: expected {expected}")
    path = os.fspath(value)
    if isinstance(path, bytes) and (len(path) > _LONGEST_PATH or b"\0" in path or b"\n" in path):
        raise OptionError(f"{name}: {len(path)} bytes that are the contents of a file: expected {expected}")
    text = os.fsdecode(path)
    if "\0" in text:
        raise OptionError(f"{name}={short(value)}: expected {expected}")
    return Path(text)


def lasting_path(value: Any) -> Any:
    """A path to a file in a form that holds in any working directory; whatever else, such as a name, as it is."""
    if not isinstance(value, str | bytes | os.PathLike):
        return value
    path = os.fsdecode(value)
    return os.path.abspath(path) if os.path.exists(path) else path


def _index(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _is_whole(value: Any) -> bool:
    try:
        _index(value)
    except TypeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
