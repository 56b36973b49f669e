"""Packing of weights, batch norm folded into them, into blocks of output channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.folding import EPSILON, fold
from darknet_py.graph import Graph
from darknet_py.kernels.jit import LANES, MATRIX_TILES
from darknet_py.kernels.ops.bfloat16 import pair_rows
from darknet_py.kernels.ops.steps import BLOCK_COLUMNS, Op
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.kernels.tiles.pack import pack_block
from darknet_py.kernels.tiles.register import BLOCKS
from darknet_py.kernels.tiles.transform import transform_weights
from darknet_py.layers import Connected, Convolutional, Layer, Shortcut
from darknet_py.plan.first_layer import reads_rows
from darknet_py.plan.memory import aligned
from darknet_py.weights import WeightsSource
from darknet_py.workers import Workers

__all__ = [
    "Packed",
    "PackedWeights",
    "border_of",
    "multiplies_pairs",
    "pack",
    "pack_weights",
    "values_of_pixel",
]

Array = NDArray[Any]
_WIDE = BLOCKS * LANES


@dataclass(frozen=True)
class Packed:
    """Weights in the order their kernel reads them.

    ``blocks`` is the (n, BLOCK_COLUMNS) table of `convolve`; ``owners`` the arrays its addresses point into; ``run``
    and the kernel extent say what a tap reads. With Winograd, ``algorithm`` names it and
    ``width`` is the lanes of all blocks. ``paired`` weights are bfloat16, two channels in the place of a float.
    ``merged`` are the channels and the filters of each group where several are computed as one.
    """

    op: Op
    blocks: NDArray[np.int64]
    owners: tuple[Array, ...]
    run: int
    kernel_h: int
    kernel_w: int
    algorithm: str = ""
    paired: bool = False
    merged: tuple[int, int] = (0, 0)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.owners)


def pack(
    weights: Array,
    factor: NDArray[np.float64],
    bias: NDArray[np.float64],
    groups: int = 1,
    interleaved: bool = False,
    paired: bool = False,
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
    paired : bool
        Round to bfloat16 and join channels 2i and 2i + 1; see `multiplies_pairs`.
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
    per_lane = taps * (run // 2 if paired else run)
    data = aligned(per_lane * sum(widths))
    biases = aligned(sum(widths))
    table = np.empty((len(spans), BLOCK_COLUMNS), np.int64)
    at = lane = 0
    source = np.ascontiguousarray(weights, np.float32)
    for row, (group, first, count), width in zip(table, spans, widths, strict=True):
        size = per_lane * width
        block = np.empty(2 * size, np.float32) if paired else data[at : at + size]
        pack_block(source, factor, first, count, width, group, filters // groups, run, interleaved, block)
        if paired:
            _pair(block.reshape(-1, width), data[at : at + size])
        biases[lane : lane + count] = bias[first : first + count]
        row[:] = (4 * group * channels, 4 * first, count, data[at:].ctypes.data, biases[lane:].ctypes.data)
        at += size
        lane += width
    kernel = (kernel_h, 1) if interleaved else (kernel_h, kernel_w)
    read = run // 2 if paired else run
    op = Op.MATRIX if paired and MATRIX_TILES else Op.CONVOLVE
    of_group = (channels, filters // groups) if merged > 1 else (0, 0)
    return Packed(op, table, (data, biases), read, kernel[0], kernel[1], paired=paired, merged=of_group)


def _pair(rows: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    """Join float rows (2n, width) to pairs of bfloat16, bit patterns in place of the n * width floats of `target`."""
    width = rows.shape[1]
    pair_rows(rows, target.view(np.uint32).reshape(-1, width), np.empty((2, width), np.uint16))


def pack_winograd(
    weights: Array, factor: NDArray[np.float64], bias: NDArray[np.float64], algorithm: str, paired: bool = False
) -> Packed:
    """Transform (filters, C, 3, 3) weights for a Winograd algorithm: (blocks, elements, C, lanes), or taps if lean."""
    if ALGORITHMS[algorithm].lean:
        return replace(pack(weights, factor, bias), algorithm=algorithm)
    filters, channels = weights.shape[:2]
    g = np.array(ALGORITHMS[algorithm].scheme.g)
    elements = len(g) ** 2
    counts = [min(_WIDE, filters - first) for first in range(0, filters, _WIDE)]
    widths = [_WIDE if count > LANES else LANES for count in counts]
    run = channels // 2 if paired else channels
    data = aligned(elements * run * sum(widths))
    biases = aligned(sum(widths))
    biases[:filters] = bias
    table = np.empty((len(counts), BLOCK_COLUMNS), np.int64)
    source = np.ascontiguousarray(weights, np.float32)
    lane = 0
    for row, count, lanes in zip(table, counts, widths, strict=True):
        part = data[elements * run * lane : elements * run * (lane + lanes)]
        whole = np.empty((elements, channels, lanes), np.float32) if paired else part.reshape(elements, channels, lanes)
        transform_weights(source, factor, lane, count, g, np.empty((9 + 3 * len(g), lanes)), whole)
        if paired:
            _pair(whole.reshape(-1, lanes), part)
        row[:] = (0, 4 * lane, count, part.ctypes.data, biases[lane:].ctypes.data)
        lane += lanes
    return Packed(Op.CONVOLVE, table, (data, biases), run, 3, 3, algorithm, paired)


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
    return Packed(Op.DEPTHWISE, channel_blocks(filters, data, biases), (data, biases), 1, kernel_h, kernel_w)


def channel_blocks(channels: int, data: NDArray[np.float32], biases: NDArray[np.float32]) -> NDArray[np.int64]:
    """The block table of a channel-by-channel step: one row per vector of channels."""
    n = -(-channels // LANES)
    table = np.empty((n, BLOCK_COLUMNS), np.int64)
    for i, row in enumerate(table):
        shift = 4 * LANES * i
        count = min(LANES, channels - LANES * i)
        weights = data.ctypes.data + i * (data.nbytes // n)
        row[:] = (shift, shift, count, weights, biases.ctypes.data + (shift if biases.size > LANES else 0))
    return table


@dataclass(frozen=True)
class PackedWeights:
    """Every layer's weights in the form the kernels read; shared by all plans of a network."""

    packed: dict[int, Packed]
    shortcuts: dict[int, Array]

    @property
    def nbytes(self) -> int:
        return sum({id(p): p.nbytes for p in self.packed.values()}.values())


def multiplies_pairs(layer: Layer, precision: str) -> bool:
    """Whether a layer's weights and input are rounded to bfloat16: convolutions that mix an even number of channels.

    Others (depthwise ones) would not gain by it: they are bound by memory. The first layer gains by matrix tiles alone.
    """
    return (
        precision == "bfloat16"
        and isinstance(layer, Convolutional)
        and layer.groups == 1
        and layer.in_shape.c >= 8
        and layer.in_shape.c % 2 == 0
        and not layer.xnor
        # Wider borders, of huge dilations, would be most of the memory.
        and (not MATRIX_TILES or border_of(layer) <= max(layer.in_shape.h, layer.in_shape.w))
    )


def border_of(layer: Convolutional) -> int:
    """How far windows reach beyond the image: the padding, or more where the output's shape ignores dilation."""
    ends = (
        (outputs - 1) * stride + (layer.size - 1 - layer.pad) * layer.dilation - (inputs - 1)
        for outputs, stride, inputs in (
            (layer.unblurred.h, layer.stride_y, layer.in_shape.h),
            (layer.unblurred.w, layer.stride_x, layer.in_shape.w),
        )
    )
    return max(layer.pad * layer.dilation, *ends)


def pack_weights(
    graph: Graph,
    weights: WeightsSource,
    algorithms: Mapping[int, str] | None = None,
    threads: int = 1,
    epsilon: float | None = None,
    precision: str = "float32",
) -> PackedWeights:
    """Fold and pack the weights of every layer.

    Parameters
    ----------
    graph : Graph
    weights : WeightsFile or SeededWeights
    algorithms : mapping of int to str
        Winograd algorithm by layer index, for layers that are not computed directly.
    threads : int
        Layers packed at the same time.
    epsilon : float, optional
        Added to variances instead of Darknet's 1e-5.
    precision : str
        float32, or bfloat16 for the layers of which `multiplies_pairs` says so.
    """
    epsilon = EPSILON if epsilon is None else epsilon
    algorithms = algorithms or {}
    packed: dict[int, Packed] = {}
    shortcuts: dict[int, Array] = {}

    def prepare(layer: Layer) -> None:
        arrays = weights.arrays(layer)
        if isinstance(layer, Shortcut):
            shortcuts[layer.index] = np.array(arrays["weights"])
        elif isinstance(layer, Connected):
            matrix = arrays["weights"].reshape(layer.shape.c, *layer.in_shape)
            packed[layer.index] = pack(matrix, *fold(arrays, epsilon))
        elif isinstance(layer, Convolutional):
            factor, bias = fold(arrays, epsilon)
            kernels = arrays["weights"]
            if layer.xnor:
                kernels, factor = _binarize(kernels, factor)
            algorithm = algorithms.get(layer.index)
            paired = multiplies_pairs(layer, precision)
            if algorithm:
                packed[layer.index] = pack_winograd(kernels, factor, bias, algorithm, paired)
            else:
                interleaved = layer.index == 0 and reads_rows(graph)
                if interleaved and MATRIX_TILES and precision == "bfloat16":
                    kernels, paired = _pad_channels(kernels), True
                packed[layer.index] = pack(kernels, factor, bias, layer.groups, interleaved, paired)
        weights.release(layer)

    with Workers(max(1, threads)) as pool:
        pool.map(prepare, (layer for layer in graph.layers if layer.parameters))
    for layer in graph.layers:
        if isinstance(layer, Convolutional) and layer.share is not None:
            packed[layer.index] = packed[layer.share]
    return PackedWeights(packed, shortcuts)


def values_of_pixel(channels: int) -> int:
    """How many values a pixel of an image in bfloat16 takes."""
    return 4 if channels <= 4 else 8


def _pad_channels(kernels: Array) -> Array:
    """Weights 0 for what stands behind the channels of an image in bfloat16."""
    channels = kernels.shape[1]
    return np.pad(kernels, ((0, 0), (0, values_of_pixel(channels) - channels), (0, 0), (0, 0)))


def _binarize(kernels: Array, factor: NDArray[np.float64]) -> tuple[Array, NDArray[np.float64]]:
    """Signs of the folded weights, and their mean magnitude per filter (Darknet's binarize_weights)."""
    folded = (kernels * factor[:, None, None, None]).astype(np.float32)
    mean = np.abs(folded).mean(axis=(1, 2, 3), dtype=np.float64)
    return np.where(folded > 0, np.float32(1), np.float32(-1)), mean
