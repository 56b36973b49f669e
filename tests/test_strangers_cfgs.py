"""Cfgs as strangers write them: what Darknet reads is read, and what is read otherwise, or not at all, is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from darknet_py import CfgError, OptionError, UnsupportedError
from darknet_py.cfg import parse_cfg, parse_cfg_bytes
from darknet_py.graph import Graph, build_graph, load_graph
from darknet_py.layers.base import LAYER_KEYS
from darknet_py.shipped import resolve_cfg, shipped_models

NET = "[net]\nwidth=64\nheight=96\nchannels=3\n"
CONV = "[convolutional]\nfilters=14\nsize=3\nstride=8\npad=1\nactivation=linear\n"
YOLO = "[yolo]\nmask=0,1\nnum=2\nclasses=2\nanchors=6,7, 11,12\n"


def graph(text: str = NET + CONV + YOLO, size: tuple[int, int] | None = None) -> Graph:
    return build_graph(parse_cfg(text, "m.cfg"), size)


def conv(stride: int, stride_y: int | None = None) -> str:
    rows = "" if stride_y is None else f"stride_y={stride_y}\n"
    return f"[convolutional]\nfilters=14\nsize=3\nstride={stride}\n{rows}pad=1\nactivation=linear\n"


# Sizes --------------------------------------------------------------------------------------------------------

JOINED = conv(4) + conv(2) + "[upsample]\nstride=2\n[route]\nlayers=-1,0\n" + conv(1) + YOLO


def test_a_size_that_suits_saves_a_cfg_that_does_not() -> None:
    text = NET.replace("96", "92") + JOINED
    assert graph(text, (64, 96)).blob == (3, 96, 64)
    with pytest.raises(CfgError, match=r"same width and height; width and height: both .* of 8 .*64x96.*\(--size\)"):
        graph(text)
    with pytest.raises(OptionError, match=r"size 64x92: both must be multiples of 8 for this network, such as 64x96"):
        graph(NET + JOINED, (64, 92))


def test_strides_are_those_of_the_layers_not_of_a_width_that_was_rounded() -> None:
    # 60 / 8 is 7.5: one cell of 8 stands for 8 pixels, not for 60 / 8.
    uneven = NET.replace("64", "60").replace("96", "60") + CONV + YOLO
    assert graph(uneven).strides == (8, 8)
    assert graph(uneven, (64, 96)).heads[0].shape[1:] == (12, 8)
    with pytest.raises(OptionError, match=r"both must be multiples of 8 .*such as 64x64"):
        graph(uneven, (60, 62))


def test_width_and_height_have_strides_of_their_own() -> None:
    found = graph(NET + conv(2, 4) + conv(2) + YOLO)
    assert found.strides == (4, 8) and found.stride == 8
    assert graph(NET + conv(2, 4) + conv(2) + YOLO, (68, 96)).heads[0].shape[1:] == (12, 17)
    with pytest.raises(OptionError, match="the width must be a multiple of 4 and the height of 8"):
        graph(NET + conv(2, 4) + conv(2) + YOLO, (68, 100))


def test_a_layer_without_room_is_told_a_size_not_a_multiple() -> None:
    text = NET.replace("96", "64") + conv(2) + "[crop]\ncrop_width=40\ncrop_height=24\n"
    with pytest.raises(CfgError, match=r"expected at most 32; width and height: 128x128 would do; set them in \[net\]"):
        graph(text)
    with pytest.raises(OptionError, match=r"^size 64x32: .*crop_width=40 .*expected at most 32; 128x128 would do$"):
        graph(text, (64, 32))


@pytest.mark.parametrize(
    ("name", "stride"), [("yolov4", 32), ("yolov4-tiny", 32), ("yolov3-spp", 32), ("yolov2", 32), ("yolov7", 32)]
)
def test_strides_of_shipped_models(name: str, stride: int) -> None:
    assert load_graph(name).strides == (stride, stride)


# Words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "own"), [("silu", "swish"), ("sigmoid", "logistic"), ("none", "linear"), ("ReLU", "relu")]
)
def test_other_names_of_activations_are_read_with_a_warning(other: str, own: str) -> None:
    found = graph(NET + CONV.replace("linear", other))
    assert found.layers[0].activation == own  # type: ignore[attr-defined]
    assert found.warnings == (
        f"m.cfg:5: [convolutional] (layer 0): activation={other} is called {own} in Darknet, which would take it for "
        "relu",
    )


@pytest.mark.parametrize("remark", ["#no activation", "  # slope .1", ";none"])
def test_remarks_behind_words_are_no_part_of_them(remark: str) -> None:
    found = graph(NET + CONV.replace("linear", "leaky" + remark) + YOLO + f"nms_kind=greedynms{remark}\n")
    assert found.layers[0].activation == "leaky"  # type: ignore[attr-defined]
    assert found.heads[0].nms_kind == "greedynms"  # type: ignore[attr-defined]
    assert [warning.split(": ")[0] for warning in found.warnings] == ["m.cfg:10", "m.cfg:16"]


def test_words_that_darknet_takes_for_its_default_are_named() -> None:
    found = graph(NET + CONV + YOLO + "nms_kind=softnms\n")
    assert found.heads[0].nms_kind == "default"  # type: ignore[attr-defined]
    assert "m.cfg:16: [yolo] nms_kind=softnms is taken for default, as Darknet does" in found.warnings[0]
    with pytest.raises(CfgError, match="activation=leeky is not known"):
        graph(NET + CONV.replace("linear", "leeky"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("select", "not supported: a layer type of darkflow"),
        ("implicit_add", "not supported: a layer type of WongKinYiu's Darknet"),
    ],
)
def test_layers_of_other_darknets_are_not_supported(kind: str, message: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"\[{kind}\] \(layer 1\): .*{message}"):
        graph(f"{NET}{CONV}[{kind}]\n")


@pytest.mark.parametrize("kind", ["deconvolutional", "deconv", "l2norm", "logistic"])
def test_layers_of_pjreddies_darknet_run_and_are_called_that(kind: str) -> None:
    found = graph(f"{NET}{CONV}[{kind}]\n[{kind}]\n")
    assert [layer.kind for layer in found.layers[1:]].count(found.layers[1].kind) == 2
    (warning,) = found.warnings
    assert warning.startswith(f"m.cfg:11: [{kind}] (layer 1): computed as pjreddie's Darknet does; it is not supported")


@pytest.mark.parametrize(("kind", "meant"), [("YOLO", "yolo"), ("Convolutional", "convolutional"), ("GRU", "gru")])
def test_capitals_are_named(kind: str, meant: str) -> None:
    with pytest.raises(CfgError, match=rf"case-sensitive in Darknet: write \[{meant}\]"):
        graph(f"{NET}{CONV}[{kind}]\n")


# Lines --------------------------------------------------------------------------------------------------------


def test_the_first_of_two_equal_keys_counts_and_both_lines_are_named() -> None:
    found = graph(NET + CONV.replace("size=3", "filters=21\nsize=3\nsize=3") + YOLO)
    assert found.layers[0].shape.c == 14
    assert found.warnings == ("m.cfg:7: [convolutional] filters=21 is ignored: the first counts, filters=14 in line 6",)


@pytest.mark.parametrize("place", ["[yolo]\u00a0", "\u200b[yolo]", "[yo\u00adlo]"])
def test_characters_that_nobody_sees_are_left_out(place: str) -> None:
    found = graph((NET + CONV + YOLO).replace("[yolo]", place).replace("linear", "linear\ufeff"))
    assert len(found.heads) == 1
    assert "m.cfg:10: characters that cannot be seen are left out: U+FEFF (zero width no-break space)" in found.warnings
    assert any(warning.startswith("m.cfg:11: characters that cannot be seen") for warning in found.warnings)


def test_remarks_may_hold_what_they_like() -> None:
    assert graph(NET + "# caf\u00e9\u00a0\u200b\n" + CONV + YOLO).warnings == ()


def test_lines_of_other_systems() -> None:
    text = NET + CONV + YOLO
    assert parse_cfg_bytes(text.encode("utf-16"), "m.cfg") == parse_cfg(text, "m.cfg")
    assert parse_cfg(text.replace("\n", "\r\n"), "m.cfg") == parse_cfg(text, "m.cfg")
    old = build_graph(parse_cfg(text.replace("\n", "\r"), "m.cfg"))
    assert old.heads == graph().heads and "end in CR alone" in old.warnings[0]


@pytest.mark.parametrize("line", ["classes=", "Classes=2", "classes: 2", "c lasses 2"])
def test_what_was_not_understood_is_said_before_the_error_that_follows(
    line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CfgError, match=r"5 \+ 20 classes\) = 50 \(classes= is not given: Darknet assumes 20\)"):
        graph(NET + CONV + YOLO.replace("classes=2", line))
    assert [record.message.split(": ")[0] for record in caplog.records] == ["m.cfg:14"]


def test_options_behind_an_error_are_no_strangers(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CfgError), caplog.at_level(logging.WARNING):
        graph(NET + CONV + YOLO.replace("classes=2", "classes=0") + "scale_x_y=1.05\nnms_kind=greedynms\n")
    assert not caplog.records


def test_every_option_that_layers_ask_for_is_known() -> None:
    for name in shipped_models():
        sections = parse_cfg(resolve_cfg(name).read_text())
        build_graph(sections)
        for section in sections:
            assert section._read <= LAYER_KEYS | {"inputs"}


def test_nothing_between_commas_is_the_first_layer() -> None:
    found = graph(NET + conv(4) + conv(1) + "[route]\nlayers=-1,\n")
    assert found.layers[2].inputs == (1, 0)
    assert "nothing between commas is layer 0" in found.warnings[0]


# Anchors ------------------------------------------------------------------------------------------------------


def test_anchors_that_are_not_listed_are_darknets_default() -> None:
    found = graph(NET + CONV.replace("14", "21") + YOLO.replace("mask=0,1", "mask=0,1,2").replace("num=2", "num=3"))
    assert found.heads[0].anchors == (6, 7, 11, 12, 0.5, 0.5)  # type: ignore[attr-defined]
    assert "num=3, but anchors= lists 2" in found.warnings[0]


def test_anchors_of_nothing_are_read() -> None:
    found = graph(NET + CONV + YOLO.replace("11,12", "0,0"))
    assert found.heads[0].anchors[2:] == (0, 0)  # type: ignore[attr-defined]
    assert "anchors= holds a size that is not positive" in found.warnings[0]


# Names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mine.data", "names.txt"])
def test_a_data_file_in_place_of_names_leads_to_them(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    from darknet_py.names import find_names

    (tmp_path / name).write_text("classes = 2\ntrain = t.txt\nnames = obj.names\nbackup = b/\n")
    with pytest.raises(CfgError, match=r"a \.data file, and names=obj\.names in it is not there"):
        find_names("m.cfg", 2, tmp_path / name)
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    assert find_names("m.cfg", 2, tmp_path / name) == ("cat", "dog")
    assert "obj.names, which it points to" in caplog.text


def test_names_that_a_data_file_promises_in_vain_are_missed_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from darknet_py.names import find_names

    (tmp_path / "m.data").write_text("classes=80\nnames=thermal.names\n")
    assert find_names(tmp_path / "m.cfg", 80)[0] == "person"
    assert "m.data says names=" in caplog.text and "thermal.names, which is not there" in caplog.text
