"""graph + weights → Plan: every layer lowered to steps, their memory placed, their records encoded."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np

from darknet_py.graph import Graph
from darknet_py.kernels.execute import SCRATCH_HEADER
from darknet_py.kernels.ops import number_of
from darknet_py.kernels.ops.resize_rows import resize_rows
from darknet_py.kernels.ops.step import STEP
from darknet_py.layers import Convolutional
from darknet_py.plan.buffers import place_buffers
from darknet_py.plan.chains import Chain, find_chains
from darknet_py.plan.encoding import bytes_beyond, encode_step, group_step, joined, scratch_of
from darknet_py.plan.layout import check_records, make_layout
from darknet_py.plan.lowering import Lowering, Step
from darknet_py.plan.memory import band_bytes
from darknet_py.plan.packing import PackedWeights
from darknet_py.plan.program import Plan
from darknet_py.plan.rules import RULES
from darknet_py.plan.state import FirstStep, State

__all__ = ["FirstStep", "Plan", "State", "make_plan"]


def make_plan(
    graph: Graph, weights: PackedWeights, keep: Collection[int] = (), images: int = 1, threads: int = 1
) -> Plan:
    """Lower every layer of `graph` to steps, place their memory and encode them.

    Parameters
    ----------
    graph : Graph
    weights : PackedWeights
    keep : collection of int
        Layers to keep readable after a run, besides the heads and the last layer.
    images : int
        Images that one run is given. Layers with more weights than activations are computed for all of them at once,
        so that the weights are read once; the layers before them, whose activations of one image fill the cache, for
        one image after the other.
    threads : int
        That will share a run. Results do not depend on it.
    """
    wanted = {*keep, graph.output.index, *(head.index for head in graph.heads)}
    lower = Lowering(graph, weights, wanted, images, _first_heavy(graph), threads)
    for layer in graph.layers:
        RULES[type(layer)](lower, layer)
        lower.convert_output(layer)
    outputs = {index: lower.view(index) for index in sorted(wanted)}
    for view in outputs.values():
        view.buffer.use(len(lower.steps))
        view.buffer.keep()
    blob = lower.input
    single = sum(images > 1 and step.layer < lower.together for step in lower.steps)
    _multiply_buffers(lower, single)
    groups = find_chains(lower)
    placed_bytes = place_buffers(lower.buffers, band_bytes())
    steps = [group_step(lower, group) for group in groups]
    order = _order(lower, steps)
    # One for each image's picture, to be filled in where it has to be resized.
    resizes = np.zeros(images, STEP)
    resizes["operation"], resizes["layer"] = number_of(resize_rows), -1
    table = joined([resizes, *(encode_step(steps[n], image, count, threads) for n, image, count in order)])
    needs = list(map(scratch_of, steps))
    layout = make_layout(lower, [(groups[n], image, needs[n]) for n, image, _ in order], placed_bytes)
    if layout is not None:
        check_records(table, layout)
    table.flags.writeable = False
    each = (0,) * images + tuple(needs[number] for number, *_ in order)
    layers = ((),) * images + tuple(_layers_of(groups[number]) for number, *_ in order)
    scratch_bytes = SCRATCH_HEADER + -(-max(needs, default=0) // 64) * 64 + band_bytes()
    return Plan(
        graph, table, placed_bytes + -(-max(map(bytes_beyond, steps), default=0) // 64) * 64, blob, outputs,
        scratch_bytes, layers, each, weights, tuple(lower.constants), images, threads, lower.kept, layout,
    )  # fmt: skip


def _layers_of(group: Step | Chain) -> tuple[int, ...]:
    return tuple(link.layer for link in group.links) if isinstance(group, Chain) else (group.layer,)


def _order(lower: Lowering, steps: list[Step]) -> list[tuple[int, int, int]]:
    """Numbers of steps in the order they are run in, each with the first image it is about and how many."""
    alone = sum(lower.images > 1 and step.layer < lower.together for step in steps)
    order = [(number, image, 1) for image in range(lower.images) for number in range(alone)]
    return order + [(number, 0, lower.images) for number in range(alone, len(steps))]


def _first_heavy(graph: Graph) -> int:
    """The first convolution with more weights than input and output: from there on weights are what is read most."""
    for layer in graph.of_type(Convolutional):
        if _weight_count(layer) > layer.in_shape.size + layer.shape.size:
            return layer.index
    return len(graph.layers)


def _weight_count(layer: Convolutional) -> int:
    return sum(prod(parameter.shape) for parameter in layer.parameters)


def _multiply_buffers(lower: Lowering, single: int) -> None:
    """Give every image a place in the buffers that a step from `single` on reads or writes.

    Places that are filled image by image are in use from the first step to the last that fills one.
    """
    for buffer in lower.buffers:
        if buffer.last >= single and not buffer.shared:
            buffer.images = lower.images
            if buffer.first < single:
                buffer.first = -1
