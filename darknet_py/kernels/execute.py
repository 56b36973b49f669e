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

from darknet_py.kernels.jit import inlined, kernel
from darknet_py.kernels.ops.average import average_image, average_window
from darknet_py.kernels.ops.bfloat16 import round_channels, round_image
from darknet_py.kernels.ops.call import call_kernel, step_at
from darknet_py.kernels.ops.chain import run_chain
from darknet_py.kernels.ops.convolve import convolve
from darknet_py.kernels.ops.convolve_matrix import clear_border, convolve_matrix
from darknet_py.kernels.ops.depthwise_rows import depthwise_rows
from darknet_py.kernels.ops.heads import region, yolo
from darknet_py.kernels.ops.pixelwise import (
    add,
    copy,
    gather,
    max_depth,
    multiply,
    normalize_channels,
    sign,
    softmax,
    upsample,
)
from darknet_py.kernels.ops.resize_rows import resize_rows
from darknet_py.kernels.ops.steps import COLUMNS, Op
from darknet_py.kernels.ops.winograd_filters import winograd_filters, winograd_input
from darknet_py.kernels.vector.atomic import fetch_add, load_acquire, pause, store_release
from darknet_py.kernels.vector.pointers import integers

__all__ = ["CLOSED", "CONTROL_HEADER", "CONTROL_LINE", "INSIDE", "KERNELS", "SCRATCH_HEADER", "open_run", "run_steps"]

#: Layout of the control block, in int64: CLOSED and INSIDE, each in its own cache line, then per step the number of
#: tasks done and those claimed of every thread's share, likewise apart.
CONTROL_LINE = 8
CONTROL_HEADER = 16
CLOSED, INSIDE = 0, 8
_CLOSED, _INSIDE = 8 * CLOSED, 8 * INSIDE

#: Bytes at the start of each thread's scratch: a line with the lock that says whether somebody works in it, and room
#: for a row of the step table.
_ROW_BYTES = -(-8 * len(COLUMNS) // 64) * 64
SCRATCH_HEADER = 64 + _ROW_BYTES

#: Spins before a waiting thread goes back to Python, which yields the core to whoever holds the work.
_PATIENCE = 20000

_OP, _TASKS = COLUMNS["OP"], COLUMNS["TASKS"]
_FUNCTION, _IMAGES, _BY_IMAGE, _N_COLUMNS = COLUMNS["FUNCTION"], COLUMNS["IMAGES"], COLUMNS["BY_IMAGE"], len(COLUMNS)
_X, _Y, _SECOND, _ROUNDED = COLUMNS["X"], COLUMNS["Y"], COLUMNS["SECOND"], COLUMNS["ROUNDED"]
_X_IMAGE, _Y_IMAGE = COLUMNS["X_IMAGE"], COLUMNS["Y_IMAGE"]
_SECOND_IMAGE, _ROUNDED_IMAGE = COLUMNS["SECOND_IMAGE"], COLUMNS["ROUNDED_IMAGE"]
_WINOGRAD_INPUT = int(Op.WINOGRAD_INPUT)


#: What runs a step of each Op.
KERNELS = {
    Op.CONVOLVE: convolve,
    Op.DEPTHWISE: convolve,
    Op.MAXPOOL: convolve,
    Op.AVGPOOL: average_window,
    Op.GLOBAL_AVGPOOL: average_image,
    Op.COPY: copy,
    Op.ADD: add,
    Op.MULTIPLY: multiply,
    Op.UPSAMPLE: upsample,
    Op.GATHER: gather,
    Op.SOFTMAX: softmax,
    Op.NORMALIZE_CHANNELS: normalize_channels,
    Op.YOLO: yolo,
    Op.REGION: region,
    Op.SIGN: sign,
    Op.MAX_DEPTH: max_depth,
    Op.ROUND: round_channels,
    Op.DEPTHWISE_ROWS: depthwise_rows,
    Op.CHAIN: run_chain,
    Op.MATRIX: convolve_matrix,
    Op.BORDER: clear_border,
    Op.ROUND_IMAGE: round_image,
    Op.RESIZE: resize_rows,
    Op.WINOGRAD_INPUT: winograd_input,
    Op.WINOGRAD_FILTERS: winograd_filters,
}


@inlined
def _run_task(address, task, scratch):
    """Run one task of the step whose row is at `address`."""
    step = step_at(address)
    images = step[_IMAGES]
    if images > 1 and step[_OP] < _WINOGRAD_INPUT:
        inner = step[_TASKS] // images
        if step[_BY_IMAGE]:
            image, task = task // inner, task % inner
        else:  # tasks that differ in the image alone read the same weights
            image, task = task % images, task // images
        address = scratch - _ROW_BYTES
        row = step_at(address)
        for column in range(_N_COLUMNS):
            row[column] = step[column]
        row[_TASKS] = inner
        row[_X] += image * step[_X_IMAGE]
        row[_Y] += image * step[_Y_IMAGE]
        if step[_SECOND] != 0:
            row[_SECOND] += image * step[_SECOND_IMAGE]
        if step[_ROUNDED] != 0:
            row[_ROUNDED] += image * step[_ROUNDED_IMAGE]
    call_kernel(step[_FUNCTION], address, task, scratch)


@kernel
def open_run(control, size):
    """Zero the counters of a control block of `size` int64, then let helpers in; until then they find it closed."""
    counters = integers(control, size)
    for n in range(CONTROL_HEADER, size):
        counters[n] = 0
    store_release(control + _CLOSED, 0)


@kernel
def run_steps(steps, control, scratch, first, thread, threads):
    """Work on the steps from `first` until all are done, or patience ends.

    Parameters
    ----------
    steps : ndarray, shape (n, len(COLUMNS)), int64
        The step table.
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
    total, table = len(steps), steps.ctypes.data
    lock, scratch = scratch, scratch + SCRATCH_HEADER
    if thread != 0:
        # A helper that comes late from an earlier run may meet the one that was sent for this run: two threads, one
        # scratch. The second leaves.
        if fetch_add(lock, 1) != 0:
            fetch_add(lock, -1)
            return total
        fetch_add(control + _INSIDE, 1)
        if load_acquire(control + _CLOSED) != 0:
            fetch_add(lock, -1)
            fetch_add(control + _INSIDE, -1)
            return total
    at = total
    for s in range(first, total):
        done = control + 8 * (CONTROL_HEADER + s * (1 + threads) * CONTROL_LINE)
        tasks = steps[s, _TASKS]
        for turn in range(threads):
            share = (thread + turn) % threads
            begin, end = tasks * share // threads, tasks * (share + 1) // threads
            claimed = done + 8 * CONTROL_LINE * (1 + share)
            while load_acquire(claimed) < end - begin:
                task = begin + fetch_add(claimed, 1)
                if task >= end:
                    break
                _run_task(table + 8 * _N_COLUMNS * s, task, scratch)
                fetch_add(done, 1)
        spins = 0
        while load_acquire(done) < tasks and spins < _PATIENCE:
            pause()
            spins += 1
        if spins == _PATIENCE and load_acquire(done) < tasks:
            at = s
            break
    if thread == 0:
        if at == total:
            store_release(control + _CLOSED, 1)
            while load_acquire(control + _INSIDE) != 0:
                pause()
    else:
        fetch_add(lock, -1)
        fetch_add(control + _INSIDE, -1)
    return at
