"""Annotated pictures: boxes and legible labels inside the picture, whatever is drawn; files written whole or not."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from darknet_py import draw
from darknet_py.draw import IMAGE_SUFFIXES, annotate, class_color, save_image
from darknet_py.errors import ImageError, OptionError
from darknet_py.image import load_image


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


def label_rows(picture: np.ndarray, class_id: int) -> np.ndarray:
    """Rows where the class colour runs for long without being the box's line: the label's background."""
    mask = (picture == class_color(class_id)).all(axis=2)
    return np.flatnonzero(mask.sum(axis=1) > 15)


DOG = ("dog", 11, 0.97, (100.0, 120.0, 300.0, 250.0))


def test_a_copy_is_drawn_on() -> None:
    image = blank()
    image.flags.writeable = False
    picture = annotate(image, found(DOG))
    assert picture.shape == image.shape and picture.dtype == np.uint8
    assert (image == 128).all() and picture.flags.writeable
    assert (picture[200, 100] == class_color(11)).all()  # left edge
    assert (picture[250, 200] == class_color(11)).all()  # lower edge
    assert (picture[190, 150:250] == 128).all()  # inside
    assert (picture[:95] == 128).all()  # above the label


def test_nothing_found() -> None:
    np.testing.assert_array_equal(annotate(blank(), found()), blank())


@pytest.mark.parametrize("shape", [(90, 120), (90, 120, 1), (90, 120, 3)])
def test_grey_pictures_get_coloured_boxes(shape: tuple[int, ...]) -> None:
    picture = annotate(np.zeros(shape, np.uint8), found(("dog", 11, 0.5, (10, 40, 60, 80))))
    assert picture.shape == (90, 120, 3)
    assert (picture == class_color(11)).all(axis=2).any()


@pytest.mark.parametrize(("size", "least", "most"), [((90, 120), 1, 1), ((576, 768), 1, 3), ((3000, 4000), 7, 14)])
def test_line_width_follows_the_size(size: tuple[int, int], least: int, most: int) -> None:
    height, width = size
    picture = annotate(blank(*size), found(("dog", 0, 0.5, (width / 4, height / 4, width / 2, height * 3 / 4))))
    line = (picture[height * 5 // 8, : width * 3 // 8] == class_color(0)).all(axis=1).sum()
    assert least <= line <= most


def test_classes_of_one_box_are_listed_below_each_other() -> None:
    box = DOG[3]
    picture = annotate(blank(), found(("cat", 7, 0.3, box), DOG, ("sheep", 16, 0.5, box)))
    rows = [label_rows(picture, class_id) for class_id in (11, 16, 7)]  # surest first
    rows[0] = rows[0][rows[0] < rows[1].min()]  # the box's own edges have its colour, too
    assert all(len(lines) >= 10 for lines in rows)
    assert rows[0].max() < rows[1].min() and rows[1].max() < rows[2].min()


def test_labels_of_two_boxes_make_way() -> None:
    near = ("cat", 7, 0.5, (104.0, 124.0, 290.0, 240.0))
    picture = annotate(blank(), found(DOG, near))
    alone = annotate(blank(), found(near))
    upper = (alone[:118] == class_color(7)).all(axis=2).sum()
    assert upper > 100 and (picture[:118] == class_color(7)).all(axis=2).sum() == 0


corner = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40, deadline=None)
@given(
    height=st.sampled_from([1, 7, 40, 90]),
    width=st.sampled_from([1, 12, 50, 120]),
    boxes=st.lists(st.tuples(corner, corner, corner, corner), max_size=4),
    name=st.sampled_from(["dog", "a name far longer than any picture here is wide", "", "two\nlines"]),
)
def test_anything_can_be_drawn(height: int, width: int, boxes: list[tuple[Any, ...]], name: str) -> None:
    rows = [(name, i, 0.5, box) for i, box in enumerate(boxes)]
    assert annotate(blank(height, width), found(*rows)).shape == (height, width, 3)


def test_wild_boxes() -> None:
    rows = [("dog", i, 0.5, box) for i, box in enumerate([(np.nan, 0, 5, 5), (-np.inf, 60, np.inf, 80), (9e9,) * 4])]
    picture = annotate(blank(), found(*rows))
    assert (picture == class_color(1)).all(axis=2).any(axis=0).all()  # clipped to the whole width
    assert not (picture == class_color(0)).all(axis=2).any()


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
    picture = annotate(blank(), found(("dog", 3, 0.8, box)))
    whole = annotate(blank(), found(("dog", 3, 0.8, (100, 100, 101, 101))))

    def letters(image: np.ndarray) -> int:
        return int((~(image == 128).all(axis=2) & ~(image == class_color(3)).all(axis=2)).sum())

    assert letters(picture) == letters(whole) > 20


def test_long_names_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    line = draw._label_line("an endless name of a class", 0, " 97%", 10, 90, None)
    assert line.text.startswith("an end") and line.text.endswith("... 97%") and line.width <= 90
    assert draw._label_line("dog", 0, " 97%", 10, 4, None).text == "97%"


def test_names_beyond_ascii_never_become_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "_SYSTEM_FONTS", ())
    assert draw._legible("voiture d'été", 3, 12, None)[0] == "voiture d'ete"
    assert draw._legible("自転車", 3, 12, None)[0] == "class 3:"
    assert draw._legible("dog", 3, 12, None)[0] == "dog"


def test_a_system_font_is_used_if_it_has_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        ImageFont.truetype("DejaVuSans.ttf", 12)
    except OSError:
        pytest.skip("DejaVu Sans is not installed")
    name, face = draw._legible("собака", 3, 12, None)
    assert name == "собака" and isinstance(face, ImageFont.FreeTypeFont) and face.getname()[0] != "Aileron"
    picture = annotate(blank(), found(("собака", 11, 0.97, DOG[3])))
    assert not np.array_equal(picture, annotate(blank(), found(("кошка!", 11, 0.97, DOG[3]))))


def test_a_font_may_be_given(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.ttf.*TrueType"):
        annotate(blank(), found(DOG), font=tmp_path / "none.ttf")
    default = draw._own_font(12)
    if not isinstance(default, ImageFont.FreeTypeFont):
        pytest.skip("Pillow without FreeType")
    file = tmp_path / "font.ttf"
    file.write_bytes(default.font_bytes)
    name, face = draw._legible("été", 3, 12, str(file))
    assert name == "été" and isinstance(face, ImageFont.FreeTypeFont) and face.path == str(file)
    assert len(label_rows(annotate(blank(), found(DOG), font=file), 11)) > 10


def test_class_colours_are_stable_and_distinct() -> None:
    colors = [class_color(i) for i in range(80)]
    assert len(set(colors)) == 80 and colors == [class_color(i) for i in range(80)]
    assert all(sum(abs(a - b) for a, b in zip(x, y, strict=True)) > 100 for x, y in itertools.pairwise(colors))


def luminance(color: tuple[int, ...]) -> float:
    linear = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("order", [1, -1])  # RGB, BGR
def test_text_contrasts_with_every_class_colour(order: int) -> None:
    for class_id in range(200):
        color = class_color(class_id)
        low, high = sorted([luminance(color[::order]), luminance(draw._text_color(color))])
        assert (high + 0.05) / (low + 0.05) >= 3, class_id  # WCAG's bound for large or bold text


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_save_image(suffix: str, tmp_path: Path) -> None:
    rgb = blank(20, 30)
    rgb[:, :15] = (200, 40, 60)
    file = tmp_path / f"größe 自転車{suffix.upper()}"
    file.write_bytes(b"an older one")
    save_image(file, rgb, bgr=False)
    assert np.abs(load_image(file)[:, (2, 28)] - rgb[:, (2, 28)].astype(int)).max() <= 6
    save_image(str(file), rgb[..., ::-1])
    assert np.abs(load_image(file)[:, (2, 28)] - rgb[:, (2, 28)].astype(int)).max() <= 6
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_save_grey(tmp_path: Path) -> None:
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    save_image(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(load_image(tmp_path / "grey.png", channels=1)[..., 0], grey)


def test_save_refuses(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"ends in '\.gif', expected one of \.jpg"):
        save_image(tmp_path / "a.gif", blank())
    with pytest.raises(OptionError, match="ends in ''"):
        save_image(tmp_path / "a", blank())
    with pytest.raises(OptionError, match=r"missing.a\.png: cannot be written"):
        save_image(tmp_path / "missing" / "a.png", blank())
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OptionError, match=r"folder\.png: cannot be written"):
        save_image(tmp_path / "folder.png", blank())
    with pytest.raises(OptionError, match="cannot be written"):
        save_image("a\0b.png", blank())
    for image in (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8)):
        with pytest.raises(ImageError, match=r"expected \(H, W, 3\)"):
            save_image(tmp_path / "a.png", image)
        with pytest.raises(ImageError, match=r"expected \(H, W, 3\)"):
            annotate(image, found())
    with pytest.raises(ImageError, match="cannot be encoded"):
        save_image(tmp_path / "a.jpg", np.zeros((1, 70000), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"an older one")

    def full_disk(path: Path, data: bytes) -> int:
        with path.open("wb") as stream:
            stream.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OptionError, match="No space left"):
        save_image(file, blank())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"] and file.read_bytes() == b"an older one"
