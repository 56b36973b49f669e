"""sections → graph: typed layers with resolved references, shapes and parameter counts; no memory, no arithmetic."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from darknet_py.arguments import as_size
from darknet_py.cfg import Section, read_cfg
from darknet_py.cfg_warnings import log_warnings, warnings_of
from darknet_py.errors import CfgError, OptionError, UnsupportedError
from darknet_py.foreign_layers import name_pjreddies, unknown_layer
from darknet_py.layers import LAYERS, Head, Layer
from darknet_py.layers.base import LARGEST_OUTPUT, Builder
from darknet_py.limits import Limits, variable_of
from darknet_py.shape import Shape
from darknet_py.shipped import resolve_cfg

__all__ = ["Graph", "build_graph", "load_graph"]

_LARGEST_SIDE = 1 << 15

_L = TypeVar("_L", bound=Layer)


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
    def heads(self) -> tuple[Head, ...]:
        """Layers that boxes are decoded from, in cfg order."""
        return self.of_type(Head)

    @property
    def classes(self) -> int:
        """The most classes that one of the heads tells apart; 0 without heads."""
        return max((head.classes for head in self.heads), default=0)

    def of_type(self, kind: type[_L]) -> tuple[_L, ...]:
        """The layers of one type, in cfg order."""
        return tuple(layer for layer in self.layers if isinstance(layer, kind))

    @property
    def output(self) -> Layer:
        """The layer whose output is the network's: the last that is not ``[cost]``."""
        return next((layer for layer in reversed(self.layers) if layer.kind != "cost"), self.layers[-1])

    @property
    def remembers(self) -> bool:
        """Whether a run may depend on those before it (see `Session`)."""
        return any(layer.lasting for layer in self.layers)

    @property
    def no_pictures(self) -> str:
        """Why it can be shown no picture; empty if it can."""
        c, h, w = self.blob
        if c in (1, 3, 4):
            return ""
        if h * w == 1:
            return f"it reads {c} values at a time (inputs={c}), not pictures"
        return f"channels={c}, but pictures have 1, 3 or 4"

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
        """At most so much memory do the layers' outputs take that are alive at the same time, of one image.

        What layers keep between runs, and what they need inside, is added.
        """
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
        for layer in self.layers:
            change[layer.index + 1] += 4 * layer.working
            change[layer.index + 2] -= 4 * layer.working
            change[0] += 4 * sum(shape.size for _, shape in layer.lasting)
        return max(accumulate(change))

    @property
    def stride(self) -> int:
        """What width and height of an input should be multiples of, for the cells of every head to tile it."""
        return max(self.strides)

    @cached_property
    def strides(self) -> tuple[int, int]:
        """`stride` of width and of height, from the steps of the layers on the way to the last head."""
        steps = {-1: (Fraction(1), Fraction(1))}
        across = down = 1
        for layer in self.layers[: self.heads[-1].index + 1] if self.heads else ():
            before, own = steps[layer.grid], layer.steps
            steps[layer.index] = x, y = before[0] * own[0], before[1] * own[1]
            across, down = math.lcm(across, x.numerator), math.lcm(down, y.numerator)
        return across, down


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
    if size is not None and not all(0 < side <= _LARGEST_SIDE for side in size):
        raise OptionError(f"size {size[0]}x{size[1]}: expected a width and a height between 1 and {_LARGEST_SIDE}")
    try:
        graph = _assemble(sections, size)
    except (CfgError, UnsupportedError) as error:
        # What went before may be why: a line that was not understood, for which Darknet took its default.
        log_warnings(warnings_of(sections, built_only=True), sections[0].file)
        if isinstance(error, UnsupportedError):
            raise
        raise _with_advice(error, sections, size) from None
    log_warnings(graph.warnings, graph.file)
    if size is not None and whole_cells:
        _check_size(graph, size)
    _check_limits(graph, size, limits or Limits.from_environment())
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
    name_pjreddies(sections)
    layers = _settle_bin_output(builder.layers)
    return Graph(net.file, builder.blob, letter_box, layers, tuple(warnings_of(sections)))


def _with_advice(error: CfgError, sections: Sequence[Section], size: tuple[int, int] | None) -> CfgError | OptionError:
    """The error of a network that cannot be; saying which sizes it can have, if it is the size alone."""
    net = sections[0]
    try:
        asked = size or (net.integer("width", 0), net.integer("height", 0))
    except CfgError:
        return error
    for multiple in (32, 64, 128):
        near = _nearest(asked, (multiple, multiple))
        if near == asked or not all(0 < side <= _LARGEST_SIDE for side in near):
            continue
        try:
            strides = _assemble(sections, near).strides
        except (CfgError, OptionError, UnsupportedError):
            continue
        nearest = _nearest(asked, strides)
        if nearest == asked:  # multiples are not what is wrong: a layer has not room enough
            advice = f"{near[0]}x{near[1]} would do"
        else:
            advice = f"{_multiples(strides)} for this network, such as {nearest[0]}x{nearest[1]}"
        if size is None:
            return CfgError(f"{error}; width and height: {advice}; set them in [net], or give another size (--size)")
        return OptionError(f"size {size[0]}x{size[1]}: {f'{error}; ' if nearest == asked else ''}{advice}")
    if size is not None:
        with contextlib.suppress(CfgError, UnsupportedError):
            _assemble(sections, None)  # which it is at its own size
            return OptionError(f"size {size[0]}x{size[1]}: {error}")
    return error


def _nearest(size: tuple[int, int], strides: tuple[int, int]) -> tuple[int, int]:
    """The size nearest to `size` whose sides are multiples of `strides`."""
    width, height = (max(step, round(side / step) * step) for side, step in zip(size, strides, strict=True))
    return width, height


def _multiples(strides: tuple[int, int]) -> str:
    across, down = strides
    if across == down:
        return f"both must be multiples of {across}"
    return f"the width must be a multiple of {across} and the height of {down}"


def _blob_shape(net: Section, size: tuple[int, int] | None) -> Shape:
    inputs = net.integer("inputs", 0, low=0, high=LARGEST_OUTPUT)
    width, height, channels = (
        net.integer(key, 0, low=0, high=_LARGEST_SIDE) for key in ("width", "height", "channels")
    )
    if size is not None and (width or height or not inputs):
        width, height = size
    if not (width and height and channels):
        if inputs:
            return _flat_blob(net, inputs, size)
        raise net.error(f"width={width} height={height} channels={channels}: expected all three to be at least 1")
    shape = Shape(channels, height, width)
    if shape.size > LARGEST_OUTPUT:
        raise net.error(f"the input would be {width} x {height} x {channels} values: too large to be meant")
    return shape


def _flat_blob(net: Section, inputs: int, size: tuple[int, int] | None) -> Shape:
    """The input of a network that reads no pictures: channels of one pixel."""
    if size is not None:
        raise OptionError(f"size {size[0]}x{size[1]}: {net.where}: inputs={inputs}: this network reads no pictures")
    return Shape(inputs, 1, 1)


def _build_layer(section: Section, builder: Builder) -> Layer:
    layer = LAYERS.get(section.kind)
    if layer is None:
        raise unknown_layer(section)
    return layer.from_section(section, builder)


def _settle_bin_output(layers: list[Layer]) -> tuple[Layer, ...]:
    """Make xnor layers with ``bin_output`` linear, unless a joining layer reads them (Darknet's rule)."""
    joined = {index for layer in layers for index in layer.joins}
    return tuple(layer if layer.index in joined else layer.alone() for layer in layers)


def _check_size(graph: Graph, size: tuple[int, int]) -> None:
    """Refuse a size whose heads would not tile the image."""
    if graph.heads and any(side % step for side, step in zip(size, graph.strides, strict=True)):
        near = _nearest(size, graph.strides)
        raise OptionError(
            f"size {size[0]}x{size[1]}: {_multiples(graph.strides)} for this network, such as {near[0]}x{near[1]}"
        )
