"""Formats: how the values of an activation or of weights lie in memory. A view carries one, as a value.

A further one stands here, with how a vector of floats is loaded from it and stored in it; in the packing, which says
what is multiplied in it; and in `PRODUCTS` of the tile that multiplies it. All else asks the format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever only asks how large values are needs no compiler
    from darknet_py.kernels.vector.lanes import Lanes

__all__ = ["BFLOAT16", "FLOAT32", "FORMATS", "Format", "format_of_code"]


@dataclass(frozen=True)
class Format:
    """How values lie in memory.

    Attributes
    ----------
    name : str
        As a precision is called.
    code : int
        What stands for it in the record of a place.
    value_bytes : int
        1, 2 or 4.
    load : callable
        Emits a vector of floats from an address.
    store : callable
        Emits the storing of a vector of floats at an address: all lanes, or the first so many (an int64 at run time).
    whole_vectors : bool
        Whether pixels have room for whole vectors, so that the last one of a pixel may be stored as the others.
    """

    name: str
    code: int
    value_bytes: int
    load: Callable[[Lanes, Any], Any]
    store: Callable[[Lanes, Any, Any, Any], None]
    whole_vectors: bool

    @property
    def joined(self) -> int:
        """Channels that are read and multiplied as one, in the place of a float."""
        return 4 // self.value_bytes

    def __repr__(self) -> str:
        return self.name


def _load_floats(v: Lanes, address: Any) -> Any:
    return v.load(address)


def _store_floats(v: Lanes, value: Any, address: Any, count: Any = None) -> None:
    if count is None:
        v.store(value, address)
    else:
        v.store_first(value, address, count)


def _load_halves(v: Lanes, address: Any) -> Any:
    return v.load_bfloat16(address)


def _store_halves(v: Lanes, value: Any, address: Any, count: Any = None) -> None:
    v.store_bfloat16(value, address, count)


FLOAT32 = Format("float32", 0, 4, _load_floats, _store_floats, whole_vectors=False)

#: The upper half of a float32, rounded; channels 2i and 2i + 1 are a pair.
BFLOAT16 = Format("bfloat16", 1, 2, _load_halves, _store_halves, whole_vectors=True)

#: By code.
FORMATS = (FLOAT32, BFLOAT16)


def format_of_code(code: int) -> Format:
    """The format that a place's record names."""
    return FORMATS[code]
