"""The executor: a whole inference as one compiled call that any number of threads may enter.

Every thread has a share of a step's tasks, the same part of the image in every step where that can be, so that it
reads what it wrote itself: where cores do not share a cache, what another wrote comes from far away (a Zen 4 whose two
cores were on different dies took 241 ms for yolov4 at 416, 174 on one die, when tasks were claimed from one counter).
Threads claim tasks from an atomic counter, of their own share first, then of the others', and go on when all of the
step's tasks are done. Nobody waits for a thread that has not claimed work, so fewer running threads than asked for
cannot deadlock, and no Numba threading layer is involved: callers are ordinary Python threads that released the GIL.
Measured per step on two quiet cores: 0.3-0.5 us, where a Numba parallel region costs 1.4 us (OpenMP) to 50 us
(workqueue).
"""

from __future__ import annotations

from darknet_py.kernels.call import call_kernel
from darknet_py.kernels.jit import inlined, kernel
from darknet_py.kernels.ops.step import BY_IMAGE, STEP, TOGETHER, records_at, step_at
from darknet_py.kernels.vector.atomic import fetch_add, load_seq_cst, pause, store_seq_cst
from darknet_py.kernels.vector.pointers import integers

__all__ = ["CLOSED", "CONTROL_HEADER", "CONTROL_LINE", "INSIDE", "SCRATCH_HEADER", "open_run", "run_steps"]

#: Layout of the control block, in int64: CLOSED and INSIDE, each in its own cache line, then per step the number of
#: tasks done and those claimed of every thread's share, likewise apart.
CONTROL_LINE = 8
CONTROL_HEADER = 16
CLOSED, INSIDE = 0, 8
_CLOSED, _INSIDE = 8 * CLOSED, 8 * INSIDE

#: Bytes at the start of each thread's scratch: a line with the lock that says whether somebody works in it, and room
#: for the record of a step.
_STEP_PITCH, _STEP_WORDS = STEP.itemsize, STEP.itemsize // 8
_STEP_BYTES = -(-STEP.itemsize // 64) * 64
SCRATCH_HEADER = 64 + _STEP_BYTES

#: Spins before a waiting thread goes back to Python, which yields the core to whoever holds the work.
_PATIENCE = 20000


@inlined
def _run_task(address, task, scratch):
    """Run one task of the step whose record is at `address`."""
    step = step_at(address)
    images = step.images
    if images > 1 and step.order != TOGETHER:
        inner = step.tasks // images
        if step.order == BY_IMAGE:
            image, task = task // inner, task % inner
        else:  # tasks that differ in the image alone read the same weights
            image, task = task % images, task // images
        words = integers(address, _STEP_WORDS)
        address = scratch - _STEP_BYTES
        copied = integers(address, _STEP_WORDS)
        for n in range(_STEP_WORDS):
            copied[n] = words[n]
        step = step_at(address)
        step.tasks = inner
        step.x.at += image * step.x.image
        step.y.at += image * step.y.image
        if step.second.at != 0:
            step.second.at += image * step.second.image
        if step.also.at != 0:
            step.also.at += image * step.also.image
    call_kernel(step.function, address, task, scratch)


@kernel
def open_run(control, size):
    """Zero the counters of a control block of `size` int64, then let helpers in; until then they find it closed."""
    counters = integers(control, size)
    for n in range(CONTROL_HEADER, size):
        counters[n] = 0
    store_seq_cst(control + _CLOSED, 0)


@inlined
def _work_on(tasks, done, address, thread, threads, scratch):
    """Claim and run tasks of the step at `address` while there are any, first those of this thread's own share."""
    for turn in range(threads):
        share = (thread + turn) % threads
        begin, end = tasks * share // threads, tasks * (share + 1) // threads
        claimed = done + 8 * CONTROL_LINE * (1 + share)
        while load_seq_cst(claimed) < end - begin:
            task = begin + fetch_add(claimed, 1)
            if task >= end:
                break
            _run_task(address, task, scratch)
            fetch_add(done, 1)


@kernel
def run_steps(table, total, control, scratch, first, thread, threads):
    """Work on the steps from `first` until all are done, or patience ends.

    Parameters
    ----------
    table, total : int64
        Address of the records of all steps, and how many they are. (With an array of records, whose type Numba looks
        at in every call, a run of one small layer takes 9.3 us instead of 8.8.)
    control : int64
        Address of the control block, prepared by `open_run`.
    scratch : int64
        Address of this thread's scratch, which begins with a line for its lock.
    first : int64
        Step to begin with.
    thread, threads : int64
        Number of this thread, and how many shares there are. 0 is the caller that closes the run; helpers that come
        after that leave at once.

    Returns
    -------
    int64
        The number of steps when all are done; otherwise the step to go on with, after yielding. A helper must begin
        at 0 again (done steps cost nothing): meanwhile the owner may have begun another run.
    """
    steps = records_at(table, total, STEP)
    lock, scratch = scratch, scratch + SCRATCH_HEADER
    if thread != 0:
        # A helper that comes late from an earlier run may meet the one that was sent for this run: two threads, one
        # scratch. The second leaves.
        if fetch_add(lock, 1) != 0:
            fetch_add(lock, -1)
            return total
        fetch_add(control + _INSIDE, 1)
        if load_seq_cst(control + _CLOSED) != 0:
            fetch_add(lock, -1)
            fetch_add(control + _INSIDE, -1)
            return total
    at = total
    for s in range(first, total):
        done = control + 8 * (CONTROL_HEADER + s * (1 + threads) * CONTROL_LINE)
        tasks = steps[s].tasks
        _work_on(tasks, done, table + _STEP_PITCH * s, thread, threads, scratch)
        spins = 0
        while load_seq_cst(done) < tasks and spins < _PATIENCE:
            pause()
            spins += 1
        if spins == _PATIENCE and load_seq_cst(done) < tasks:
            at = s
            break
    if thread == 0:
        if at == total:
            store_seq_cst(control + _CLOSED, 1)
            while load_seq_cst(control + _INSIDE) != 0:
                pause()
    else:
        fetch_add(lock, -1)
        fetch_add(control + _INSIDE, -1)
    return at
