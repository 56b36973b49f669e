"""Values as JSON that every reader takes: finite numbers, and text that is Unicode."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from darknet_py.plaintext import bytes_of, unicode_only

__all__ = ["rounded_json", "shortest", "strict", "text_of", "to_json"]

#: Darknet prints %f.
DECIMALS = 6


def to_json(value: Any) -> str:
    """Plain values as JSON over several lines."""
    return json.dumps(strict(value), indent=2, allow_nan=False)


def rounded_json(value: Any) -> str:
    """Plain values and NumPy's numbers as JSON on one line, with as many decimals as Darknet prints."""
    return json.dumps(strict(_rounded(value)), allow_nan=False)


def strict(value: Any) -> Any:
    """The value with null for infinite numbers and NaN, and text that is Unicode.

    Python has a file name's bytes that are not UTF-8 as lone surrogates, which are no Unicode. Of text with such,
    ``\\xe9`` stands for the byte, and what the text was in all is beside it: its bytes under ``<key>_base64`` (see
    `text_of`).
    """
    if isinstance(value, Mapping):
        plain: dict[str, Any] = {}
        for key, item in value.items():
            name = unicode_only(str(key))
            plain[name] = strict(item)
            if isinstance(item, str) and plain[name] != item:
                plain[f"{name}_base64"] = base64.b64encode(bytes_of(item)).decode()
        return plain
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return unicode_only(value) if isinstance(value, str) else value


def text_of(values: Mapping[str, Any], key: str) -> str:
    """The text that `strict` wrote under a key, with the bytes that are not Unicode."""
    encoded = values.get(f"{key}_base64")
    return str(values[key]) if encoded is None else base64.b64decode(encoded).decode("utf-8", "surrogateescape")


def shortest(numbers: Iterable[float]) -> list[float]:
    """float32 numbers with as few digits as tell them from all others: what is read from these is equal."""
    return [float(str(number)) for number in np.asarray(numbers, np.float32)]


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, DECIMALS)
    return value
