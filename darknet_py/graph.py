"""sections → graph: typed layers with resolved references, shapes and parameter counts; no memory, no arithmetic."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from darknet_py.arguments import as_size
from darknet_py.cfg import Section, read_cfg
from darknet_py.errors import CfgError, OptionError, UnsupportedError
from darknet_py.layers import LAYERS, Convolutional, Layer, Route, Sam, ScaleChannels, Shape, Shortcut
from darknet_py.layers.base import LARGEST_OUTPUT, TRAINING_KEYS, Builder
from darknet_py.limits import Limits, variable_of
from darknet_py.shipped import resolve_cfg

__all__ = ["Graph", "build_graph", "load_graph"]

_log = logging.getLogger(__name__)

_LARGEST_SIDE = 1 << 15
#: Nobody reads more, and a file may give cause for a hundred thousand.
_MOST_WARNINGS = 50
_LATER = frozenset(
    """activation batchnorm conv_lstm contrastive crnn crop detection empty gru history implicit local lrn lstm
    normalization rnn silence""".split()
)


@dataclass(frozen=True)
class Graph:
    """A network as its cfg describes it.

    Attributes
    ----------
    file : str
        The cfg it was read from.
    blob : Shape
        (channels, height, width) of the input.
    letter_box : bool
        Whether ``[net] letter_box=1`` asks for letterboxed images.
    layers : tuple of Layer
    warnings : tuple of str
        Options that were ignored or read differently from how they look, each with its line.
    """

    file: str
    blob: Shape
    letter_box: bool
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cfg's file name without its suffix."""
        return Path(self.file).stem

    @cached_property
    def heads(self) -> tuple[Layer, ...]:
        """Layers that boxes are decoded from, in cfg order."""
        return tuple(layer for layer in self.layers if layer.is_head)

    @property
    def output(self) -> Layer:
        """The layer whose output is the network's: the last that is not ``[cost]``."""
        return next((layer for layer in reversed(self.layers) if layer.kind != "cost"), self.layers[-1])

    @property
    def bflops(self) -> float:
        return sum(layer.bflops for layer in self.layers)

    @property
    def parameter_count(self) -> int:
        """Float32 values in the weights file."""
        counts = (_product(p.shape) for layer in self.layers for p in layer.parameters)
        return sum(counts)

    @property
    def activation_bytes(self) -> int:
        """At most so much memory do the layers' outputs take that are alive at the same time, of one image."""
        count = len(self.layers)
        last = list(range(count + 1))  # who reads the blob and then each layer last, counted from 1
        for layer in self.layers:
            for read in layer.inputs:
                last[read + 1] = max(last[read + 1], layer.index + 1)
        for kept in (self.output, *self.heads):
            last[kept.index + 1] = count
        change = [0] * (count + 2)
        for born, (shape, dead) in enumerate(zip((self.blob, *(one.shape for one in self.layers)), last, strict=True)):
            change[born] += 4 * shape.size
            change[dead + 1] -= 4 * shape.size
        return max(accumulate(change))

    @property
    def stride(self) -> int:
        """How many input pixels one cell of the coarsest head stands for."""
        return max((-(-self.blob.w // layer.shape.w) for layer in self.heads), default=1)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total


def load_graph(path: str | Path, size: tuple[int, int] | int | None = None, *, limits: Limits | None = None) -> Graph:
    """Read a cfg file and build its graph.

    Parameters
    ----------
    path : str or Path
        The cfg, or the name of a shipped one ("yolov4").
    size : (int, int) or int, optional
        (width, height) to use instead of the cfg's, or one number for a square.
    limits : Limits, optional
        How large the network may be; what the environment says by default (see `Limits`).

    Returns
    -------
    Graph

    Raises
    ------
    CfgError
        If the file cannot be read as a cfg, or describes an impossible network, or one beyond `limits`.
    UnsupportedError
        If it uses a layer type that is not supported.
    OptionError
        If `size` does not fit the network.
    """
    limits = limits or Limits.from_environment()
    size = None if size is None else as_size("size", size)
    return build_graph(read_cfg(resolve_cfg(path), limits), size, limits=limits)


def build_graph(
    sections: Sequence[Section],
    size: tuple[int, int] | None = None,
    *,
    whole_cells: bool = True,
    limits: Limits | None = None,
) -> Graph:
    """Turn sections into a Graph; see `load_graph`. Without `whole_cells`, heads need not tile the image of `size`."""
    graph = _assemble(sections, None)
    if size is not None:
        _check_size(graph, size, whole_cells)
        try:
            graph = _assemble(sections, size)
        except CfgError as error:  # which it is not at its own size
            raise OptionError(f"size {size[0]}x{size[1]}: {error}") from error
    _check_limits(graph, size, limits or Limits.from_environment())
    for text in graph.warnings[:_MOST_WARNINGS]:
        _log.warning("%s", text)
    if len(graph.warnings) > _MOST_WARNINGS:
        _log.warning("%s: and %d warnings more", graph.file, len(graph.warnings) - _MOST_WARNINGS)
    return graph


def _check_limits(graph: Graph, size: tuple[int, int] | None, limits: Limits) -> None:
    """Refuse what would take more memory than anybody means to give it, before any is taken."""
    needs = {
        "max_layers": (len(graph.layers), "layers"),
        "max_parameters": (graph.parameter_count, "values in the weights file"),
        "max_activation_bytes": (graph.activation_bytes, "bytes of layers' outputs alive at the same time"),
    }
    for name, (count, what) in needs.items():
        most = getattr(limits, name)
        if count <= most:
            continue
        text = (
            f"{graph.file}: {count:,} {what}, more than the {most:,} that are allowed: if that is meant, allow "
            f"more with the environment variable {variable_of(name)}"
        )
        if size is not None and name == "max_activation_bytes":
            raise OptionError(f"size {size[0]}x{size[1]}: {text}")
        raise CfgError(text)


def _assemble(sections: Sequence[Section], size: tuple[int, int] | None) -> Graph:
    net = sections[0]
    builder = Builder(_blob_shape(net, size))
    letter_box = net.flag("letter_box")
    if len(sections) == 1:
        raise net.error("no layer follows; expected at least one section after [net]")
    for section in sections[1:]:
        builder.layers.append(_build_layer(section, builder))
    # A section that was read for two sizes says the same twice.
    warnings = dict.fromkeys(text for section in sections for text in (*section.warnings, *_unknown(section)))
    return Graph(net.file, builder.blob, letter_box, _settle_bin_output(builder.layers), tuple(warnings))


def _blob_shape(net: Section, size: tuple[int, int] | None) -> Shape:
    inputs = net.integer("inputs", 0, low=0)
    width, height, channels = (
        net.integer(key, 0, low=0, high=_LARGEST_SIDE) for key in ("width", "height", "channels")
    )
    if size is not None:
        width, height = size
    if not (width and height and channels):
        if inputs:
            raise UnsupportedError(
                f"{net.where}: inputs={inputs} without width, height and channels: only image networks are supported"
            )
        raise net.error(f"width={width} height={height} channels={channels}: expected all three to be at least 1")
    shape = Shape(channels, height, width)
    if shape.size > LARGEST_OUTPUT:
        raise net.error(f"the input would be {width} x {height} x {channels} values: too large to be meant")
    return shape


def _build_layer(section: Section, builder: Builder) -> Layer:
    layer = LAYERS.get(section.kind)
    if layer is None:
        if section.kind in _LATER:
            raise UnsupportedError(
                f"{section.where}: this layer type of Darknet is not supported yet; supported are {', '.join(LAYERS)}"
            )
        raise CfgError(f"{section.where}: no such layer type in Darknet; expected one of {', '.join(LAYERS)}")
    return layer.from_section(section, builder)


def _unknown(section: Section) -> list[str]:
    return [
        f"{section.file}:{option.line}: [{section.kind}] unknown option {option.key}={option.value or ''} is ignored"
        for option in section.unread()
        if option.key not in TRAINING_KEYS
    ]


def _settle_bin_output(layers: list[Layer]) -> tuple[Layer, ...]:
    """Make xnor layers with ``bin_output`` linear, unless a joining layer reads them (Darknet's rule)."""
    read: set[int] = set()
    for layer in layers:
        if isinstance(layer, Route):
            read.update(layer.inputs)
        elif isinstance(layer, Shortcut | ScaleChannels | Sam):
            read.update(layer.inputs[:2])
    return tuple(
        dataclasses.replace(layer, activation="linear")
        if isinstance(layer, Convolutional) and layer.xnor and layer.bin_output and layer.index not in read
        else layer
        for layer in layers
    )


def _check_size(graph: Graph, size: tuple[int, int], whole_cells: bool) -> None:
    """Refuse a size out of reason, or whose heads would not tile the image."""
    stride = graph.stride
    width, height = size
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise OptionError(f"size {width}x{height}: expected a width and a height between 1 and {_LARGEST_SIDE}")
    if whole_cells and graph.heads and (width % stride or height % stride):
        near = tuple(max(stride, round(side / stride) * stride) for side in size)
        raise OptionError(
            f"size {width}x{height}: both must be multiples of {stride} for this network, such as {near[0]}x{near[1]}"
        )
