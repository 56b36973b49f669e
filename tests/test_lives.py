"""What planning owes to every step: memory that is its own while it lives, and inputs that somebody wrote."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import eager_chains
from test_fusion import GRAPHS

from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph
from darknet_py.plan.buffers import Buffer, View, place_buffers
from darknet_py.plan.chains import find_chains
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.packing import pack_weights
from darknet_py.plan.rules import RULES
from darknet_py.plan.sharing import Sharing
from darknet_py.weights import SeededWeights


def graph_of(name: str) -> Graph:
    sections = [("net", {"channels": 3, "height": 10, "width": 12}), *GRAPHS[name]]
    text = "\n".join(f"[{kind}]\n" + "".join(f"{k}={v}\n" for k, v in options.items()) for kind, options in sections)
    return build_graph(parse_cfg(text))


def lowered(graph: Graph, precision: str, keep: tuple[int, ...] = ()) -> Lowering:
    weights = pack_weights(graph, SeededWeights(graph), precision=precision)
    lower = Lowering(graph, weights, {*keep, graph.output.index})
    for layer in graph.layers:
        RULES[type(layer)](lower, layer)
        lower.convert_output(layer)
    for index in (*keep, graph.output.index):
        view = lower.view(index)
        view.buffer.use(len(lower.steps))
        view.buffer.keep()
    return lower


def values_of(view: View) -> np.ndarray:
    """The bytes that a view is about, counted from its buffer's first."""
    c, h, w = view.shape
    rows = view.row * np.arange(h)[:, None, None] + view.pixel * np.arange(w)[:, None]
    return np.ravel(view.start + rows + np.arange(c * view.format.value_bytes))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_reader_finds_what_somebody_wrote(name: str, precision: str) -> None:
    lower = lowered(graph_of(name), precision)
    written: dict[Buffer, np.ndarray] = {}
    for number, step in enumerate(lower.steps):
        for view in (step.x, step.second):
            if view is None or view.buffer.filled or step.operation.name == "clear_border":
                continue
            assert view.buffer in written, f"step {number} ({step.operation}) reads what nobody wrote"
            assert written[view.buffer][values_of(view)].all(), f"step {number} ({step.operation}) reads more"
            assert view.buffer.first <= number <= view.buffer.last
        for view in (step.y, step.also):
            if view is not None and step.operation.name != "clear_border":
                written.setdefault(view.buffer, np.zeros(view.buffer.size, bool))[values_of(view)] = True
                assert view.buffer.first <= number <= view.buffer.last
    output = lower.view(lower.graph.output.index)
    assert output.buffer.filled or written[output.buffer][values_of(output)].all()


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_no_two_live_buffers_meet(name: str, chained: bool) -> None:
    lower = lowered(graph_of(name), "float32")
    if chained:
        with eager_chains():
            find_chains(lower)
    total = place_buffers(lower.buffers)
    check_apart(list(lower.buffers), total)


def check_apart(buffers: list[Buffer], total: int, band: int = 0) -> None:
    for one, other in combinations(buffers, 2):
        if one.first <= other.last and other.first <= one.last:
            assert one.offset + one.extent + band <= other.offset or other.offset + other.extent + band <= one.offset
    assert all(band <= buffer.offset and buffer.offset + buffer.extent + band <= total for buffer in buffers)


@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 12), st.integers(0, 6), st.integers(1, 3)), max_size=40),
    st.sampled_from([0, 1024]),
)
def test_no_two_of_any_lives(drawn: list[tuple[int, int, int, int]], band: int) -> None:
    buffers = [Buffer(size, first, first + life, images=images) for size, first, life, images in drawn]
    check_apart(buffers, place_buffers(buffers, band), band)
    assert all(buffer.offset % 64 == 0 for buffer in buffers)


@pytest.mark.parametrize("name", GRAPHS)
def test_sharing(name: str) -> None:
    """Names lead to owners, slices of a joint buffer fit it, and nobody who is looked at is fused away."""
    graph = graph_of(name)
    looked_at = {graph.output.index, len(graph.layers) // 2}
    sharing = Sharing(graph, looked_at)
    for layer in graph.layers:
        owner, first = sharing.source_of(layer.index)
        assert sharing.source_of(owner) == (owner, 0)
        if owner >= 0:
            assert first + layer.shape.c <= graph.layers[owner].shape.c
            assert layer.shape[1:] == graph.layers[owner].shape[1:]
    for index, (route, first) in sharing.joined.items():
        assert index < route and first + graph.layers[index].shape.c <= graph.layers[route].shape.c
    slices = sorted((route, first, graph.layers[index].shape.c) for index, (route, first) in sharing.joined.items())
    for (route, first, count), (next_route, next_first, _) in pairwise(slices):
        assert route != next_route or first + count <= next_first
    for conv, shortcut in sharing.fused.items():
        assert conv not in looked_at and sharing.fusing[shortcut] == conv
        assert sharing.fused_shortcut(graph.layers[conv]) is graph.layers[shortcut]
        assert sharing.is_fused(graph.layers[shortcut])
    for shortcut, source in sharing.in_place.items():
        assert graph.layers[source].shape == graph.layers[shortcut].shape and source not in looked_at
