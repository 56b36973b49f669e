"""What labels say: names or texts of the user's, with or without the confidence, in letters that a font has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageFont

from darknet_py.boxes.detections import Detection, Detections
from darknet_py.draw import annotate, fonts
from darknet_py.draw.fonts import legible
from darknet_py.draw.labels import Label, Lettering, Row, labels_by_box, write
from darknet_py.draw.palette import class_color, colors_of
from darknet_py.errors import OptionError

BOXES = [(10, 20, 60, 80), (100, 20, 160, 80), (10, 20, 60, 80)]
FOUND = Detections(
    xyxy=np.array(BOXES, np.float32),
    confidence=np.array([0.5, 0.25, 0.875], np.float32),
    class_id=np.array([2, 0, 1]),
    class_names=np.array(["dog", "traffic light", "cat\nof two lines"]),
    image_width=200,
    image_height=100,
    objectness=np.ones(3, np.float32),
)
LETTERING = Lettering(10, 200, None)


def said(labels: Any = True, confidence: bool | None = None, found: Any = FOUND) -> list[tuple[Any, list[str]]]:
    """Of every box, as drawn: its corners and its lines."""
    by_box = labels_by_box(found, labels, confidence, colors_of(None), (200, 100))
    return [(label.box, [row.text + row.ending for row in label.rows]) for label in by_box]


def test_class_names_in_order_of_confidence() -> None:
    assert said() == [(BOXES[0], ["cat of two lines 88%", "dog 50%"]), (BOXES[1], ["traffic light 25%"])]
    assert said(confidence=False) == [(BOXES[0], ["cat of two lines", "dog"]), (BOXES[1], ["traffic light"])]


def test_no_labels() -> None:
    assert said(labels=False) == said(labels=np.False_) == [(BOXES[0], []), (BOXES[1], [])]
    image = np.zeros((100, 200, 3), np.uint8)
    picture = annotate(image, FOUND, labels=False, bgr=False)
    inked = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert inked == {(0, 0, 0), class_color(1), class_color(0)}


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_texts_of_ones_own(kind: Any) -> None:
    texts = kind(["Rex", "red\n 30 s", ""])
    assert said(texts) == [(BOXES[0], ["Rex"]), (BOXES[1], ["red", "30 s"])]
    assert said(texts, confidence=True) == [(BOXES[0], ["Rex 50%"]), (BOXES[1], ["red 25%", "30 s"])]


def test_texts_by_a_function() -> None:
    seen: list[Detection] = []

    def text(one: Detection) -> str:
        seen.append(one)
        return f"#{one.class_id}"

    assert said(text) == [(BOXES[0], ["#1", "#2"]), (BOXES[1], ["#0"])]
    assert seen == list(FOUND)
    annotate(np.zeros((100, 200, 3), np.uint8), FOUND, labels=text)
    assert len(seen) == 6  # once for each


def test_colours_of_boxes_and_rows() -> None:
    first, second = labels_by_box(FOUND, True, None, colors_of({"dog": "navy"}), (200, 100))
    assert isinstance(first, Label)
    assert first.color == class_color(1) and [row.color for row in first.rows] == [class_color(1), (0, 0, 128)]
    assert second.color == class_color(0)


def test_boxes_are_cut_at_the_border_and_turned_upright() -> None:
    class Odd:
        xyxy = np.array([[150.6, 90, -20, 10.4], [np.nan, 0, 1, 1], [500, 500, 600, 600]])
        confidence, class_id, class_names = np.array([0.5, 0.9, np.nan]), np.array([3, 4, 5]), np.array(["a", "b", "c"])

    assert [box for box, _ in said(found=Odd())] == [(0, 10, 151, 90), (199, 99, 199, 99)]


# Letters ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 12.5, 30, 60])
def test_long_names_are_cut(size: float) -> None:
    wide = write(Row("an endless name of a class " * 20, " 97%", 0, (0, 0, 0)), Lettering(size, 500, None))
    assert wide.text.startswith("an end") and wide.text.endswith("... 97%") and 400 < wide.width <= 500
    assert write(Row("dog", " 97%", 0, (0, 0, 0)), Lettering(size, 4, None)).text == "97%"
    assert write(Row("dog", "", 0, (0, 0, 0)), Lettering(size, 4, None)).text == ""


def test_width_follows_the_text() -> None:
    widths = [write(Row("m" * n, "", 0, (0, 0, 0)), LETTERING).width for n in (1, 2, 10)]
    assert widths[0] < widths[1] < widths[2] / 3


def test_names_beyond_ascii_never_become_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_SYSTEM_FONTS", ())
    assert legible("voiture d'été", "class 3:", 12)[0] == "voiture d'ete"
    assert legible("dog", "class 3:", 12)[0] == "dog"
    assert write(Row("自転車", " 5%", 3, (0, 0, 0)), LETTERING).text == "class 3: 5%"


def test_a_system_font_is_used_if_it_has_the_letters() -> None:
    try:
        ImageFont.truetype("DejaVuSans.ttf", 12)
    except OSError:
        pytest.skip("DejaVu Sans is not installed")
    name, face = legible("собака", "class 3:", 12)
    assert name == "собака" and isinstance(face, ImageFont.FreeTypeFont) and face.getname()[0] != "Aileron"
    image = np.zeros((100, 200, 3), np.uint8)
    one, other = (annotate(image, FOUND, labels=[name] * 3) for name in ("собака", "кошка!"))
    assert not np.array_equal(one, other)


def test_a_font_may_be_given(tmp_path: Path) -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    for wrong in (tmp_path / "none.ttf", "a\0b.ttf"):
        with pytest.raises(OptionError, match=r"ttf.*TrueType"):
            annotate(image, FOUND, font=wrong)
    default = ImageFont.load_default(size=12)
    if not isinstance(default, ImageFont.FreeTypeFont):
        pytest.skip("Pillow without FreeType")
    file = tmp_path / "font.ttf"
    file.write_bytes(default.font_bytes)
    name, face = legible("été", "class 3:", 12, file)
    assert name == "été" and isinstance(face, ImageFont.FreeTypeFont) and face.path == str(file)
    assert (annotate(image, FOUND, font=file) != annotate(image, FOUND, labels=False)).any()
