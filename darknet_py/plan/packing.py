"""What becomes of each layer's weights: batch norm folded into them, packed in blocks or as its rule wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.folding import EPSILON, fold
from darknet_py.graph import Graph
from darknet_py.kernels.jit import MATRIX_TILES
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
from darknet_py.plan.blocks import Packed, pack, pack_winograd
from darknet_py.plan.first_layer import reads_rows
from darknet_py.plan.memory import aligned
from darknet_py.weights import WeightsSource
from darknet_py.workers import Workers

__all__ = ["PackedWeights", "multiplied_in", "pack_weights", "values_of_pixel"]

Array = NDArray[Any]


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
