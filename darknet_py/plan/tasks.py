"""How a step is cut into tasks, and which of them lie together in each thread's share.

Shares are consecutive tasks, so the order of tasks decides what a thread reads and writes. Mostly a share is a part of
the image, the same one in every step: its values stay in the cache of the core that computed them. Where a layer has
more weights than values, it is a part of the filters instead, so that not every core reads all weights. Results do not
depend on any of this.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.steps import COLUMNS, Op
from darknet_py.kernels.tiles.amx import HEIGHT
from darknet_py.kernels.tiles.register import BLOCKS, PIXELS
from darknet_py.plan.lowering import Step

__all__ = ["divide", "slices"]

#: Weights of the blocks that one task runs together: about a third of a second-level cache of 1 MB, which they share
#: with the input rows.
_BLOCK_BYTES = 384 << 10
#: A task of a window step is at most this much work (0.2 ms on one core) unless one block of weights is more.
_TASK_FLOPS = 40e6
_SMALLEST_TASK_FLOPS = 1e6
#: How many times as fast a matrix tile multiplies a pair of values as a vector multiplies one.
_MATRIX_SPEED = 5
_WANTED_TASKS = 16
_TASK_FLOATS = 16 << 10
#: With fewer, about a microsecond's work, a thread would be done before another had seen that there is some.
_SMALLEST_TASK_FLOATS = 4 << 10
#: Tiles of a Winograd transform in a band are at most this many tasks.
_TRANSFORM_TASKS = 64


def slices(threads: int, tiles: int, blocks: int, weight_bytes: int, value_bytes: int) -> tuple[int, int]:
    """How many parts of the image, and of the filters, the threads' shares are made of.

    Every part of the image reads all weights, every part of the filters all input values: the two numbers, whose
    product is `threads`, that read least. (Where there are too few tiles and blocks, less.)
    """
    found = [(count, threads // count) for count in range(1, threads + 1) if threads % count == 0]
    fitting = [(parts, groups) for parts, groups in found if parts <= max(1, tiles) and groups <= blocks]
    if not fitting:
        return 1, min(threads, blocks)
    return min(fitting, key=lambda pair: pair[0] * weight_bytes + pair[1] * value_bytes)


def divide(row: NDArray[Any], step: Step, threads: int, images: int) -> None:
    """Fill in TASKS and the columns that say what a task is, for `images` images."""
    row[COLUMNS["BY_IMAGE"]] = 1
    _divide_image(row, step, threads, images)
    if step.op < Op.WINOGRAD_INPUT:  # those of a Winograd step have all images among their tiles
        row[COLUMNS["TASKS"]] *= images


def _divide_image(row: NDArray[Any], step: Step, threads: int, images: int) -> None:
    if step.op == Op.CHAIN:
        return  # as many as there are threads, see State
    pixels = int(step.y.shape.h * step.y.shape.w)
    if step.op == Op.BORDER:
        row[COLUMNS["TASKS"]] = 1
    elif step.op == Op.GLOBAL_AVGPOOL:
        row[COLUMNS["TASKS"]] = -(-step.y.shape.c // LANES)
    elif step.op >= Op.WINOGRAD_INPUT:
        _divide_winograd(row)
    elif step.op == Op.DEPTHWISE_ROWS:
        # Of bfloat16 the output has half as many floats, for the same work.
        floats = step.y.shape.h * step.y.shape.w * step.x.shape.c
        row[COLUMNS["TASKS"]] = _even(floats, step.y.shape.h, threads)
    elif step.op > Op.MAXPOOL and step.op != Op.MATRIX:
        row[COLUMNS["TASKS"]] = _even(step.y.shape.size, min(pixels, 64), threads)
    else:
        _divide_window(row, step, pixels, threads, images)


def _even(floats: int, most: int, threads: int) -> int:
    """How many tasks for work on `floats` values: the same number for each thread where there is enough for all."""
    each = -(-floats // (_TASK_FLOATS * threads))
    return max(1, min(most, each * threads, floats // _SMALLEST_TASK_FLOATS))


def _divide_window(row: NDArray[Any], step: Step, pixels: int, threads: int, images: int) -> None:
    """Tasks of a convolution or pool: some tiles of one part of the image times some blocks."""
    n_blocks = int(row[COLUMNS["N_BLOCKS"]])
    reduction = int(row[COLUMNS["KERNEL_H"]] * row[COLUMNS["KERNEL_W"]] * row[COLUMNS["RUN"]])
    width = LANES * (BLOCKS if step.op in (Op.CONVOLVE, Op.MATRIX) else 1)
    tile_pixels, speed = (2 * HEIGHT, _MATRIX_SPEED) if step.op == Op.MATRIX else (PIXELS, 1)
    n_tiles = _matrix_tiles(row) if step.op == Op.MATRIX else -(-pixels // PIXELS)
    values = 4 * step.x.shape.h * step.x.row * images
    weights = 4 * reduction * width * n_blocks
    parts, filter_parts = slices(threads, images * n_tiles // 2, n_blocks, weights, values)
    if images > 1:  # some images are a part
        row[COLUMNS["BY_IMAGE"]], parts = int(parts > 1 or values > weights), 1
    part_tiles = -(-n_tiles // parts)
    block_step = max(1, min(-(-n_blocks // filter_parts), _BLOCK_BYTES // (4 * reduction * width)))
    block_step = -(-n_blocks // -(-n_blocks // block_step))
    per_tile = 2.0 * reduction * width * tile_pixels * block_step / speed
    groups = -(-n_blocks // block_step)
    tiles = max(1, min(part_tiles, int(_TASK_FLOPS / per_tile)))
    while tiles > 1 and groups * -(-n_tiles // tiles) < _WANTED_TASKS and tiles * per_tile > _SMALLEST_TASK_FLOPS:
        tiles = -(-tiles // 2)
    row[COLUMNS["BLOCK_STEP"]], row[COLUMNS["TILE_STEP"]], row[COLUMNS["PARTS"]] = block_step, tiles, parts
    row[COLUMNS["TASKS"]] = parts * groups * -(-part_tiles // tiles)


def _matrix_tiles(row: NDArray[Any]) -> int:
    """Tiles of 2 * HEIGHT positions, as `convolve_matrix` counts them."""
    height, width = int(row[COLUMNS["OUT_H"]]), int(row[COLUMNS["OUT_W"]])
    if row[COLUMNS["STRIDE_Y"]] * row[COLUMNS["STRIDE_X"]] == 1:
        pitch = int(row[COLUMNS["X_ROW"]] // row[COLUMNS["X_PIXEL"]])
        halves = -(-((height - 1) * pitch + width) // HEIGHT)
    else:
        halves = height * -(-width // HEIGHT)
    return -(-halves // 2)


def _divide_winograd(row: NDArray[Any]) -> None:
    """Tasks of a Winograd phase: some tiles of a transform, or a block of filters, of each part."""
    parts, rows = int(row[COLUMNS["PARTS"]]), int(row[COLUMNS["TILE_ROWS"]])
    if row[COLUMNS["OP"]] == Op.WINOGRAD_FILTERS:
        row[COLUMNS["TASKS"]] = parts * int(row[COLUMNS["N_BLOCKS"]])
        return
    step = max(1, -(-rows * parts // _TRANSFORM_TASKS))
    row[COLUMNS["TILE_STEP"]] = step
    row[COLUMNS["TASKS"]] = parts * -(-rows // step)
