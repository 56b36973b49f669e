"""The examples, with a stand-in for the detector that gives known boxes: what is cut out and read."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from framed_codes import FRAMES, NAMES, FrameDetector, desk, ean13, marker, put, qr

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import read_codes  # noqa: E402
from read_codes import compare_readers, cut, main, read_crop, read_markers, read_qr  # noqa: E402

#: One EAN-13, 95 modules: https://www.gs1.org, General Specifications, section 5.2.
EAN = "4006381333931"


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
