"""How much memory a plan will take, told from the graph alone: no weights are packed and no kernel is loaded."""

from __future__ import annotations

from math import prod

from darknet_py.graph import Graph
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.layers import Convolutional
from darknet_py.plan.algorithms import extra_budget, extra_bytes, fits
from darknet_py.plan.buffers import Buffer, View, place_buffers
from darknet_py.plan.first_layer import blob_view
from darknet_py.plan.sharing import Sharing

__all__ = ["arena_bytes", "extra_bytes_limit", "packed_bytes"]

#: Arrays that `folding` leaves nothing of.
_FOLDED = ("scales", "mean", "variance")


def packed_bytes(graph: Graph) -> int:
    """Weights in memory, computed with directly; the padding to whole vectors is not counted."""
    parameters = [parameter for layer in graph.layers for parameter in layer.parameters]
    return 4 * sum(prod(parameter.shape) for parameter in parameters if parameter.role not in _FOLDED)


def extra_bytes_limit(graph: Graph) -> int:
    """The most that Winograd's larger weights may add."""
    largest = 0
    for layer in graph.of_type(Convolutional):
        largest += max((extra_bytes(layer, name) for name in ALGORITHMS if fits(layer, name)), default=0)
    return min(largest, extra_budget(graph))


def arena_bytes(graph: Graph) -> int:
    """Memory of the activations alive at the same time; buffers that an algorithm needs inside one layer come on top.

    A buffer belongs to the layer that `Sharing` says, and is in use from the first layer that writes it to the last
    that reads it, as if each were one step.
    """
    kept = {graph.output.index, *(head.index for head in graph.heads)}
    sharing = Sharing(graph, kept)
    buffers: dict[int, Buffer] = {-1: blob_view(graph).buffer}
    for layer in graph.layers:
        if sharing.source_of(layer.index)[0] != layer.index or sharing.is_fused(layer):
            continue
        shortcut = sharing.fused_shortcut(layer)
        touched = (
            (*layer.inputs, layer.index) if shortcut is None else (*layer.inputs, shortcut.inputs[1], shortcut.index)
        )
        for index in touched:
            home = sharing.home_of(index)
            if home not in buffers:
                buffers[home] = View.made(graph.layers[home].shape).buffer
            buffers[home].use(layer.index)
    for index in kept:
        buffers[sharing.home_of(index)].keep()
    lasting = [View.made(shape).buffer for layer in graph.layers for _, shape in layer.lasting]
    for buffer in lasting:
        buffer.use(-1)
        buffer.keep()
    return place_buffers((*buffers.values(), *lasting))
