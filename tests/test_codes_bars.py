"""Barcodes that are blurred or badly lit: what is read of them, and what is not believed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed_codes import boxes, printed, scene, turned

from darknet_py.codes import read_found, texts
from darknet_py.codes.bars import Bars, find_bars, sharpened
from darknet_py.codes.likeness import likeness, looks_like
from darknet_py.codes.zxing import Read, modules_of

EAN = "4006381333931"


def blurred(degrees: float, kind: str = "EAN13", text: str = EAN) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A picture of a barcode of two pixels a module, out of focus, noisy and lit from one side; and its box."""
    pixels = turned(printed(kind, text, 8), degrees)
    pixels = cv2.resize(pixels, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    picture = cv2.GaussianBlur(scene((pixels, 200, 60)), (0, 0), 1.3).astype(np.float64)
    picture *= np.linspace(0.35, 1.0, picture.shape[1])
    picture += np.random.default_rng(0).normal(0, 1.5, picture.shape)
    down, across = np.nonzero(pixels < 120)
    place = 200 + across.min(), 60 + down.min(), 201 + across.max(), 61 + down.max()
    return picture.clip(0, 255).astype(np.uint8), place


@pytest.mark.parametrize("degrees", [0, 90, 180, 37, 126, -8])
def test_a_blurred_barcode_is_read(degrees: float, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, place = blurred(degrees)
    (code,) = read_found(picture, boxes(("barcode", place)))
    assert (code.kind, code.text) == ("EAN-13", EAN)
    assert code.corners is not None
    for x, y in code.corners:
        assert place[0] - 4 <= x <= place[2] + 4 and place[1] - 4 <= y <= place[3] + 4
    monkeypatch.setattr(texts, "find_bars", lambda *_: None)
    assert read_found(picture, boxes(("barcode", place))) == []


@pytest.mark.parametrize(("kind", "text"), [("EAN8", "96385074"), ("Code128", "parts")])
def test_other_barcodes_are_read_too(kind: str, text: str) -> None:
    picture, place = blurred(12, kind, text)
    (code,) = read_found(picture, boxes(("barcode", place)))
    assert code.text == text


def test_what_is_not_striped_has_no_bars() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 70), np.uint8)
    squares = printed("QRCode", "https://example.org")
    for pixels in (noise, squares, np.full((60, 80), 7, np.uint8)):
        picture = scene((pixels, 50, 60))
        assert find_bars(picture, (50, 60, 50 + pixels.shape[1], 60 + pixels.shape[0])) is None


@given(st.tuples(*[st.floats(-40, 120)] * 2), st.tuples(*[st.floats(0, 150)] * 2), st.integers(1, 9))
def test_any_box_of_stripes_has_views(corner: tuple[float, float], size: tuple[float, float], period: int) -> None:
    picture = np.broadcast_to((np.arange(80) // period % 2 * 255).astype(np.uint8), (60, 80))
    bars = find_bars(np.ascontiguousarray(picture), (*corner, corner[0] + size[0], corner[1] + size[1]))
    if bars is not None:
        assert all(view.pixels.ndim == 2 and view.pixels.size and view.pixels.max() > 0 for view in sharpened(bars))


@pytest.mark.parametrize("edge", ["left", "top", "right", "bottom"])
@pytest.mark.parametrize("degrees", [0, 90, 30])
def test_bars_at_an_edge_of_the_picture_are_kept(edge: str, degrees: float) -> None:
    picture, (left, top, right, bottom) = blurred(degrees)
    start = {"left": (left, 0), "top": (0, top)}.get(edge, (0, 0))
    cut = picture[start[1] : bottom if edge == "bottom" else None, start[0] : right if edge == "right" else None]
    place = left - start[0], top - start[1], right - start[0], bottom - start[1]
    bars, whole = find_bars(np.ascontiguousarray(cut), place), find_bars(picture, (left, top, right, bottom))
    assert bars is not None and whole is not None
    for one, shift in ((bars, start), (whole, (0, 0))):
        ends = np.array([one.back @ (one.rows.shape[1] / 2, y, 1) for y in (0, len(one.rows))]) + shift
        assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(
            (right - left) * abs(np.sin(np.radians(degrees))) + (bottom - top) * abs(np.cos(np.radians(degrees))),
            rel=0.1,
        )


def test_rows_know_where_they_are() -> None:
    """A dot on the bars is where the way back says."""
    picture, place = blurred(20)
    picture = picture // 4 + 150
    middle = (place[0] + place[2]) // 2, (place[1] + place[3]) // 2
    cv2.circle(picture, middle, 4, 0, -1)
    bars = find_bars(picture, place)
    assert bars is not None
    row, column = np.unravel_index(bars.rows.argmin(), bars.rows.shape)
    assert bars.back @ (column + 0.5, row + 0.5, 1) == pytest.approx(np.add(middle, 0.5), abs=3)


# What is believed ----------------------------------------------------------------------------------------------


def flat(modules: np.ndarray, width: int = 6) -> tuple[Bars, np.ndarray]:
    """Bars as they are printed, and their corners."""
    line = np.pad(modules * 200.0 + 20, 12, constant_values=220.0).repeat(width)
    left, right = 12.0 * width, (12.0 + len(modules)) * width
    corners = np.array([(left, 0), (right, 0), (right, 9), (left, 9)], np.float64)
    return Bars(np.tile(line, (9, 1)), np.eye(2, 3), width), corners


def modules(text: str, kind: str = "EAN-13") -> np.ndarray:
    found = modules_of(Read(kind, text, np.zeros((4, 2))))
    assert found is not None
    return found


def ean(digits: int) -> str:
    first = f"{digits:012}"
    odd, even = sum(map(int, first[::2])), sum(map(int, first[1::2]))
    return first + str(-(odd + 3 * even) % 10)


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_a_barcode_looks_like_its_own_text_alone(one: int, other: int) -> None:
    bars, corners = flat(modules(ean(one)))
    assert likeness(bars, corners, modules(ean(one))) > 0.95
    if sum(a != b for a, b in zip(ean(one)[1:], ean(other)[1:], strict=True)) > 5:
        assert not looks_like(bars, corners, modules(ean(other)))


@pytest.mark.parametrize("bend", [-0.05, 0.0, 0.04])
def test_a_barcode_on_a_can_looks_like_its_text(bend: float) -> None:
    bars, corners = flat(modules(EAN))
    at = np.linspace(0, 1, bars.rows.shape[1])
    row = np.interp((at + bend * 4 * at * (1 - at)) * (len(at) - 1), np.arange(len(at)), bars.rows[0])
    bent = bars._replace(rows=np.tile(row, (9, 1)))
    left, right = (
        np.interp(x, (at + bend * 4 * at * (1 - at)) * (len(at) - 1), np.arange(len(at))) for x in corners[:2, 0]
    )
    assert looks_like(bent, np.array([(left, 0), (right, 0), (right, 9), (left, 9)]), modules(EAN))


def test_what_views_agree_about_is_not_told_if_it_looks_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, place = blurred(0)
    other = modules("8574731738478")
    monkeypatch.setattr(texts, "modules_of", lambda _: other)
    assert read_found(picture, boxes(("barcode", place))) == []


def test_what_zxing_does_not_write_has_no_modules() -> None:
    assert modules_of(Read("EAN-13", "400638133393x", np.zeros((4, 2)))) is None
    assert modules_of(Read("no symbology", "1", np.zeros((4, 2)))) is None
    assert np.array_equal(~modules(EAN)[:3], [True, False, True]) and len(modules(EAN)) == 95
