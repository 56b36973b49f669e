"""Threads: how many there should be (see `cores`), and the helpers that join a run.

Helpers are plain Python threads that wait for work and enter the compiled executor without the GIL. A run is correct
with any number of them, also none: they only take tasks that the caller would otherwise do itself.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from darknet_py.cores import physical_cores
from darknet_py.kernels.execute import open_run, run_steps
from darknet_py.plan.state import State

__all__ = ["alone", "execute", "physical_cores"]

_log = logging.getLogger(__name__)

_jobs: SimpleQueue[tuple[State, int]] = SimpleQueue()
_helpers: list[threading.Thread] = []
_lock = threading.Lock()

#: Until when no more helpers are asked for: the system had none to give. Seconds between two such questions.
_no_more_until = 0.0
_PAUSE = 10.0

#: Of each Python thread: whether it works alone.
_here = threading.local()

_yield_core = getattr(os, "sched_yield", lambda: time.sleep(0))


@contextmanager
def alone() -> Iterator[None]:
    """Runs that this thread begins in the block are its own work: for several threads with a picture each.

    So two threads look at 16 % more frames than both together at one after the other (yolov4-tiny, two cores): nobody
    waits for anybody. Results are the same.
    """
    before = getattr(_here, "alone", False)
    _here.alone = True
    try:
        yield
    finally:
        _here.alone = before


def execute(state: State) -> None:
    """Run all steps of `state`, this thread working along with helpers.

    An exception from outside, as of Ctrl-C, may leave helpers at work in the state: it must not be used again. They
    keep it alive until they are done, and with it whatever its steps read.
    """
    steps, total, at = state.steps.ctypes.data, len(state.steps), 0
    control, scratch = state.control.ctypes.data, state.scratch_address(0)
    threads = state.plan.threads
    helpers = 0 if getattr(_here, "alone", False) else _ensure_helpers(threads - 1)
    open_run(control, len(state.control))
    for slot in range(1, 1 + helpers):
        _jobs.put((state, slot))
    while at < total:
        at = run_steps(steps, total, control, scratch, at, 0, threads)
        if at < total:
            _yield_core()


def _help() -> None:
    while True:
        state, slot = _jobs.get()
        steps, total = state.steps.ctypes.data, len(state.steps)
        control, scratch = state.control.ctypes.data, state.scratch_address(slot)
        while run_steps(steps, total, control, scratch, 0, slot, state.plan.threads) < total:
            _yield_core()
        del state


def _ensure_helpers(count: int) -> int:
    """Start helpers until there are `count`; how many of these there are: with none the caller does it all."""
    if len(_helpers) < count and time.monotonic() >= _no_more_until:
        with _lock:
            while len(_helpers) < count and _start_helper():
                pass
    return min(count, len(_helpers))


def _start_helper() -> bool:
    global _no_more_until
    helper = threading.Thread(target=_help, name=f"darknet-py-{len(_helpers)}", daemon=True)
    try:
        helper.start()
    except (RuntimeError, MemoryError) as error:  # a limit of processes, of memory; or the interpreter is ending
        if not _no_more_until:
            _log.warning(
                "the system gives no more threads (%s): runs go on with %d; raise its limit (ulimit -u, pids of a "
                "container), or ask for fewer threads",
                error,
                1 + len(_helpers),
            )
        _no_more_until = time.monotonic() + _PAUSE
        return False
    _helpers.append(helper)
    return True


def _after_fork() -> None:
    """A forked child has no helper threads: forget them, and the work that was meant for them."""
    global _jobs, _lock, _no_more_until
    _jobs, _lock, _no_more_until = SimpleQueue(), threading.Lock(), 0.0
    _helpers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
