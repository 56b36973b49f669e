"""What a cfg (and its weights file) describes, without running it: the layer table, totals and a memory estimate.

Beside the flow: reads the graph, compiles no kernel and prints nothing; ``darknet-py inspect`` shows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from darknet_py.errors import WeightsError
from darknet_py.graph import Graph
from darknet_py.layers import (
    Connected,
    ConvLstm,
    Convolutional,
    Crnn,
    Crop,
    Deconvolutional,
    Detection,
    GaussianYolo,
    Gru,
    Head,
    Iseg,
    Layer,
    Local,
    LocalAvgPool,
    Lstm,
    MaxPool,
    Normalization,
    Recurrent,
    Region,
    Reorg,
    Rnn,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Softmax,
    Upsample,
    Yolo,
)
from darknet_py.plan.estimate import arena_bytes, extra_bytes_limit, packed_bytes
from darknet_py.shape import Shape
from darknet_py.weights import HEADER_BYTES, WeightsFile, expected_bytes, read_header

__all__ = ["HeadSummary", "LayerRow", "Summary", "WeightsSummary", "format_table", "summarize"]

#: Darknet's heading of its layer table.
_HEADING = ("layer", "filters", "size/strd(dil)", "input", "output")


@dataclass(frozen=True)
class LayerRow:
    """One line of the layer table.

    Attributes
    ----------
    index : int
    label : str
        Darknet's short name: conv (convX: xnor, convXB: with bin_output, convS: shared weights), max, route, yolo...
    filters : str
        With ``/groups`` where there are several; empty for layers without filters.
    window : str
        Size, stride and dilation; or whatever else tells this layer from its like: the layers it reads, its anchors.
    input, output : Shape
    bflops : float
        Billions of operations, counted as Darknet does.
    parameters : int
        Values in the weights file.
    """

    index: int
    label: str
    filters: str
    window: str
    input: Shape
    output: Shape
    bflops: float
    parameters: int


@dataclass(frozen=True)
class HeadSummary:
    """One layer that boxes are decoded from; `anchors` are those it uses, (width, height) each."""

    index: int
    kind: str
    grid: tuple[int, int]
    classes: int
    anchors: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class WeightsSummary:
    """A weights file beside the size its cfg asks for; None for what could not be read."""

    file: str
    bytes: int | None
    expected_bytes: int
    version: tuple[int, int, int] | None
    seen: int | None
    error: str | None


@dataclass(frozen=True)
class Summary:
    """Everything ``darknet-py inspect`` shows; see `summarize`."""

    file: str
    input: Shape
    letter_box: bool
    layers: tuple[LayerRow, ...]
    parameters: int
    bflops: float
    expected_bytes: int
    weights: WeightsSummary | None
    heads: tuple[HeadSummary, ...]
    nms_kind: str | None
    beta_nms: float | None
    nms_meaning: str | None
    packed_bytes: int
    packed_bytes_limit: int
    arena_bytes: int
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; shapes as {"c", "h", "w"}."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, Shape):
        return value._asdict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def summarize(graph: Graph, weights: str | Path | None = None) -> Summary:
    """Describe a network, and compare a weights file with it.

    Parameters
    ----------
    graph : Graph
    weights : str or Path, optional
        A file that does not fit is no error here: ``Summary.weights.error`` says what is wrong with it.

    Returns
    -------
    Summary
        `packed_bytes` to `packed_bytes_limit` is the memory of the weights: which algorithms are fastest on a machine,
        and with them how the weights are stored, shows only when they run. `arena_bytes` is that of the activations;
        buffers that an algorithm needs inside one layer come on top.
    """
    heads = graph.heads
    packed = packed_bytes(graph)
    last = heads[-1] if heads else None
    return Summary(
        file=graph.file,
        input=graph.blob,
        letter_box=graph.letter_box,
        layers=tuple(_row(layer) for layer in graph.layers),
        parameters=graph.parameter_count,
        bflops=graph.bflops,
        expected_bytes=expected_bytes(graph),
        weights=None if weights is None else _compare_weights(graph, Path(weights)),
        heads=tuple(_head(layer) for layer in heads),
        nms_kind=None if last is None else last.nms_kind,
        beta_nms=None if last is None else last.beta_nms,
        nms_meaning=None if last is None else last.nms.meaning(last.beta_nms),
        packed_bytes=packed,
        packed_bytes_limit=packed + extra_bytes_limit(graph),
        arena_bytes=arena_bytes(graph),
        warnings=graph.warnings,
    )


# Rows ---------------------------------------------------------------------------------------------------------


def _row(layer: Layer) -> LayerRow:
    label = _LABELS.get(layer.kind, lambda _: layer.kind)(layer)
    filters = _FILTERS.get(type(layer), _nothing)(layer)
    window = _WINDOWS.get(type(layer), _nothing)(layer)
    count = sum(prod(shape) for _, shape in layer.parameters)
    return LayerRow(layer.index, label, filters, window, layer.in_shape, layer.shape, layer.bflops, count)


def _nothing(layer: Layer) -> str:
    return ""


def _convolution_label(layer: Convolutional) -> str:
    return "conv" + (("XB" if layer.bin_output else "X") if layer.xnor else "S" if layer.share is not None else "")


def _filters(layer: Convolutional) -> str:
    return str(layer.filters) + (f"/{layer.groups}" if layer.groups > 1 else "")


def _route_window(layer: Route) -> str:
    return ", ".join(map(str, layer.inputs)) + (f"  {layer.group_id}/{layer.groups}" if layer.groups > 1 else "")


def _shortcut_window(layer: Shortcut) -> str:
    weighted = "" if layer.weights_type == "none" else f"  {layer.weights_type} {layer.weights_normalization}"
    return ", ".join(map(str, layer.inputs[1:])) + weighted


def _inner_window(layer: Recurrent) -> str:
    first: Any = layer.parts[0][1]
    return _sliding(first.size, first.blur_strides, first.dilation)


def _hidden(layer: Rnn | Crnn) -> str:
    return f"{dict(layer.parts)['self'].shape.c} hidden"


def _asked(layer: ConvLstm) -> list[str]:
    return [name for name in ("peephole", "bottleneck") if getattr(layer, name)]


def _head_window(head: Head) -> str:
    return f"{head.num} anchors, {head.classes} classes"


#: The first column, where it is not the section's name.
_LABELS: dict[str, Callable[[Any], str]] = {
    "convolutional": _convolution_label,
    "maxpool": lambda _: "max",
    "avgpool": lambda _: "avg",
    "local_avgpool": lambda _: "local_avg",
    "deconvolutional": lambda _: "deconv",
}

#: The second column.
_FILTERS: dict[type[Layer], Callable[[Any], str]] = {
    Convolutional: _filters,
    Connected: lambda layer: str(layer.shape.c),
    Deconvolutional: lambda layer: str(layer.filters),
    Local: lambda layer: str(layer.shape.c),
    **dict.fromkeys((Rnn, Gru, Lstm, Crnn, ConvLstm), lambda layer: str(layer.shape.c)),
}

#: The third column: how the layer looks at its input.
_WINDOWS: dict[type[Layer], Callable[[Any], str]] = {
    Rnn: _hidden,
    Crnn: lambda layer: f"{_inner_window(layer)}  {_hidden(layer)}",
    ConvLstm: lambda layer: " ".join(filter(None, (_inner_window(layer), *_asked(layer)))),
    Convolutional: lambda layer: _sliding(layer.size, layer.blur_strides, layer.dilation),
    MaxPool: lambda layer: "over channels" if layer.depth else _sliding(layer.size, layer.blur_strides),
    LocalAvgPool: lambda layer: _sliding(layer.size, (layer.stride_x, layer.stride_y)),
    Route: _route_window,
    Shortcut: _shortcut_window,
    ScaleChannels: lambda layer: str(layer.inputs[1]),
    Sam: lambda layer: str(layer.inputs[1]),
    Upsample: lambda layer: f"/{layer.stride}" if layer.reduce else f"{layer.stride}x",
    Reorg: lambda layer: f"{layer.stride}x" if layer.reverse else f"/{layer.stride}",
    Softmax: lambda layer: f"{layer.groups} groups" if layer.groups > 1 else "",
    Yolo: _head_window,
    GaussianYolo: _head_window,
    Region: _head_window,
    Detection: lambda layer: f"{layer.side} x {layer.side} cells, {layer.num} boxes, {layer.classes} classes",
    Local: lambda layer: _sliding(layer.size, (layer.stride, layer.stride)),
    Deconvolutional: lambda layer: _sliding(layer.size, (layer.stride, layer.stride)),
    Crop: lambda layer: "as it is" if layer.noadjust else "2 x - 1",
    Normalization: lambda layer: f"{layer.size} channels",
    Iseg: lambda layer: f"{layer.classes} classes, {layer.ids} ids",
}


def _sliding(size: int, strides: tuple[int, int], dilation: int = 1) -> str:
    x, y = strides
    stride = f"{x:2d}" if x == y else f"{x:2d}x{y:2d}"
    return f"{size:2d} x{size:2d}/{stride}" + (f"({dilation})" if dilation > 1 else "")


def _head(head: Head) -> HeadSummary:
    return HeadSummary(head.index, head.kind, head.cells, head.classes, head.used_anchors)


# The weights file -----------------------------------------------------------------------------------------------


def _compare_weights(graph: Graph, path: Path) -> WeightsSummary:
    error = None
    try:
        with WeightsFile(path, graph):
            pass
    except WeightsError as problem:
        error = str(problem)
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
        size: int | None = path.stat().st_size
    except OSError:
        start, size = b"", None
    header = read_header(start)
    if header is None:
        return WeightsSummary(str(path), size, expected_bytes(graph), None, None, error)
    return WeightsSummary(str(path), size, expected_bytes(graph, header.size), header.version, header.seen, error)


# Text ---------------------------------------------------------------------------------------------------------


def format_table(rows: Sequence[LayerRow]) -> str:
    """Darknet's layer table, width x height x channels; no line end after the last."""
    label = max(len(_HEADING[0]), *(len(row.label) for row in rows)) + 1
    filters = max(len(_HEADING[1]), *(len(row.filters) for row in rows))
    window = max(len(_HEADING[2]), *(len(row.window) for row in rows))
    heading = f"{'':5}{_HEADING[0]:<{label}}{_HEADING[1]:>{filters}}  {_HEADING[2]:<{window}}"
    lines = [f"{heading}  {_HEADING[3]:<17}    {_HEADING[4]}"]
    for row in rows:
        middle = f"{row.filters:>{filters}}  {row.window:<{window}}"
        work = f" {row.bflops:6.3f} BF" if row.bflops else ""
        shapes = f"{_extent(row.input)} -> {_extent(row.output)}"
        lines.append(f"{row.index:4d} {row.label:<{label}}{middle}  {shapes}{work}")
    return "\n".join(lines)


def _extent(shape: Shape) -> str:
    return f"{shape.w:4d} x{shape.h:4d} x{shape.c:4d}"
