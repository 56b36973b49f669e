"""What codes say: read in the picture or in boxes, certain or not told at all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from networks import TinyNetwork
from printed_codes import boxes, printed, scene, turned

from darknet_py import Detector, UnsupportedError
from darknet_py.codes import Code, markers, read_codes, read_found, texts
from darknet_py.codes.certainty import certain
from darknet_py.codes.views import View, views_of, whole
from darknet_py.codes.zxing import Read, need_zxing, read_view

#: zxing-cpp's name of a format in Python, what it says it has read, and a text.
KINDS = [
    ("QRCode", "QR Code", "https://example.org"),
    ("DataMatrix", "Data Matrix", "part 17"),
    ("Aztec", "Aztec", "a ticket"),
    ("PDF417", "PDF417", "a parcel's label"),
    ("EAN13", "EAN-13", "4006381333931"),
    ("Code128", "Code 128", "400638133393"),
    ("Code39", "Code 39", "ABC-123"),
    ("ITF", "ITF", "1234567890"),
]


def told(codes: list[Code]) -> list[tuple[str, str | None]]:
    return [(code.kind, code.text) for code in codes]


# Reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "kind", "text"), KINDS)
@pytest.mark.parametrize("found", ["nothing", "another kind"])
def test_a_code_is_what_its_reader_says(form, kind, text, found):
    pixels = printed(form, text)
    place = 60, 40, 60 + pixels.shape[1], 40 + pixels.shape[0]
    seen = boxes() if found == "nothing" else boxes(("datamatrix" if form == "QRCode" else "qr", place))
    (code,) = read_found(scene((pixels, 60, 40)), seen)
    assert (code.kind, code.text) == (kind, text)
    assert code.corners is not None and len(code.corners) == 4
    for x, y in code.corners:
        assert place[0] - 2 <= x <= place[2] + 2 and place[1] - 2 <= y <= place[3] + 2
    assert (code.class_name is None) == (code.confidence is None) == (found == "nothing")


def test_a_box_is_turned_and_enlarged_where_the_picture_cannot_be_read():
    small = cv2.resize(turned(printed("EAN13", "4006381333931", 4), 35), None, fx=0.45, fy=0.45,
                       interpolation=cv2.INTER_AREA)  # fmt: skip
    picture = scene((small, 200, 100))
    assert read_found(picture, boxes()) == []
    place = 200, 100, 200 + small.shape[1], 100 + small.shape[0]
    (code,) = read_found(picture, boxes(("barcode", place)))
    assert (code.kind, code.text, code.class_name) == ("EAN-13", "4006381333931", "barcode")
    assert code.xyxy[0] <= 200 and code.xyxy[2] >= place[2] - 1  # the detector's: a reader sees some rows


@pytest.mark.parametrize("form", ["EAN13", "UPCE", "Code39", "ITF14", "Codabar", "DataBarExp", "PZN", "DXFilmEdge"])
def test_a_barcode_of_any_kind_has_the_detectors_box_too(form: str):
    row = Read(str(getattr(need_zxing().BarcodeFormat, form)), "1", np.array([(9, 20), (90, 20), (90, 22), (9, 22)]))
    (one,) = boxes(("barcode", (10, 5, 88, 40))).sorted()
    assert texts._code(row, one).xyxy == (9, 5, 90, 40)


def test_codes_beside_each_other_are_told_once_and_from_the_top():
    one, two = printed("QRCode", "one"), printed("DataMatrix", "two", 5)
    picture = scene((one, 350, 250), (two, 30, 20))
    around = boxes(("qr", (340, 240, 480, 390)), ("datamatrix", (345, 245, 470, 380)), ("qr", (25, 15, 140, 140)))
    assert told(read_found(picture, around)) == [("Data Matrix", "two"), ("QR Code", "one")]
    every = boxes(("qr", (0, 0, 640, 480)))  # a box around both is neither's
    assert told(read_found(picture, every, unread=True)).count(("qr", None)) <= 1
    coloured = np.dstack([picture] * 3)
    for pixels in (coloured, np.dstack([coloured, picture]), picture[..., None]):
        assert told(read_found(pixels, around)) == [("Data Matrix", "two"), ("QR Code", "one")]


def test_what_cannot_be_read_is_told_on_demand_alone():
    noise = np.random.default_rng(0).integers(0, 256, (100, 120), np.uint8)
    picture = scene((noise, 50, 60))
    seen = boxes(("qr", (50, 60, 170, 160)), ("datamatrix", (52, 60, 171, 161)), ("barcode", (400, 300, 401, 300.5)))
    assert read_found(picture, seen) == []
    left = read_found(picture, seen, unread=True)
    assert told(left) == [("qr", None), ("barcode", None)]
    assert left[0].corners is None and left[0].xyxy == (50, 60, 170, 160)


@pytest.mark.parametrize("box", [(-50, -40, 10, 5), (630, 470, 900, 700), (0, 0, 640, 480), (700, 500, 800, 600)])
def test_boxes_may_reach_beyond_the_picture(box):
    assert read_found(scene(), boxes(("qr", box))) == []
    assert told(read_found(scene(), boxes(("aruco", box)), unread=True)) == [("aruco", None)]


def test_a_detector_and_a_picture_are_enough(tmp_path: Path):
    tiny = TinyNetwork((3, 32, 64), seed=1)
    tiny.add("convolutional", {"filters": 18, "size": 3, "pad": 1, "stride": 4, "activation": "linear"})
    tiny.add("yolo", {"classes": 4, "num": 2, "anchors": "9,12, 20,17", "mask": "0,1"})
    detector = Detector(*tiny.write(tmp_path), ["qr", "barcode", "datamatrix", "aruco"], threads=1)
    picture = scene((printed("QRCode", "hello"), 60, 40))
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    for image in (tmp_path / "a.png", picture, np.dstack([picture] * 3)):
        assert told(read_codes(detector, image, 0.9)) == [("QR Code", "hello")]
    assert told(read_codes(detector, picture, 0.9, tiles=320)) == [("QR Code", "hello")]


def test_without_the_reader_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    need_zxing.cache_clear()
    with pytest.raises(UnsupportedError, match=r'pip install "darknet-numba\[codes\]"'):
        read_codes(None, scene())  # type: ignore[arg-type]


# What is certain -----------------------------------------------------------------------------------------------


def read(kind: str, text: str) -> Read:
    return Read(kind, text, np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([], None),
        ([("QR Code", "a")], "a"),
        ([("EAN-13", "4006381333931")], None),
        ([("EAN-13", "4006381333931")] * 2, "4006381333931"),
        ([("EAN-13", "4006381333931"), ("Code 128", "4006381333931")], None),
        ([("ITF", "123456"), ("ITF", "123457"), ("ITF", "123456")], None),
        ([("ITF", "123456"), ("ITF", "123457"), ("ITF", "123456"), ("ITF", "123456")], "123456"),
        ([("ITF", "1234")] * 5, None),
        ([("Code 39", "AB1")] * 5, None),
        ([("Codabar", "A12B")] * 2, None),
        ([("Code 128", "A")] * 2, "A"),
    ],
)
def test_what_reads_have_to_agree_about(reads: list[tuple[str, str]], expected: str | None):
    agreed = certain([read(*one) for one in reads])
    assert (None if agreed is None else agreed.text) == expected


def test_print_that_is_no_code_says_nothing():
    for seed in range(3):
        widths = np.random.default_rng(seed).integers(1, 5, 60)
        stripes = np.repeat(np.arange(60) % 2 * 255, 3 * widths).astype(np.uint8)
        picture = scene((np.tile(stripes[:500], (90, 1)), 40, 50))
        assert read_found(picture, boxes(("barcode", (40, 50, 540, 140)))) == []


def test_a_second_read_is_of_other_pixels(monkeypatch: pytest.MonkeyPatch):
    """A reader that misreads the picture misreads the same pixels alike."""
    answers = iter([["0049040000014"], *[["0049000006346"]] * 9])
    seen = []

    def misread(view: View) -> list[Read]:
        seen.append(view.pixels.shape)
        corners = np.array([(58, 106), (120, 106), (120, 114), (58, 114)], float)
        return [Read("UPC-E", text, corners) for text in next(answers)]

    monkeypatch.setattr("darknet_py.codes.texts.read_view", misread)
    (code,) = read_found(scene(), boxes())
    assert code.text == "0049000006346"
    assert len(seen) == 4 and len(set(seen)) == 4


def test_control_characters_are_told_as_they_are():
    text = "]C1\x1d17\x1ddone"
    (code,) = read_found(scene((printed("QRCode", text), 60, 40)), boxes())
    assert code.text == text


# Markers -------------------------------------------------------------------------------------------------------

aruco: Any = getattr(cv2, "aruco", None)
needs_aruco = pytest.mark.skipif(not hasattr(aruco, "ArucoDetector"), reason="this OpenCV has no ArUco")


def marker(name: str, number: int, border: int = 1, side: int = 120) -> np.ndarray:
    dictionary = aruco.getPredefinedDictionary(getattr(aruco, name))
    return np.pad(aruco.generateImageMarker(dictionary, number, side, borderBits=border), 20, constant_values=255)


@needs_aruco
@pytest.mark.parametrize(
    ("name", "number", "border"),
    [("DICT_4X4_50", 17, 1), ("DICT_6X6_250", 200, 1), ("DICT_APRILTAG_36H11", 17, 1), ("DICT_5X5_100", 77, 2)],
)
def test_a_marker_is_told_by_the_smallest_dictionary_that_has_it(name, number, border):
    picture = scene((turned(marker(name, number, border), 20), 100, 80))
    (code,) = read_found(picture, boxes(("aruco", (110, 90, 310, 290))))
    assert code.text == str(number) and code.kind.upper() == f"ARUCO {name}"
    assert code.corners is not None
    # Turned against the clock: what is printed at the top left comes first, and lies at the left.
    (x0, y0), (x1, y1), *_ = code.corners
    assert x1 - x0 > 60 and -60 < y1 - y0 < -20


@needs_aruco
def test_a_marker_with_a_wrong_bit_is_not_told():
    pixels = marker("DICT_4X4_50", 17)
    pixels[60:80, 60:80] = 255 - pixels[60:80, 60:80]
    seen = boxes(("aruco", (110, 90, 250, 230)))
    assert told(read_found(scene((pixels, 100, 80)), seen, unread=True)) == [("aruco", None)]
    # A black square, and one with a gap in its frame.
    for left, fill in ((20, 0), (0, 255)):
        square = np.zeros((120, 120), np.uint8)
        square[50:70, left : left + 60] = fill
        assert read_found(scene((np.pad(square, 20, constant_values=255), 100, 80)), seen) == []


@needs_aruco
@pytest.mark.parametrize("grey", [0, 1, 128, 255])
def test_a_square_of_one_grey_has_no_bits(grey):
    quad = np.array([(10, 10), (60, 10), (60, 60), (10, 60)], np.float32)
    assert markers._bits(np.full((80, 80), grey, np.uint8), quad, 6) is None


# Views ---------------------------------------------------------------------------------------------------------


def test_a_view_knows_where_its_pixels_are():
    rows, columns = np.mgrid[0:200, 0:240]
    picture = (columns + rows // 2).clip(0, 255).astype(np.uint8)  # each place has its grey
    views = list(views_of(picture, (80, 60, 150, 110)))
    assert len(views) > 5 and len({view.pixels.shape for view in views}) > 3
    for view in [whole(picture), *views]:
        height, width = view.pixels.shape
        for x, y in ((width // 2, height // 2), (width // 3, height // 2), (width // 2, 2 * height // 3)):
            at = view.back @ (x + 0.5, y + 0.5, 1) - 0.5
            assert abs(float(view.pixels[y, x]) - (at[0] + at[1] // 2)) < 3


def test_reads_lie_in_the_picture():
    pixels = printed("QRCode", "here", 4)
    picture = scene((pixels, 200, 150))
    ((_, _, expected),) = read_view(whole(picture))
    for view in views_of(picture, (200, 150, 200 + pixels.shape[1], 150 + pixels.shape[0])):
        for one in read_view(View(view.pixels, view.back)):
            assert np.abs(one.corners - expected).max() < 3


def test_a_code_is_its_json():
    code = Code("a\n", "QR Code", (1.0, 2.0, 3.5, 4.0), ((1, 2), (3, 2), (3, 4), (1, 4)), "qr", 0.5)
    for one in (code, Code(None, "qr", (0.0, 0.0, 1.0, 1.0), None, "qr", 0.25)):
        assert Code.from_json(one.to_json()) == one
