"""Which steps are computed together, depth first: narrow convolutions whose intermediate maps exceed the cache."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.ops.convert import convert
from darknet_py.kernels.ops.convolve import DENSE, convolve
from darknet_py.kernels.ops.depthwise_rows import depthwise_rows
from darknet_py.kernels.ops.run_chain import LINK, chain_scratch
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.plan.buffers import Buffer
from darknet_py.plan.lowering import Lowering, Step

__all__ = ["Chain", "find_chains"]

#: Bytes that the rows of a band take in all buffers of a chain: they share a second-level cache with the weights. Less
#: means more bands, each with its share of set-up: Yolo-Fastest-1.1-xl takes 9.1 ms with 512 KB, 9.3 with 256 KB, 10.4
#: with 128 KB, and 9.4 without chains (one thread; two: 5.8, 6.0, 6.6 and 6.0).
_BAND_BYTES = 512 << 10
#: Every band reads all weights of its chain.
_WEIGHT_BYTES = 192 << 10
#: Between two links that store less, the rows come from the cache anyway.
_SMALLEST_BYTES = 256 << 10
#: With fewer rows in a band, keeping those that the next one needs again outweighs the rest: 40 depthwise layers at
#: 104x104 took 7.7 times as long as one by one, cut like this 1.3 times.
_BAND_ROWS = 4
#: Links of a chain: more than any network gains by (Yolo-Fastest has up to 5), and few enough that looking for the best
#: end of a chain takes no time in a network of thousands of narrow layers.
_LONGEST = 32
#: Rows of a task: with fewer, those that two tasks both compute weigh too much.
_TASK_ROWS = 4


@dataclass(frozen=True)
class Chain:
    """Consecutive steps that are computed together.

    Attributes
    ----------
    links : tuple of Step
    band : int
        Rows of the last link that are computed at a time.
    tasks : int
        The most tasks worth having.
    offsets : tuple of int
        Where each link's buffer, but the last one's, begins in scratch: bytes.
    buffer_bytes : int
        Of scratch for all buffers.
    """

    links: tuple[Step, ...]
    band: int
    tasks: int
    offsets: tuple[int, ...]
    buffer_bytes: int

    @property
    def own_bytes(self) -> int:
        """Of scratch, beyond what the links need themselves."""
        return chain_scratch(len(self.links), self.buffer_bytes)

    @property
    def table(self) -> NDArray[Any]:
        """What the kernel has to know of each link, of LINK; the last one has no buffer."""
        windows = (_window(link) for link in self.links)
        offsets = (*self.offsets, 0)
        return np.array([(*window, at) for window, at in zip(windows, offsets, strict=True)], LINK)


def _is_link(step: Step) -> bool:
    """Whether a chain can compute a step: a convolution of either kind, or a conversion."""
    if step.operation is convolve:
        return bool(step.own["kind"][0] == DENSE) and step.y.format is FLOAT32
    return step.operation in (depthwise_rows, convert)


def _window(step: Step) -> tuple[int, int, int]:
    """How many rows a link's window reaches over, less one, its stride and padding."""
    if step.operation is convert:
        return 0, 1, 0
    own = step.own[0]
    dilation = int(own["dilation"]) if step.operation is convolve else 1
    return (int(own["kernel_h"]) - 1) * dilation, int(own["stride_y"]), int(own["pad_y"])


def find_chains(lowering: Lowering) -> list[Step | Chain]:
    """Group the steps of a lowered network; memory between the links of a chain is taken out of `lowering.buffers`."""
    found: list[Step | Chain] = []
    steps = lowering.steps
    follows = [number > 0 and _follows(lowering, steps, number) for number in range(len(steps))]
    first = 0
    while first < len(steps):
        end = _longest(steps, follows, first)
        longest_first = (_make_chain(steps[first:stop]) for stop in range(end, first + 1, -1))
        chain = next((chain for chain in longest_first if chain is not None), None)
        if chain is None:
            found.append(steps[first])
            first += 1
            continue
        end = first + len(chain.links)
        for step in chain.links[:-1]:
            del lowering.buffers[step.y.buffer]
        for buffer in _outside(chain):
            # All of a chain happens at once.
            buffer.use(first)
            buffer.use(end - 1)
        found.append(chain)
        first = end
    return found


def _longest(steps: Sequence[Step], follows: Sequence[bool], first: int) -> int:
    """Where a chain from step `first` on ends at the latest."""
    end, weights, between = first + 1, _weight_bytes(steps[first]), 0
    while end < len(steps) and follows[end] and end - first < _LONGEST:
        weights += _weight_bytes(steps[end])
        if weights > _WEIGHT_BYTES:
            break
        between = max(between, _map_bytes(steps[end - 1]))
        end += 1
    return end if between >= _SMALLEST_BYTES else first + 1


def _outside(chain: Chain) -> list[Buffer]:
    first, last = chain.links[0], chain.links[-1]
    return [view.buffer for view in (first.x, last.y, last.second) if view is not None]


def _follows(lowering: Lowering, steps: Sequence[Step], number: int) -> bool:
    """Whether a step reads what the one before wrote, all of it, and nobody else does."""
    before, step = steps[number - 1], steps[number]
    buffer = before.y.buffer
    private = buffer.first == number - 1 and buffer.last == number and before.y == step.x
    whole = before.y.start == 0 and before.y.is_dense
    simple = _is_link(before) and _is_link(step) and before.second is None
    # A shortcut is read from the arena, where this buffer would have no place any more.
    once = step.second is None or step.second.buffer is not buffer
    together = (before.layer < lowering.together) == (step.layer < lowering.together)
    one_output = before.also is None and step.also is None
    return private and whole and simple and once and together and one_output and step.y.is_dense


def _make_chain(links: Sequence[Step]) -> Chain | None:
    """The chain of these steps, unless that would not pay."""
    last = links[-1].y
    overwrites = any(last.buffer is step.x.buffer for step in links)
    if overwrites or max(map(_map_bytes, links[:-1])) < _SMALLEST_BYTES:
        return None
    # The most rows that fit, or one.
    bands = range(2, last.shape.h + 1)
    band = 1 + bisect_right(bands, _BAND_BYTES, key=lambda band: sum(_buffer_bytes(links, band)))
    if band < min(_BAND_ROWS, last.shape.h):
        return None
    sizes = _buffer_bytes(links, band)
    offsets = [0, *accumulate(sizes)]
    tasks = max(1, last.shape.h // _TASK_ROWS)
    return Chain(tuple(links), band, tasks, tuple(offsets[:-1]), offsets[-1])


def _map_bytes(step: Step) -> int:
    return step.y.shape.h * step.y.row


def _weight_bytes(step: Step) -> int:
    if step.operation is not convolve:
        return 0
    own = step.own[0]
    return 4 * int(own["kernel_h"] * own["kernel_w"] * own["run"]) * step.y.shape.c


def _buffer_bytes(links: Sequence[Step], band: int) -> list[int]:
    """Bytes each buffer needs for a band of that many rows: whole vectors are read and written at the end."""
    rows, found = band, []
    for before, step in zip(reversed(links[:-1]), reversed(links[1:]), strict=True):
        reach, stride, _ = _window(step)
        rows = min((rows - 1) * stride + reach + 1, before.y.shape.h)
        found.append(-(-(rows * before.y.row + 64) // 64) * 64)
    return found[::-1]
