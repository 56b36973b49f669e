"""Rules of the layers that slide a window: convolutions, pools, and the whole-image window of [connected]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.activations import CHANNEL_ACTIVATIONS
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.add import add
from darknet_py.kernels.ops.average_image import average_image
from darknet_py.kernels.ops.average_window import average_window
from darknet_py.kernels.ops.convolve import DENSE, DEPTHWISE, POOL, convolve
from darknet_py.kernels.ops.convolve_locally import convolve_locally
from darknet_py.kernels.ops.convolve_matrix import convolve_matrix
from darknet_py.kernels.ops.depthwise_rows import depthwise_rows
from darknet_py.kernels.ops.max_depth import max_depth
from darknet_py.kernels.ops.normalize_channels import normalize_channels
from darknet_py.kernels.ops.sign import sign
from darknet_py.kernels.ops.upsample import upsample
from darknet_py.kernels.tiles.row import LONG, SHORT, WINDOWS
from darknet_py.kernels.vector.activate import ACTIVATION_CODES
from darknet_py.kernels.vector.formats import FLOAT32, Format
from darknet_py.layers import (
    AvgPool,
    Connected,
    Convolutional,
    Deconvolutional,
    Layer,
    Local,
    LocalAvgPool,
    MaxPool,
)
from darknet_py.plan.blocks import Packed, channel_blocks
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.memory import aligned
from darknet_py.plan.rules.chunks import chunk_arguments
from darknet_py.plan.rules.winograd import winograd
from darknet_py.shape import Shape

__all__ = [
    "activated", "avgpool", "connected", "convolutional", "convolve_window", "deconvolutional", "local",
    "local_avgpool", "maxpool", "normalize", "zeros",
]  # fmt: skip

_BLUR_3 = np.outer([1, 2, 1], [1, 2, 1]) / np.float32(16)
_BLUR_2 = np.full((2, 2), 0.25)
#: What Darknet begins a maximum with: it stays where a whole window lies outside the image.
_LOWEST = float(np.finfo(np.float32).min)
_LINEAR = ACTIVATION_CODES["linear"]


def activated(lower: Lowering, layer: Layer, name: str, target: View) -> tuple[View, int]:
    """Where a step writes and with which activation, when `name` may need the whole pixel first."""
    if name in CHANNEL_ACTIVATIONS:
        return lower.temporary(target.shape), _LINEAR
    return target, ACTIVATION_CODES[name]


def normalize(lower: Lowering, layer: Layer, name: str, x: View, y: View) -> None:
    """Emit the step of an activation that needs the whole pixel."""
    if name in CHANNEL_ACTIVATIONS:
        lower.emit(normalize_channels, layer, x, y, of=CHANNEL_ACTIVATIONS.index(name))


def convolve_window(
    lower: Lowering,
    layer: Layer,
    packed: Packed,
    x: View,
    y: View,
    second: View | None = None,
    also: View | None = None,
    *,
    kind: int = DENSE,
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int] = (0, 0),
    dilation: int = 1,
    activation: int = _LINEAR,
    after: int = _LINEAR,
    outside: float = 0.0,
) -> None:
    """Emit the step of a window over everything; `stride` and `pads` are (y, x)."""
    both = {
        "kernel_h": packed.kernel_h, "stride_y": stride[0], "pad_y": pads[0], "pad_x": pads[1],
        "n_blocks": len(packed.blocks), "activation": activation, "after": after, "blocks": packed.blocks,
    }  # fmt: skip
    window = (packed.kernel_w, stride[1])
    if kind == DEPTHWISE and dilation == 1 and window in WINDOWS:
        is_short = -y.shape.w % SHORT < -y.shape.w % LONG
        lower.emit(
            depthwise_rows, layer, x, y, second, also, alive=packed.owners, **both,
            window=WINDOWS.index(window), short=is_short, outside=lower.filled(outside, x.row // 4),
        )  # fmt: skip
        return
    channels, filters = packed.merged
    lower.emit(
        convolve, layer, x, y, second, also, alive=packed.owners, **both, kind=kind, kernel_w=packed.kernel_w,
        stride_x=stride[1], dilation=dilation, run=packed.run, group_channels=channels, group_filters=filters,
        outside=lower.filled(outside, x.shape.c),
    )  # fmt: skip


def convolutional(lower: Lowering, layer: Convolutional) -> None:
    """Sign (xnor), convolution with activation and fused shortcut, channel normalisation, blur: as far as needed."""
    shortcut = lower.sharing.fused_shortcut(layer)
    packed = lower.packed[layer.index]
    target, also = _conv_outputs(lower, layer, packed, layer.index if shortcut is None else shortcut.index)
    unblurred = lower.temporary(layer.unblurred) if layer.antialiasing else target
    y, activation = activated(lower, layer, layer.activation, unblurred)
    second, after, outside = None, _LINEAR, 0.0
    if shortcut is not None:
        second, after = lower.added(layer, shortcut), ACTIVATION_CODES[shortcut.activation]
    # The window's padding grows with dilation; the shape formula's does not (semantics of im2col_ext).
    pads = (layer.pad * layer.dilation,) * 2
    if layer.index == 0 and lower.first_reads_rows:
        x, pads = lower.rounded_image(layer) if packed.by_matrix_tiles else lower.whole_input, (0, 0)
    else:
        x = lower.read(layer, layer.inputs[0], _format_read(lower, layer, packed))
    if layer.xnor:
        signs = lower.temporary(x.shape)
        lower.emit(sign, layer, x, signs)
        # A bit of 0 stands for -1, and Darknet's padding is made of such bits.
        x, outside = signs, -1.0
    stride = layer.stride_y, layer.stride_x
    if packed.algorithm:
        winograd(lower, layer, packed, x, y, second, activation, after)
    elif packed.by_matrix_tiles:
        lower.emit(
            convolve_matrix, layer, x, y, second, also, alive=packed.owners, kernel_h=packed.kernel_h,
            kernel_w=packed.kernel_w, stride_y=stride[0], stride_x=stride[1], run=packed.run,
            n_blocks=len(packed.blocks), blocks=packed.blocks, activation=activation, after=after,
            **chunk_arguments(packed, x, pads, layer.dilation),
        )  # fmt: skip
    else:
        kind = DEPTHWISE if packed.is_depthwise else DENSE
        convolve_window(
            lower, layer, packed, x, y, second, also, kind=kind, stride=stride, pads=pads, dilation=layer.dilation,
            activation=activation, after=after, outside=outside,
        )  # fmt: skip
    normalize(lower, layer, layer.activation, y, unblurred)
    _blur(lower, layer, unblurred, target)


def _format_read(lower: Lowering, layer: Convolutional, packed: Packed) -> Format:
    """What a convolution reads: Winograd's converts while it transforms."""
    return FLOAT32 if packed.algorithm else lower.formats.reads(layer) if packed.is_depthwise else packed.format


def _conv_outputs(lower: Lowering, layer: Convolutional, packed: Packed, index: int) -> tuple[View, View | None]:
    """Where a convolution writes the output of layer `index` (its own or a shortcut's): `y` and `also`."""
    last = not layer.antialiasing and layer.activation not in CHANNEL_ACTIVATIONS
    if last and not packed.algorithm and not packed.is_depthwise:
        return lower.outputs(index, layer)
    return lower.target(index), None


def _blur(lower: Lowering, layer: Convolutional | MaxPool, x: View, y: View) -> None:
    if not layer.antialiasing:
        return
    window, pad = (_BLUR_2, 0) if layer.antialiasing == 2 else (_BLUR_3, 1)
    data = np.repeat(window.astype(np.float32).ravel(), LANES)
    side = len(window)
    packed = Packed(channel_blocks(x.shape.c, data, _ZERO_BIAS, shared=True), (data, _ZERO_BIAS), 1, side, side)
    stride_x, stride_y = layer.blur_strides
    convolve_window(lower, layer, packed, x, y, kind=DEPTHWISE, pads=(pad, pad), stride=(stride_y, stride_x))


_ZERO_BIAS = aligned(16)


def connected(lower: Lowering, layer: Connected) -> None:
    """A convolution whose window is the whole input: weights stay in Darknet's (C, H, W) order."""
    y, activation = activated(lower, layer, layer.activation, lower.target(layer.index))
    convolve_window(lower, layer, lower.packed[layer.index], lower.view(layer.inputs[0]), y, activation=activation)
    normalize(lower, layer, layer.activation, y, lower.target(layer.index))


def local(lower: Lowering, layer: Local) -> None:
    """Each position's own weights, times what lies under its window."""
    target, weights = lower.target(layer.index), lower.plain[layer.index]
    y, activation = activated(lower, layer, layer.activation, target)
    lower.emit(
        convolve_locally, layer, lower.view(layer.inputs[0]), y, alive=(weights,), weights=weights.ctypes.data,
        size=layer.size, stride=layer.stride, pad=layer.pad, activation=activation,
    )  # fmt: skip
    normalize(lower, layer, layer.activation, y, target)


def deconvolutional(lower: Lowering, layer: Deconvolutional) -> None:
    """A convolution of stride 1 over the input with zeros between its pixels."""
    x, target = lower.view(layer.inputs[0]), lower.target(layer.index)
    if layer.stride > 1:
        c, h, w = layer.in_shape
        spread = lower.temporary(Shape(c, (h - 1) * layer.stride + 1, (w - 1) * layer.stride + 1))
        zeros(lower, layer, x, spread)
        ones = np.ones(2 * c, np.float32)
        lower.emit(
            add, layer, spread, spread, x, factors=ones, activation=_LINEAR, stride=1, sample=layer.stride
        )  # fmt: skip
        x = spread
    y, activation = activated(lower, layer, layer.activation, target)
    pads = (layer.size - 1 - layer.pad,) * 2
    convolve_window(lower, layer, lower.packed[layer.index], x, y, pads=pads, activation=activation)
    normalize(lower, layer, layer.activation, y, target)


def zeros(lower: Lowering, layer: Layer, x: View, y: View) -> None:
    """Emit the step that fills `y` with zeros; `x` is any view."""
    lower.emit(upsample, layer, x, y, stride=0, sums=1, scale=0.0)  # sums of no pixel


def maxpool(lower: Lowering, layer: MaxPool) -> None:
    """Maximum over windows; over channels with ``maxpool_depth``; blurred when antialiased."""
    x, y = lower.moved(layer)
    if layer.depth:
        lower.emit(max_depth, layer, x, y)
        return
    target = lower.temporary(layer.unblurred) if layer.antialiasing else y
    lowest = _lowest(x.format)
    size, pad = layer.size, layer.padding // 2
    smaller = lower.smaller_pool(layer)
    if smaller is not None:
        # The maximum of 5 x 5 maxima is one over 9 x 9: a spatial pyramid of 5, 9 and 13 takes 75 taps instead of 275.
        x = lower.read(layer, smaller.index, x.format)
        size = size - smaller.size + 1
        pad = size // 2
    blocks = channel_blocks(x.shape.c, lowest, lowest, x.format.joined, shared=True)
    convolve_window(
        lower, layer, Packed(blocks, (lowest,), 1, size, size), x, target, kind=POOL,
        stride=(layer.stride_y, layer.stride_x), pads=(pad, pad), outside=float(lowest[0]),
    )  # fmt: skip
    _blur(lower, layer, target, y)


def _lowest(format: Format) -> NDArray[Any]:
    """A vector of what no maximum of a format keeps: the lowest finite value, or joined ones in place of a float."""
    if format is FLOAT32:
        return np.full(16, _LOWEST, np.float32)
    return np.full(16, 0xFF7FFF7F, np.uint32).view(np.float32)


def local_avgpool(lower: Lowering, layer: LocalAvgPool) -> None:
    """Mean of the window's taps inside the image."""
    pad = layer.padding // 2
    lower.emit(
        average_window, layer, lower.view(layer.inputs[0]), lower.target(layer.index),
        size=layer.size, stride_y=layer.stride_y, stride_x=layer.stride_x, pad_y=pad, pad_x=pad,
    )  # fmt: skip


def avgpool(lower: Lowering, layer: AvgPool) -> None:
    """Mean of each channel."""
    lower.emit(average_image, layer, lower.view(layer.inputs[0]), lower.target(layer.index))
