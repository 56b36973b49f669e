"""Layers and shapes that a cfg describes: references, sizes, counts as Darknet's, and what is refused and how."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED

from darknet_py import CfgError, OptionError, UnsupportedError
from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph, load_graph
from darknet_py.weights import expected_bytes

GOLDEN = SHARED / "golden"


def graph(layers: str, net: str = "width=32\nheight=24\nchannels=6", size: tuple[int, int] | None = None) -> Graph:
    """The graph of a cfg whose layers begin on line 5."""
    return build_graph(parse_cfg(f"[net]\n{net}\n{layers}", "model.cfg"), size)


def shapes(layers: str) -> list[tuple[int, int, int]]:
    return [tuple(layer.shape) for layer in graph(layers).layers]


CONV = "[convolutional]\nfilters=8\n"


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("[convolutional]", (1, 24, 32)),  # filters=1 size=1 by default
        ("[conv]\nfilters=5\nsize=3", (5, 22, 30)),
        ("[conv]\nfilters=5\nsize=3\npad=1", (5, 24, 32)),
        ("[conv]\nfilters=5\nsize=3\npad=1\ndilation=4", (5, 24, 32)),  # dilation is not in the formula
        ("[conv]\nfilters=5\nsize=3\npad=1\nstride=2", (5, 12, 16)),
        ("[conv]\nfilters=5\nsize=3\npad=1\nstride=5", (5, 5, 7)),
        ("[conv]\nfilters=5\nsize=3\nstride_x=3\npadding=2", (5, 26, 12)),
        ("[conv]\nfilters=5\nsize=3\npad=1\nstride=2\nantialiasing=1", (5, 12, 16)),
        ("[conv]\nfilters=5\nsize=3\npad=1\nstride=2\nantialiasing=2", (5, 12, 16)),
        ("[maxpool]\nsize=2\nstride=2", (6, 12, 16)),
        ("[max]\nsize=2\nstride=1", (6, 24, 32)),
        ("[maxpool]\nsize=3\nstride=2\npadding=0", (6, 11, 15)),
        ("[maxpool]\nstride=5", (6, 5, 7)),  # size=stride, padding=size-1
        ("[maxpool]\nmaxpool_depth=1\nout_channels=4\nsize=2\nstride=2", (4, 24, 32)),
        ("[local_avg]\nsize=3\nstride=2", (6, 12, 16)),
        ("[avg]", (6, 1, 1)),
        ("[conn]\noutput=7", (7, 1, 1)),
        ("[upsample]", (6, 48, 64)),
        ("[upsample]\nstride=-4", (6, 6, 8)),
        ("[reorg]\nstride=1", (6, 24, 32)),
        ("[reorg3d]\nstride=2", (24, 12, 16)),
        ("[soft]", (6, 24, 32)),
        ("[dropout]", (6, 24, 32)),
    ],
)
def test_shape(layer: str, shape: tuple[int, int, int]) -> None:
    assert shapes(layer) == [shape]


def test_references_count_from_the_start_or_back() -> None:
    found = graph(
        f"{CONV}[dropout]\n[conv]\nfilters=4\n[route]\nlayers=-1, 0,-2\n[route]\nlayers=3\ngroups=4\ngroup_id=3\n"
    )
    assert found.layers[3].inputs == (2, 0, 1)
    assert [tuple(layer.shape) for layer in found.layers[3:]] == [(20, 24, 32), (5, 24, 32)]
    found = graph(f"{CONV}{CONV}[shortcut]\nfrom=-2\n[conv]\nfilters=8\nshare_index=-2\n")
    assert found.layers[2].inputs == (1, 0)
    assert found.layers[3].share == 1  # type: ignore[attr-defined]
    assert found.layers[3].parameters == ()


@pytest.mark.parametrize(
    ("layers", "where", "message"),
    [
        ("[route]\nlayers=0", "model.cfg:6: [route] (layer 0)", "layers names layer 0, not an earlier layer"),
        (f"{CONV}[route]\nlayers=1", "model.cfg:8: [route] (layer 1)", "layers names layer 1, not an earlier layer"),
        (f"{CONV}[route]\nlayers=99", "model.cfg:8:", "expected 0 or -1, the one layer before it"),
        (f"{CONV}[route]\nlayers=-2", "model.cfg:8:", "layers names layer -2, before the first layer"),
        (f"{CONV}[shortcut]\nfrom=5", "model.cfg:8: [shortcut] (layer 1)", "from names layer 5"),
        (f"{CONV}[sam]\nfrom=-7", "model.cfg:8: [sam] (layer 1)", "from names layer -7"),
        (f"{CONV}[conv]\nfilters=8\nshare_index=1", "model.cfg:9: [conv] (layer 1)", "share_index names layer 1"),
        (f"{CONV}[route]", "model.cfg:7: [route] (layer 1)", "layers= is missing"),
        (f"{CONV}[shortcut]\nactivation=linear", "model.cfg:7: [shortcut]", "from= is missing"),
        (f"{CONV}[scale_channels]", "model.cfg:7: [scale_channels]", "from= is missing"),
        (f"{CONV}[conv]\nsize=3\nfilters=8\nshare_index=0", "model.cfg:7:", "(8, 6, 1, 1), expected (8, 8, 3, 3)"),
        (
            f"{CONV}[conv]\nfilters=8\ngroups=2\n[route]\nlayers=0\ngroups=2\n[conv]\nfilters=8\nshare_index=1",
            "model.cfg:13:", "share_index names layer 1 of 8 input channels, expected 4",
        ),
        (f"{CONV}[max]\nsize=2\n[conv]\nshare_index=1", "model.cfg:9:", "share_index names layer 1, a [maxpool]"),
        ("[conv]\nfilters=9\ngroups=4", "model.cfg:5: [conv] (layer 0)", "groups=4 must divide both the 6 "),
        ("[conv]\nfilters=9\ngroups=2", "model.cfg:5:", "filters=9"),
        (f"{CONV}[route]\nlayers=0\ngroups=3", "model.cfg:9:", "groups=3 does not divide the 8 channels of"),
        (f"{CONV}[route]\nlayers=0\ngroups=2\ngroup_id=2", "model.cfg:10:", "group_id=2 with groups=2: expected 0 to"),
        (f"{CONV}[max]\nstride=2\n[route]\nlayers=0,1", "model.cfg:10:", "layer 1 is 16 x 12, layer 0 is 32 x 24"),
        (f"{CONV}[conv]\nfilters=4\n[sam]\nfrom=0", "model.cfg:9:", "expected equal shapes"),
        (f"{CONV}[conv]\nfilters=3\n[scale_channels]\nfrom=0", "model.cfg:9:", "expected (8, 1, 1) to scale layer 0"),
        (f"{CONV}[scale_channels]\nfrom=0\nscale_wh=1", "model.cfg:7:", "expected (1, 24, 32) to scale layer 0"),
        (f"{CONV}[shortcut]\nfrom=0\nweights_type=per_feature", "model.cfg:7:", "needs weights_normalization=relu or"),
        (f"{CONV}[shortcut]\nfrom=0\nweights_type=some", "model.cfg:9:", "weights_type=some: expected one of none"),
        ("[reorg]\nstride=2", "model.cfg:6: [reorg]", "4 must divide the 6 input channels"),
        ("[reorg3d]\nstride=5", "model.cfg:6: [reorg3d]", "must divide the input's width 32 and height 24"),
        ("[softmax]\ngroups=7", "model.cfg:6:", "groups=7 does not divide the 4608 inputs"),
        ("[softmax]\ntemperature=0", "model.cfg:6:", "temperature=0"),
        ("[softmax]\ntree=no.tree", "model.cfg:6:", "no such file beside the cfg; files elsewhere are not opened"),
        ("[upsample]\nstride=0", "model.cfg:6:", "stride=0: expected a factor"),
        ("[conv]\nsize=1\npadding=1", "model.cfg:5:", "Darknet reads outside the image"),
    ],
)  # fmt: skip
def test_layer_that_cannot_be(layers: str, where: str, message: str) -> None:
    with pytest.raises(CfgError) as caught:
        graph(layers)
    assert str(caught.value).startswith(where)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("[conv]\nsize=40", "the output would be 0 x 0 x 1 (w x h x c) for an input of 32 x 24 x 6"),
        ("[conv]\nsize=25", "the output would be 0 x 0 x 1"),
        ("[max]\nsize=30\npadding=0", "the output would be 3 x 0 x 6"),
        ("[upsample]\nstride=-25", "the output would be 1 x 0 x 6"),
        ("[conv]\nfilters=0", "filters=0: expected 1 to"),
        ("[conv]\nfilters=-8", "filters=-8: expected 1 to"),
        ("[conv]\nfilters=99999999", "filters=99999999: expected 1 to 1048576"),
        ("[conv]\nsize=0", "size=0: expected 1 to"),
        ("[conv]\nsize=-3", "size=-3: expected 1 to"),
        ("[conv]\nstride=0", "stride=0: expected 1 to"),
        ("[conv]\nsize=3\npadding=-1", "padding=-1: expected 0 to"),
        ("[conv]\nsize=3\ndilation=0", "dilation=0: expected 1 to"),
        ("[conv]\ngroups=99999999999999999999", "groups=99999999999999999999: expected at most"),
        ("[conv]\nfilters=1000000\nsize=3\npadding=1000000", "too large to be meant"),
        ("[upsample]\nstride=1000000", "too large to be meant"),
        ("[max]\nstride=-1", "stride=-1: expected 1 to"),
        ("[conn]\noutput=0", "output=0: expected 1 to"),
        ("[soft]\ngroups=0", "groups=0: expected 1 to"),
    ],
)
def test_absurd_sizes_cost_no_memory(layers: str, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CfgError) as caught:
            graph(layers)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert message in str(caught.value)
    assert str(caught.value).startswith("model.cfg:")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("width=100000000\nheight=24\nchannels=3", "width=100000000: expected 0 to 32768"),
        ("width=-32\nheight=24\nchannels=3", "width=-32: expected 0 to"),
        ("width=32\nheight=0\nchannels=3", "expected all three to be at least 1"),
        ("width=32768\nheight=32768\nchannels=32768", "too large to be meant"),
    ],
)
def test_absurd_input(net: str, message: str) -> None:
    with pytest.raises(CfgError, match=r"model\.cfg:[12]: ") as caught:
        graph("[avgpool]", net)
    assert message in str(caught.value)


def test_weights_shared_by_signs_and_numbers() -> None:
    with pytest.raises(UnsupportedError, match=r"model.cfg:9: \[conv\] \(layer 2\): .* one of the two is xnor"):
        graph(f"{CONV}{CONV}[conv]\nfilters=8\nxnor=1\nshare_index=1\n")


def test_what_is_shown_no_picture_says_why() -> None:
    assert graph(CONV, "inputs=70").no_pictures == "it reads 70 values at a time (inputs=70), not pictures"
    assert graph(CONV, "width=7\nheight=1\nchannels=2").no_pictures == "channels=2, but pictures have 1, 3 or 4"
    assert not any(graph(CONV, f"width=7\nheight=5\nchannels={c}").no_pictures for c in (1, 3, 4))


def test_networks_without_images_read_vectors() -> None:
    found = graph("[connected]\noutput=5", "inputs=256")
    assert (found.blob, found.layers[0].shape, found.parameter_count) == ((256, 1, 1), (5, 1, 1), 5 * 257)
    with pytest.raises(CfgError, match=r"model.cfg:3: \[crnn\] .*would turn 1 x 1 into nothing"):
        graph("[crnn]", "inputs=256")
    with pytest.raises(OptionError, match=r"size 32x64: model.cfg:1: \[net\]: inputs=256: this network reads no"):
        graph("[connected]", "inputs=256", (32, 64))


@pytest.mark.parametrize("key", ["dontload", "dontloadscales"])
def test_layers_without_weights_are_refused(key: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"model.cfg:5: \[conv\] \(layer 0\): {key}=1 is not supported"):
        graph(f"[conv]\n{key}=1")


def head(kind: str = "yolo", filters: int = 21, **options: object) -> Graph:
    text = "".join(f"{key}={value}\n" for key, value in options.items())
    return graph(f"[conv]\nfilters={filters}\n[{kind}]\n{text}")


def test_heads() -> None:
    layer: Any = head(classes=2, num=9, mask="6,7,8", anchors="1,2," * 9).layers[1]
    assert (layer.mask, len(layer.anchors), layer.nms_kind, layer.beta_nms) == ((6, 7, 8), 18, "default", 0.6)
    assert (layer.scale_x_y, layer.new_coords) == (1, False)
    layer = head(classes=2, num=3).layers[1]
    assert (layer.mask, layer.anchors) == ((0, 1, 2), (0.5,) * 6)  # Darknet's defaults
    layer = head("Gaussian_yolo", 22, classes=2, num=2, nms_kind="cornersnms", yolo_point="left_top").layers[1]
    assert (layer.nms_kind, layer.yolo_point) == ("cornersnms", "left_top")
    assert head(classes=2, num=3, nms_kind="cornersnms").layers[1].nms_kind == "default"  # type: ignore[attr-defined]
    layer = head("region", 21, classes=2, num=3, anchors="1,2,3,4,5,6", softmax=1).layers[1]
    assert (layer.coords, layer.softmax, layer.tree, layer.classfix) == (4, True, None, 0)
    assert head(classes=2, num=3).heads == (head(classes=2, num=3).layers[1],)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mask": "0,1,9", "num": 9, "anchors": "1,2," * 9},
            "mask=0,1,9 points outside the 9 anchors; expected 0 to 8",
        ),
        ({"mask": "-1,0,1", "num": 9, "anchors": "1,2," * 9}, "mask=-1,0,1 points outside"),
        ({"mask": "0,1,4", "num": 3, "anchors": "1,2,3,4,5,6"}, "points outside the 3 anchors"),
        ({"num": 3, "anchors": "1,2,3,4,5,1e999"}, "expected a number that a computer can hold"),
        ({"num": 2}, "gives 21 channels, expected 2 anchors x (5 + 2 classes) = 14: set filters=14 there, or correct"),
        ({"num": 3, "classes": 80}, "expected 3 anchors x (5 + 80 classes) = 255: set filters=255"),
        ({"num": 3, "classes": 0}, "classes=0: expected 1 to"),
        ({"num": 0}, "num=0: expected 1 to"),
    ],
)
def test_head_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(CfgError) as caught:
        head(**{"classes": 2, **options})
    assert str(caught.value).startswith("model.cfg:")
    assert "[yolo] (layer 1)" in str(caught.value)
    assert message in str(caught.value)


def test_mask_beyond_num_uses_the_listed_anchors_and_warns() -> None:
    found = head(classes=2, num=2, mask="1,2,3", anchors="1,2,3,4,5,6,7,8")
    assert found.warnings == (
        "model.cfg:7: [yolo] (layer 1): num=2 but the mask goes up to 3; the listed anchors are used",
    )


DETECTOR = (
    "[conv]\nfilters=7\nsize=3\npad=1\nstride=4\n[yolo]\nclasses=2\n[route]\nlayers=0\n[upsample]\n[yolo]\nclasses=2\n"
)


def test_size_override() -> None:
    found = graph(DETECTOR, size=(64, 40))
    assert tuple(found.blob) == (6, 40, 64)
    assert tuple(found.heads[0].shape) == (7, 10, 16)
    assert found.stride == 4


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((64, 42), "size 64x42: both must be multiples of 4 for this network, such as 64x40"),
        ((64, 41), "multiples of 4"),
        ((0, 40), "size 0x40: expected a width and a height between 1 and 32768"),
        ((-64, 40), "expected a width and a height"),
        ((64, 1 << 20), "expected a width and a height"),
    ],
)
def test_size_that_does_not_fit(size: tuple[int, int], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        graph(DETECTOR, size=size)
    assert message in str(caught.value)


@pytest.mark.parametrize("size", [(65, 40), (66, 40), (2, 4)])
def test_width_that_does_not_fit(size: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match=f"size {size[0]}x{size[1]}: both must be multiples of 4"):
        graph("[conv]\nfilters=7\nsize=3\npad=1\nstride=4\n[yolo]\nclasses=2\n", size=size)


@pytest.mark.parametrize("size", [(417, 417), (416, 400), (48, 48)])
def test_size_that_does_not_fit_a_route(size: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="both must be multiples of 32"):
        load_graph(Path(__file__).parents[1] / "cfg" / "yolov4-tiny.cfg", size)


def test_size_for_a_cfg_whose_own_size_does_not_fit() -> None:
    """Darknet only warns about such a cfg: its head is rounded up."""
    layers = "[conv]\nfilters=7\nsize=3\npad=1\nstride=4\n[yolo]\nclasses=2\n"
    assert graph(layers, "width=30\nheight=24\nchannels=3").heads[0].shape.w == 8
    assert tuple(graph(layers, "width=30\nheight=24\nchannels=3", (64, 48)).blob) == (3, 48, 64)


def test_output_is_the_last_layer_that_is_not_cost() -> None:
    assert graph(f"{CONV}[avgpool]\n[cost]\n[cost]\n").output.index == 1
    assert graph("[cost]").output.index == 0


def test_bin_output_is_undone_by_readers() -> None:
    xnor = "[conv]\nfilters=6\nxnor=1\nbin_output=1\nactivation=leaky\n"
    activations = {
        "": "linear",
        CONV: "linear",
        "[route]\nlayers=0\n": "leaky",
        "[shortcut]\nfrom=0\n": "leaky",
        f"{CONV}[route]\nlayers=1\n": "linear",
        f"{CONV}[route]\nlayers=1,0\n": "leaky",
    }
    for after, expected in activations.items():
        assert graph(xnor + after).layers[0].activation == expected  # type: ignore[attr-defined]


def supported_cases() -> list[Any]:
    names = sorted(file.parent.name for file in GOLDEN.glob("*/golden.npz"))
    names = [name for name in names if name != "synth_syntax"]
    return names or [pytest.param("", marks=pytest.mark.skip("no golden data beside the project"))]


@pytest.mark.parametrize("name", supported_cases())
def test_counts_are_darknets(name: str) -> None:
    """Size of the weights file, work, number of layers and shapes, as Darknet reports them."""
    meta = json.loads((GOLDEN / name / "meta.json").read_text())
    found = load_graph(GOLDEN / name / "net.cfg")
    assert expected_bytes(found) == meta["weights_bytes"]
    # Darknet prints 4 digits; depth pooling is counted with its size there.
    assert found.bflops == pytest.approx(meta["bflops_total"], abs=1e-4)
    assert found.letter_box == bool(meta["net"]["letter_box"])
    assert len(found.layers) == len(meta["layers"])
    for layer, (index, _, shape, outputs) in zip(found.layers, meta["layers"], strict=True):
        assert (layer.index, layer.outputs) == (index, outputs)
        assert tuple(layer.shape) == tuple(shape) or shape == [0, 0, 0]
