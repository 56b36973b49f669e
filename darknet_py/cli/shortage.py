"""Memory that the system refused has many faces: which errors are such, and what is said of them."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from darknet_py.address_space import left_bytes, limit_bytes

__all__ = ["shortage"]

#: Bytes of address space beside which an error without words is taken for one of memory.
_NEARLY_NONE = 64 << 20

#: What the loader of libraries, Python and the system say of it.
_WORDS = ("failed to map segment", "annot allocate memory", "can't allocate", "out of memory", "nable to allocate")


def shortage(error: BaseException) -> str | None:
    """A line about memory that was refused, where an error is or comes of that; None for all others."""
    most = limit_bytes()
    limit = f"this process may have {most >> 20} MB of address space (ulimit -v)" if most is not None else ""
    for one in _causes(error):
        text = str(one)
        if isinstance(one, MemoryError):
            return _line(text or (limit or "choose a smaller --size"), limit)
        if isinstance(one, OSError) and one.errno == errno.ENOMEM:
            return _line(text, limit)
        said = [line for line in text.splitlines() if any(words in line for words in _WORDS)]
        if said:
            return _line(said[-1].strip(), limit)
    # llvmlite and Python have no words where a result is missing that there always is.
    left = left_bytes()
    if left is not None and left < _NEARLY_NONE and isinstance(error, AssertionError | SystemError):
        return _line(str(error) or "the compiler got none", limit)
    return None


def _line(cause: str, limit: str) -> str:
    return f"not enough memory: {cause}" + (f"; {limit}" if limit and "ulimit" not in cause else "")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
