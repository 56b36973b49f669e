"""Truth of real photographs from reads that agree, and the figures that are made of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from printed_codes import boxes, printed, scene, turned

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.photos import truth
from training.photos.bars import whole_bars
from training.photos.measure import Figures, part_of
from training.photos.reads import Code, agreed, alike, reads

EAN = "4006381333931"


def code(text: str, left: float, symbology: str = "EAN-13") -> Code:
    return Code("barcode", symbology, text, np.array([[left, 0], [left + 90, 0], [left + 90, 9], [left, 9.0]]))


def told(ways: list[list[Code]], text: str | None) -> tuple[list[str], bool]:
    found, whole = agreed(ways, text)
    return [one.text for one in found], whole


def test_what_agrees_is_certain():
    one, other, far = code("12", 0), code("13", 2), code("14", 300)
    assert told([[one], [one]], None) == (["12"], True)
    assert told([[one], []], None) == ([], False)
    assert told([[one], [other]], None) == ([], False)
    assert told([[one], [other]], "0012") == (["12"], True)  # the text beside the picture decides
    assert told([[one], [one]], "99") == ([], False)
    assert told([[one, far], [one, far], []], "14") == (["12", "14"], True)
    assert told([[], []], "14") == ([], True)


def test_texts_that_are_spelled_otherwise():
    assert alike("EAN-13", "0036000291452", "036000291452") and not alike("EAN-13", "0036000291452", "36000291453")
    assert alike("Codabar", "A123B", "123") and not alike("Code 39", "A123B", "123")
    assert alike("DataBar Omni", "(01)00075678164125", "75678164125")
    for short, whole in (("01234565", "012345000065"), ("04124498", "041244000098")):
        assert truth.whole_number(short) == whole
    assert [truth.whole_number(f"0123{n}5{n}8") for n in (3, 4)] == ["012300000358", "012340000058"]


@pytest.mark.parametrize("degrees", [0, 12, -25])
def test_bars_are_followed_to_their_ends(degrees):
    bars = printed("EAN13", EAN, 3)
    pixels = turned(np.vstack([np.full((40, bars.shape[1]), 255, np.uint8), np.repeat(bars[60:61], 120, axis=0),
                               np.full((40, bars.shape[1]), 255, np.uint8)]), degrees)  # fmt: skip
    picture = scene((pixels, 90, 60))
    found, _ = agreed(list(reads(picture)), EAN)
    quad = whole_bars(picture, found[0].quad)
    # The bars are 120 high and 285 wide (95 modules), about the middle.
    angle = np.deg2rad(degrees)
    half = np.abs(np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])) @ (142.5, 60)
    middle = np.array([90 + pixels.shape[1] / 2, 60 + pixels.shape[0] / 2])
    assert np.abs(quad.min(axis=0) - (middle - half)).max() < 14
    assert np.abs(quad.max(axis=0) - (middle + half)).max() < 14


def test_bars_end_at_a_finger():
    bars = np.repeat(printed("EAN13", EAN, 3)[60:61], 150, axis=0)
    picture = scene((bars, 90, 200))
    # Over their upper part, with a soft edge: light and dark halves, and as long as one likes.
    share = np.clip((260 - np.arange(480.0)) / 60, 0, 1)[:, None]
    finger = np.where(np.arange(640) < 240, 60.0, 190.0)
    picture = (picture * (1 - share) + finger * share).astype(np.uint8)
    middle = np.array([[114.0, 300], [399, 300], [399, 310], [114, 310]])
    quad = whole_bars(picture, middle)
    assert quad[:2, 1].min() > 190 and abs(quad[2:, 1].max() - 350) < 6


def test_a_part_of_a_code_is_no_code():
    whole = (30.0, 50.0, 190.0, 210.0)
    assert truth._is_part((35, 58, 120, 198), whole) and not truth._is_part(whole, (35, 58, 120, 198))
    assert not truth._is_part(whole, whole) and not truth._is_part((150, 58, 400, 198), whole)


def test_truth_of_a_folder(tmp_path: Path):
    folder = tmp_path / "zxing" / "qrcode-9"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(-9, 9, (480, 640))
    picture = (scene((printed("QRCode", "hello"), 60, 40)) * 0.8 + 20 + noise).clip(0, 255).astype(np.uint8)
    for name, text in (("a", "hello"), ("b", "another")):
        cv2.imwrite(str(folder / f"{name}.png"), picture)
        (folder / f"{name}.txt").write_text(text)
    inner = tmp_path / "jsqr" / "one"
    inner.mkdir(parents=True)
    cv2.imwrite(str(inner / "input.png"), scene())
    (inner / "output.json").write_text("null")
    out = tmp_path / "truth.json"
    result = CliRunner().invoke(truth.main, [str(tmp_path), str(out), "--workers", "1"])
    assert result.exit_code == 0, result.output
    right, wrong, empty = json.loads(out.read_text())
    assert (right["whole"], right["photograph"], right["codes"][0]["kind"]) == (True, True, "qr")
    assert np.abs(np.array(right["codes"][0]["xyxy"]) - (84, 64, 147, 147)).max() < 70
    assert not wrong["whole"] and wrong["codes"] == []
    assert (empty["text"], empty["codes"], empty["whole"], empty["photograph"]) == (None, [], True, False)
    assert CliRunner().invoke(truth.main, [str(inner), str(out)]).exit_code == 1


def test_figures():
    def picture(group: str, *codes: tuple[str, list[float]]) -> dict[str, object]:
        listed = [{"kind": kind, "xyxy": xyxy} for kind, xyxy in codes]
        return {"picture": f"zxing/{group}/1.png", "width": 640, "height": 480, "photograph": True, "whole": True,
                "codes": listed}  # fmt: skip

    figures = Figures(("qr", "barcode", "datamatrix", "aruco"))
    large, small = [20.0, 10.0, 600.0, 470.0], [10.0, 10.0, 90.0, 90.0]
    figures.add(picture("qrcode-1", ("qr", large)), boxes(("qr", large)))
    figures.add(picture("qrcode-1", ("qr", large)), boxes(("barcode", large)))
    figures.add(picture("datamatrix-1", ("datamatrix", small)), boxes(("qr", small), ("datamatrix", small)))
    figures.add(picture("pdf417-1", ("pdf417", large)), boxes(("qr", large), ("barcode", small)))
    figures.add(picture("falsepositives-2"), boxes())
    row = figures.row()
    assert row["objects"] == {"qr": 2, "datamatrix": 1}
    assert row["filling"] == [1, 2] and row["datamatrix as qr"] == [1, 1]
    assert row["false"]["pdf417"] == [2, 1] and row["false"]["falsepositives"] == [0, 1]
    # Of the boxes in pictures of codes that the model has a class for.
    assert np.sum(list(row["right"].values()), axis=0).tolist() == [2, 4]
    assert row["AP50"]["datamatrix"] == pytest.approx(1) and 0.4 < row["AP50"]["qr"] < 0.6
    other = Figures(("qr", "pdf417"))  # a model that knows them
    seen = boxes(("barcode", large))  # number 1
    other.add(picture("pdf417-1", ("pdf417", large)), seen)
    assert other.row()["false"]["pdf417"] == [0, 1] and other.row()["AP50"] == {"pdf417": pytest.approx(1)}


def test_looks_are_chosen_by_other_pictures_than_are_reported() -> None:
    known = [{"picture": str(k)} for k in range(8)]
    reported, others = (part_of(known, 3, rest=rest) for rest in (False, True))
    assert [one["picture"] for one in reported] == ["0", "3", "6"]
    assert sorted(one["picture"] for one in reported + others) == [str(k) for k in range(8)]
    assert part_of(known, 1, rest=False) == known and not part_of(known, 1, rest=True)
