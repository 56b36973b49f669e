"""The symbols of the held-out set, read back by readers: zxing-cpp and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

zxingcpp = pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed: pip install zxing-cpp")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")

from training.heldout import artwork, decoys, symbols  # noqa: E402


def drawn(symbol: symbols.Symbol, quiet: int = 10) -> np.ndarray:
    """The symbol in black on white, 6 pixels a module."""
    return np.kron(np.pad(~symbol.dark, quiet, constant_values=True), np.ones((6, 6))).astype(np.uint8) * 255


@pytest.mark.parametrize("class_id", [0, 1, 2])
def test_zxing_reads_what_is_drawn(class_id):
    rng = np.random.default_rng(class_id)
    kinds = set()
    for _ in range(25):
        symbol = symbols.draw_symbol(rng, class_id)
        (found,) = zxingcpp.read_barcodes(drawn(symbol))
        # A reader gives UPC as EAN-13, with one or more zeros in front.
        assert found.text.lstrip("0") == symbol.payload.lstrip("0") or symbol.kind == "UPCE"
        assert symbol.class_id == class_id and found.valid
        kinds.add(symbol.kind)
    assert len(kinds) == 1 or (class_id == 1 and len(kinds) >= 6)


def test_both_shapes_of_data_matrix_are_drawn():
    rng = np.random.default_rng(0)
    shapes = {symbols.draw_symbol(rng, 2).dark.shape for _ in range(40)}
    assert any(rows == columns for rows, columns in shapes) and any(rows < columns for rows, columns in shapes)


@pytest.mark.parametrize("border", [1, 2])
@pytest.mark.parametrize("name", symbols.MARKER_DICTIONARIES)
def test_opencv_reads_the_markers(name, border):
    symbol = symbols.make_marker(name, 7, border)
    parameters = cv2.aruco.DetectorParameters()
    parameters.markerBorderBits = border
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    corners, ids, _ = cv2.aruco.ArucoDetector(dictionary, parameters).detectMarkers(drawn(symbol))
    assert ids.ravel().tolist() == [7] and symbol.payload == f"{name}:7"
    side = 6 * symbol.dark.shape[0]
    assert np.ptp(corners[0][0], axis=0) == pytest.approx(side, abs=3)


def test_every_class_can_be_drawn_many_times():
    rng = np.random.default_rng(9)
    for class_id in range(4):
        for _ in range(250):
            assert symbols.draw_symbol(rng, class_id).dark.any()


@pytest.mark.parametrize("quarters", range(4))
def test_pasted_symbols_take_their_corners_along(quarters):
    symbol = symbols.make_marker("DICT_4X4_50", 3)
    art = artwork.margin(artwork.symbol_art(symbol, 5, 2), (20, 3))
    part = artwork.printed(art, np.full(3, 255.0), np.zeros(3))
    field = artwork.Print(np.full((150, 160, 3), 200, np.uint8))
    pasted = artwork.paste(field, part, 30, 40, quarters)
    first, second, third, fourth = pasted.marks[0].corners
    upright = cv2.getPerspectiveTransform(
        np.float32([first, second, third, fourth]) - 0.5, np.float32([[0, 0], [30, 0], [30, 30], [0, 30]]) - 0.5
    )
    seen = cv2.warpPerspective(pasted.image, upright, (30, 30), flags=cv2.INTER_NEAREST)[2::5, 2::5, 0] < 128
    np.testing.assert_array_equal(seen, symbol.dark)
    with pytest.raises(ValueError, match="does not fit"):
        artwork.paste(field, part, 120, 0, quarters)


def test_no_reader_finds_anything_in_decoys():
    rng = np.random.default_rng(3)
    for _ in range(40):
        image = decoys.draw_decoy(rng).image
        assert not [found for found in zxingcpp.read_barcodes(image) if found.format.name in ("QRCode", "DataMatrix")]
