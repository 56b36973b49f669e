"""The syntax of a cfg, rule by rule as Darknet reads it, and what is said about what cannot be read."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darknet_py import CfgError
from darknet_py.cfg import Section, parse_cfg, read_cfg
from darknet_py.graph import build_graph

NET = "[net]\nwidth=32\nheight=24\nchannels=3\n"


def section(text: str) -> Section:
    """The section after [net] that holds `text`, its first line being line 6."""
    return parse_cfg(f"{NET}[convolutional]\n{text}", "model.cfg")[1]


def warnings_of(text: str) -> tuple[str, ...]:
    return build_graph(parse_cfg(NET + text, "model.cfg")).warnings


@pytest.mark.parametrize(
    "text",
    [
        "filters=8",
        "filters = 8",
        "  filters\t=\t8  ",
        "fil ters=8",
        "filters=8\r",
        "\n\nfilters=8\n\n",
        "#filters=9\nfilters=8",
        ";filters=9\nfilters=8",
        "  # filters=9\nfilters=8",
        "filters=8\nfilters=9",  # the first of two wins
        "filters=\nfilters=8",  # rejected line, as if it were not there
        "filters=8#nine",
        "filters=8abc",
        "filters=8.9",
        "filters=+8",
        "filters=0008",
    ],
)
def test_option_lines(text: str) -> None:
    assert section(text).integer("filters", 1) == 8


def test_blanks_inside_values_and_headers() -> None:
    sections = parse_cfg("[ net ]\nwidth = 4 1 6\n\t[ con vol utional ]\n mask = 0 , 1,\t2 \n")
    assert [s.kind for s in sections] == ["net", "convolutional"]
    assert sections[0].integer("width", 0) == 416
    assert sections[1].integers("mask") == (0, 1, 2)


def test_options_split_at_the_first_equals_sign() -> None:
    assert section("activation=a=b").text("activation") == "a=b"
    assert section("activation==").text("activation") == "="


def test_a_line_without_equals_hides_later_ones() -> None:
    """Darknet stores a null value, which counts as absent and comes first."""
    found = section("filters\nfilters=8")
    assert found.integer("filters", 5) == 5
    assert not found.has("filters")


def test_a_line_without_a_value_is_ignored_with_a_warning() -> None:
    assert warnings_of("[convolutional]\nfilters=\n") == (
        "model.cfg:6: [convolutional] filters= has no value and is ignored",
    )


def test_trailing_comments_are_part_of_words() -> None:
    """Numbers survive them, words do not: comments have lines of their own."""
    assert section("size=3#three").integer("size", 1) == 3
    assert section("activation=leaky#x").text("activation") == "leaky#x"
    assert section("anchors=1,2, 3,4 # 5,6").numbers("anchors") == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-3", -3), ("+3", 3), ("3x", 3), ("1_000", 1), ("0x10", 0), ("1e3", 1), ("3,5", 3)],
)
def test_integers_are_read_like_atoi(text: str, value: int) -> None:
    assert section(f"key={text}").integer("key", 7) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-.5", -0.5), (".5x", 0.5), ("1e3", 1000), ("1e-3", 0.001), ("2.", 2), ("1e", 1), ("1.5.2", 1.5)],
)
def test_numbers_are_read_like_atof(text: str, value: float) -> None:
    assert section(f"key={text}").number("key", 7) == value


def test_what_was_cut_off_a_number_is_told() -> None:
    found = section("size=3x")
    found.integer("size", 1)
    assert found.warnings == ["model.cfg:6: [convolutional] size=3x is read as 3"]


@pytest.mark.parametrize("text", ["three", "-", "x3", "+-3", "nan", "inf", "=3"])
def test_what_is_no_number_is_an_error(text: str) -> None:
    """atoi would give 0, which nobody means."""
    for read in (Section.integer, Section.number):
        with pytest.raises(CfgError, match=r"model.cfg:6: \[convolutional\] \(layer 0\): key=.*expected a number"):
            read(section(f"key={text}"), "key", 7)


@pytest.mark.parametrize("text", ["9" * 4000, "9" * 5000, "1" + "0" * 400 + ".5", "1e999", "-1e999"])
def test_numbers_without_end(text: str) -> None:
    with pytest.raises(CfgError, match=r"model\.cfg:6:"):
        section(f"key={text}").number("key", 0)
    if "e" not in text:
        with pytest.raises(CfgError, match=r"model\.cfg:6:"):
            section(f"key={text}").integer("key", 0, high=1 << 20)
    with pytest.raises(CfgError, match=r"model\.cfg:6:"):
        section(f"key=1,{text}").numbers("key")


def test_lists() -> None:
    assert section("mask=0,1,2").integers("mask") == (0, 1, 2)
    assert section("mask=5").integers("mask") == (5,)
    assert section("anchors=1.5, 2,3 ,4").numbers("anchors") == (1.5, 2, 3, 4)
    assert section("mask=3,4,").integers("mask") == (3, 4, 0)  # as in Darknet
    assert section("anchors=3,4,").numbers("anchors") == (3, 4)
    assert section("anchors=3,,4").numbers("anchors") == (3, 0, 4)
    assert section("other=1").integers("mask") is None
    with pytest.raises(CfgError, match="mask=x: expected a number"):
        section("mask=0,x").integers("mask")


def test_bounds_and_choices_name_the_line() -> None:
    with pytest.raises(CfgError, match=r"model.cfg:7: \[convolutional\] \(layer 0\): filters=0: expected at least 1"):
        section("size=1\nfilters=0").integer("filters", 1, low=1)
    with pytest.raises(CfgError, match=r"model.cfg:6: .*: size=9: expected 1 to 7"):
        section("size=9").integer("size", 1, low=1, high=7)
    with pytest.raises(CfgError, match=r"nms_kind=best: expected one of default, greedynms"):
        section("nms_kind=best").choice("nms_kind", "default", ("default", "greedynms"))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_and_missing_last_one(newline: str) -> None:
    sections = parse_cfg(newline.join(["[net]", "width=8", "[avgpool]", "key=1"]))
    assert sections[1].line == 3
    assert sections[1].options["key"].value == "1"
    assert sections[1].options["key"].line == 4


def test_a_very_long_line() -> None:
    values = ",".join(map(str, range(20000)))
    assert section(f"anchors={values}").integers("anchors") == tuple(range(20000))


@pytest.mark.parametrize("header", ["[net]", "[network]", " [ net ] "])
def test_first_section(header: str) -> None:
    assert parse_cfg(f"{header}\nwidth=1\n")[0].integer("width", 0) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"model.cfg: no \[section\] in it"),
        ("# only a comment\n\n", r"model.cfg: no \[section\] in it"),
        ("width=3\n[net]\n", r"model.cfg:1: 'width=3' stands before any section"),
        ("\n[convolutional]\n", r"model.cfg:2: the first section is \[convolutional\], expected \[net\]"),
        ("[Net]\n", r"the first section is \[Net\], expected \[net\]"),  # case matters
        ("[net]x\n", r"model.cfg:1: section header '\[net\]x' does not end with '\]'"),
        ("[net]\n[conv\n", r"model.cfg:2: section header '\[conv' does not end"),
        ("[net]\nwidth=8\nheight=8\nchannels=3\n", r"no layer follows"),
        ("[net]\n[avgpool]\n", r"model.cfg:1: \[net\]: width=0 height=0 channels=0: expected all three"),
        ("[net]\nwidth=8\nheight=8\n[avgpool]\n", r"channels=0: expected all three to be at least 1"),
    ],
)
def test_text_that_is_no_network(text: str, message: str) -> None:
    with pytest.raises(CfgError, match=message):
        build_graph(parse_cfg(text, "model.cfg"))


@pytest.mark.parametrize("kind", ["convolutionals", "dropin", "maxout", ""])
def test_section_that_does_not_exist(kind: str) -> None:
    with pytest.raises(CfgError, match=rf"model.cfg:5: \[{kind}\] \(layer 0\): no such layer type in Darknet"):
        build_graph(parse_cfg(f"{NET}[{kind}]\n", "model.cfg"))


@pytest.mark.parametrize("kind", ["convolutional", "shortcut", "connected"])
def test_activation_that_does_not_exist(kind: str) -> None:
    text = f"{NET}[convolutional]\n[{kind}]\nfrom=-1\nactivation=leeky\n"
    with pytest.raises(
        CfgError, match=rf"model.cfg:8: \[{kind}\] \(layer 1\): activation=leeky is not known \(is leaky meant\?\)"
    ):
        build_graph(parse_cfg(text, "model.cfg"))


def test_unknown_option_is_a_warning_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "darknet_py"):
        found = warnings_of("[convolutional]\nfilters=4\nfilterz=8\n[avgpool]\nsize=2\n")
    assert found == (
        "model.cfg:7: [convolutional] unknown option filterz=8 is ignored (is filters meant?)",
        "model.cfg:9: [avgpool] unknown option size=2 is ignored",
    )
    assert tuple(caplog.messages) == found


def test_training_options_are_quiet() -> None:
    net = (
        "batch=64\nsubdivisions=8\nmomentum=0.9\ndecay=0.0005\nlearning_rate=0.1\npolicy=steps\nsteps=1,2\nscales=.1,.1"
    )
    yolo = "ignore_thresh=.7\ntruth_thresh=1\nrandom=1\njitter=.3\nresize=1.5\niou_loss=ciou\nmax=200\ncls_normalizer=1"
    text = f"{NET}{net}\n[convolutional]\nfilters=18\nstopbackward=1\n[yolo]\nnum=3\nclasses=1\n{yolo}\n"
    assert build_graph(parse_cfg(text)).warnings == ()


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a model.cfg"
    path.write_bytes(b"\xef\xbb\xbf" + NET.encode() + b"# caf\xe9\n[avgpool]\n")  # byte order mark, Latin-1 comment
    assert [s.kind for s in read_cfg(path)] == ["net", "avgpool"]
    assert read_cfg(str(path))[1].file == str(path)


@pytest.mark.parametrize("data", [b"\0\0\0\0\2\0\0\0", NET.encode().replace(b"width", b"wi\0dth")])
def test_a_binary_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.cfg").write_bytes(data)
    with pytest.raises(CfgError, match=r"model\.cfg: this is a binary file.*cfg and weights swapped"):
        read_cfg(tmp_path / "model.cfg")


@pytest.mark.parametrize(
    ("data", "kind"), [(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"), (b"<html><body>404", "a web page")]
)
def test_what_is_no_cfg_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "model.cfg").write_bytes(data)
    with pytest.raises(CfgError, match=rf"model\.cfg: this is {kind}; expected the text of a Darknet cfg"):
        read_cfg(tmp_path / "model.cfg")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CfgError, match=r"none\.cfg: cannot read the cfg: No such file"):
        read_cfg(tmp_path / "none.cfg")
    with pytest.raises(CfgError, match="cannot read the cfg"):
        read_cfg(tmp_path)
    (tmp_path / "empty.cfg").touch()
    with pytest.raises(CfgError, match=r"empty\.cfg: no \[section\]"):
        read_cfg(tmp_path / "empty.cfg")


def test_a_file_too_large_to_be_a_cfg_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.cfg").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(CfgError, match=r"over 4 MB; a cfg is a small text file"):
        read_cfg(tmp_path / "huge.cfg")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[net]", "[conv]", "[route]", "[yolo]", "layers", "=", "-1", "99", "size", "\n", "#", ",", " "]
        )
    ).map("".join)
)
def test_any_text_gives_a_network_or_an_error_that_says_where(text: str) -> None:
    error = None
    try:
        build_graph(parse_cfg(NET + text, "model.cfg"))
    except CfgError as caught:
        error = caught
    assert error is None or str(error).startswith("model.cfg")
