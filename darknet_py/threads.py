"""Threads: how many there should be, and the helpers that join a run.

Helpers are plain Python threads that wait for work and enter the compiled executor without the GIL. A run is correct
with any number of them, also none: they only take tasks that the caller would otherwise do itself.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from darknet_py.kernels.execute import open_run, run_steps
from darknet_py.plan.plan import State

__all__ = ["execute", "physical_cores"]

_jobs: SimpleQueue[tuple[State, int]] = SimpleQueue()
_helpers: list[threading.Thread] = []
_lock = threading.Lock()

_yield_core = getattr(os, "sched_yield", lambda: time.sleep(0))


def physical_cores() -> int:
    """Physical cores this process may use: hyper-threads share the multipliers, so they add nothing here."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = set()
    for cpu in usable:
        try:
            siblings.add(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text())
        except OSError:
            return max(1, len(usable))
    return max(1, min(len(siblings), _cgroup_limit()))


def _cgroup_limit() -> int:
    """Whole cores that a container's CPU quota allows."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return 1 << 20


def execute(state: State) -> None:
    """Run all steps of `state`, this thread working along with helpers.

    An exception from outside, as of Ctrl-C, may leave helpers at work in the state: it must not be used again. They
    keep it alive until they are done, and with it whatever its steps read.
    """
    total, at = len(state.steps), 0
    control, scratch = state.control.ctypes.data, state.scratch_address(0)
    threads = state.plan.threads
    _ensure_helpers(threads - 1)
    open_run(control, len(state.control))
    for slot in range(1, threads):
        _jobs.put((state, slot))
    while at < total:
        at = run_steps(state.steps, control, scratch, at, 0, threads)
        if at < total:
            _yield_core()


def _help() -> None:
    while True:
        state, slot = _jobs.get()
        total = len(state.steps)
        control, scratch = state.control.ctypes.data, state.scratch_address(slot)
        while run_steps(state.steps, control, scratch, 0, slot, state.plan.threads) < total:
            _yield_core()
        del state


def _ensure_helpers(count: int) -> None:
    if len(_helpers) >= count:
        return
    with _lock:
        while len(_helpers) < count:
            helper = threading.Thread(target=_help, name=f"darknet-py-{len(_helpers)}", daemon=True)
            helper.start()
            _helpers.append(helper)


def _after_fork() -> None:
    """A forked child has no helper threads: forget them, and the work that was meant for them."""
    global _jobs, _lock
    _jobs, _lock = SimpleQueue(), threading.Lock()
    _helpers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
