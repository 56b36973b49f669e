"""What a cfg (and its weights file) describes, without running it: the layer table, totals and a memory estimate.

Beside the flow: reads the graph, compiles no kernel and prints nothing; ``darknet-py inspect`` shows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darknet_py.errors import WeightsError
from darknet_py.graph import Graph
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.layers import (
    Connected,
    Convolutional,
    Layer,
    LocalAvgPool,
    MaxPool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shape,
    Shortcut,
    Softmax,
    Upsample,
)
from darknet_py.plan import algorithms
from darknet_py.plan.buffers import place_buffers
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.packing import PackedWeights
from darknet_py.weights import HEADER_BYTES, WeightsFile, expected_bytes, read_header

__all__ = ["HeadSummary", "LayerRow", "Summary", "WeightsSummary", "format_table", "summarize"]

#: Darknet's heading of its layer table.
_HEADING = ("layer", "filters", "size/strd(dil)", "input", "output")
_LABELS = {"convolutional": "conv", "maxpool": "max", "avgpool": "avg", "local_avgpool": "local_avg"}


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
    packed = _packed_bytes(graph)
    kind = str(getattr(heads[-1], "nms_kind", "default")) if heads else None
    beta = float(getattr(heads[-1], "beta_nms", 0.6)) if heads else None
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
        nms_kind=kind,
        beta_nms=beta,
        nms_meaning=None if kind is None else _nms_meaning(kind, beta),
        packed_bytes=packed,
        packed_bytes_limit=packed + _extra_bytes_limit(graph),
        arena_bytes=_arena_bytes(graph),
        warnings=graph.warnings,
    )


# Rows ---------------------------------------------------------------------------------------------------------


def _row(layer: Layer) -> LayerRow:
    label = _LABELS.get(layer.kind, layer.kind)
    filters = ""
    if isinstance(layer, Convolutional):
        label += ("XB" if layer.bin_output else "X") if layer.xnor else "S" if layer.share is not None else ""
        filters = str(layer.filters) + (f"/{layer.groups}" if layer.groups > 1 else "")
    elif isinstance(layer, Connected):
        filters = str(layer.shape.c)
    return LayerRow(
        layer.index, label, filters, _window(layer), layer.in_shape, layer.shape, layer.bflops, _count([layer])
    )


def _window(layer: Layer) -> str:
    """The third column: how the layer looks at its input."""
    if isinstance(layer, Convolutional):
        return _sliding(layer.size, layer.blur_strides, layer.dilation)
    if isinstance(layer, MaxPool):
        return "over channels" if layer.depth else _sliding(layer.size, layer.blur_strides)
    if isinstance(layer, LocalAvgPool):
        return _sliding(layer.size, (layer.stride_x, layer.stride_y))
    if isinstance(layer, Route):
        group = f"  {layer.group_id}/{layer.groups}" if layer.groups > 1 else ""
        return ", ".join(map(str, layer.inputs)) + group
    if isinstance(layer, Shortcut):
        weighted = "" if layer.weights_type == "none" else f"  {layer.weights_type} {layer.weights_normalization}"
        return ", ".join(map(str, layer.inputs[1:])) + weighted
    if isinstance(layer, ScaleChannels | Sam):
        return str(layer.inputs[1])
    if isinstance(layer, Upsample):
        return f"/{layer.stride}" if layer.reduce else f"{layer.stride}x"
    if isinstance(layer, Reorg):
        return f"{layer.stride}x" if layer.reverse else f"/{layer.stride}"
    if isinstance(layer, Softmax):
        return f"{layer.groups} groups" if layer.groups > 1 else ""
    if layer.is_head:
        head = _head(layer)
        return f"{len(head.anchors)} anchors, {head.classes} classes"
    return ""


def _sliding(size: int, strides: tuple[int, int], dilation: int = 1) -> str:
    x, y = strides
    stride = f"{x:2d}" if x == y else f"{x:2d}x{y:2d}"
    return f"{size:2d} x{size:2d}/{stride}" + (f"({dilation})" if dilation > 1 else "")


def _head(layer: Any) -> HeadSummary:
    pairs = list(zip(layer.anchors[::2], layer.anchors[1::2], strict=False))
    mask = getattr(layer, "mask", None)
    used = range(layer.num) if mask is None else mask
    return HeadSummary(
        layer.index, layer.kind, (layer.shape.w, layer.shape.h), layer.classes, tuple(pairs[i] for i in used)
    )


def _nms_meaning(kind: str, beta: float | None) -> str:
    """What the cfg's word makes Darknet compare with the threshold."""
    if kind == "greedynms":
        return "DIoU with exponent 0.6 (beta_nms is not used)"
    if kind == "diounms":
        return f"DIoU with exponent {beta:g} (beta_nms)"
    return "plain IoU"


# Weights and memory -------------------------------------------------------------------------------------------


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


def _count(layers: Sequence[Layer], skip: Sequence[str] = ()) -> int:
    total = 0
    for layer in layers:
        for name, shape in layer.parameters:
            count = 1
            for extent in shape:
                count *= extent
            total += 0 if name in skip else count
    return total


def _packed_bytes(graph: Graph) -> int:
    """Weights in memory: batch norm is folded away; the padding to whole vectors is not counted."""
    return 4 * _count(graph.layers, skip=("scales", "mean", "variance"))


def _extra_bytes_limit(graph: Graph) -> int:
    """The most that Winograd's larger weights may add."""
    largest = 0
    for layer in graph.layers:
        if isinstance(layer, Convolutional):
            sizes = [algorithm.panels - 9 for name, algorithm in ALGORITHMS.items() if algorithms.fits(layer, name)]
            largest += 4 * max(sizes, default=0) * layer.in_shape.c * layer.filters
    return min(largest, algorithms.extra_budget(graph))


def _arena_bytes(graph: Graph) -> int:
    """Memory of the activations alive at the same time, shared and joined as the plan does it."""
    kept = {graph.output.index, *(head.index for head in graph.heads)}
    # Who shares memory with whom does not depend on the weights, so that none are packed for this.
    lowering = Lowering(graph, PackedWeights({}, {}), kept)
    for layer in graph.layers:
        if lowering.sharing.source_of(layer.index)[0] != layer.index or lowering.sharing.is_fused(layer):
            continue
        shortcut = lowering.sharing.fused_shortcut(layer)
        reads = layer.inputs if shortcut is None else (*layer.inputs, shortcut.inputs[1])
        views = [lowering.view(index) for index in reads]
        views.append(lowering.target(layer.index if shortcut is None else shortcut.index))
        for view in views:
            view.buffer.use(layer.index)
    for index in kept:
        lowering.view(index).buffer.keep()
    return 4 * place_buffers(lowering.buffers)


# Text ---------------------------------------------------------------------------------------------------------


def format_table(rows: Sequence[LayerRow]) -> str:
    """Darknet's layer table, width x height x channels; no line end after the last."""
    label = max(len(row.label) for row in rows) + 1
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
