"""The version of this distribution, asked for when it is wanted: it takes a quarter of the start of the program."""

from __future__ import annotations

from functools import cache

__all__ = ["installed_version"]


@cache
def installed_version() -> str:
    """As the installation says it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("darknet-numba")
    except PackageNotFoundError:  # a checkout on the path, not installed
        return "0+unknown"
