"""Where buffers are placed, and that nothing is used which has no place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import TinyNetwork

from darknet_py import DarknetError, Network
from darknet_py.kernels.jit import MATRIX_TILES
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.plan.buffers import Buffer, View, place_buffers
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.memory import MemoryFault
from darknet_py.shape import Shape

LINE = 64


def test_memory_without_a_place_cannot_be_used() -> None:
    view = View.made(Shape(3, 4, 5))
    with pytest.raises(MemoryFault, match=r"a buffer of 240 bytes is used and has no place in memory: .* report"):
        view.begin()
    assert place_buffers([view.buffer]) == 240
    assert view.begin() == 0


@pytest.mark.parametrize(
    ("shape", "start", "image"),
    [
        (Shape(3, 4, 5), 1, 0),  # its last value is the next buffer's
        (Shape(3, 5, 5), 0, 0),
        (Shape(3, 4, 6), 0, 0),
        (Shape(4, 4, 5), 0, 0),
        (Shape(3, 4, 5), -1, 0),  # four bytes before the arena, if this is its first
        (Shape(3, 4, 5), 0, 2),
        (Shape(3, 4, 5), 0, -1),
    ],
)
def test_view_that_leaves_its_buffer(shape: Shape, start: int, image: int) -> None:
    buffer = Buffer(240, images=2)
    place_buffers([buffer])
    assert View(buffer, Shape(3, 4, 5), FLOAT32, 12, 60).begin(1) == 256
    with pytest.raises(MemoryFault, match="is not inside its buffer of 2 times 240"):
        View(buffer, shape, FLOAT32, 12, 60, 4 * start).begin(image)


def test_a_plan_reads_no_layer_that_nobody_wrote(folder: Path) -> None:
    tiny = TinyNetwork((3, 8, 9))
    tiny.add("convolutional", {"filters": 4})
    network = Network(*tiny.write(folder))
    with pytest.raises(MemoryFault, match=r"\[convolutional\].*: read as float32, which nobody wrote"):
        Lowering(network.graph, network.plan.weights, ()).view(0)
    assert issubclass(MemoryFault, DarknetError)


@given(
    st.lists(st.tuples(st.integers(1, 800), st.integers(0, 12), st.integers(0, 6), st.integers(1, 3)), max_size=30),
    st.sampled_from([0, 192]),
)
def test_lowest_free_place(drawn: list[tuple[int, int, int, int]], band: int) -> None:
    buffers = [Buffer(size, first, first + life, images=images) for size, first, life, images in drawn]
    total = place_buffers(buffers, band)
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: -b.extent):
        alive = [other for other in placed if other.first <= buffer.last and buffer.first <= other.last]
        starts = [0, *(-(-(other.offset + other.extent + band) // LINE) * LINE for other in alive)]

        def is_free(at: int, buffer: Buffer = buffer, alive: list[Buffer] = alive) -> bool:
            end = at + buffer.extent + 2 * band
            return all(end <= other.offset - band or at >= other.offset + other.extent + band for other in alive)

        assert buffer.offset == min(filter(is_free, starts)) + band
        placed.append(buffer)
    assert total == max((buffer.offset + buffer.extent + band for buffer in buffers), default=0)


@pytest.mark.skipif(not MATRIX_TILES, reason="no AMX here, nor DARKNET_PY_AMX=emulated")
@pytest.mark.parametrize("blurred", [True, False])
def test_shortcut_onto_what_was_stored_in_bfloat16_only(folder: Path, blurred: bool) -> None:
    """Its memory as floats is taken out of the plan, where the shortcut would have worked in place."""
    tiny = TinyNetwork((16, 16, 11))
    if blurred:
        tiny.add("convolutional", {"filters": 48, "size": 3, "pad": 1, "antialiasing": 1, "activation": "leaky"})
    else:
        tiny.add("convolutional", {"filters": 48, "activation": "leaky"})
        tiny.add("convolutional", {"filters": 48, "groups": 48, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 8, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 48, "activation": "linear"})
    tiny.add("shortcut", {"from": -3, "activation": "linear"})
    found = Network(*tiny.write(folder), threads=1, precision="bfloat16").run(tiny.blob)[0]
    assert np.abs(found - tiny.outputs[-1]).max() <= 0.03 * np.abs(tiny.outputs[-1]).max()
