"""Indices that answer as those of every version of OpenCV did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Index", "Indices"]


class Index(int):
    """An index that also answers ``[0]`` and the methods that scripts call on NumPy's integers."""

    def __getitem__(self, at: Any) -> Index:
        if at in (0, -1, ()):
            return self
        raise IndexError(f"index {at} of a single number")

    def item(self) -> int:
        return int(self)

    def tolist(self) -> int:
        return int(self)

    def flatten(self) -> NDArray[np.int32]:
        return np.array([int(self)], np.int32)

    def astype(self, dtype: Any) -> Any:
        return np.dtype(dtype).type(int(self))


class Indices(np.ndarray[Any, Any]):
    """Shape (n,), int32, as from OpenCV 4.5.4 on; what is taken from it answers ``[0]``, as the rows (n, 1) of before.

    ``for i in indices: i = i[0]``, ``indices[k][0]``, ``indices[:, 0]`` and ``indices.flatten()`` work like
    ``for i in indices`` and ``indices[k]``.
    """

    def __iter__(self) -> Iterator[Any]:
        if self.ndim != 1:
            return super().__iter__()
        return (Index(value) for value in self.tolist())

    def __getitem__(self, at: Any) -> Any:
        if self.ndim == 1 and isinstance(at, tuple) and len(at) == 2 and at[1] in (0, -1):
            at = at[0]
        found = super().__getitem__(at)
        return Index(found) if isinstance(found, np.integer) and self.dtype.kind == "i" else found
