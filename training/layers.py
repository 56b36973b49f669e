"""Darknet's layers as PyTorch modules of their inputs, for maps of any size; `make_layer` chooses one.

Formulas are Darknet's: its padding of pools, its additions of unlike channels, its constants in activations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional

from darknet_py import layers as described
from darknet_py.errors import UnsupportedError
from darknet_py.layers import Layer
from training.cmbn import CmBN
from training.dropblock import DropBlock
from training.mish import mish
from training.normalized_mish import normalized_mish

__all__ = ["ACTIVATIONS", "EPSILON", "Convolution", "YoloHead", "make_layer"]

#: Darknet adds it to the variance, inside the square root.
EPSILON = 1e-5

#: Name in a cfg → function. Those without a useful gradient (stair) or that nobody trains with are left out.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "leaky": lambda x: functional.leaky_relu(x, 0.1),
    "revleaky": lambda x: functional.leaky_relu(x, 0.1),
    "relie": lambda x: functional.leaky_relu(x, 0.01),
    "ramp": lambda x: functional.relu(x) + 0.1 * x,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "elu": functional.elu,
    "selu": lambda x: 1.0507 * functional.elu(x, 1.6732),
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "logistic": torch.sigmoid,
    "loggy": lambda x: 2 * torch.sigmoid(x) - 1,
    "tanh": torch.tanh,
    "hardtan": functional.hardtanh,
    "swish": functional.silu,
    "mish": mish,
    # x²/2 + x between -2 and 0; clamped first, so that both other pieces add nothing to it.
    "hard_mish": lambda x: functional.relu(x) + x.clamp(-2, 0) * (x.clamp(-2, 0) / 2 + 1),
}


def make_layer(layer: Layer, momentum: float, cmbn: bool) -> nn.Module:
    """The module of a layer, whose ``forward`` takes the outputs of `Layer.inputs` in their order.

    Parameters
    ----------
    layer : Layer
    momentum : float
        Of its batch norm, if it has one.
    cmbn : bool
        Make that batch norm a `CmBN`.

    Raises
    ------
    UnsupportedError
        If the layer, or an option of it, cannot be trained here.
    """
    activation = getattr(layer, "activation", "linear")
    if activation not in ACTIVATIONS:
        _refuse(layer, f"activation={activation} cannot be trained", f"use one of {', '.join(ACTIVATIONS)}")
    match layer:
        case described.Convolutional():
            return Convolution(layer, momentum, cmbn)
        case described.MaxPool():
            return MaxPool(layer)
        case described.AvgPool():
            return AveragePool()
        case described.Route():
            return Route(layer)
        case described.Shortcut():
            return Shortcut(layer)
        case described.ScaleChannels() | described.Sam():
            return Product(layer.activation)
        case described.Upsample():
            return Upsample(layer)
        case described.Dropout():
            return _dropout(layer)
        case described.Yolo():
            return YoloHead(layer)
    return _refuse(layer, f"[{layer.kind}] cannot be trained", "see training/layers.py for the layers that can")


def _refuse(layer: Layer, found: str, advice: str) -> NoReturn:
    raise UnsupportedError(f"{layer.where}: {found}; {advice}")


def _dropout(layer: described.Dropout) -> nn.Module:
    """DropBlock, or single values as Darknet's [dropout] drops them (not whole channels)."""
    try:
        if layer.dropblock:
            return DropBlock(layer.probability, layer.dropblock_size_abs, layer.dropblock_size_rel)
        return nn.Dropout(layer.probability)
    except ValueError as error:
        raise UnsupportedError(f"{layer.where}: {error}") from error


class Convolution(nn.Module):
    """Convolution, batch norm where the layer has one (else a bias), activation."""

    def __init__(self, layer: described.Convolutional, momentum: float, cmbn: bool) -> None:
        super().__init__()
        shares = layer.share is not None
        for option, is_set in (("xnor", layer.xnor), ("antialiasing", layer.antialiasing), ("share_index", shares)):
            if is_set:
                _refuse(layer, f"{option} cannot be trained", f"remove {option}=")
        if layer.dilation > 1 and 2 * layer.pad != layer.size - 1:
            _refuse(layer, f"dilation={layer.dilation} with size={layer.size}", "needs an odd size and pad=1")
        self.conv = nn.Conv2d(
            layer.in_shape.c,
            layer.filters,
            layer.size,
            stride=(layer.stride_y, layer.stride_x),
            padding=layer.pad * layer.dilation,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=not layer.batch_normalize,
        )
        self.norm = None
        if layer.batch_normalize:
            self.norm = (CmBN if cmbn else nn.BatchNorm2d)(layer.filters, eps=EPSILON, momentum=momentum)
        self.activation = layer.activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            if self.training and self.activation == "mish" and _is_plain(self.norm, x):
                return normalized_mish(x, self.norm)
            x = self.norm(x)
        return ACTIVATIONS[self.activation](x)

    @property
    def bias(self) -> Tensor:
        """What is added last before the activation: batch norm's bias, or the convolution's own."""
        bias = self.conv.bias if self.norm is None else self.norm.bias
        assert bias is not None  # one of the two always has it
        return bias

    def tensors(self) -> dict[str, Tensor]:
        """The layer's arrays under their names in the weights file, as live tensors."""
        norm = self.norm
        found = {} if norm is None else {"scales": norm.weight, "mean": norm.running_mean, "variance": norm.running_var}
        return {"biases": self.bias, **found, "weights": self.conv.weight}


def _is_plain(norm: nn.BatchNorm2d, x: Tensor) -> bool:
    """Whether `normalized_mish` can do it: neither CmBN nor double precision."""
    return type(norm) is nn.BatchNorm2d and x.dtype == torch.float32


class MaxPool(nn.Module):
    """Maximum over windows from ``-(padding // 2)``; `padding` counts both sides, and all of the odd one's rest."""

    def __init__(self, layer: described.MaxPool) -> None:
        super().__init__()
        for option, is_set in (("maxpool_depth", layer.depth), ("antialiasing", layer.antialiasing)):
            if is_set:
                _refuse(layer, f"{option} cannot be trained", f"remove {option}=")
        self.size = layer.size
        self.stride = (layer.stride_y, layer.stride_x)
        self.padding = layer.padding

    def forward(self, x: Tensor) -> Tensor:
        before = self.padding // 2
        if before <= self.size // 2 and not self._reads_more_behind(x):
            return functional.max_pool2d(x, self.size, self.stride, before)
        after = self.padding - before
        x = functional.pad(x, (before, after, before, after), value=torch.finfo(x.dtype).min)
        return functional.max_pool2d(x, self.size, self.stride)

    def _reads_more_behind(self, x: Tensor) -> bool:
        """Whether the odd row or column of padding at the far side makes room for another window."""
        if self.padding % 2 == 0:
            return False
        sides = zip(x.shape[2:], self.stride, strict=True)
        return any((side + self.padding - self.size) % stride == 0 for side, stride in sides)


class AveragePool(nn.Module):
    """Mean of each channel over the whole map: (B, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class Route(nn.Module):
    """Concatenation over channels of one group of each input."""

    def __init__(self, layer: described.Route) -> None:
        super().__init__()
        self.groups = layer.groups
        self.group = layer.group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        parts = [x.chunk(self.groups, 1)[self.group] for x in inputs] if self.groups > 1 else inputs
        return torch.cat(tuple(parts), 1) if len(parts) > 1 else parts[0]


class Shortcut(nn.Module):
    """Sum over the channels that each further input has in common with the first, then an activation."""

    def __init__(self, layer: described.Shortcut) -> None:
        super().__init__()
        if layer.weights_type != "none":
            _refuse(layer, f"weights_type={layer.weights_type} cannot be trained", "remove weights_type=")
        self.activation = layer.activation
        self.where = layer.where

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        channels = x.shape[1]
        for other in others:
            if other.shape[2:] != x.shape[2:]:
                raise UnsupportedError(
                    f"{self.where}: adds a map of {tuple(other.shape[2:])} (h, w) to one of {tuple(x.shape[2:])}; "
                    "training needs equal ones"
                )
            if other.shape[1] < channels:
                other = functional.pad(other, (0, 0, 0, 0, 0, channels - other.shape[1]))
            x = x + other[:, :channels]
        return ACTIVATIONS[self.activation](x)


class Product(nn.Module):
    """[scale_channels] and [sam]: the second input times the first, which may be one factor per channel or pixel."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, factor: Tensor, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](x * factor)


class Upsample(nn.Module):
    """Nearest neighbour, or the sum of each block for a negative stride; times ``scale``."""

    def __init__(self, layer: described.Upsample) -> None:
        super().__init__()
        self.stride = layer.stride
        self.reduce = layer.reduce
        self.scale = layer.scale

    def forward(self, x: Tensor) -> Tensor:
        if self.reduce:
            x = functional.avg_pool2d(x, self.stride, divisor_override=1)
        else:
            x = functional.interpolate(x, scale_factor=float(self.stride), mode="nearest")
        return x if self.scale == 1 else x * self.scale


class YoloHead(nn.Module):
    """What inference makes of a [yolo] layer's input: logistic on all but w and h, then x and y scaled."""

    def __init__(self, layer: described.Yolo) -> None:
        super().__init__()
        self.entries = 5 + layer.classes
        self.anchors = len(layer.mask)
        self.scale_x_y = layer.scale_x_y
        self.new_coords = layer.new_coords

    def forward(self, x: Tensor) -> Tensor:
        blocks = x.reshape(len(x), self.anchors, self.entries, *x.shape[2:])
        if not self.new_coords:  # else the convolution before has done it
            xy, wh, rest = blocks.split((2, 2, self.entries - 4), 2)
            blocks = torch.cat((torch.sigmoid(xy), wh, torch.sigmoid(rest)), 2)
        xy, rest = blocks.split((2, self.entries - 2), 2)
        return torch.cat((xy * self.scale_x_y - 0.5 * (self.scale_x_y - 1), rest), 2).flatten(1, 2)
