"""Weights in blocks of output channels, in the order their kernels read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.jit import LANES, MATRIX_TILES
from darknet_py.kernels.ops.step import BLOCK
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.kernels.tiles.pack import pack_block, pair_rows
from darknet_py.kernels.tiles.register import BLOCKS
from darknet_py.kernels.tiles.transform import transform_weights
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32, Format
from darknet_py.plan.memory import aligned

__all__ = ["Packed", "channel_blocks", "pack", "pack_winograd"]

Array = NDArray[Any]
_WIDE = BLOCKS * LANES


@dataclass(frozen=True)
class Packed:
    """Weights in the order their kernel reads them.

    ``blocks`` is the (n,) table of BLOCK, ``owners`` the arrays its addresses point into; ``run`` and the kernel extent
    say what a tap reads. With Winograd, ``algorithm`` names it. ``format`` is that of the weights and of what they are
    multiplied with, joined channels in the place of a float. ``merged`` are the channels and the filters of each group
    where several are computed as one.
    """

    blocks: Array
    owners: tuple[Array, ...]
    run: int
    kernel_h: int
    kernel_w: int
    algorithm: str = ""
    format: Format = FLOAT32
    merged: tuple[int, int] = (0, 0)
    is_depthwise: bool = False

    @property
    def by_matrix_tiles(self) -> bool:
        """Whether matrix tiles multiply them."""
        return MATRIX_TILES and self.format is not FLOAT32 and not self.algorithm

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.owners)


def pack(
    weights: Array,
    factor: NDArray[np.float64],
    bias: NDArray[np.float64],
    groups: int = 1,
    interleaved: bool = False,
    format: Format = FLOAT32,
) -> Packed:
    """Pack (filters, channels per group, kernel_h, kernel_w) weights for the register tiles.

    Parameters
    ----------
    weights : ndarray, float32
    factor, bias : ndarray, shape (filters,), float64
    groups : int
        Groups of the convolution. One channel per group is packed for the depthwise tile; narrow groups are merged,
        with zeros between them, until they fill vectors.
    interleaved : bool
        Whether a tap reads a whole kernel row of a dense, padded input (the first layer, whose few channels would
        leave the reduction too short).
    format : Format
        Other ones than float32 join channels; see `multiplied_in`.
    """
    filters, channels, kernel_h, kernel_w = weights.shape
    if groups > 1 and channels == 1 and filters == groups:
        return _pack_depthwise(weights, factor, bias)
    merged = _merged_groups(groups, channels, filters // groups)
    run = kernel_w * channels if interleaved else merged * channels
    taps = kernel_h if interleaved else kernel_h * kernel_w
    per_part = merged * (filters // groups)
    spans = [
        (part * merged, first, min(_WIDE, (part + 1) * per_part - first))
        for part in range(groups // merged)
        for first in range(part * per_part, (part + 1) * per_part, _WIDE)
    ]
    widths = [_WIDE if count > LANES else LANES for _, _, count in spans]
    read = run // format.joined
    per_lane = taps * read
    data = aligned(per_lane * sum(widths))
    biases = aligned(sum(widths))
    table = np.empty(len(spans), BLOCK)
    at = lane = 0
    source = np.ascontiguousarray(weights, np.float32)
    for row, (group, first, count), width in zip(table, spans, widths, strict=True):
        size = per_lane * width
        block = data[at : at + size] if format is FLOAT32 else np.empty(format.joined * size, np.float32)
        pack_block(source, factor, first, count, width, group, filters // groups, run, interleaved, block)
        if format is not FLOAT32:
            _JOIN[format](block.reshape(-1, width), data[at : at + size])
        biases[lane : lane + count] = bias[first : first + count]
        row["x"], row["y"], row["count"] = group * channels, first, count
        row["weights"], row["bias"] = data[at:].ctypes.data, biases[lane:].ctypes.data
        at += size
        lane += width
    width_read = 1 if interleaved else kernel_w
    of_group = (channels, filters // groups) if merged > 1 else (0, 0)
    return Packed(table, (data, biases), read, kernel_h, width_read, format=format, merged=of_group)


def _pair(rows: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    """Join float rows (2n, width) to pairs of bfloat16, bit patterns in place of the n * width floats of `target`."""
    width = rows.shape[1]
    pair_rows(rows, target.view(np.uint32).reshape(-1, width), np.empty((2, width), np.uint16))


#: How float rows (n * joined, width) become rows (n, width) of joined values of a format.
_JOIN = {BFLOAT16: _pair}


def pack_winograd(
    weights: Array, factor: NDArray[np.float64], bias: NDArray[np.float64], algorithm: str, format: Format = FLOAT32
) -> Packed:
    """Transform (filters, C, 3, 3) weights for a Winograd algorithm: (blocks, elements, C, lanes), or taps if lean."""
    if ALGORITHMS[algorithm].lean:
        return replace(pack(weights, factor, bias), algorithm=algorithm)
    filters, channels = weights.shape[:2]
    g = np.array(ALGORITHMS[algorithm].scheme.g)
    elements = len(g) ** 2
    counts = [min(_WIDE, filters - first) for first in range(0, filters, _WIDE)]
    widths = [_WIDE if count > LANES else LANES for count in counts]
    run = channels // format.joined
    data = aligned(elements * run * sum(widths))
    biases = aligned(sum(widths))
    biases[:filters] = bias
    table = np.empty(len(counts), BLOCK)
    source = np.ascontiguousarray(weights, np.float32)
    lane = 0
    for row, count, lanes in zip(table, counts, widths, strict=True):
        part = data[elements * run * lane : elements * run * (lane + lanes)]
        shape = elements, channels, lanes
        whole = part.reshape(shape) if format is FLOAT32 else np.empty(shape, np.float32)
        transform_weights(source, factor, lane, count, g, np.empty((9 + 3 * len(g), lanes)), whole)
        if format is not FLOAT32:
            _JOIN[format](whole.reshape(-1, lanes), part)
        row["x"], row["y"], row["count"] = 0, lane, count
        row["weights"], row["bias"] = part.ctypes.data, biases[lane:].ctypes.data
        lane += lanes
    return Packed(table, (data, biases), run, 3, 3, algorithm, format)


def _merged_groups(groups: int, channels: int, filters: int) -> int:
    """How many groups to compute as one: the divisor of `groups` with the least arithmetic, zeros included."""

    def cost(merged: int) -> tuple[int, int]:
        lanes = -(-merged * filters // LANES) * LANES
        return groups // merged * (merged * channels) * lanes, -merged

    return min((m for m in range(1, groups + 1) if groups % m == 0), key=cost)


def _pack_depthwise(weights: Array, factor: NDArray[np.float64], bias: NDArray[np.float64]) -> Packed:
    filters, _, kernel_h, kernel_w = weights.shape
    n = -(-filters // LANES)
    scaled = np.zeros((n * LANES, kernel_h * kernel_w), np.float32)
    scaled[:filters] = weights.reshape(filters, -1) * factor[:, None]
    data = aligned(scaled.size)
    data[:] = scaled.reshape(n, LANES, -1).transpose(0, 2, 1).ravel()
    biases = aligned(n * LANES)
    biases[:filters] = bias
    blocks = channel_blocks(filters, data, biases)
    return Packed(blocks, (data, biases), 1, kernel_h, kernel_w, is_depthwise=True)


def channel_blocks(
    channels: int, data: NDArray[np.float32], biases: NDArray[np.float32], joined: int = 1, shared: bool = False
) -> Array:
    """The table of blocks of a channel-by-channel step: one for each vector of channels, or of `joined` ones.

    With `shared` all have the same weights and biases.
    """
    each = LANES * joined
    n = -(-channels // each)
    table = np.zeros(n, BLOCK)
    table["x"] = table["y"] = each * np.arange(n)
    table["count"] = np.minimum(each, channels - table["x"])
    for name, array in (("weights", data), ("bias", biases)):
        table[name] = array.ctypes.data + (0 if shared else array.nbytes // n) * np.arange(n)
    return table
