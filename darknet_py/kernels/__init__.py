"""Arithmetic: array functions compiled by Numba; they know arrays and addresses, no layers."""

from __future__ import annotations

import os
import re

from darknet_py.errors import OptionError

# Numba counts its threads, which kernels do not use, while it is imported. What is no number it passes over.
_threads = os.environ.get("NUMBA_NUM_THREADS", "")
if re.fullmatch(r"\s*(-\d+|[+-]?0+)\s*", _threads, re.ASCII):
    raise OptionError(f"NUMBA_NUM_THREADS={_threads!r}: Numba cannot be loaded: expected 1 or more (unset it)")
