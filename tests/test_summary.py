"""The layer table and totals, against numbers that Darknet prints and against what a network really takes."""

from __future__ import annotations

import json
import struct

import pytest

from darknet_py import Network
from darknet_py.cfg import parse_cfg
from darknet_py.cli.inspect import format_summary
from darknet_py.graph import build_graph, load_graph
from darknet_py.shipped import resolve_cfg
from darknet_py.summary import format_table, summarize
from darknet_py.weights import SeededWeights, expected_bytes

MANY_KINDS = """
[net]
width=96
height=64
channels=3
[convolutional]
filters=8
size=3
stride=2
pad=1
batch_normalize=1
activation=leaky
[convolutional]
filters=12
size=3
pad=1
dilation=2
groups=4
activation=linear
[maxpool]
size=3
stride_x=2
stride_y=1
[route]
layers=-1
groups=2
group_id=1
[convolutional]
filters=6
size=3
pad=1
[shortcut]
from=-2
activation=linear
[reorg3d]
stride=2
[upsample]
stride=2
[avgpool]
[scale_channels]
from=-2
[dropout]
[convolutional]
xnor=1
filters=27
activation=linear
[convolutional]
filters=24
activation=linear
[route]
layers=11
[yolo]
mask=1,2,0
num=4
anchors=1,2, 3,4, 5.5,6, 7,8
classes=4
nms_kind=diounms
beta_nms=0.7
"""


def graph_of(text):
    return build_graph(parse_cfg(text, "my.cfg"))


@pytest.fixture(scope="module")
def many_kinds():
    return summarize(graph_of(MANY_KINDS))


@pytest.mark.parametrize(
    ("index", "label", "filters", "window", "output"),
    [
        (0, "conv", "8", " 3 x 3/ 2", (8, 32, 48)),
        (1, "conv", "12/4", " 3 x 3/ 1(2)", (12, 32, 48)),
        (2, "max", "", " 3 x 3/ 2x 1", (12, 32, 24)),  # x before y, as Darknet prints it
        (3, "route", "", "2  1/2", (6, 32, 24)),
        (5, "shortcut", "", "3", (6, 32, 24)),
        (6, "reorg3d", "", "/2", (24, 16, 12)),
        (7, "upsample", "", "2x", (24, 32, 24)),
        (8, "avg", "", "", (24, 1, 1)),
        (9, "scale_channels", "", "7", (24, 32, 24)),
        (11, "convX", "27", " 1 x 1/ 1", (27, 32, 24)),
        (13, "route", "", "11", (27, 32, 24)),
        (14, "yolo", "", "3 anchors, 4 classes", (27, 32, 24)),
    ],
)
def test_row(many_kinds, index, label, filters, window, output):
    row = many_kinds.layers[index]
    assert (row.index, row.label, row.filters, row.window, row.output) == (index, label, filters, window, output)


def test_shared_weights_are_marked_and_counted_once():
    text = "[net]\nwidth=8\nheight=8\nchannels=4\n[conv]\nfilters=4\n[conv]\nfilters=4\nshare_index=0\n"
    summary = summarize(graph_of(text))
    assert [(row.label, row.parameters) for row in summary.layers] == [("conv", 20), ("convS", 0)]
    assert summary.parameters == 20


def test_table_lines_up(many_kinds):
    heading, *lines = format_table(many_kinds.layers).split("\n")
    assert heading.split() == ["layer", "filters", "size/strd(dil)", "input", "output"]
    assert len({line.index(" -> ") for line in lines}) == 1
    assert lines[0].endswith("96 x  64 x   3 ->   48 x  32 x   8  0.001 BF")
    assert not lines[13].endswith("BF")  # a route computes nothing


def test_heads_and_nms(many_kinds):
    (head,) = many_kinds.heads
    assert (head.index, head.kind, head.grid, head.classes) == (14, "yolo", (24, 32), 4)
    assert head.anchors == ((3, 4), (5.5, 6), (1, 2))
    assert many_kinds.nms_meaning == "DIoU with exponent 0.7 (beta_nms)"


@pytest.mark.parametrize(
    ("name", "size", "bflops", "weights"),
    [
        ("yolov4", (608, 608), 128.459, 257717640),
        ("yolov4-tiny", (416, 416), 6.910, 24251276),
        ("yolov3", (416, 416), 65.879, 248007048),
    ],
)
def test_totals_are_darknets(name, size, bflops, weights):
    summary = summarize(load_graph(resolve_cfg(name), size))
    assert summary.bflops == pytest.approx(bflops, abs=5e-4)
    assert summary.expected_bytes == weights
    assert summary.parameters == sum(row.parameters for row in summary.layers)
    assert summary.bflops == pytest.approx(sum(row.bflops for row in summary.layers))


@pytest.mark.parametrize(
    ("option", "meaning"),
    [
        ("", "default: plain IoU"),
        ("nms_kind=greedynms\nbeta_nms=0.9", "greedynms: DIoU with exponent 0.6 (beta_nms is not used)"),
        ("nms_kind=diounms\nbeta_nms=0.9", "diounms: DIoU with exponent 0.9 (beta_nms)"),
    ],
)
def test_meaning_of_nms_kind(option, meaning):
    text = f"[net]\nwidth=8\nheight=8\nchannels=6\n[yolo]\nclasses=1\nanchors=1,2\n{option}"
    assert format_summary(summarize(graph_of(text))).split("\n")[-2] == f"NMS           {meaning}"


@pytest.mark.parametrize(
    ("cfg", "size"),
    [("yolov4-tiny", (96, 64)), ("yolov3-tiny", (96, 64)), ("yolov7-tiny", (96, 64)), ("yolov2-tiny", (96, 64))],
)
def test_memory_estimate_is_near(cfg, size):
    graph = load_graph(resolve_cfg(cfg), size)
    summary = summarize(graph)
    network = Network(graph, SeededWeights(graph))
    arena = network.plan.arena_bytes
    # What an algorithm needs inside one layer is not estimated.
    assert 0.4 * arena <= summary.arena_bytes <= 1.05 * arena
    packed = network.plan.weights.nbytes
    assert 0.98 * summary.packed_bytes <= packed <= 1.02 * summary.packed_bytes_limit


@pytest.mark.parametrize("cfg", ["yolov4", "yolov4-tiny"])
def test_direct_weights_take_what_their_file_takes(cfg):
    summary = summarize(load_graph(resolve_cfg(cfg)))
    assert summary.packed_bytes == pytest.approx(summary.expected_bytes, rel=0.02)
    assert summary.packed_bytes_limit > summary.packed_bytes


def test_no_range_of_memory_where_there_is_no_choice():
    pointwise = summarize(graph_of("[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=4\n"))
    assert pointwise.packed_bytes_limit == pointwise.packed_bytes == 64
    assert "up to" not in format_summary(pointwise)


@pytest.fixture
def weights_file(tmp_path, many_kinds):
    graph = graph_of(MANY_KINDS)
    path = tmp_path / "my.weights"
    path.write_bytes(struct.pack("<iiiQ", 0, 2, 5, 1234567) + bytes(expected_bytes(graph) - 20))
    return graph, path


def test_weights_that_fit(weights_file):
    graph, path = weights_file
    summary = summarize(graph, path)
    assert (summary.weights.bytes, summary.weights.expected_bytes) == (expected_bytes(graph),) * 2
    assert (summary.weights.version, summary.weights.seen, summary.weights.error) == ((0, 2, 5), 1234567, None)
    text = format_summary(summary)
    assert "which fits" in text
    assert "version 0.2.5, 1,234,567 images seen in training" in text


@pytest.mark.parametrize("header", [struct.pack("<iiiI", 0, 1, 0, 77), struct.pack("<iiiQ", 0, 2, 0, 77)])
def test_header_sizes(weights_file, header):
    graph, path = weights_file
    path.write_bytes(header + bytes(4 * graph.parameter_count))
    found = summarize(graph, path).weights
    assert (found.seen, found.error, found.bytes) == (77, None, found.expected_bytes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-4], "too few"),
        (lambda data: data + b"more", "too many"),
        (lambda data: data[:7], "too short"),
        (lambda data: b"", "empty"),
        (lambda data: b"GIF89a is a picture, not weights at all", "this is a text"),
        (lambda data: b"\xff" * 60, "probably not a Darknet weights file"),
    ],
)
def test_weights_that_do_not_fit_are_described(weights_file, change, said):
    graph, path = weights_file
    path.write_bytes(change(path.read_bytes()))
    summary = summarize(graph, path)
    assert said in summary.weights.error
    assert summary.weights.bytes == path.stat().st_size
    assert "which fits" not in format_summary(summary)


def test_missing_weights_are_described(weights_file):
    graph, path = weights_file
    found = summarize(graph, path.with_name("none.weights")).weights
    assert found.bytes is None
    assert "cannot read" in found.error


def test_summary_is_plain_for_json(weights_file):
    plain = summarize(*weights_file).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["input"] == {"c": 3, "h": 64, "w": 96}
    assert plain["layers"][0]["output"] == {"c": 8, "h": 32, "w": 48}
    assert plain["heads"][0]["anchors"][0] == [3.0, 4.0]
    assert plain["weights"]["version"] == [0, 2, 5]


def test_network_without_heads():
    summary = summarize(graph_of("[net]\nwidth=8\nheight=8\nchannels=1\n[connected]\noutput=5\n[softmax]\n"))
    assert summary.heads == ()
    assert summary.nms_kind is None
    assert [row.filters for row in summary.layers] == ["5", ""]
    assert "classifier" in format_summary(summary)
