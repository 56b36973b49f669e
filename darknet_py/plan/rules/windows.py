"""Rules of the layers that slide a window: convolutions, pools, and the whole-image window of [connected]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darknet_py.activations import CHANNEL_ACTIVATIONS
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops.depthwise_rows import LONG, SHORT, WINDOWS
from darknet_py.kernels.ops.steps import ACTIVATION_CODES, Op
from darknet_py.layers import AvgPool, Connected, Convolutional, Layer, LocalAvgPool, MaxPool
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.memory import aligned
from darknet_py.plan.packing import Packed, channel_blocks
from darknet_py.plan.rules.chunks import matrix_fields
from darknet_py.plan.rules.winograd import winograd

__all__ = ["activated", "avgpool", "connected", "convolutional", "local_avgpool", "maxpool", "normalize"]

_BLUR_3 = np.outer([1, 2, 1], [1, 2, 1]) / np.float32(16)
_BLUR_2 = np.full((2, 2), 0.25)
#: What Darknet begins a maximum with: it stays where a whole window lies outside the image.
_LOWEST = float(np.finfo(np.float32).min)


def activated(plan: Lowering, layer: Layer, name: str, target: View) -> tuple[View, int]:
    """Where a step writes and with which activation, when `name` may need the whole pixel first."""
    if name in CHANNEL_ACTIVATIONS:
        return plan.temporary(target.shape), 0
    return target, ACTIVATION_CODES[name]


def normalize(plan: Lowering, layer: Layer, name: str, x: View, y: View) -> None:
    """Emit the step of an activation that needs the whole pixel."""
    if name in CHANNEL_ACTIVATIONS:
        plan.emit(Op.NORMALIZE_CHANNELS, layer, x, y, MODE=CHANNEL_ACTIVATIONS.index(name))


def _convolve(
    plan: Lowering,
    layer: Layer,
    packed: Packed,
    x: View,
    y: View,
    second: View | None = None,
    rounded: View | None = None,
    outside: float = 0.0,
    **fields: int,
) -> None:
    plan.constants.extend((packed.blocks, *packed.owners))
    fields = {
        "KERNEL_H": packed.kernel_h,
        "KERNEL_W": packed.kernel_w,
        "STRIDE_Y": 1,
        "STRIDE_X": 1,
        "DILATION": 1,
        "RUN": packed.run,
        "BLOCKS": packed.blocks.ctypes.data,
        "N_BLOCKS": len(packed.blocks),
        "SIDE": packed.merged[0],
        "TILE_ROWS": packed.merged[1],
        **fields,
    }
    op = packed.op
    window = (packed.kernel_w, fields["STRIDE_X"])
    if op == Op.DEPTHWISE and fields["DILATION"] == 1 and window in WINDOWS:
        wasted_long, wasted_short = -y.shape.w % LONG, -y.shape.w % SHORT
        op, fields["MODE"] = Op.DEPTHWISE_ROWS, 2 * WINDOWS.index(window) + (wasted_short < wasted_long)
    fields["OUTSIDE"] = plan.filled(outside, x.row if op == Op.DEPTHWISE_ROWS else x.shape.c)
    plan.emit(op, layer, x, y, second, rounded, **fields)


def convolutional(plan: Lowering, layer: Convolutional) -> None:
    """Sign (xnor), convolution with activation and fused shortcut, channel normalisation, blur: as far as needed."""
    shortcut = plan.sharing.fused_shortcut(layer)
    packed = plan.packed[layer.index]
    target, rounded = _conv_outputs(plan, layer, packed, layer.index if shortcut is None else shortcut.index)
    unblurred = plan.temporary(layer.unblurred) if layer.antialiasing else target
    y, activation = activated(plan, layer, layer.activation, unblurred)
    fields = {"STRIDE_Y": layer.stride_y, "STRIDE_X": layer.stride_x, "DILATION": layer.dilation}
    second, outside = None, 0.0
    if shortcut is not None:
        second, fields["SECOND_BFLOAT16"] = plan.added(layer, shortcut)
        fields["ACTIVATION_2"] = ACTIVATION_CODES[shortcut.activation]
    if layer.index == 0 and plan.first_reads_rows:
        x = plan.rounded_image(layer) if packed.paired else plan.whole_input
    else:
        by_rows = plan.formats.reads_pairs_by_rows(layer)
        reads_pairs = by_rows or (packed.paired and not packed.algorithm)
        x = plan.pairs(layer, layer.inputs[0]) if reads_pairs else plan.view(layer.inputs[0])
        fields["X_BFLOAT16"] = int(by_rows)
        # The window's padding grows with dilation; the shape formula's does not (semantics of im2col_ext).
        fields |= {"PAD_Y": layer.pad * layer.dilation, "PAD_X": layer.pad * layer.dilation}
    if layer.xnor:
        signs = plan.temporary(x.shape)
        plan.emit(Op.SIGN, layer, x, signs)
        # A bit of 0 stands for -1, and Darknet's padding is made of such bits.
        x, outside = signs, -1.0
    if packed.algorithm:
        winograd(plan, layer, packed, x, y, second, fields | {"ACTIVATION": activation})
    else:
        fields["BFLOAT16"] = int(packed.paired)
        if packed.op == Op.MATRIX:
            pads = fields.get("PAD_Y", 0), fields.get("PAD_X", 0)
            fields |= matrix_fields(plan, packed, x, pads, layer.dilation)
        _convolve(plan, layer, packed, x, y, second, rounded, outside, ACTIVATION=activation, **fields)
    normalize(plan, layer, layer.activation, y, unblurred)
    _blur(plan, layer, unblurred, target)


def _conv_outputs(plan: Lowering, layer: Convolutional, packed: Packed, index: int) -> tuple[View, View | None]:
    """Where a convolution writes the output of layer `index` (its own or a shortcut's), as floats and in bfloat16."""
    last = not layer.antialiasing and layer.activation not in CHANNEL_ACTIVATIONS
    if last and not packed.algorithm and packed.op in (Op.MATRIX, Op.CONVOLVE):
        return plan.outputs(index, layer)
    return plan.target(index), None


def _blur(plan: Lowering, layer: Convolutional | MaxPool, x: View, y: View) -> None:
    if not layer.antialiasing:
        return
    window, pad = (_BLUR_2, 0) if layer.antialiasing == 2 else (_BLUR_3, 1)
    data = np.repeat(window.astype(np.float32).ravel(), LANES)
    blocks = _same_weights(x.shape.c, data)
    side = len(window)
    packed = Packed(Op.DEPTHWISE, blocks, (data, _ZERO_BIAS), 1, side, side)
    stride_x, stride_y = layer.blur_strides
    _convolve(plan, layer, packed, x, y, PAD_Y=pad, PAD_X=pad, STRIDE_X=stride_x, STRIDE_Y=stride_y)


_ZERO_BIAS = aligned(16)


def _same_weights(channels: int, data: NDArray[np.float32]) -> NDArray[np.int64]:
    """Block table in which every vector of channels has the same weights."""
    blocks = channel_blocks(channels, data, _ZERO_BIAS)
    blocks[:, 3] = data.ctypes.data
    blocks[:, 4] = _ZERO_BIAS.ctypes.data
    return blocks


def connected(plan: Lowering, layer: Connected) -> None:
    """A convolution whose window is the whole input: weights stay in Darknet's (C, H, W) order."""
    y, activation = activated(plan, layer, layer.activation, plan.target(layer.index))
    _convolve(plan, layer, plan.packed[layer.index], plan.view(layer.inputs[0]), y, ACTIVATION=activation)
    normalize(plan, layer, layer.activation, y, plan.target(layer.index))


def maxpool(plan: Lowering, layer: MaxPool) -> None:
    """Maximum over windows; over channels with ``maxpool_depth``; blurred when antialiased."""
    x, y, paired = plan.moved(layer)
    if layer.depth:
        plan.emit(Op.MAX_DEPTH, layer, x, y, RUN=x.shape.c)
        return
    target = plan.temporary(layer.unblurred) if layer.antialiasing else y
    lowest = _lowest_pairs() if paired else np.full(16, _LOWEST, np.float32)
    blocks = channel_blocks(x.shape.c, lowest, lowest)
    blocks[:, 4] = lowest.ctypes.data
    size, pad = layer.size, layer.padding // 2
    smaller = plan.smaller_pool(layer)
    if smaller is not None:
        # The maximum of 5 x 5 maxima is one over 9 x 9: a spatial pyramid of 5, 9 and 13 takes 75 taps instead of 275.
        x = plan.pairs(layer, smaller.index) if paired else plan.view(smaller.index)
        size = size - smaller.size + 1
        pad = size // 2
    packed = Packed(Op.MAXPOOL, blocks, (lowest,), 1, size, size)
    _convolve(
        plan, layer, packed, x, target,
        STRIDE_Y=layer.stride_y, STRIDE_X=layer.stride_x, PAD_Y=pad, PAD_X=pad,
        outside=float(lowest[0]), BFLOAT16=int(paired),
    )  # fmt: skip
    _blur(plan, layer, target, y)


def _lowest_pairs() -> NDArray[np.float32]:
    """Pairs of bfloat16 that no maximum keeps: the lowest finite value, twice, for a float."""
    return np.full(16, 0xFF7FFF7F, np.uint32).view(np.float32)


def local_avgpool(plan: Lowering, layer: LocalAvgPool) -> None:
    """Mean of the window's taps inside the image."""
    pad = layer.padding // 2
    plan.emit(
        Op.AVGPOOL, layer, plan.view(layer.inputs[0]), plan.target(layer.index),
        KERNEL_H=layer.size, STRIDE_Y=layer.stride_y, STRIDE_X=layer.stride_x, PAD_Y=pad, PAD_X=pad,
    )  # fmt: skip


def avgpool(plan: Lowering, layer: AvgPool) -> None:
    """Mean of each channel."""
    plan.emit(Op.GLOBAL_AVGPOOL, layer, plan.view(layer.inputs[0]), plan.target(layer.index))
