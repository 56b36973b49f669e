"""A Darknet graph as a PyTorch module that can be trained, and its weights in Darknet's arrays."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from darknet_py.cfg import Section, read_cfg
from darknet_py.errors import OptionError, UnsupportedError, WeightsError
from darknet_py.graph import Graph, build_graph
from darknet_py.weights import WeightsSource
from training import cmbn as cross
from training.dropblock import DropBlock
from training.layers import Convolution, make_layer

__all__ = ["DarknetModule", "cross_normalized", "load_module"]

#: Darknet raises DropBlock's strength over this part of ``max_batches``.
_RAMP_END = 0.85


def load_module(cfg: str | Path, size: tuple[int, int] | None = None, momentum: float = 0.03) -> DarknetModule:
    """The module of a cfg file, with CmBN in the layers that say ``batch_normalize=2`` or ``cbn=1``.

    Parameters
    ----------
    cfg : str or Path
    size : (int, int), optional
        (width, height) of the graph instead of the cfg's; the module itself takes any size.
    momentum : float
        Of batch norm; see `DarknetModule`.

    Raises
    ------
    CfgError, OptionError, UnsupportedError
    """
    sections = read_cfg(cfg)
    return DarknetModule(build_graph(sections, size), cmbn=cross_normalized(sections), momentum=momentum)


def cross_normalized(sections: Sequence[Section]) -> frozenset[int]:
    """Indices of the layers that ask for CmBN: ``batch_normalize=2``, or ``cbn=1`` in Darknet's own words."""
    return frozenset(
        section.index for section in sections[1:] if section.integer("batch_normalize", 0) == 2 or section.flag("cbn")
    )


class DarknetModule(nn.Module):
    """The layers of a graph for training, for any input size that is a multiple of the stride.

    Parameters
    ----------
    graph : Graph
    cmbn : bool or collection of int
        Which batch norms pool their statistics over the mini-batches of a batch (`training.cmbn`): all, none or those
        of the layers listed. Call `start_batch` after each step of the optimiser then.
    momentum : float
        Share of a mini-batch's statistics in batch norm's running ones. Darknet's is 0.01 on GPUs, for trainings of
        some hundred thousand mini-batches; with 0.03 a training of a few thousand forgets its start, too.

    Attributes
    ----------
    graph : Graph
    layers : ModuleList
        One module per layer of the graph.

    Raises
    ------
    UnsupportedError
        If a layer cannot be trained, or reads a [yolo] layer's output.
    """

    def __init__(self, graph: Graph, cmbn: bool | Collection[int] = False, momentum: float = 0.03) -> None:
        super().__init__()
        self.graph = graph
        chosen = cmbn if isinstance(cmbn, Collection) else range(len(graph.layers)) if cmbn else ()
        self.layers = nn.ModuleList(make_layer(layer, momentum, layer.index in chosen) for layer in graph.layers)
        self._refuse_readers_of_heads()
        last_reader = {index: layer.index for layer in graph.layers for index in layer.inputs}
        self._read_last_by: dict[int, list[int]] = {layer.index: [] for layer in graph.layers}
        for index, reader in last_reader.items():
            self._read_last_by[reader].append(index)
        self.initialise()

    def _refuse_readers_of_heads(self) -> None:
        heads = {layer.index for layer in self.graph.heads}
        for layer in self.graph.layers:
            if not heads.isdisjoint(layer.inputs):
                raise UnsupportedError(
                    f"{layer.where}: reads a [yolo] layer; go on from a [route] to the layers before"
                )

    def forward(self, x: Tensor) -> list[Tensor]:
        """What enters each head.

        Parameters
        ----------
        x : float32 tensor (B, C, H, W)
            RGB in [0, 1]; H and W multiples of the graph's stride.

        Returns
        -------
        list of tensor (B, anchors * (5 + classes), H / s, W / s)
            In cfg order: logits, but for w and h (and under ``new_coords``, where the convolution before the head
            has the logistic). Without a head, the output of the last layer.
        """
        self._check_input(x)
        alive, entering = {-1: x}, []
        for layer, module in zip(self.graph.layers, self.layers, strict=True):
            inputs = [alive[index] for index in layer.inputs]
            if layer.is_head:
                entering.append(inputs[0])
            else:
                alive[layer.index] = module(*inputs)
            for index in self._read_last_by[layer.index]:
                del alive[index]
        return entering or [alive[len(self.layers) - 1]]

    def taps(self, x: Tensor) -> dict[int, Tensor]:
        """The output of every layer, as `darknet_py.Network.run` gives it: heads with their logistic applied."""
        self._check_input(x)
        outputs = {-1: x}
        for layer, module in zip(self.graph.layers, self.layers, strict=True):
            outputs[layer.index] = module(*(outputs[index] for index in layer.inputs))
        del outputs[-1]
        return outputs

    def _check_input(self, x: Tensor) -> None:
        channels, stride = self.graph.blob.c, self.graph.stride
        if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % stride or x.shape[3] % stride:
            raise OptionError(
                f"input of shape {tuple(x.shape)}: expected (batch, {channels}, height, width) with height and width "
                f"multiples of {stride}, for {self.graph.file}"
            )

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw the convolutions' weights as Darknet does, uniform in ±sqrt(2 / fan in); biases become 0."""
        for _, module in self._convolutions():
            weights = module.conv.weight
            bound = math.sqrt(2 / weights[0].numel())
            weights.uniform_(-bound, bound, generator=generator)
            module.bias.zero_()

    @torch.no_grad()
    def prime_heads(self, probability: float = 0.01) -> None:
        """Let every head start with this objectness, as almost no cell holds an object (arXiv 1708.02002, 3.3).

        Raises
        ------
        UnsupportedError
            If no [convolutional] stands before a head.
        """
        for layer in self.graph.heads:
            before = self.layers[layer.inputs[0]]
            if not isinstance(before, Convolution):
                raise UnsupportedError(f"{layer.where}: expected a [convolutional] before it, to set its biases")
            before.bias[4 :: 5 + layer.classes] = math.log(probability / (1 - probability))

    def arrays(self) -> dict[int, dict[str, NDArray[np.float32]]]:
        """Copies of the weights by layer and name, for `darknet_py.weights_writer.write_weights`."""
        return {
            index: {
                name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in module.tensors().items()
            }
            for index, module in self._convolutions()
        }

    @torch.no_grad()
    def load_arrays(self, source: WeightsSource) -> None:
        """Take over weights, such as those of a `WeightsFile` of this graph.

        Raises
        ------
        WeightsError
            If an array is missing or has another shape.
        """
        for index, module in self._convolutions():
            layer = self.graph.layers[index]
            arrays = source.arrays(layer)
            for name, tensor in module.tensors().items():
                given = arrays.get(name)
                if given is None or given.shape != tuple(tensor.shape):
                    found = "missing" if given is None else f"of shape {given.shape}"
                    raise WeightsError(f"{layer.where}: '{name}' is {found}, expected shape {tuple(tensor.shape)}")
                # A copy, as PyTorch warns of arrays that cannot be written to.
                tensor.copy_(torch.from_numpy(np.array(given, np.float32)))
            source.release(layer)

    def _convolutions(self) -> Iterator[tuple[int, Convolution]]:
        return ((n, module) for n, module in enumerate(self.layers) if isinstance(module, Convolution))

    def start_batch(self) -> None:
        """Begin a batch: CmBN forgets the mini-batches seen with the weights of before."""
        cross.start_batch(self)

    def ramp_dropblock(self, progress: float) -> None:
        """Set DropBlock's strength: linear over the first 85 % of the training, as in Darknet.

        Parameters
        ----------
        progress : float
            Batches done / ``max_batches``.
        """
        for module in self.modules():
            if isinstance(module, DropBlock):
                module.ramp = min(1.0, max(0.0, progress / _RAMP_END))
