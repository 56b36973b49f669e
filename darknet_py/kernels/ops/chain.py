"""A chain of convolutions, computed depth first: a band of rows passes through all of them before the next one begins.

What lies between the convolutions never leaves the second-level cache, and there is one barrier for all of them. Rows
that the next band needs again are kept, so that nothing is computed twice but at the borders of tasks.
"""

from __future__ import annotations

from darknet_py.kernels.jit import inlined, kernel
from darknet_py.kernels.ops.call import call_kernel, step_at
from darknet_py.kernels.ops.steps import COLUMNS
from darknet_py.kernels.vector.pointers import integers
from darknet_py.kernels.vector.rows import store_rows

__all__ = ["CHAIN_COLUMNS", "run_chain"]

_N_COLUMNS = len(COLUMNS)
_X, _X_ROW, _IN_H, _Y, _Y_PIXEL = (COLUMNS[name] for name in ("X", "X_ROW", "IN_H", "Y", "Y_PIXEL"))
_OUT_H, _OUT_W, _SECOND, _SECOND_PIXEL = (COLUMNS[name] for name in ("OUT_H", "OUT_W", "SECOND", "SECOND_PIXEL"))
_KERNEL_H, _STRIDE_Y, _PAD_Y, _DILATION = (COLUMNS[name] for name in ("KERNEL_H", "STRIDE_Y", "PAD_Y", "DILATION"))
_FUNCTION, _TASKS, _PARAMETERS, _LENGTH, _BAND, _SCRATCH = (
    COLUMNS[name] for name in ("FUNCTION", "TASKS", "PARAMETERS", "N_BLOCKS", "TILE_STEP", "SCRATCH")
)

#: Int64 of each link in scratch: the first and the end of the rows it has to have for the present band, the row its
#: buffer begins with, the end of the rows in it.
CHAIN_COLUMNS = 4


@inlined
def _find_rows(links, state, length, first, last):
    """Write which rows each link has to have so that the last one can compute its rows `first` to `last`."""
    for i in range(length - 1, -1, -1):
        state[i * CHAIN_COLUMNS] = first
        state[i * CHAIN_COLUMNS + 1] = last
        link = links[i]
        reach = (link[_KERNEL_H] - 1) * link[_DILATION]
        last = min((last - 1) * link[_STRIDE_Y] - link[_PAD_Y] + reach + 1, link[_IN_H])
        first = max(first * link[_STRIDE_Y] - link[_PAD_Y], 0)


@inlined
def _keep_rows(link, state, at, buffer):
    """Move the rows that are needed again to the front of the link's buffer; returns the first row to compute."""
    first, base, end = state[at], state[at + 2], state[at + 3]
    if end <= first:
        state[at + 2] = first
        return first
    if first > base:
        row = link[_OUT_W] * link[_Y_PIXEL]
        store_rows(buffer + (first - base) * row, 0, 1, (end - first) * row // 4, buffer, 0)
        state[at + 2] = first
    return end


@kernel
def run_chain(address, task, scratch):
    """Run one task of a CHAIN step: a share of the last link's rows.

    N_BLOCKS links follow at address PARAMETERS, as rows of the step table in which X and Y between two links are bytes
    from the beginning of the buffers in scratch. TILE_STEP is the rows of a band, SCRATCH where in scratch the
    chain's own part begins: a row of the table, CHAIN_COLUMNS of each link, the buffers.
    """
    step = step_at(address)
    length = step[_LENGTH]
    table = integers(step[_PARAMETERS], length * _N_COLUMNS).reshape(length, _N_COLUMNS)
    own = scratch + step[_SCRATCH]
    row = step_at(own)
    state = integers(own + 8 * _N_COLUMNS, length * CHAIN_COLUMNS)
    buffers = own + (8 * (_N_COLUMNS + length * CHAIN_COLUMNS) + 63) // 64 * 64
    for i in range(length):
        state[i * CHAIN_COLUMNS + 3] = 0
    begin, end = step[_OUT_H] * task // step[_TASKS], step[_OUT_H] * (task + 1) // step[_TASKS]
    for first in range(begin, end, step[_BAND]):
        last = min(first + step[_BAND], end)
        _find_rows(table, state, length, first, last)
        for i in range(length):
            at = i * CHAIN_COLUMNS
            for column in range(_N_COLUMNS):
                row[column] = table[i, column]
            if i == length - 1:
                to = first
                row[_Y] = step[_Y] + first * row[_OUT_W] * row[_Y_PIXEL]
                row[_SECOND] = step[_SECOND]
                if step[_SECOND] != 0:
                    row[_SECOND] += first * row[_OUT_W] * row[_SECOND_PIXEL]
            else:
                to = _keep_rows(row, state, at, buffers + row[_Y])
                row[_Y] += buffers + (to - state[at]) * row[_OUT_W] * row[_Y_PIXEL]
                state[at + 3] = state[at + 1]
            if to >= state[at + 1]:
                continue
            top = to * row[_STRIDE_Y] - row[_PAD_Y]
            if i == 0:
                row[_X] = step[_X]
            else:
                row[_X] += buffers
                top -= state[at - CHAIN_COLUMNS]
                row[_IN_H] = state[at - CHAIN_COLUMNS + 1] - state[at - CHAIN_COLUMNS]
            row[_PAD_Y] = max(-top, 0)
            row[_X] += max(top, 0) * row[_X_ROW]
            row[_IN_H] -= max(top, 0)
            row[_OUT_H] = state[at + 1] - to
            row[_TASKS] = 1
            call_kernel(row[_FUNCTION], own, 0, scratch)
