"""Processes that are forked at a bad moment: while another thread compiles."""

from __future__ import annotations

import os
import threading
import time
import warnings

import numba
import pytest

from darknet_py.kernels import jit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork here")


def compiles(seconds: float) -> bool:
    """Whether a child that is forked now compiles a function within that time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking a process with threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if numba.njit(lambda x: x + 1)(1) == 2 else 2
        finally:
            os._exit(status)
    deadline = threading.Timer(seconds, os.kill, (child, 9))
    deadline.start()
    _, status = os.waitpid(child, 0)
    deadline.cancel()
    return os.waitstatus_to_exitcode(status) == 0


def test_a_fork_waits_for_the_compiler() -> None:
    begun, held = threading.Event(), []

    def compile_for_a_while() -> None:
        with jit.one_at_a_time():
            begun.set()
            time.sleep(0.3)
            held.append(True)

    other = threading.Thread(target=compile_for_a_while)
    other.start()
    begun.wait()
    assert compiles(60)
    assert held  # what it guards was done when the child began
    other.join()
    assert numba.njit(lambda x: x + 2)(1) == 3  # the parent goes on as before


def test_a_fork_by_who_compiles_himself() -> None:
    with jit.one_at_a_time():
        assert compiles(60)
    free: list[bool] = []

    def ask() -> None:
        with jit.one_at_a_time():
            free.append(True)

    other = threading.Thread(target=ask, daemon=True)
    other.start()
    other.join(10)
    assert free
