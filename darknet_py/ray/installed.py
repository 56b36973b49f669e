"""Ray and pyarrow, imported when they are first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from darknet_py.errors import UnsupportedError

__all__ = ["need"]


def need(module: str) -> ModuleType:
    """A module of the extra ``ray``.

    Raises
    ------
    UnsupportedError
        It cannot be imported; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsupportedError(
            f'darknet_py.ray needs Ray Data and pyarrow ({error}): pip install "darknet-numba[ray]"'
        ) from error
