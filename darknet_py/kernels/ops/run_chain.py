"""A chain of convolutions, computed depth first: a band of rows passes through all of them before the next one begins.

What lies between the convolutions never leaves the second-level cache, and there is one barrier for all of them. Rows
that the next band needs again are kept, so that nothing is computed twice but at the borders of tasks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from darknet_py.kernels.call import call_kernel
from darknet_py.kernels.jit import inlined
from darknet_py.kernels.ops.operation import Cut, arguments, operation
from darknet_py.kernels.ops.step import STEP, record_at, records_at, row_share, step_at
from darknet_py.kernels.vector.pointers import integers
from darknet_py.kernels.vector.rows import store_rows

__all__ = ["LINK", "chain_scratch", "run_chain"]

#: Of each link: how many rows its window reaches over, less one, its stride and padding, and where in scratch its
#: output is (bytes from the beginning of all such buffers).
LINK = np.dtype([(name, "i8") for name in ("reach", "stride", "pad", "buffer")], align=True)

#: Of each link in scratch: the first and the end of the rows it has to have for the present band, the row its buffer
#: begins with, the end of the rows in it.
BAND = np.dtype([(name, "i8") for name in ("first", "last", "base", "end")], align=True)

#: `length` links, and their `steps`, of which the first reads and the last adds and writes where the chain does. The
#: rows of a `band`; the most tasks worth having; where in scratch the chain's own part begins, and how long it is.
RUN_CHAIN = arguments("length", "band", "most_tasks", "own_at", "own_bytes", steps=STEP, links=LINK)

_STEP_WORDS, _STEP_BYTES, _BAND_BYTES = STEP.itemsize // 8, STEP.itemsize, BAND.itemsize


def chain_scratch(length: int, buffer_bytes: int) -> int:
    """Bytes that a chain needs beyond what its links do: one link's step, the bands, the buffers."""
    return -(-(_STEP_BYTES + length * _BAND_BYTES) // 64) * 64 + buffer_bytes


def _cut(step: Any, own: Any, threads: int, images: int) -> Cut:
    # One task per thread, as every cut computes rows twice. What is computed does not depend on the cuts. With two
    # tasks per thread, which would make up for one that comes late, Yolo-Fastest-1.1-xl takes 1.03 of the time on two
    # threads.
    return Cut(min(int(own["most_tasks"]), threads))


def _scratch(step: Any, own: Any) -> int:
    return int(own["own_at"] + own["own_bytes"])


@inlined
def _find_rows(links, bands, steps, first, last):
    """Write which rows each link has to have so that the last one can compute its rows `first` to `last`."""
    for i in range(len(links) - 1, -1, -1):
        bands[i].first = first
        bands[i].last = last
        link = links[i]
        last = min((last - 1) * link.stride - link.pad + link.reach + 1, steps[i].x.h)
        first = max(first * link.stride - link.pad, 0)


@inlined
def _keep_rows(place, band, buffer):
    """Move the rows that are needed again to the front of the link's buffer; returns the first row to compute."""
    first, base, end = band.first, band.base, band.end
    if end <= first:
        band.base = first
        return first
    if first > base:
        store_rows(buffer + (first - base) * place.row, 0, 1, (end - first) * place.row // 4, buffer, 0)
        band.base = first
    return end


@operation(arguments=RUN_CHAIN, cut=_cut, scratch=_scratch)
def run_chain(address, task, scratch):
    """A share of the last link's rows."""
    step = step_at(address)
    own = record_at(step.arguments, RUN_CHAIN)
    length = own.length
    steps, links = records_at(own.steps, length, STEP), records_at(own.links, length, LINK)
    at = scratch + own.own_at
    part, part_words = step_at(at), integers(at, _STEP_WORDS)
    bands = records_at(at + _STEP_BYTES, length, BAND)
    buffers = at + (_STEP_BYTES + length * _BAND_BYTES + 63) // 64 * 64
    for i in range(length):
        bands[i].end = 0
    begin, end = row_share(step, task)
    for first in range(begin, end, own.band):
        last = min(first + own.band, end)
        _find_rows(links, bands, steps, first, last)
        for i in range(length):
            words = integers(own.steps + i * _STEP_BYTES, _STEP_WORDS)
            for n in range(_STEP_WORDS):
                part_words[n] = words[n]
            band = bands[i]
            if i == length - 1:
                to = first
                part.y.at = step.y.at + first * step.y.row
                if step.second.at != 0:
                    part.second.at = step.second.at + first * step.second.row
            else:
                buffer = buffers + links[i].buffer
                to = _keep_rows(part.y, band, buffer)
                part.y.at = buffer + (to - band.base) * part.y.row
                band.end = band.last
            if to >= band.last:
                continue
            # Rows of the input count from the one that the first row of the output begins with, but for the padding.
            top = to * links[i].stride
            if i == 0:
                part.x.at = step.x.at + top * part.x.row
                part.x.top, part.x.h = -top, part.x.h - top
            else:
                before = bands[i - 1]
                part.x.at = buffers + links[i - 1].buffer + (top - before.base) * part.x.row
                part.x.top, part.x.h = before.base - top, before.last - top
            part.y.h = band.last - to
            call_kernel(part.function, at, 0, scratch)
