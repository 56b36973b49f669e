"""How much address space this process may have and has left, where the system limits it (``ulimit -v``).

LLVM ends the process where it is given none, so what is known to need more than there is must be refused before.
"""

from __future__ import annotations

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

__all__ = ["left_bytes", "limit_bytes", "need_bytes"]


def limit_bytes() -> int | None:
    """The most bytes of address space; None where nothing limits them."""
    if resource is None:
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if most == resource.RLIM_INFINITY else most


def left_bytes() -> int | None:
    """How many bytes of that are not taken; None where nothing limits them, or the system does not say."""
    most = limit_bytes()
    if most is None:
        return None
    try:
        with open("/proc/self/statm") as file:
            return max(0, most - int(file.read().split()[0]) * resource.getpagesize())
    except (OSError, ValueError, IndexError):
        return None


def need_bytes(count: int, purpose: str) -> None:
    """See to it that `count` bytes are left for a purpose, "compiling a kernel".

    Raises
    ------
    MemoryError
        There are fewer.
    """
    left = left_bytes()
    if left is not None and left < count:
        raise MemoryError(
            f"{purpose} takes {count >> 20} MB of address space, {left >> 20} of the {(limit_bytes() or 0) >> 20} MB "
            "allowed are left: raise the limit (ulimit -v), or compile where there is none (darknet-py warmup)"
        )
