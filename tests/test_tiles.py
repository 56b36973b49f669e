"""The example that looks at large pictures in tiles."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from darknet_py import Detector

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import tiles

#: Left, top and size of a module of codes: four of them too small to be seen in the picture as a whole.
PLACES = [(0, 0, 2), (370, 640, 2), (1500, 900, 2), (1000, 200, 2), (800, 400, 12)]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    stains = np.random.default_rng(0).integers(120, 200, (12, 18, 3), np.uint8)
    picture = cv2.resize(stains, (1800, 1200), interpolation=cv2.INTER_CUBIC)
    for number, (left, top, module) in enumerate(PLACES):
        code = np.pad(cv2.QRCodeEncoder.create().encode(f"code {number}"), 4, constant_values=255)
        code = code.repeat(module, 0).repeat(module, 1)
        picture[top : top + len(code), left : left + len(code)] = code[..., None]
    cv2.imwrite(str(tmp_path / "board.png"), picture)
    return tmp_path / "board.png"


def test_what_is_small_is_found_once(built_in: object, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (Detector().detect(board).class_names == "qr").sum() == 1
    bad = board.with_name("bad.jpg")
    bad.write_text("no picture")
    assert tiles.main([str(bad), str(board)]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("Error: ") and "bad.jpg" in shown.err
    lines = [line.removeprefix(f"{board}: ").split() for line in shown.out.splitlines()]
    codes = sorted(tuple(map(float, line[2:])) for line in lines if line[0] == "qr")
    assert len(codes) == len(PLACES)
    for (left, top, *_), (x, y, module) in zip(codes, sorted(PLACES), strict=True):
        assert abs(left - x - 4 * module) < 6 * module and abs(top - y - 4 * module) < 6 * module
