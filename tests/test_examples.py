"""The examples, with a stand-in for the detector that gives known boxes: what is searched, merged, cut out and read."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from darknet_py import Detections

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import read_codes  # noqa: E402
from read_codes import compare_readers, cut, main, read_crop, read_markers, read_qr  # noqa: E402
from tiles import find_everywhere, merge, windows  # noqa: E402

NAMES = ("qr", "barcode", "datamatrix", "aruco")
#: Colour (BGR) of the frame that the stand-in knows each class by.
FRAMES = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 0, 255))
#: One EAN-13, 95 modules: https://www.gs1.org, General Specifications, section 5.2.
EAN = "4006381333931"


class FrameDetector:
    """Finds coloured frames, if they would still be 16 pixels large in a network input of 416x416."""

    names = NAMES

    def detect(self, image: np.ndarray, thresh: float = 0.25) -> Detections:
        height, width = image.shape[:2]
        rows = []
        for class_id, color in enumerate(FRAMES):
            mask = cv2.inRange(image, color, color)
            _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
            for left, top, w, h, _ in stats[1:]:
                seen = min(w / width, h / height) * 416
                confidence = min(0.5 + seen / 1000, 0.99)
                if seen >= 16 and confidence > thresh:
                    rows.append((class_id, confidence, (left, top, left + w, top + h)))
        class_id, confidence, xyxy = zip(*rows, strict=True) if rows else ((), (), ())
        names = np.array([NAMES[i] for i in class_id], np.str_)
        return Detections(xyxy, confidence, class_id, names, width, height, confidence)


def desk(width: int, height: int) -> np.ndarray:
    """A grey picture with soft stains."""
    stains = np.random.default_rng(0).integers(120, 200, (height // 50, width // 50, 3), np.uint8)
    return cv2.resize(stains, (width, height), interpolation=cv2.INTER_CUBIC)


def put(image: np.ndarray, code: np.ndarray, class_id: int, left: int, top: int) -> tuple[int, int, int, int]:
    """Lay a code with a white rim on a picture and frame it; the frame's box."""
    sheet = cv2.copyMakeBorder(code, 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=255)
    height, width = sheet.shape
    image[top : top + height, left : left + width] = sheet[..., None]
    cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), FRAMES[class_id], 1)
    return left, top, left + width, top + height


def qr(text: str, side: int) -> np.ndarray:
    code = cv2.QRCodeEncoder.create().encode(text)
    return cv2.resize(code[2:-2, 2:-2], (side, side), interpolation=cv2.INTER_NEAREST)


def marker(dictionary: str, number: int, side: int, border: int = 1) -> np.ndarray:
    known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    return cv2.aruco.generateImageMarker(known, number, side, borderBits=border)


def ean13(digits: str) -> np.ndarray:
    """An EAN-13 as its specification draws it, 3 pixels per module."""
    left = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011".split()
    parities = "LLLLLL LLGLGG LLGGLG LLGGGL LGLLGG LGGLLG LGGGLL LGLGLG LGLGGL LGGLGL".split()
    right = ["".join("10"[int(bit)] for bit in code) for code in left]
    sets = {"L": left, "R": right, "G": [code[::-1] for code in right]}
    halves = digits[1:7], digits[7:]
    kinds = parities[int(digits[0])], "RRRRRR"
    coded = [
        "".join(sets[kind][int(digit)] for kind, digit in zip(*pair, strict=True))
        for pair in zip(kinds, halves, strict=True)
    ]
    bits = f"101{coded[0]}01010{coded[1]}101"
    row = np.repeat([255 * (bit == "0") for bit in bits], 3).astype(np.uint8)
    return np.pad(np.tile(row, (120, 1)), 20, constant_values=255)


# Searching in tiles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1024, 1024), (1025, 10), (4000, 3000), (3000, 1100), (1, 1)])
def test_windows_cover_the_picture_and_overlap(size):
    width, height = size
    tiles = list(windows(width, height, 1024))
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in tiles:
        assert (right - left, bottom - top) == (min(1024, width), min(1024, height))
        seen[top:bottom, left:right] = True
    assert seen.all()
    for axis in (0, 1):
        starts = sorted({tile[axis] for tile in tiles})
        assert all(later - earlier <= 768 for earlier, later in pairwise(starts))


def test_small_objects_are_found_in_large_pictures_once_and_whole():
    image = desk(1300, 1050)
    # In a corner, across the borders of tiles, and large.
    places = [(0, 0, 16), (495, 450, 40), (540, 600, 16), (380, 50, 50), (1200, 950, 60), (100, 550, 400)]
    boxes = [put(image, np.full((side, side), 255, np.uint8), 0, left, top) for left, top, side in places]
    detector = FrameDetector()
    assert len(detector.detect(image)) < len(boxes)
    found = find_everywhere(detector, image, 512)
    assert sorted(map(tuple, found.xyxy.round().astype(int).tolist())) == sorted(boxes)
    assert (found.image_width, found.image_height) == (1300, 1050)


def test_small_pictures_are_searched_once():
    image = desk(800, 600)
    put(image, qr("once", 105), 0, 100, 100)
    calls = []

    class Counting(FrameDetector):
        def detect(self, image: np.ndarray, thresh: float = 0.25) -> Detections:
            calls.append(image.shape)
            return super().detect(image, thresh)

    assert len(find_everywhere(Counting(), image, 1024)) == 1
    assert calls == [(600, 800, 3)]
    assert len(find_everywhere(Counting(), image, 1024, thresh=0.99)) == 0


def test_merging_keeps_the_likeliest_of_a_class_and_the_other_classes():
    def one(class_id: int, confidence: float, *box: float) -> Detections:
        return Detections([box], [confidence], [class_id], [NAMES[class_id]], 100, 50, [confidence])

    parts = [
        one(0, 0.6, 10, 10, 30, 30),
        one(0, 0.9, 11, 10, 31, 30),
        one(3, 0.5, 10, 10, 30, 30),
        one(0, 0.7, 60, 5, 70, 9),
    ]
    found = merge([*parts, Detections.empty(100, 50)], NAMES)
    assert sorted(found.confidence.tolist()) == pytest.approx([0.5, 0.7, 0.9])
    likeliest = found[found.confidence.argmax()]
    assert likeliest.xyxy[0] == pytest.approx([11, 10, 31, 30], abs=1e-4)
    assert likeliest.class_names.tolist() == ["qr"]
    assert len(merge([Detections.empty(100, 50)], NAMES)) == 0


# Reading ------------------------------------------------------------------------------------------------------


def test_crops_have_a_margin_and_stay_in_the_picture():
    image = np.arange(100 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(80, 100, 3)
    assert np.array_equal(cut(image, (20, 30, 40, 50)), image[26:54, 16:44])
    assert np.array_equal(cut(image, (-5, -5, 10, 10)), image[:13, :13])
    assert np.array_equal(cut(image, (90, 70, 300, 200)), image[44:, 48:])
    for outside in ((150, 150, 160, 160), (-30, -30, -20, -20), (5.5, 5.5, 5.5, 5.5)):
        assert cut(image, outside).size >= 3


def test_small_qr_code_is_enlarged():
    image = desk(400, 300)
    box = put(image, cv2.resize(qr("small", 210), (42, 42), interpolation=cv2.INTER_AREA), 0, 200, 100)
    assert read_crop(image, box, "qr") == ("qr", "small")


def test_of_two_codes_in_a_crop_the_middle_one_is_read():
    image = desk(600, 400)
    box = put(image, qr("middle", 147), 0, 200, 100)
    put(image, qr("beside", 147), 0, 372, 100)
    assert read_crop(image, (box[0] - 100, box[1] - 50, box[2] + 100, box[3] + 50), "qr") == ("qr", "middle")


@pytest.mark.skipif(not hasattr(cv2, "barcode"), reason="this OpenCV reads no barcodes")
def test_barcode():
    image = desk(600, 400)
    box = put(image, ean13(EAN), 1, 100, 100)
    # OpenCV's reader wants the soft edges of a photo.
    assert read_crop(cv2.GaussianBlur(image, (0, 0), 1), box, "barcode") == ("barcode", EAN)


@pytest.mark.parametrize(
    ("dictionary", "number", "border", "text"),
    [
        ("DICT_4X4_50", 17, 1, "DICT_4X4_50:17"),
        ("DICT_4X4_1000", 17, 1, "DICT_4X4_50:17"),  # the same marker
        ("DICT_4X4_1000", 700, 2, "DICT_4X4_1000:700"),
        ("DICT_6X6_250", 200, 1, "DICT_6X6_250:200"),
        ("DICT_ARUCO_ORIGINAL", 900, 1, "DICT_ARUCO_ORIGINAL:900"),
        ("DICT_APRILTAG_36h11", 33, 2, "DICT_APRILTAG_36h11:33"),
    ],
)
@pytest.mark.parametrize("multi", [True, False])
def test_marker_of_any_dictionary(monkeypatch, dictionary, number, border, text, multi):
    if not multi:
        monkeypatch.setattr(read_codes, "cv2", without_multi_dictionary())
    image = desk(300, 300)
    box = put(image, marker(dictionary, number, 120, border), 3, 70, 90)
    assert read_crop(image, box, "aruco") == ("aruco", text)


def without_multi_dictionary() -> ModuleType:
    """OpenCV with the marker detector of its versions before 4.12."""

    class ArucoDetector:
        def __init__(self, *arguments: object) -> None:
            self.detectMarkers = cv2.aruco.ArucoDetector(*arguments).detectMarkers

    read_codes._marker_detector.cache_clear()
    old, old.aruco = ModuleType("cv2"), ModuleType("cv2.aruco")
    old.__dict__.update(
        {name: getattr(cv2, name) for name in dir(cv2) if not name.startswith("__") and name != "aruco"}
    )
    old.aruco.__dict__.update({name: getattr(cv2.aruco, name) for name in dir(cv2.aruco) if not name.startswith("__")})
    old.aruco.ArucoDetector = ArucoDetector
    return old


def test_each_marker_is_reported_once():
    image = desk(600, 400)
    for left, number in ((50, 3), (300, 4)):
        put(image, marker("DICT_5X5_50", number, 140), 3, left, 100)
    texts = sorted(reading.text for reading in read_markers(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)))
    assert texts == ["DICT_5X5_50:3", "DICT_5X5_50:4"]


def test_data_matrix(monkeypatch):
    zxingcpp = pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed: pip install zxing-cpp")
    written = zxingcpp.create_barcode("HELD", zxingcpp.BarcodeFormat.DataMatrix).to_image(
        scale=6, add_quiet_zones=False
    )
    image = desk(300, 300)
    box = put(image, np.asarray(written), 2, 80, 80)
    assert read_crop(image, box, "datamatrix") == ("datamatrix", "HELD")
    assert read_crop(image, box, "qr") == ("datamatrix", "HELD")  # the model takes one for the other
    monkeypatch.setattr(read_codes, "zxingcpp", None)
    assert read_crop(image, box, "datamatrix") is None


@pytest.mark.parametrize("class_name", NAMES)
def test_crop_without_a_code_has_no_text(class_name):
    assert read_crop(desk(200, 200), (50, 50, 150, 150), class_name) is None


@pytest.mark.parametrize("error", [cv2.error("assertion failed"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")])
def test_reader_that_fails_has_read_nothing(monkeypatch, error):
    def fail(_: np.ndarray) -> list[read_codes.Reading]:
        raise error

    monkeypatch.setitem(read_codes.READERS, "qr", fail)
    assert read_crop(desk(200, 200), (50, 50, 150, 150), "qr") is None


def test_crops_are_enlarged_to_different_sizes_and_none_without_bounds(monkeypatch):
    sizes = []
    monkeypatch.setitem(read_codes.READERS, "barcode", lambda grey: sizes.append(grey.shape) or [])
    for box in ((100, 100, 110, 110), (100, 100, 600, 600), (0, 300, 1500, 302)):
        read_crop(desk(2600, 1000), box, "barcode")
    # 14 pixels in five sizes, 700 as they are, and the narrow strip as far as its width lets it.
    assert [shape[0] for shape in sizes[::2]] == [200, 14, 150, 300, 600, 700, 4, 4]
    assert sizes[::2] == sizes[1::2]  # with dark and light exchanged
    assert max(shape[1] for shape in sizes) == 2000


def test_light_on_dark_is_read_in_crops_alone():
    text = "https://example.org/night"
    light = np.full((400, 400, 3), 255, np.uint8)
    box = put(light, qr(text, 150), 0, 120, 130)
    assert read_crop(255 - light, box, "qr") == read_crop(light, box, "qr") == ("qr", text)
    assert read_qr(cv2.cvtColor(light, cv2.COLOR_BGR2GRAY)) and not read_qr(
        cv2.cvtColor(255 - light, cv2.COLOR_BGR2GRAY)
    )


# The command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(read_codes, "Detector", FrameDetector)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_one_line_per_code(command, tmp_path):
    image = desk(1600, 1300)
    put(image, qr("https://example.org/small", 75), 0, 1400, 1100)
    put(image, marker("DICT_7X7_50", 5, 90), 3, 300, 400)
    put(image, np.zeros((100, 100), np.uint8), 2, 1000, 700)
    picture = tmp_path / "desk.png"
    cv2.imwrite(str(picture), image)
    result = command(picture)
    assert result.exit_code == 0
    assert sorted(line.removeprefix(f"{picture}: ") for line in result.stdout.splitlines()) == [
        "aruco 300 400 414 514 'DICT_7X7_50:5'",
        "datamatrix 1000 700 1124 824 (not read)",
        "qr 1400 1100 1499 1199 'https://example.org/small'",
    ]


def test_a_bad_picture_does_not_stop_the_others_and_a_code_is_shown_once(command, tmp_path):
    bad, good = tmp_path / "bad.jpg", tmp_path / "good.png"
    bad.write_text("no picture")
    image = desk(600, 500)
    box = put(image, qr("once", 120), 0, 200, 200)
    # A second box around it, of another class that the same reader is tried for.
    cv2.rectangle(image, (box[0] - 3, box[1] - 3), (box[2] + 2, box[3] + 2), FRAMES[2], 1)
    cv2.imwrite(str(good), image)
    result = command(bad, good)
    assert result.exit_code == 1 and result.stderr.count("Error: ") == 1 and "bad.jpg" in result.stderr
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["qr"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "pictures or --compare"),
        (["x.jpg", "--compare", "1"], 2, "pictures or"),
        (["missing.jpg"], 1, "missing"),
        (["x.jpg", "--json", "x.json"], 2, "--json without --compare"),
    ],
)
def test_mistakes_are_one_error_line(command, arguments, code, said):
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_comparison_counts_what_each_way_reads(capsys, monkeypatch):
    def large_scene(seed: int, size: tuple[int, int]) -> tuple[np.ndarray, list[tuple[int, tuple[int, ...], str]]]:
        image = desk(*size)
        # A large one, a small one, one of another text, and a marker that two dictionaries have.
        codes = [(qr(f"large {seed}", 315), f"large {seed}"), (qr("tiny", 63), "tiny"), (qr("else", 105), "no")]
        truth = [(0, put(image, code, 0, 100 + 400 * i, 200), text) for i, (code, text) in enumerate(codes)]
        truth.append((3, put(image, marker("DICT_4X4_50", 9, 150), 3, 500, 700), "DICT_4X4_1000:9"))
        return image, truth

    heldout = ModuleType("training.heldout")
    heldout.large_scene = large_scene  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "training.heldout", heldout)
    monkeypatch.setattr(sys, "path", list(sys.path))
    compare_readers(FrameDetector(), range(5, 7), (1400, 1000), 1024, 0.25)
    title, heads, *rows, times = capsys.readouterr().out.splitlines()
    assert title == "2 pictures of 1400x1000"
    assert heads.split() == ["codes", "OpenCV", "alone", "crops"]
    table = {row.split()[0]: re.findall(r"\d+%?", row[12:]) for row in rows}
    assert list(table) == list(NAMES)
    assert table["barcode"] == ["0", "0", "0%", "0", "0%"]
    assert table["aruco"] == ["2", "2", "100%", "2", "100%"]
    assert table["qr"][0] == "6"
    assert table["qr"][3:] == ["4", "67%"]
    assert 2 <= int(table["qr"][1]) <= 4
    assert len(re.findall(r"\d+\.\d\d", times)) == 2


def test_with_the_built_in_model(built_in, tmp_path):
    image = desk(640, 480)
    put(image, qr("https://example.org", 168), 0, 240, 150)
    cv2.imwrite(str(tmp_path / "desk.png"), image)
    result = CliRunner().invoke(main, [str(tmp_path / "desk.png")])
    assert result.exit_code == 0
    assert "'https://example.org'" in result.stdout
