"""Calls to the C library that have little to do here: devices, versions, logs, freeing."""

from __future__ import annotations

import logging
from typing import Any

from darknet_py.version import installed_version

__all__ = [
    "free_ptrs",
    "init_cpu",
    "reset_rnn",
    "set_gpu",
    "set_output_stream",
    "set_verbose",
    "show_version_info",
    "version_short",
    "version_string",
]

log = logging.getLogger(__name__)


def set_gpu(n: int) -> None:
    """Accepted: everything is computed on the CPU, which the log says."""
    log.info("set_gpu(%s): accepted; this runtime computes on the CPU", n)


def init_cpu() -> None:
    """Accepted: there is nothing to prepare."""


def reset_rnn(net: Any) -> None:
    """Accepted: recurrent layers are refused when a network is loaded."""


def free_ptrs(pointers: Any, n: int) -> None:
    """Accepted: memory goes when nobody holds it any more."""


def set_verbose(flag: Any) -> None:
    """Log more, or as usual: the level of the logger ``darknet_py``."""
    logging.getLogger("darknet_py").setLevel(logging.DEBUG if flag else logging.NOTSET)


def set_output_stream(filename: Any) -> None:
    """Accepted: nothing is written but to Python's logging."""
    log.info("set_output_stream(%r): accepted; messages go to Python's logging, under the name darknet_py", filename)


def version_string() -> bytes:
    """Name and version, such as ``b"darknet-py 0.1.0"``."""
    return f"darknet-py {installed_version()}".encode()


def version_short() -> bytes:
    """The version alone."""
    return installed_version().encode()


def show_version_info() -> None:
    """Print name and version."""
    print(version_string().decode())  # noqa: T201
