"""Annotated pictures: boxes and legible labels inside the picture, whatever is drawn and however it is asked for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darknet_py.draw import annotate, class_color
from darknet_py.draw import painting as draw
from darknet_py.draw.placement import Layout, Place
from darknet_py.errors import ImageError, OptionError


@dataclass(frozen=True)
class Found:
    """The four fields of Detections that are drawn."""

    xyxy: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    class_names: np.ndarray


def found(*rows: tuple[str, int, float, tuple[float, float, float, float]]) -> Found:
    return Found(
        np.array([row[3] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[0] for row in rows], str),
    )


def blank(height: int = 300, width: int = 400) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def drawn(image: np.ndarray, detections: Found, **options: Any) -> np.ndarray:
    """The annotated picture in RGB."""
    return annotate(image, detections, bgr=False, **options)


def mask_of(picture: np.ndarray, class_id: int) -> np.ndarray:
    return (picture == class_color(class_id)).all(axis=2)


def label_rows(picture: np.ndarray, class_id: int) -> np.ndarray:
    """Rows where the class colour runs for long without being the box's line: the label's background."""
    return np.flatnonzero(mask_of(picture, class_id).sum(axis=1) > 15)


DOG = ("dog", 11, 0.97, (100.0, 120.0, 300.0, 250.0))


def test_a_copy_is_drawn_on() -> None:
    image = blank()
    image.flags.writeable = False
    picture = drawn(image, found(DOG))
    assert picture.shape == image.shape and picture.dtype == np.uint8
    assert (image == 128).all() and picture.flags.writeable and picture.flags.c_contiguous
    assert (picture[200, 100] == class_color(11)).all()  # left edge
    assert (picture[250, 200] == class_color(11)).all()  # lower edge
    assert (picture[190, 150:250] == 128).all()  # inside
    assert (picture[:95] == 128).all()  # above the label


def test_lines_are_crisp() -> None:
    picture = drawn(blank(), found(DOG), labels=False)
    line = mask_of(picture, 11)
    assert (line | (picture == 128).all(axis=2)).all()  # nothing in between
    assert line.sum() == 2 * (201 + 131) - 4


def test_nothing_found() -> None:
    np.testing.assert_array_equal(annotate(blank(), found()), blank())


@pytest.mark.parametrize("shape", [(90, 120), (90, 120, 1), (90, 120, 3)])
def test_grey_pictures_get_coloured_boxes(shape: tuple[int, ...]) -> None:
    dog = found(("dog", 11, 0.5, (10, 40, 60, 80)))
    picture = drawn(np.zeros(shape, np.uint8), dog)
    assert picture.shape == (90, 120, 3)
    assert mask_of(picture, 11).any()
    np.testing.assert_array_equal(annotate(np.zeros(shape, np.uint8), dog)[..., ::-1], picture)


def test_a_class_has_one_colour_in_either_order() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    rows = [(name, i, 0.9 - i / 20, (20 + 3 * i, 40 + i, 80 + i, 70)) for i, name in enumerate("abcdefgh")]
    options = {"palette": {"a": "navy", 3: (1, 2, 3)}}  # white letters on the first
    for more in ({}, options):
        picture = annotate(rgb, found(*rows), bgr=False, **more)
        np.testing.assert_array_equal(annotate(rgb[..., ::-1], found(*rows), **more), picture[..., ::-1])
    assert mask_of(picture, 1).any() and (picture == (1, 2, 3)).all(axis=2).any()


@pytest.mark.parametrize(("size", "least", "most"), [((90, 120), 1, 1), ((576, 768), 1, 3), ((3000, 4000), 7, 14)])
def test_line_width_follows_the_size(size: tuple[int, int], least: int, most: int) -> None:
    height, width = size
    picture = drawn(blank(*size), found(("dog", 0, 0.5, (width / 4, height / 4, width / 2, height * 3 / 4))))
    line = mask_of(picture, 0)[height * 5 // 8, : width * 3 // 8].sum()
    assert least <= line <= most


@pytest.mark.parametrize("thickness", [1, 2, 5, np.int64(8)])
def test_thickness(thickness: int) -> None:
    picture = drawn(blank(), found(DOG), thickness=thickness, labels=False)
    inked = np.flatnonzero(mask_of(picture, 11)[190])
    assert len(inked) == 2 * thickness
    assert abs(inked[:thickness].mean() - 100) <= 0.5 and abs(inked[thickness:].mean() - 300) <= 0.5


def test_thick_lines_stay_whole_at_the_border() -> None:
    picture = drawn(blank(), found(("dog", 11, 0.9, (-20, -20, 500, 400))), thickness=6, labels=False)
    line = mask_of(picture, 11)
    assert line[:6].all() and line[-6:].all() and line[:, :6].all() and line[:, -6:].all()
    assert not line[6:-6, 6:-6].any()


def test_lines_thicker_than_their_box() -> None:
    picture = drawn(blank(), found(("dog", 11, 0.9, (200, 150, 203, 152))), thickness=10, labels=False)
    rows, columns = np.nonzero(mask_of(picture, 11))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (146, 157, 196, 208)
    assert mask_of(drawn(blank(), found(DOG), thickness=10**9), 11).any()


# Labels -------------------------------------------------------------------------------------------------------------


def test_classes_of_one_box_are_listed_below_each_other() -> None:
    box = DOG[3]
    picture = drawn(blank(), found(("cat", 7, 0.3, box), DOG, ("sheep", 16, 0.5, box)))
    rows = [label_rows(picture, class_id) for class_id in (11, 16, 7)]  # surest first
    rows[0] = rows[0][rows[0] < rows[1].min()]  # the box's own edges have its colour, too
    assert all(len(lines) >= 10 for lines in rows)
    assert rows[0].max() < rows[1].min() and rows[1].max() < rows[2].min()


def test_labels_of_two_boxes_make_way() -> None:
    near = ("cat", 7, 0.5, (104.0, 124.0, 290.0, 240.0))
    picture, alone = drawn(blank(), found(DOG, near)), drawn(blank(), found(near))
    assert mask_of(alone, 7)[:118].sum() > 100 and mask_of(picture, 7)[:118].sum() == 0


def test_a_label_away_from_its_box_has_a_line_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Place] = []

    class Recorded(Layout):
        def place(self, *args: Any) -> Place:
            places.append(super().place(*args))
            return places[-1]

    monkeypatch.setattr(draw, "Layout", Recorded)
    rows = [(f"name {i}", i, 0.9 - i / 100, (190 + i, 140 + i, 215 + i, 165 + i)) for i in range(12)]
    picture = drawn(blank(), found(*rows), font_size=14)
    leaders = [(i, place) for i, place in enumerate(places) if place.leader]
    assert len(leaders) > 3
    followed = 0
    for i, (rect, ((x0, y0), (x1, y1))) in leaders:
        assert (picture[rect.top, rect.left : rect.right] == class_color(i)).all()
        if x0 == x1 or y0 == y1:  # others are smooth
            along = mask_of(picture, i)[min(y0, y1) : max(y0, y1) + 1, min(x0, x1) : max(x0, x1) + 1]
            followed += along.sum() >= along.size - 4  # less the inside of the ring
    assert followed >= 2  # some run beneath other labels


def test_labels_in_a_crowd_become_smaller_but_not_those_that_were_asked_for() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), (900, 700), (150, 2))
    rows = [("person", 0, 0.5, (x, y, x + 60, y + 60)) for x, y in corners.tolist()]

    def inked(rows: list[Any], **options: Any) -> int:
        image = blank(800, 1000)
        return int((drawn(image, found(*rows), **options) != drawn(image, found(*rows), labels=False)).sum())

    assert inked(rows) < 0.7 * inked(rows, font_size=20) < 0.7 * 800 * 1000 * 3
    assert inked(rows[:10]) == inked(rows[:10], font_size=20)


corner = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40, deadline=None)
@given(
    height=st.sampled_from([1, 7, 40, 90]),
    width=st.sampled_from([1, 12, 50, 120]),
    boxes=st.lists(st.tuples(corner, corner, corner, corner), max_size=9),
    name=st.sampled_from(["dog", "a name far longer than any picture here is wide", "", "two\nlines"]),
    thickness=st.sampled_from([None, 1, 30]),
    font_size=st.sampled_from([None, 1, 9.5, 60]),
)
def test_anything_can_be_drawn(
    height: int, width: int, boxes: list[Any], name: str, thickness: int | None, font_size: float | None
) -> None:
    rows = found(*[(name, i, 0.5, box) for i, box in enumerate(boxes)])
    picture = annotate(blank(height, width), rows, thickness=thickness, font_size=font_size)
    assert picture.shape == (height, width, 3)
    np.testing.assert_array_equal(
        picture, annotate(blank(height, width), rows, thickness=thickness, font_size=font_size)
    )


def test_wild_boxes() -> None:
    rows = [("dog", i, 0.5, box) for i, box in enumerate([(np.nan, 0, 5, 5), (-np.inf, 60, np.inf, 80), (9e9,) * 4])]
    picture = drawn(blank(), found(*rows))
    assert mask_of(picture, 1).any(axis=0).all()  # clipped to the whole width
    assert not mask_of(picture, 0).any()


@pytest.mark.parametrize(
    "box",
    [
        (5, 2, 80, 60),  # no room above
        (370, 100, 399, 200),  # none to the right
        (-50, -40, 30, 20),  # leaves the picture
        (0, 0, 399, 299),  # fills it
        (380, 290, 399, 299),  # lower right corner
    ],
)
def test_labels_stay_inside(box: tuple[int, int, int, int]) -> None:
    def letters(box: tuple[int, int, int, int]) -> int:
        picture = drawn(blank(), found(("dog", 3, 0.8, box)))
        return int((~(picture == 128).all(axis=2) & ~mask_of(picture, 3)).sum())

    assert letters(box) == letters((100, 100, 101, 101)) > 20


def test_letters_follow_font_size() -> None:
    rows = [len(label_rows(drawn(blank(), found(DOG), font_size=size)[:118], 11)) for size in (8, 16.5, np.float32(32))]
    assert rows[0] < rows[1] < rows[2] and 35 <= rows[2] <= 50
    default = drawn(blank(), found(DOG))
    np.testing.assert_array_equal(default, drawn(blank(), found(DOG), font_size=12))
    np.testing.assert_array_equal(default, drawn(blank(), found(DOG), labels=True, confidence=True, thickness=1))


def test_no_cv2_is_needed(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["cv2"] = None  # importing it fails
import numpy as np
from types import SimpleNamespace
from darknet_py.draw import annotate, save_image
found = SimpleNamespace(xyxy=np.array([[5, 5, 20, 20.0]]), confidence=np.ones(1), class_id=np.zeros(1, int),
                        class_names=np.array(["dog"]))
save_image({str(tmp_path / "a.jpg")!r}, annotate(np.zeros((50, 60, 3), np.uint8), found, labels=lambda one: "it"))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "a.jpg").stat().st_size > 500


# Arguments ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bgr": "RGB"}, "bgr='RGB': expected True or False"),
        ({"bgr": 1}, "bgr=1"),
        ({"thickness": 0}, "thickness=0: expected pixels, an integer of 1 or more"),
        ({"thickness": 1.5}, "thickness=1.5"),
        ({"thickness": True}, "thickness=True"),
        ({"font_size": 0}, "font_size=0: expected the height of letters in pixels, 1 to 1000"),
        ({"font_size": float("nan")}, "font_size=nan"),
        ({"font_size": 1001}, "font_size=1001"),
        ({"font_size": "large"}, "font_size='large'"),
        ({"font_size": True}, "font_size=True"),
        ({"confidence": 2}, "confidence=2: expected True or False"),
        ({"labels": "dog"}, "labels='dog': expected True, False, one str per detection, or a function"),
        ({"labels": 5}, "labels=5"),
        ({"labels": None}, "labels=None"),
        ({"labels": ["dog", "cat"]}, "labels has 2 entries for 1 detections"),
        ({"labels": [11]}, "labels has 11 for a detection"),
        ({"labels": lambda one: None}, "labels has None for a detection"),
        ({"palette": "red"}, "palette='red'"),
        ({"font": 5}, "font=5: expected the path of a TrueType"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        annotate(blank(), found(DOG), **options)


@pytest.mark.parametrize("image", [None, np.zeros((4, 4)), np.zeros((0, 4, 3), np.uint8), [[1]]])
def test_refused_pictures(image: Any) -> None:
    with pytest.raises(ImageError, match=r"expected an array of shape \(H, W, 3\)"):
        annotate(image, found())


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        (None, "detections is a NoneType without xyxy, confidence, class_id, class_names: expected Detections"),
        ([(1, 2, 3, 4)], "detections is a list without"),
        (Found(np.zeros((2, 4)), np.zeros(1), np.zeros(1, int), np.zeros(1, str)), r"shapes \(2, 4\), \(1,\)"),
        (Found(np.zeros((1, 5)), np.zeros(1), np.zeros(1, int), np.zeros(1, str)), r"shapes \(1, 5\)"),
        (Found(np.zeros((1, 4)), np.array(["x"]), np.zeros(1, int), np.zeros(1, str)), "no numbers"),
    ],
)
def test_refused_detections(detections: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        annotate(blank(), detections)
