"""Memory that kernels work in by address: how it is allocated, and the guard bands around it in the debug mode.

With ``DARKNET_PY_GUARD=1`` every piece lies between two bands of a pattern that nobody may write to, and fresh memory
is filled with it: a signalling NaN as float32, and two NaN as bfloat16, so that whatever is computed from memory that
nobody wrote is NaN. ``DARKNET_PY_GUARD=large`` has the largest floats instead, which a maximum does not pass over.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from darknet_py.errors import DarknetError, OptionError

__all__ = ["BAND", "MemoryFault", "aligned", "band_bytes", "check_guard", "damage", "damage_of", "pattern"]

_VARIABLE = "DARKNET_PY_GUARD"
_PATTERNS = {"1": 0x7FA17FA1, "large": 0x7F7F7F7F}

#: Bytes of a guard band: more than any kernel reads beyond by design, and whole cache lines.
BAND = 1024


class MemoryFault(DarknetError, RuntimeError):
    """A plan or a kernel that uses memory which is not its own: never the fault of a file or a caller."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}: this is a fault of darknet-py, please report it together with the cfg")


def pattern() -> int:
    """The 32 bits that guard bands are made of; 0 outside the debug mode."""
    return _PATTERNS.get(os.environ.get(_VARIABLE, ""), 0)


def check_guard() -> None:
    """Raise OptionError if the variable asks for what there is not; importing must not fail on it."""
    chosen = os.environ.get(_VARIABLE, "")
    if chosen not in ("", "0", *_PATTERNS):
        raise OptionError(f"{_VARIABLE}={chosen!r}: expected 0, 1 or large (unset it for ordinary runs)")


def band_bytes() -> int:
    """Bytes of the band on either side of what is allocated now; 0 outside the debug mode."""
    return BAND if pattern() else 0


def aligned(count: int, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """`count` zeros that begin on a cache line, between guard bands in the debug mode."""
    size, bits = np.dtype(dtype).itemsize, pattern()
    band = BAND if bits else 0
    raw = np.zeros(-(-(count * size + 64 + 2 * band) // 4), np.uint32)
    begin = band + -(raw.ctypes.data + band) % 64
    if bits:
        raw[: begin // 4] = bits
        raw[-(-(begin + count * size) // 4) :] = bits
    return raw.view(np.uint8)[begin : begin + count * size].view(dtype)


def damage(array: NDArray[Any]) -> str:
    """What was written to the bands around an array of `aligned`, in words; empty if nothing was, or it has none."""
    raw = array
    while isinstance(raw.base, np.ndarray):
        raw = raw.base
    begin = array.ctypes.data - raw.ctypes.data
    if not pattern() or raw.dtype != np.uint32 or begin < BAND:
        return ""
    # What was allocated when the variable said otherwise, as modules were imported, has the other pattern.
    bits = next((one for one in _PATTERNS.values() if one in (raw[0], raw[-1])), pattern())
    before, after = raw[: begin // 4], raw[-(-(begin + array.nbytes) // 4) :]
    return damage_of(before, after, bits)


def damage_of(before: NDArray[np.uint32], after: NDArray[np.uint32], bits: int) -> str:
    """What was written to two bands of a pattern, in words; empty if nothing was."""
    below, above = np.flatnonzero(before != bits), np.flatnonzero(after != bits)
    found = []
    if len(below):
        found.append(f"{len(below)} floats before it, from {len(before) - int(below[0])} on")
    if len(above):
        found.append(f"{len(above)} floats behind it, up to {int(above[-1]) + 1}")
    return " and ".join(found)
