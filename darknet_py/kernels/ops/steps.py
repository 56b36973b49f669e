"""The step table: one row of int64 per kernel call, read by the executor and written by the plan.

Addresses are absolute; strides are bytes. A row is everything a kernel knows about a layer.
"""

from __future__ import annotations

from enum import IntEnum

from darknet_py.kernels.vector.activate import ACTIVATIONS

__all__ = ["ACTIVATION_CODES", "BLOCK_COLUMNS", "COLUMNS", "Op"]


class Op(IntEnum):
    """Which kernel a step runs."""

    CONVOLVE = 0
    DEPTHWISE = 1
    MAXPOOL = 2
    AVGPOOL = 3
    GLOBAL_AVGPOOL = 4
    COPY = 5
    ADD = 6
    MULTIPLY = 7
    UPSAMPLE = 8
    GATHER = 9
    SOFTMAX = 10
    NORMALIZE_CHANNELS = 11
    YOLO = 12
    REGION = 13
    SIGN = 14
    MAX_DEPTH = 15
    ROUND = 16
    DEPTHWISE_ROWS = 17
    CHAIN = 18
    MATRIX = 19
    BORDER = 20
    ROUND_IMAGE = 21
    RESIZE = 22
    WINOGRAD_INPUT = 23
    WINOGRAD_FILTERS = 24


_NAMES = (
    "OP", "FUNCTION", "TASKS", "LAYER",
    "X", "X_PIXEL", "X_ROW", "X_BFLOAT16", "IN_H", "IN_W",
    "Y", "Y_PIXEL", "Y_ROW", "OUT_H", "OUT_W", "CHANNELS",
    "SECOND", "SECOND_PIXEL", "SECOND_ROW", "SECOND_H", "SECOND_W", "SECOND_CHANNELS", "SECOND_BFLOAT16",
    "ROUNDED", "ROUNDED_PIXEL", "ROUNDED_ROW",
    "KERNEL_H", "KERNEL_W", "STRIDE_Y", "STRIDE_X", "PAD_Y", "PAD_X", "DILATION",
    "RUN", "BLOCKS", "N_BLOCKS", "BLOCK_STEP", "TILE_STEP", "PARTS", "OUTSIDE",
    "ACTIVATION", "ACTIVATION_2", "MODE", "PARAMETERS",
    "TILES", "TILE_ROWS", "RUNS", "SIDE", "SCRATCH", "BFLOAT16",
    "IMAGES", "BY_IMAGE", "X_IMAGE", "Y_IMAGE", "SECOND_IMAGE", "ROUNDED_IMAGE",
)  # fmt: skip

#: Column of each field of a row. FUNCTION is the address of the kernel (see `call`). X, Y and SECOND are a first
#: input, the output and a second input: the address of their first value, bytes from pixel to pixel and row to row,
#: extent. ROUNDED is where results go in bfloat16 beside Y or instead of it (Y_PIXEL is 0 then). RUN is how many
#: floats a tap reads at each address; BLOCKS the address of the block table (see `convolve`); OUTSIDE the address of
#: what is read outside the image; PARAMETERS the address of constants of the op; MODE a variant of the op. BFLOAT16
#: is 1 where what is multiplied (or compared) comes as pairs of bfloat16 (RUN counts pairs then), and on
#: DEPTHWISE_ROWS where results are stored as such; X_BFLOAT16 where the input of DEPTHWISE_ROWS is bfloat16,
#: SECOND_BFLOAT16 where a second input is. The TASKS of a window or Winograd step are those of one part of the image
#: after the other, PARTS in all. TILES, RUNS, TILE_ROWS and SIDE are in `winograd_filters`, TILES and TILE_ROWS of
#: SOFTMAX and REGION in `softmax`; SIDE and TILE_ROWS of a CONVOLVE whose groups were merged are the channels and
#: filters of each. SCRATCH is where scratch is free beyond a tile's. A step is about IMAGES images at once, whose
#: values are X_IMAGE, Y_IMAGE, ... bytes apart; with BY_IMAGE the tasks of one image follow those of another, else
#: the same task of all images those of another task. A CHAIN is followed by the rows of its links (see `run_chain`),
#: which have no TASKS of their own.
COLUMNS: dict[str, int] = {name: column for column, name in enumerate(_NAMES)}

ACTIVATION_CODES: dict[str, int] = {name: code for code, name in enumerate(ACTIVATIONS)}

#: A row of the block table: bytes to the block's first input channel, bytes to its first output channel, number of
#: output channels it holds, address of its weights ``(taps, run, lanes)`` and of its biases.
BLOCK_COLUMNS = 5
