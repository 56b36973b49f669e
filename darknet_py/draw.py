"""Detections painted on a picture, and pictures written to files; the end of the flow, nothing depends on it."""

from __future__ import annotations

import colorsys
import os
import secrets
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from darknet_py.errors import ImageError, OptionError

__all__ = ["IMAGE_SUFFIXES", "annotate", "class_color", "save_image"]

#: File name endings that ``save_image`` writes.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

#: Asked, in this order, for letters that Pillow's own font lacks: it has ASCII alone.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "arial.ttf", "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "msyh.ttc", "msgothic.ttc", "malgun.ttf", "PingFang.ttc",
    "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc",
)  # fmt: skip

_GOLDEN_RATIO = 0.6180339887498949

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Boxes(Protocol):
    """What is drawn; ``Detections`` is one."""

    @property
    def xyxy(self) -> npt.NDArray[Any]: ...
    @property
    def confidence(self) -> npt.NDArray[Any]: ...
    @property
    def class_id(self) -> npt.NDArray[Any]: ...
    @property
    def class_names(self) -> npt.NDArray[Any]: ...


class _Rect(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int

    def meets(self, other: _Rect) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


class _Line(NamedTuple):
    """One label line: a class on a box."""

    text: str
    font: Font
    width: int
    color: Color


def class_color(class_id: int) -> Color:
    """Colour of a class, three values 0..255: the same in every picture, and far from those of its neighbours."""
    # Hues one golden ratio apart never meet; the lightness tells those apart that come close after some dozens.
    lightness = (0.5, 0.68, 0.34)[class_id // 13 % 3]
    red, green, blue = colorsys.hls_to_rgb(class_id * _GOLDEN_RATIO % 1.0, lightness, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def annotate(
    image: npt.NDArray[np.uint8], detections: Boxes, *, font: str | os.PathLike[str] | None = None
) -> npt.NDArray[np.uint8]:
    """Paint boxes, and labels such as ``dog 97%``, on a copy of a picture.

    Line width and letters follow the size of the picture; labels stay inside it, and the classes that share one box
    are listed below each other. Class colours are symmetric in red and blue as far as contrast goes, so that RGB and
    BGR pictures are both served, in the channel order they came in.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), (H, W, 1) or (H, W), uint8
        The picture that `detections` were found in.
    detections : Detections
        Boxes in pixels of `image`.
    font : str or Path, optional
        A TrueType file for the labels. By default Pillow's own font for ASCII names, and for others a common font
        of the system that has their letters; without any, accents are dropped, then the name becomes ``class 7:``.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
    """
    canvas = _canvas(image)
    height, width = canvas.shape[:2]
    line_width = max(1, round((height + width) * 0.0015))
    letters = max(10, round(min(height, width) * 0.025))
    groups = _labels_by_box(detections, letters, (width, height), font)
    for box, lines in reversed(groups):
        cv2.rectangle(canvas, box[:2], box[2:], lines[0].color, line_width)
    painting = Image.fromarray(canvas)
    draw = ImageDraw.Draw(painting)
    taken: list[_Rect] = []
    for box, lines in groups:
        place = _place(box, max(line.width for line in lines), len(lines) * _line_height(letters), width, height, taken)
        taken.append(place)
        _paint_label(draw, place, lines, _line_height(letters))
    return np.array(painting)


def _canvas(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if (
        image.dtype != np.uint8
        or image.size == 0
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (1,), (3,))
    ):
        raise ImageError(
            f"image of shape {image.shape}, dtype {image.dtype}, expected (H, W, 3), (H, W, 1) or (H, W), uint8"
        )
    if image.ndim == 3 and image.shape[2] == 3:
        return np.array(image, order="C")
    return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)


def _labels_by_box(
    detections: Boxes, letters: int, size: tuple[int, int], font: str | os.PathLike[str] | None
) -> list[tuple[_Rect, list[_Line]]]:
    """Label lines of every distinct box, surest first: the first to be placed gets the place it wants."""
    groups: dict[_Rect, list[_Line]] = {}
    # Clipped, so that a box that leaves the picture shows its edges, and none overflows cv2's fixed point.
    corners = np.clip(np.rint(np.asarray(detections.xyxy, np.float64)), 0, np.array(size * 2) - 1)
    for i in np.argsort(-np.asarray(detections.confidence), kind="stable"):
        if np.isnan(corners[i]).any():
            continue
        box = _Rect(*(int(corner) for corner in corners[i]))
        class_id = int(detections.class_id[i])
        percent = f" {float(detections.confidence[i]):.0%}"
        line = _label_line(str(detections.class_names[i]), class_id, percent, letters, size[0], font)
        groups.setdefault(box, []).append(line)
    return list(groups.items())


def _label_line(
    name: str, class_id: int, percent: str, letters: int, image_width: int, font: str | os.PathLike[str] | None
) -> _Line:
    name, face = _legible(" ".join(name.split()), class_id, letters, None if font is None else str(font))
    padding = 2 * _padding(letters)
    room = max(image_width - padding, 1)
    text = name + percent
    while face.getlength(text) > room and name:
        name = name[:-1]
        text = name + "..." + percent if name else percent.strip()
    return _Line(text, face, int(np.ceil(face.getlength(text))) + padding, class_color(class_id))


def _legible(name: str, class_id: int, letters: int, font: str | None) -> tuple[str, Font]:
    """The name as it can be written, and the font that has its letters."""
    if font is not None:
        return name, _font(font, letters)
    own = _own_font(letters)
    if name.isascii():
        return name, own
    for file in _SYSTEM_FONTS:
        face = _system_font(file, letters)
        if face is not None and _has_letters(face, name):
            return name, face
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return (plain if plain.isascii() else f"class {class_id}:"), own


@lru_cache(maxsize=16)
def _own_font(letters: int) -> Font:
    return ImageFont.load_default(size=letters)


@lru_cache(maxsize=16)
def _font(file: str, letters: int) -> Font:
    try:
        return ImageFont.truetype(file, letters)
    except OSError as error:
        raise OptionError(f"font={file!r}: {error}; expected a TrueType or OpenType font file") from error


@lru_cache(maxsize=64)
def _system_font(file: str, letters: int) -> Font | None:
    try:
        return ImageFont.truetype(file, letters)
    except OSError:
        return None


def _has_letters(face: Font, text: str) -> bool:
    missing = bytes(face.getmask("\uffff"))
    return all(bytes(face.getmask(letter)) != missing for letter in set(text) if not letter.isspace())


def _padding(letters: int) -> int:
    return max(2, letters // 5)


def _line_height(letters: int) -> int:
    return round(letters * 1.25) + _padding(letters)


def _place(box: _Rect, width: int, height: int, image_width: int, image_height: int, taken: Sequence[_Rect]) -> _Rect:
    """Where a label goes: above its box, inside at the top, below, or inside at the bottom; the first that is free."""
    left = min(max(box.left, 0), max(image_width - width, 0))
    lowest = max(image_height - height, 0)
    candidates = [_Rect(left, top, left + width, top + height) for top in (
        box.top - height, box.top, box.bottom, box.bottom - height,
    )]  # fmt: skip
    inside = [place for place in candidates if 0 <= place.top <= lowest]
    free = [place for place in inside if not any(place.meets(other) for other in taken)]
    if free or inside:
        return (free or inside)[0]
    top = min(max(box.top, 0), lowest)
    return _Rect(left, top, left + width, top + height)


def _paint_label(draw: ImageDraw.ImageDraw, place: _Rect, lines: Sequence[_Line], line_height: int) -> None:
    for row, line in enumerate(lines):
        top = place.top + row * line_height
        draw.rectangle((place.left, top, place.right - 1, top + line_height - 1), fill=line.color)
        middle = (place.left + (place.right - place.left) / 2, top + line_height / 2)
        draw.text(middle, line.text, fill=_text_color(line.color), font=line.font, anchor="mm")


def _text_color(background: Color) -> Color:
    # Red and blue count alike, between their true shares of .30 and .11: whether this is RGB or BGR is not known.
    brightness = 0.2 * background[0] + 0.6 * background[1] + 0.2 * background[2]
    return (0, 0, 0) if brightness > 115 else (255, 255, 255)


def save_image(path: str | os.PathLike[str], image: npt.NDArray[np.uint8], *, bgr: bool = True) -> None:
    """Write a picture to a file, in the format that its name ends in, wholly or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in one of ``IMAGE_SUFFIXES``, in any case. An existing file is replaced once the new one is complete.
    image : ndarray, shape (H, W, 3), (H, W, 1) or (H, W), uint8
    bgr : bool
        Whether three channels are in OpenCV's order, otherwise RGB (as ``load_image`` returns them).

    Raises
    ------
    OptionError
        The ending is unknown, or the path cannot be written.
    ImageError
        The array is not a picture, or too large for the format.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise OptionError(f"{path}: ends in {suffix!r}, expected one of {', '.join(IMAGE_SUFFIXES)}")
    pixels = _canvas(image)
    try:
        done, data = cv2.imencode(suffix, pixels if bgr else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ImageError(f"{path}: image of shape {image.shape} cannot be encoded: {error}") from error
    if not done:
        raise ImageError(f"{path}: image of shape {image.shape} cannot be encoded as {suffix}: smaller, or as .png?")
    _write_whole(target, data.tobytes())


def _write_whole(target: Path, data: bytes) -> None:
    # Beside the target, as only a rename within one file system is atomic.
    part = target.with_name(f".{target.stem[:40]}-{secrets.token_hex(4)}.part")
    try:
        try:
            part.write_bytes(data)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise OptionError(f"{target}: cannot be written: {error}") from error
