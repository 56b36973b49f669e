"""What scenes are made of besides codes on labels: decoys, packages, marked parts, boards, the camera's programs."""

from __future__ import annotations

import itertools
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

for optional in ("segno", "barcode", "ppf.datamatrix", "zxingcpp"):
    pytest.importorskip(optional, reason="the code encoders are not installed: pip install '.[train]'")
import zxingcpp  # noqa: E402

from training.scenes import backgrounds, bank, generate, sensor, symbols  # noqa: E402
from training.scenes.blocks import symbol_block  # noqa: E402
from training.scenes.boards import board  # noqa: E402
from training.scenes.decoys import decoy  # noqa: E402
from training.scenes.engraving import engraved  # noqa: E402
from training.scenes.foreign import FOREIGN, foreign  # noqa: E402
from training.scenes.packages import package  # noqa: E402
from training.scenes.signs import SIGNS  # noqa: E402


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("class_id", "name", "payload", "read"),
    [
        (symbols.BARCODE, "DataBarOmni", "0950110153000", "0109501101530003"),
        (symbols.BARCODE, "DataBarStkOmni", "0950110153000", "0109501101530003"),
        (symbols.BARCODE, "DataBarLtd", "0950110153000", "0109501101530003"),
        (symbols.BARCODE, "DataBarExpStk", "(01)09501101530003(10)AB1", "010950110153000310AB1"),
        (symbols.BARCODE, "Code93", "LOT42", "LOT42"),
        (symbols.PDF417, "PDF417", "BOARDING PASS 12A", "BOARDING PASS 12A"),
        (symbols.PDF417, "CompactPDF417", "SHELF 7", "SHELF 7"),
        (symbols.AZTEC, "AztecCode", "https://example.com/ticket", "https://example.com/ticket"),
        (symbols.AZTEC, "AztecRune", "25", "025"),
    ],
)
def test_created_symbols_read_back(class_id, name, payload, read):
    symbol = symbols.encode_format(class_id, name, payload)
    rows, columns = symbol.modules.shape
    ink = symbol.ink(columns * 6, 200 if rows == 1 else rows * 6)
    (found,) = zxingcpp.read_barcodes(255 - np.pad(ink, 72))
    assert found.text.replace("(", "").replace(")", "") == read
    assert (symbol.class_id, symbol.kind) == (class_id, name)


def test_small_matrices_are_common():
    """QR of versions 1 to 3 and Data Matrix of 10 to 24 modules, which are told apart by little, are most of both."""
    drawn = {
        c: [bank.banked_symbol(1, c, n).modules.shape for n in range(120)] for c in (symbols.QR, symbols.DATAMATRIX)
    }
    assert np.mean([max(shape) <= 29 for shape in drawn[symbols.QR]]) > 0.4
    assert np.mean([max(shape) <= 24 for shape in drawn[symbols.DATAMATRIX]]) > 0.5


def test_bars_are_also_long_and_thin_and_pdf417_keeps_its_shape():
    bars = symbols.encode_barcode("ean13", "590123412345")
    boxes = [symbol_block(_rng(seed), bars, 300).mark.box for seed in range(60)]
    flatness = np.array([(b[3] - b[1]) / (b[2] - b[0]) for b in boxes])
    assert flatness.min() < 0.1 and flatness.max() > 0.6
    stacked = symbols.encode_format(symbols.PDF417, "PDF417", "BOARDING PASS 12A")
    shape = stacked.modules.shape[0] / stacked.modules.shape[1]
    left, top, right, bottom = symbol_block(_rng(0), stacked, 300).mark.box
    assert 0.7 * shape < (bottom - top) / (right - left) < 1.7 * shape


def test_decoys_are_ink_of_many_kinds_and_repeatable():
    made = [decoy(_rng(seed), 0, 90, 1.0).ink for seed in range(60)]
    assert all(ink.dtype == np.uint8 and ink.ndim == 2 and min(ink.shape) >= 2 for ink in made)
    assert all(block.size < 1_000_000 for block in made)
    assert np.mean([ink.max() > 100 for ink in made]) > 0.9 and all(
        decoy(_rng(s), 0, 90, 1.0).mark is None for s in (1, 2)
    )
    np.testing.assert_array_equal(made[7], decoy(_rng(7), 0, 90, 1.0).ink)


@pytest.mark.parametrize("make", SIGNS + FOREIGN, ids=lambda make: make.__name__)
def test_signs_and_foreign_symbols_show_something_and_are_no_code(make):
    for seed in range(3):
        ink = make(_rng(seed))
        assert ink.dtype == np.uint8 and ink.ndim == 2 and 0.01 < ink.mean() / 255 < 0.99
        page = 255 - np.pad(cv2.resize(ink, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST), 40)
        assert {str(code.format) for code in zxingcpp.read_barcodes(page)} <= {"MaxiCode"}


def test_foreign_symbols_have_the_asked_side():
    assert {max(foreign(_rng(seed), 77).shape) for seed in range(12)} == {77}


@pytest.mark.parametrize("class_id", [symbols.DATAMATRIX, symbols.QR])
def test_marks_on_parts_stand_in_their_boxes(class_id):
    """Inside the box the metal is uneven by the code, outside it is not: by far less at the least."""
    ratios = []
    for seed in range(24):
        picture, mark = engraved(_rng(seed), 0, bank.banked_symbol(0, class_id, seed), 120)
        left, top, right, bottom = mark.box
        assert picture.dtype == np.uint8 and 0 < left < right < picture.shape[1] and 0 < top < bottom < picture.shape[0]
        assert max(right - left, bottom - top) == 120
        edges = np.abs(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32), cv2.CV_32F))
        inside = edges[top:bottom, left:right].mean()
        edges[top - 2 : bottom + 2, left - 2 : right + 2] = np.nan
        ratios.append(inside / max(np.nanmean(edges), 1e-3))
    assert np.median(ratios) > 2


def test_packages_hold_their_codes_apart_and_readable():
    texts = ["https://example.com/a", "0123456789"]
    read = 0
    for seed in range(8):
        codes = [symbols.encode_qr(texts[0]), symbols.encode_datamatrix(texts[1])]
        canvas, marks = package(_rng(seed), 0, codes, [150, 120], (260, 200), 1.0)
        assert canvas.shape[0] >= 200 and canvas.shape[1] >= 260 and [m.symbol for m in marks] == codes
        (a, b) = (np.array(mark.box) for mark in marks)
        assert not ((a[:2] < b[2:]) & (b[:2] < a[2:])).all()
        read += len({code.text for code in zxingcpp.read_barcodes(canvas)} & set(texts))
    assert read >= 8
    bare, none = package(_rng(0), 0, [], [], (300, 180), 1.0)
    assert bare.shape == (180, 300, 3) and none == []


def test_boards_hold_running_markers_where_opencv_finds_them():
    for seed in range(6):
        canvas, marks = board(_rng(seed), 64)
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, marks[0].symbol.kind))
        corners, numbers, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(canvas)
        found = {int(n): quad[0] for n, quad in zip(numbers.ravel(), corners, strict=True)}
        assert set(found) == {int(mark.symbol.payload) for mark in marks}
        for mark in marks:
            quad = found[int(mark.symbol.payload)]
            np.testing.assert_allclose([*quad.min(axis=0), *quad.max(axis=0) + 1], mark.box, atol=2)


def test_the_cameras_programs_keep_what_is_flat_and_change_what_is_not():
    flat = np.full((64, 96, 3), (40, 120, 200), np.uint8)
    fine = np.kron(_rng(0).integers(0, 2, (32, 48, 3), np.uint8) * 255, np.ones((2, 2, 1), np.uint8))
    for program in (sensor.demosaiced, lambda r, p: sensor.smeared(r, p, 3.0), sensor.stored_before):
        outs = [program(_rng(seed), flat) for seed in range(40)]
        assert all(np.abs(out.astype(int) - flat).max() <= 6 and out.shape == flat.shape for out in outs)
        changed = [not np.array_equal(program(_rng(seed), fine), fine) for seed in range(40)]
        assert 0 < np.mean(changed) < 0.6
    curves = [sensor.toned(_rng(seed), np.arange(256, dtype=np.uint8).reshape(16, 16)) for seed in range(40)]
    assert all((np.diff(curve.ravel().astype(int)) >= -1).all() for curve in curves)
    assert len({curve.tobytes() for curve in curves}) > 10


def test_a_stopped_set_goes_on_with_what_it_lacks(tmp_path):
    out, arguments = tmp_path / "set", ["--count", "3", "--seed", "4", "--workers", "1"]
    assert CliRunner().invoke(generate.main, [str(out), *arguments]).exit_code == 0
    whole = {path.name: path.read_bytes() for path in (out / "train").iterdir()}
    (out / "made.json").rename(out / "making.json")
    (out / "train/000002.jpg").unlink()
    (out / "train/000000.jpg").write_bytes(b"kept")
    again = CliRunner().invoke(generate.main, [str(out), *arguments])
    assert again.exit_code == 0, again.output
    assert {p.name: p.read_bytes() for p in (out / "train").iterdir()} == whole | {"000000.jpg": b"kept"}
    assert json.loads((out / "made.json").read_text()) == {"count": 3, "seed": 4} and not (out / "making.json").exists()
    (out / "made.json").rename(out / "making.json")
    other = CliRunner().invoke(generate.main, [str(out), "--count", "4", "--seed", "4", "--workers", "1"])
    assert other.exit_code == 1 and "--force" in other.output


def test_bank_repeats_its_symbols():
    first, again, other = (bank.banked_symbol(7, 0, number) for number in (5, 5 + 1024, 6))
    assert first.payload == again.payload != other.payload


def test_backgrounds_have_the_asked_size_and_differ():
    pictures = [backgrounds.background(np.random.default_rng(i), 0, 200, 120) for i in range(6)]
    assert all(picture.shape == (120, 200, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert all(np.abs(a.astype(int) - b).mean() > 5 for a, b in itertools.combinations(pictures, 2))
