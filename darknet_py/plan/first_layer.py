"""Where a run finds its input: the blob, as the first layer wants it."""

from __future__ import annotations

from darknet_py.graph import Graph
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.layers import Convolutional
from darknet_py.plan.buffers import Buffer, View

__all__ = ["blob_view", "input_padding", "reads_rows"]


def reads_rows(graph: Graph) -> bool:
    """Whether the first layer reads kernel rows of a padded dense blob: a convolution of few channels."""
    return _row_reader(graph) is not None


def _row_reader(graph: Graph) -> Convolutional | None:
    convolutions = graph.of_type(Convolutional)
    first = convolutions[0] if convolutions else None
    if (
        first is not None
        and first.index == 0
        and first.in_shape.c < 8
        and first.groups == 1
        and first.dilation == 1
        and not first.xnor
        # Whoever shares its weights has another input.
        and not any(layer.share == 0 for layer in convolutions)
    ):
        return first
    return None


def input_padding(graph: Graph) -> int:
    """Zeros around the blob; 0 unless the first layer reads it row by row (see `pack`)."""
    first = _row_reader(graph)
    return 0 if first is None else first.pad


def blob_view(graph: Graph) -> View:
    """The blob (H, W, C) in a new buffer, inside a border of zeros if the first layer wants one."""
    c, h, w = graph.blob
    pad = input_padding(graph)
    pixel = FLOAT32.value_bytes * c
    row = (w + 2 * pad) * pixel
    buffer = Buffer((h + 2 * pad) * row)
    buffer.filled = True
    buffer.use(-1)
    buffer.keep()  # its border must stay zero, so nothing shares its memory
    return View(buffer, graph.blob, FLOAT32, pixel, row, pad * (row + pixel))
