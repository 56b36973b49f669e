"""Colours of classes: stable, told apart, bearing legible text, and replaceable."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darknet_py.draw.palette import class_color, colors_of, text_color
from darknet_py.errors import OptionError

_TO_CONES = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
_TO_OKLAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])


def linear(color: tuple[int, ...]) -> np.ndarray:
    return np.array([v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in color])


def luminance(color: tuple[int, ...]) -> float:
    return float(linear(color) @ (0.2126, 0.7152, 0.0722))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def oklab(class_id: int) -> np.ndarray:
    """Björn Ottosson's coordinates, in which equal distances look alike."""
    return _TO_OKLAB @ np.cbrt(_TO_CONES @ linear(class_color(class_id)))


def test_class_colours_are_stable_and_distinct() -> None:
    colors = [class_color(i) for i in range(80)]
    assert len(set(colors)) == 80 and colors == [class_color(i + 80) for i in range(80)]
    assert class_color(0) == (255, 140, 112)
    places = [oklab(i) for i in range(80)]

    def nearest(pairs: Any) -> float:
        return min(float(np.linalg.norm(one - other)) for one, other in pairs)

    assert nearest(itertools.combinations(places, 2)) > 0.04
    assert nearest(itertools.combinations(places[:20], 2)) > 0.07
    assert nearest(itertools.pairwise(places)) > 0.1
    assert nearest(zip(places, places[2:], strict=False)) > 0.085


def test_class_colours_are_soft() -> None:
    for class_id in range(80):
        lightness, *chroma = oklab(class_id)
        assert 0.64 < lightness < 0.86 and 0.07 < np.hypot(*chroma) < 0.18, class_id


def test_text_contrasts_with_every_class_colour() -> None:
    assert min(contrast(class_color(i), text_color(class_color(i))) for i in range(80)) >= 6


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_contrasts_with_any_colour(color: tuple[int, int, int]) -> None:
    text = text_color(color)
    assert contrast(color, text) >= 4.5  # WCAG's bound for text of any size
    assert text in ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize(
    "palette",
    [
        ["#ff0010", "#010203"],
        ("FF0010", (1, 2, 3)),
        np.array([[255, 0, 16], [1, 2, 3]], np.uint8),
        [[np.uint8(255), np.int64(0), 16], np.array([1, 2, 3])],
        ["rgb(255, 0, 16)", "#010203"],
    ],
)
def test_a_sequence_starts_again_where_it_ends(palette: Any) -> None:
    color = colors_of(palette)
    assert [color(i, "any") for i in range(3)] == [(255, 0, 16), (1, 2, 3), (255, 0, 16)]


def test_a_mapping_leaves_other_classes_as_they_are() -> None:
    color = colors_of({"dog": "black", np.int64(3): "#f80", 4: (0, 0, 0)})
    assert color(16, "dog") == (0, 0, 0)
    assert color(3, "car") == (255, 136, 0)
    assert color(4, "dog") == (0, 0, 0)
    assert color(5, "cat") == class_color(5)
    assert colors_of(None)(7, "cat") == class_color(7)
    assert colors_of({})(7, "cat") == class_color(7)


@pytest.mark.parametrize(
    ("palette", "message"),
    [
        ("#ff0010", r"palette='#ff0010': expected a sequence"),
        (7, r"palette=7: expected a sequence"),
        ([], "palette is empty"),
        ((255, 0, 16), r"palette\[0\] is 255.*one alone is \[colour\]"),
        (["#ff0010", "no colour"], r"palette\[1\] is 'no colour', expected \(red, green, blue\)"),
        (["#ff001080"], "'#ff001080'"),  # alpha
        ([(0, 0, 256)], r"\(0, 0, 256\)"),
        ([(0, 0, -1)], r"\(0, 0, -1\)"),
        ([(0, 0)], r"\(0, 0\)"),
        ([(0.1, 0.2, 0.3)], r"\(0\.1, 0\.2, 0\.3\)"),
        ([(True, True, True)], "True"),
        ([None], "None"),
        ({"dog": None}, r"palette\['dog'\] is None"),
        ({1.5: "red"}, "the key 1.5, expected class numbers or names"),
        ({True: "red"}, "the key True"),
    ],
)
def test_refused_palettes(palette: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        colors_of(palette)
