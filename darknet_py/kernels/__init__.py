"""Arithmetic: array functions compiled by Numba; they know arrays and addresses, no layers."""

from __future__ import annotations

import os

from darknet_py.errors import OptionError

try:
    import numba  # noqa: F401
except ValueError as error:  # it counts its threads, which kernels do not use, while it is imported
    threads = os.environ.get("NUMBA_NUM_THREADS", "")
    raise OptionError(f"NUMBA_NUM_THREADS={threads!r}: Numba cannot be loaded: {error} (unset it)") from error
