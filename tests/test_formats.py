"""Formats: which are wanted of each layer, and that a further one stands in one place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import TinyNetwork

from darknet_py import Network
from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph
from darknet_py.kernels.jit import MATRIX_TILES
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32, FORMATS, format_of_code
from darknet_py.plan.buffers import View, pixel_bytes
from darknet_py.plan.packing import multiplied_in, pack_weights
from darknet_py.plan.sharing import Sharing
from darknet_py.plan.wanted import Formats
from darknet_py.shape import Shape
from darknet_py.weights import SeededWeights

CONV = "[convolutional]\nfilters={}\nsize={}\npad=1\nactivation=leaky\n"


def graph_of(*sections: str) -> Graph:
    return build_graph(parse_cfg("[net]\nchannels=8\nheight=12\nwidth=14\n" + "".join(sections)))


def formats_of(graph: Graph, precision: str, keep: tuple[int, ...] = ()) -> Formats:
    weights = pack_weights(graph, SeededWeights(graph), precision=precision)
    kept = {*keep, graph.output.index}
    return Formats(graph, kept, weights.packed, Sharing(graph, kept))


def test_codes() -> None:
    assert [format.code for format in FORMATS] == list(range(len(FORMATS)))
    assert FORMATS[0] is FLOAT32, "what is read from outside"
    for format in FORMATS:
        assert format_of_code(format.code) is format and 4 % format.value_bytes == 0
        assert str(format) == format.name


@given(st.integers(1, 3000), st.sampled_from(FORMATS))
def test_pixels_have_room(channels: int, format: object) -> None:
    assert format in FORMATS
    pixel = pixel_bytes(channels, format)
    assert pixel >= channels * format.value_bytes and pixel % 4 == 0 and pixel % 2048
    if format.whole_vectors:
        assert pixel >= -(-channels // 16) * 16 * format.value_bytes


def test_channels_of_a_view() -> None:
    for format in FORMATS:
        view = View.made(Shape(40, 5, 6), format, border=2)
        part = view.channels(8, 16)
        assert part.shape == (16, 5, 6) and part.format is format and not view.is_dense
        assert part.start - view.start == 8 * format.value_bytes
        assert view.start == 2 * view.row + 2 * view.pixel


def test_in_float32_nothing_else_is_wanted() -> None:
    formats = formats_of(graph_of(*[CONV.format(16, 3)] * 3), "float32")
    assert [formats.wanted(n) for n in range(3)] == [(FLOAT32,)] * 3


@pytest.mark.parametrize(("channels", "expected"), [(8, BFLOAT16), (9, FLOAT32), (4, FLOAT32)])
def test_what_is_multiplied_in_bfloat16(channels: int, expected: object) -> None:
    graph = graph_of(CONV.format(channels, 1), CONV.format(5, 3))
    assert multiplied_in(graph.layers[1], "bfloat16") is expected
    assert multiplied_in(graph.layers[1], "float32") is FLOAT32


@pytest.mark.skipif(not MATRIX_TILES, reason="no AMX here, nor DARKNET_PY_AMX=emulated")
def test_what_readers_want() -> None:
    """A convolution alone: its format, inside its border; somebody who looks: floats, too; a last layer: floats."""
    graph = graph_of(CONV.format(16, 1), CONV.format(16, 5), "[maxpool]\nsize=3\nstride=1\n", CONV.format(6, 3))
    formats = formats_of(graph, "bfloat16")
    assert [formats.wanted(n) for n in range(4)] == [(BFLOAT16,)] * 3 + [(FLOAT32,)]
    assert [formats.border(n, BFLOAT16) for n in range(3)] == [2, 0, 1]
    looked_at = formats_of(graph, "bfloat16", keep=(0,))
    assert looked_at.wanted(0) == (FLOAT32, BFLOAT16) and looked_at.border(0, FLOAT32) == 0


@pytest.mark.skipif(not MATRIX_TILES, reason="no AMX here, nor DARKNET_PY_AMX=emulated")
@pytest.mark.parametrize(("filters", "expected"), [(6, (BFLOAT16,)), (5, (FLOAT32, BFLOAT16))])
def test_joined_channels_are_not_torn(filters: int, expected: tuple[object, ...]) -> None:
    """Two inputs of an odd number of channels would share a pair."""
    graph = graph_of(CONV.format(filters, 1), CONV.format(filters, 3), "[route]\nlayers=-1,-2\n", CONV.format(4, 1))
    formats = formats_of(graph, "bfloat16")
    assert formats.wanted(2) == (expected if filters * 2 >= 8 else (FLOAT32,))
    assert formats.joins(2, expected[0]) and formats.joins(2, BFLOAT16) == (filters % 2 == 0)


#: A third format: the upper half of a float32, cut off instead of rounded. It is added where CONTRIBUTING says, from
#: outside here: to the formats, to the tile and to the packing; then a network runs in it, none of the rest being told.
DUMMY = """
import sys
from pathlib import Path
import numpy as np
from llvmlite import ir
from darknet_py.kernels.vector import formats
from darknet_py.kernels.vector.lanes import I16, I64, Lanes

def store(v, value, address, count=None):
    b = v.builder
    bits = b.lshr(b.bitcast(value, v.int_type), v.int_constant(16))
    half = b.trunc(bits, ir.VectorType(I16, v.lanes))
    if count is None:
        b.store(half, b.inttoptr(address, half.type.as_pointer())).align = 2
    else:
        v._store_masked(half, address, count, "i16", 2)

CUT = formats.Format("cut16", 2, 2, Lanes.load_bfloat16, store, whole_vectors=True)
formats.FORMATS = (*formats.FORMATS, CUT)
from darknet_py.kernels.tiles import register
register.PRODUCTS[CUT.code] = register.PRODUCTS[formats.BFLOAT16.code]
register.KINDS = tuple(register.PRODUCTS)
from darknet_py.plan import blocks

def join(rows, target):
    bits = np.ascontiguousarray(rows).view(np.uint32) >> 16
    target.view(np.uint32).reshape(-1, rows.shape[1])[:] = bits[::2] | bits[1::2] << 16

blocks._JOIN[CUT] = join
from darknet_py import network
network.PRECISIONS = (*network.PRECISIONS, CUT.name)
from networks import TinyNetwork

def cut(values):
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)

import naive
tiny = TinyNetwork((12, 33, 40), seed=3)
tiny.add("convolutional", {"filters": 40, "size": 3, "pad": 1, "activation": "linear"})
plain = network.Network(*tiny.write(Path(sys.argv[1])), threads=2, precision="cut16")
found = plain.run(tiny.blob)[0]
arrays = tiny.convolutions[0]
wanted = naive.convolution(cut(tiny.blob), cut(arrays["weights"]), stride_y=1, stride_x=1, pad=1)
wanted += arrays["biases"][:, None, None].astype(np.float64)
assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max(), np.abs(found - wanted).max()
step = plain.plan.table[-1]
assert step["x"]["format"] == CUT.code and step["x"]["value"] == 2
assert np.abs(found - tiny.outputs[0]).max() > 1e-3 * np.abs(wanted).max(), "as if nothing was cut off"
print("as expected")
"""


@pytest.mark.slow
def test_a_further_format(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DUMMY, str(tmp_path)],
        env={
            **os.environ,
            "DARKNET_PY_CACHE_DIR": str(tmp_path / "cache"),
            "DARKNET_PY_AMX": "0",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["as", "expected"], done.stderr


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_places_say_their_format(folder: Path, precision: str) -> None:
    tiny = TinyNetwork((16, 9, 13))
    tiny.add("convolutional", {"filters": 24, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 8, "size": 1, "activation": "linear"})
    plan = Network(*tiny.write(folder), precision=precision).plan
    for place in (plan.table[name] for name in ("x", "second", "y", "also")):
        there = place[place["pixel"] != 0]
        assert all(int(at["value"]) == format_of_code(int(at["format"])).value_bytes for at in there)
    assert plan.table[-1]["y"]["format"] == FLOAT32.code
    formats = {int(code) for code in plan.table["x"]["format"]}
    assert formats == ({FLOAT32.code} if precision == "float32" else {FLOAT32.code, BFLOAT16.code})
    assert np.isfinite(Network(*tiny.write(folder), precision=precision).run(tiny.blob)[0]).all()
