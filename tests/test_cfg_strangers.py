"""What strangers' editors and habits leave in a cfg: read with a warning, or refused with a word that helps."""

from __future__ import annotations

import logging

import pytest

from darknet_py import CfgError, OptionError, UnsupportedError
from darknet_py.cfg import parse_cfg, parse_cfg_bytes
from darknet_py.graph import Graph, build_graph

NET = "[net]\nwidth=64\nheight=96\nchannels=3\n"
CONV = "[convolutional]\nfilters=14\nsize=3\nstride=8\npad=1\nactivation=linear\n"
YOLO = "[yolo]\nmask=0,1\nnum=2\nclasses=2\nanchors=6,7, 11,12\n"
TEXT = NET + CONV + YOLO


def graph(text: str | bytes) -> Graph:
    return build_graph(parse_cfg_bytes(text, "m.cfg") if isinstance(text, bytes) else parse_cfg(text, "m.cfg"))


def kinds(found: Graph) -> list[tuple[str, tuple[int, ...]]]:
    return [(layer.kind, tuple(layer.shape)) for layer in found.layers]


EXPECTED = kinds(graph(TEXT))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (TEXT.replace("[yolo]", "[yolo] # the head"), "m.cfg:11: [yolo]#thehead is read as [yolo]"),
        (TEXT.replace("[yolo]", "[yolo]; see [region]"), "is read as [yolo]"),
        (TEXT.replace("[net]", "[net] // of mine"), "m.cfg:1: [net]//ofmine is read as [net]"),
        (TEXT.replace("=linear", "=linear // none"), "activation=linear//none is read as linear"),
        (TEXT.replace("=linear", '="linear"'), "is read as linear: Darknet knows no quotation marks"),
        (TEXT.replace("=linear", "=\u201clinear\u201d"), "U+201C (left double quotation mark) as "),
        (TEXT.replace("=linear", "=Linear"), "activation=Linear is called linear"),
        (TEXT.replace("=linear", "=IDENTITY"), "activation=IDENTITY is called linear"),
        (TEXT.replace("classes=2", "classes\uff1d\uff12"), "U+FF1D (fullwidth equals sign) as '='"),
        (TEXT.replace("6,7,", "6\uff0c7,"), "U+FF0C (fullwidth comma) as ','"),
        (TEXT.replace("[yolo]", "\u3010yolo\u3011"), "as '['"),
        (TEXT.replace("filters=14", "filters=14\x0b"), "U+000B (a control character)"),
        (TEXT.replace("[convolutional]", "\x0c[convolutional]"), "U+000C (a control character)"),
        (TEXT.replace("[yolo]", "\U000e0001[yolo]"), "U+E0001 (language tag)"),
        (TEXT.replace("=linear", "=linear\u2800"), "U+2800 (braille pattern blank)"),
        (TEXT.replace("=linear", "=linear\ufe0f"), "U+FE0F (variation selector-16)"),
        (
            TEXT.replace("[yolo]", "[shortcut]\nfrom=0\nweights_normalization=sofmax\n[yolo]"),
            "=sofmax is taken for none",
        ),
        (TEXT + "\x1a", ""),  # the end of a file of DOS
        (TEXT.replace("\n", "\r"), "lines end in CR alone"),
        (TEXT.replace("=64\n", "=64\r"), "lines end in CR alone"),
        (TEXT.replace("11,12", "11,12,"), ""),
        (TEXT.replace("0,1\n", "0,1,\n"), "the comma at its end is ignored"),
    ],
)
def test_read_with_a_warning(text: str, warning: str) -> None:
    found = graph(text)
    assert [one for one in kinds(found) if one[0] != "shortcut"] == EXPECTED
    assert found.heads[0].anchors == (6, 7, 11, 12) and found.heads[0].classes == 2  # type: ignore[attr-defined]
    assert any(warning in one for one in found.warnings) if warning else not found.warnings


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings(codec: str, ending: str) -> None:
    found = graph(("# caf\u00e9\n" + TEXT).replace("\n", ending).encode(codec))
    assert kinds(found) == EXPECTED and not found.warnings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.replace("[net]", "[NET]"), "names are case-sensitive in Darknet: write [net]"),
        (TEXT.replace("[yolo]", "[yolov3]"), "(is yolo meant?)"),
        (TEXT.replace("[convolutional]", "[\u0441onvolutional]"), "U+0441 (cyrillic small letter es)"),
        (TEXT.replace("[yolo]", "[yolo"), "does not end with ']'"),
        (TEXT + TEXT, "a second network"),
        (TEXT.replace("=linear", "=lineer"), "(is linear meant?); Darknet would take it for relu"),
        (TEXT.replace("=linear", "=h_swish"), "activation=h_swish is not known; Darknet would take it for relu"),
        (
            TEXT.replace("stride=8", "stride=8\nshare_index=3"),
            "share_index names layer 3, not an earlier layer; none is",
        ),
    ],
)
def test_refused_with_a_word_that_helps(text: str, words: str) -> None:
    with pytest.raises(CfgError) as caught:
        graph(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["yolo4", "prelu", "se", "select", "route_lhalf", "depthwise_convolutional"])
def test_layers_of_other_programs_are_called_that(kind: str) -> None:
    with pytest.raises(
        UnsupportedError, match=r"not supported: a layer type of .*, which AlexeyAB's Darknet has not got: run it with"
    ):
        graph(TEXT.replace("[yolo]", f"[{kind}]"))


@pytest.mark.parametrize(
    ("listed", "anchors"),
    [
        ("6,7,11", (6, 7, 11, 0.5)),
        ("6", (6, 0.5, 0.5, 0.5)),
        ("6,7", (6, 7, 0.5, 0.5)),
        ("6,7,,12", (6, 7, 0, 12)),
        ("6,7 11,12", (6, 711, 12, 0.5)),  # a comma is missing: blanks are removed
        ("6,7,11,12,13", (6, 7, 11, 12)),
        ("6,7,11,12,13,14", (6, 7, 11, 12, 13, 14)),  # of which a mask may name the third
    ],
)
def test_anchors_are_what_darknet_makes_of_the_list(listed: str, anchors: tuple[float, ...]) -> None:
    found = graph(TEXT.replace("6,7, 11,12", listed))
    assert found.heads[0].anchors == anchors  # type: ignore[attr-defined]
    assert bool(found.warnings) == (len(anchors) < 6)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (TEXT.replace("classes=2", "classes=2\u00a0\nbad=1") + "[yolo\n", CfgError),
        (TEXT.replace("classes=2", "classes=2\u00a0") + "[yolo4]\n", UnsupportedError),
        (TEXT.replace("classes=2", "classes=2\u00a0").replace("filters=14", "filters=15"), CfgError),
    ],
)
def test_warnings_come_before_an_error(text: str, error: type, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(error):
        graph(text)
    assert any("no-break space" in message for message in caplog.messages)


def test_warnings_come_before_a_size_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    text = TEXT.replace("classes=2", "classes=2\u00a0")
    with caplog.at_level(logging.WARNING), pytest.raises(OptionError, match="multiples of 8"):
        build_graph(parse_cfg(text, "m.cfg"), (60, 60))
    assert any("no-break space" in message for message in caplog.messages)


def test_options_with_a_slip_in_their_name() -> None:
    found = graph(TEXT.replace("stride=8", "stride=8\nbatch_normalise=1\nfilters\u0301=3"))
    assert found.warnings[0].endswith("unknown option batch_normalise=1 is ignored (is batch_normalize meant?)")
    assert "it holds U+0301 (combining acute accent)" in found.warnings[1]
