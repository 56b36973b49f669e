"""How a step is cut into tasks, and which of them lie together in each thread's share.

Shares are consecutive tasks, so the order of tasks decides what a thread reads and writes. Mostly a share is a part of
the image, the same one in every step: its values stay in the cache of the core that computed them. Where a layer has
more weights than values, it is a part of the filters instead, so that not every core reads all weights. Results do not
depend on any of this.
"""

from __future__ import annotations

from typing import Any

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.operation import Cut
from darknet_py.kernels.ops.step import BY_IMAGE, BY_TASK

__all__ = ["by_channels", "by_pixels", "by_rows", "by_tiles", "slices", "whole"]

#: Weights of the blocks that one task runs together: about a third of a second-level cache of 1 MB, which they share
#: with the input rows.
_BLOCK_BYTES = 384 << 10
#: A task of a window step is at most this much work (0.2 ms on one core) unless one block of weights is more.
_TASK_FLOPS = 40e6
_SMALLEST_TASK_FLOPS = 1e6
_WANTED_TASKS = 16
_TASK_FLOATS = 16 << 10
#: With fewer, about a microsecond's work, a thread would be done before another had seen that there is some.
_SMALLEST_TASK_FLOATS = 4 << 10


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


def whole(step: Any, own: Any, threads: int, images: int) -> Cut:
    """One task."""
    return Cut(1)


def by_channels(step: Any, own: Any, threads: int, images: int) -> Cut:
    """A vector of channels each."""
    return Cut(-(-int(step["y"]["c"]) // LANES))


def by_pixels(step: Any, own: Any, threads: int, images: int) -> Cut:
    """A share of the output pixels, see `pixel_share`."""
    y = step["y"]
    pixels = int(y["h"] * y["w"])
    return Cut(_even(pixels * int(y["c"] * y["value"]) // 4, min(pixels, 64), threads))


def by_rows(step: Any, own: Any, threads: int, images: int) -> Cut:
    """A share of the output rows, see `row_share`."""
    y = step["y"]
    return Cut(_even(int(y["h"] * y["w"] * step["x"]["c"]), int(y["h"]), threads))


def _even(floats: int, most: int, threads: int) -> int:
    """How many tasks for work on `floats` values: the same number for each thread where there is enough for all."""
    each = -(-floats // (_TASK_FLOATS * threads))
    return max(1, min(most, each * threads, floats // _SMALLEST_TASK_FLOATS))


def by_tiles(
    step: Any,
    threads: int,
    images: int,
    *,
    tiles: int,
    pixels: int,
    blocks: int,
    reduction: int,
    lanes: int,
    speed: int,
) -> Cut:
    """Some tiles of one part of the image times some blocks.

    There are `tiles` of `pixels` pixels and `blocks` of `lanes` channels, each the sum of `reduction` products, which
    takes a `speed`-th of the time that it takes by vectors.
    """
    values = int(step["x"]["h"] * step["x"]["row"]) * images
    weights = 4 * reduction * lanes * blocks
    parts, filter_parts = slices(threads, images * tiles // 2, blocks, weights, values)
    order = BY_IMAGE
    if images > 1:  # some images are a part
        order, parts = BY_IMAGE if parts > 1 or values > weights else BY_TASK, 1
    part_tiles = -(-tiles // parts)
    block_step = max(1, min(-(-blocks // filter_parts), _BLOCK_BYTES // (4 * reduction * lanes)))
    block_step = -(-blocks // -(-blocks // block_step))
    per_tile = 2.0 * reduction * lanes * pixels * block_step / speed
    groups = -(-blocks // block_step)
    count = max(1, min(part_tiles, int(_TASK_FLOPS / per_tile)))
    while count > 1 and groups * -(-tiles // count) < _WANTED_TASKS and count * per_tile > _SMALLEST_TASK_FLOPS:
        count = -(-count // 2)
    return Cut(parts * groups * -(-part_tiles // count), order, parts, count, block_step)
