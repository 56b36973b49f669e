"""The example that reads codes, with a stand-in for the detector."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import pytest
from printed_codes import boxes, printed, scene

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import read_codes  # noqa: E402


class Nothing:
    """Finds nothing."""

    def detect(self, image, *arguments, **options):
        return boxes(size=image.shape[1::-1])


def test_a_line_a_code_and_bad_pictures_do_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(read_codes, "Detector", Nothing)
    bad, good = tmp_path / "bad.jpg", tmp_path / "good.png"
    bad.write_text("no picture")
    cv2.imwrite(str(good), scene((printed("QRCode", "https://example.org"), 60, 40)))
    assert read_codes.main([str(bad), str(good)]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{good}: QR Code ") and shown.out.endswith(" 'https://example.org'\n")
    assert shown.err.startswith("Error: ") and "bad.jpg" in shown.err
    assert read_codes.main([str(good)]) == 0


def test_with_the_built_in_model(built_in: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "desk.png"
    cv2.imwrite(str(picture), scene((printed("EAN13", "4006381333931", 4), 100, 120)))
    assert read_codes.main([str(picture)]) == 0
    assert capsys.readouterr().out.endswith(" '4006381333931'\n")
