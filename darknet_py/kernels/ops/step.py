"""The records of a step: where activations are, and what the executor and chains know of every step.

All else is the operation's own, in a record at address `arguments`. What begins, pitches and extents are bytes and
counts; in a kernel every address is absolute, in a Plan those of places count from the beginning of the arena.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from darknet_py.kernels.jit import inlined
from darknet_py.kernels.vector.pointers import pointer

__all__ = [
    "BLOCK",
    "BY_IMAGE",
    "BY_TASK",
    "PLACE",
    "PLACES",
    "STEP",
    "TOGETHER",
    "pixel_share",
    "record_at",
    "records_at",
    "row_share",
    "step_at",
]

#: Where an activation (H, W, C) is: the address of its first value; bytes from value to value, pixel to pixel, row to
#: row and image to image; the first row that is there (0 but in a chain, which has some of the rows) and the end of
#: the rows, columns and channels; and the code of its format. No place at all has pixel 0.
PLACE = np.dtype(
    [(name, "i8") for name in ("at", "value", "pixel", "row", "image", "top", "h", "w", "c", "format")], align=True
)

#: The places of a step: what it reads, what it adds or multiplies that with, where it writes, and where as well, in
#: another format.
PLACES = ("x", "second", "y", "also")

#: Address of the kernel; number of the operation in `OPERATIONS`; layer it is part of. How many images it is about, and
#: in which order their tasks follow (BY_TASK, ...). How many tasks there are; of those made of tiles, how many parts of
#: the image they belong to, and tiles and blocks of each. Address of the operation's own arguments.
STEP = np.dtype(
    [
        *((name, "i8") for name in ("function", "operation", "layer", "images", "order")),
        *((name, "i8") for name in ("tasks", "parts", "tile_step", "block_step", "arguments")),
        *((name, PLACE) for name in PLACES),
    ],
    align=True,
)

#: Orders of the tasks of several images: the same task of all of them, which read the same weights, before another; all
#: of an image before those of another; or the operation has all images among its tasks.
BY_TASK, BY_IMAGE, TOGETHER = 0, 1, 2

#: A row of a table of blocks of output channels: first input channel, first output channel, how many output channels it
#: holds, address of its weights ``(taps, run, lanes)`` and of its biases.
BLOCK = np.dtype([(name, "i8") for name in ("x", "y", "count", "weights", "bias")], align=True)


@inlined
def record_at(address, kind):
    """The record of dtype `kind` at an address, to read and write."""
    return carray(pointer(address), (1,), kind)[0]


@inlined
def records_at(address, count, kind):
    """The `count` records of dtype `kind` at an address as an array."""
    return carray(pointer(address), (count,), kind)


@inlined
def step_at(address):
    """The step whose record is at `address`."""
    return carray(pointer(address), (1,), STEP)[0]


@inlined
def pixel_share(step, task):
    """The first of the output pixels that are one of a step's tasks, and their end."""
    pixels = step.y.h * step.y.w
    return pixels * task // step.tasks, pixels * (task + 1) // step.tasks


@inlined
def row_share(step, task):
    """The first of the output rows that are one of a step's tasks, and their end."""
    return step.y.h * task // step.tasks, step.y.h * (task + 1) // step.tasks
