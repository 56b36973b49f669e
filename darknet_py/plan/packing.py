"""Packing of weights, batch norm folded into them, into blocks of output channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.folding import EPSILON, fold
from darknet_py.graph import Graph
from darknet_py.kernels.jit import LANES, MATRIX_TILES
from darknet_py.kernels.ops.step import BLOCK
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.kernels.tiles.pack import pack_block, pair_rows
from darknet_py.kernels.tiles.register import BLOCKS
from darknet_py.kernels.tiles.transform import transform_weights
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32, FORMATS, Format
from darknet_py.layers import (
    BatchNorm,
    Connected,
    ConvLstm,
    Convolutional,
    Crnn,
    Deconvolutional,
    Gru,
    Implicit,
    Layer,
    Local,
    Lstm,
    Recurrent,
    Rnn,
    Shortcut,
)
from darknet_py.plan.first_layer import reads_rows
from darknet_py.plan.memory import aligned
from darknet_py.weights import WeightsSource
from darknet_py.workers import Workers

__all__ = [
    "Packed",
    "PackedWeights",
    "multiplied_in",
    "pack",
    "pack_weights",
    "values_of_pixel",
]

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


@dataclass(frozen=True)
class PackedWeights:
    """Every layer's weights in the form the kernels read; shared by all plans of a network."""

    packed: dict[int, Packed]
    #: Of layers that no tile computes: what their rules make of it.
    plain: dict[int, Array]
    #: Of layers inside others, by the outer one's index and their names in it.
    parts: dict[tuple[int, str], Packed] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        packed = sum({id(p): p.nbytes for p in (*self.packed.values(), *self.parts.values())}.values())
        return packed + sum(array.nbytes for array in self.plain.values())


def multiplied_in(layer: Convolutional, precision: str) -> Format:
    """The format that a layer's weights and input are multiplied in.

    That of the precision for convolutions that mix whole groups of joined channels. Others (depthwise ones) would not
    gain by it: they are bound by memory. The first layer gains by matrix tiles alone.
    """
    format = next((format for format in FORMATS if format.name == precision), FLOAT32)
    gains = (
        layer.groups == 1
        and layer.in_shape.c >= 8
        and layer.in_shape.c % format.joined == 0
        and not layer.xnor
        # Wider borders, of huge dilations, would be most of the memory.
        and (not MATRIX_TILES or layer.border <= max(layer.in_shape.h, layer.in_shape.w))
    )
    return format if gains else FLOAT32


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
        float32, or bfloat16 for the layers that are multiplied in it (see `multiplied_in`).
    """
    packing = _Packing(graph, algorithms or {}, EPSILON if epsilon is None else epsilon, precision, {}, {}, {})

    def prepare(layer: Layer) -> None:
        _PACKERS[type(layer)](packing, layer, weights.arrays(layer))
        weights.release(layer)

    with Workers(max(1, threads)) as pool:
        pool.map(prepare, (layer for layer in graph.layers if layer.parameters))
    for layer in graph.of_type(Convolutional):
        if layer.share is not None:
            packing.packed[layer.index] = packing.packed[layer.share]
    return PackedWeights(packing.packed, packing.plain, packing.parts)


class _Packing(NamedTuple):
    """How the weights of a graph are to be packed, and those that were."""

    graph: Graph
    algorithms: Mapping[int, str]
    epsilon: float
    precision: str
    packed: dict[int, Packed]
    plain: dict[int, Array]
    parts: dict[tuple[int, str], Packed]


def _pack_shortcut(packing: _Packing, layer: Shortcut, arrays: Mapping[str, Array]) -> None:
    packing.plain[layer.index] = np.array(arrays["weights"])


def _pack_implicit(packing: _Packing, layer: Implicit, arrays: Mapping[str, Array]) -> None:
    packing.plain[layer.index] = np.array(arrays["weights"]).transpose(1, 2, 0)


def _pack_batch_norm(packing: _Packing, layer: BatchNorm, arrays: Mapping[str, Array]) -> None:
    """(2, channels): factors and terms."""
    packing.plain[layer.index] = np.stack(fold(arrays, packing.epsilon)).astype(np.float32)


def _pack_local(packing: _Packing, layer: Local, arrays: Mapping[str, Array]) -> None:
    """(positions, 1 + taps, filters): of each position the biases, then what each tap is multiplied with."""
    filters, h, w = layer.shape
    taps = layer.in_shape.c * layer.size**2
    packed = aligned(h * w * (1 + taps) * filters)
    by_position = packed[: h * w * (1 + taps) * filters].reshape(h * w, 1 + taps, filters)
    by_position[:, 0] = arrays["biases"].reshape(filters, -1).T
    by_position[:, 1:] = arrays["weights"].reshape(h * w, filters, taps).transpose(0, 2, 1)
    packing.plain[layer.index] = by_position


def _pack_deconvolution(packing: _Packing, layer: Deconvolutional, arrays: Mapping[str, Array]) -> None:
    """As those of a convolution over the input with zeros between its pixels: mirrored."""
    kernels = arrays["weights"].transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    packing.packed[layer.index] = pack(kernels, *fold(arrays, packing.epsilon))


def _pack_connected(packing: _Packing, layer: Connected, arrays: Mapping[str, Array]) -> None:
    packing.packed[layer.index] = _packed_matrix(layer, arrays, packing.epsilon)


def _packed_matrix(layer: Connected, arrays: Mapping[str, Array], epsilon: float) -> Packed:
    return pack(arrays["weights"].reshape(layer.shape.c, *layer.in_shape), *fold(arrays, epsilon))


def _pack_recurrent(packing: _Packing, layer: Recurrent, arrays: Mapping[str, Array]) -> None:
    for name, part in layer.parts:
        own = {parameter.name: arrays[f"{name}.{parameter.name}"] for parameter in part.parameters}
        packing.parts[layer.index, name] = _PARTS[type(part)](part, own, packing.epsilon)


def _packed_kernels(layer: Convolutional, arrays: Mapping[str, Array], epsilon: float) -> Packed:
    """Of a convolution inside another layer: Darknet takes signs before it folds batch norm."""
    factor, bias = fold(arrays, epsilon)
    kernels = arrays["weights"]
    if layer.xnor:
        kernels, mean = _binarize(kernels, np.ones_like(factor))
        factor = factor * mean
    return pack(kernels, factor, bias, layer.groups)


#: The same for layers inside others.
_PARTS: dict[type[Layer], Callable[[Any, Mapping[str, Array], float], Packed]] = {
    Connected: _packed_matrix,
    Convolutional: _packed_kernels,
}


def _pack_convolution(packing: _Packing, layer: Convolutional, arrays: Mapping[str, Array]) -> None:
    factor, bias = fold(arrays, packing.epsilon)
    kernels = arrays["weights"]
    if layer.xnor:
        kernels, factor = _binarize(kernels, factor)
    algorithm = packing.algorithms.get(layer.index)
    format = multiplied_in(layer, packing.precision)
    if algorithm:
        packing.packed[layer.index] = pack_winograd(kernels, factor, bias, algorithm, format)
        return
    interleaved = layer.index == 0 and reads_rows(packing.graph)
    if interleaved and MATRIX_TILES and packing.precision == "bfloat16":
        kernels, format = _pad_channels(kernels), BFLOAT16
    packing.packed[layer.index] = pack(kernels, factor, bias, layer.groups, interleaved, format)


#: Layer type with weights → how they are packed.
_PACKERS: dict[type[Layer], Callable[[_Packing, Any, Mapping[str, Array]], None]] = {
    BatchNorm: _pack_batch_norm,
    Connected: _pack_connected,
    Convolutional: _pack_convolution,
    Deconvolutional: _pack_deconvolution,
    Implicit: _pack_implicit,
    Local: _pack_local,
    Shortcut: _pack_shortcut,
    **dict.fromkeys((ConvLstm, Crnn, Gru, Lstm, Rnn), _pack_recurrent),
}


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
