"""Detections painted on a picture; the end of the flow, nothing depends on it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from darknet_py.draw.imagewriter import check_pixels
from darknet_py.draw.labels import Boxes, Label, Labels, Lettering, Line, labels_by_box, write
from darknet_py.draw.palette import Color, Palette, colors_of, text_color
from darknet_py.draw.placement import Layout, Point, Rect
from darknet_py.errors import OptionError

__all__ = ["annotate"]

#: Pixels that letters have at least, unless others are asked for, and in a crowd.
_SMALL, _SMALLEST = 12, 10

#: The part of a picture beyond which its labels, side by side, make letters smaller.
_CROWDED = 0.25


def annotate(
    image: npt.NDArray[np.uint8],
    detections: Boxes,
    *,
    bgr: bool = True,
    thickness: int | None = None,
    font_size: float | None = None,
    labels: Labels = True,
    confidence: bool | None = None,
    palette: Palette | None = None,
    font: str | os.PathLike[str] | None = None,
) -> npt.NDArray[np.uint8]:
    """Paint boxes, and labels such as ``dog 97%``, on a copy of a picture.

    Labels stay inside the picture, and the classes that share one box are listed below each other. A label goes above
    its box, inside at the top, below it or inside at the bottom: the first of these that is free of other labels and
    covers little of small boxes; else to another end of its box, or away from it, with a line that leads to it. They
    overlap only where a picture has no room left, surer ones on top.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), (H, W, 1) or (H, W), uint8
        The picture that `detections` were found in.
    detections : Detections
        Boxes in pixels of `image`.
    bgr : bool
        Whether three channels are in OpenCV's order, otherwise RGB (as ``load_image`` returns them); so is the result.
        A class has the same colour either way.
    thickness : int, optional
        Of the lines, in pixels; by default 0.15 % of the picture's width and height together.
    font_size : float, optional
        Of the letters, in pixels, from 1 to 1000; by default 2.5 % of the picture's shorter side, 12 or more, but
        less, down to 10, where labels would fill more than a quarter of the picture.
    labels : bool, sequence of str, or callable
        True for the names of classes, False for none; or texts of your own, one per detection (empty for none, with
        line breaks for several lines); or a function that makes the text from a ``Detection``.
    confidence : bool, optional
        Whether labels end in the confidence, in per cent; by default names of classes do, texts of your own do not.
    palette : sequence or mapping, optional
        Colours as (red, green, blue), whatever `bgr` says, or text such as "#ff8c70" or "tomato": a sequence by class
        number, starting again where it ends, or a mapping from class numbers or names; classes that are not in it
        keep their default, ``class_color``.
    font : str or Path, optional
        A TrueType file for the labels. By default Pillow's own font for ASCII names, and for others a common font
        of the system that has their letters; without any, accents are dropped, then the name becomes ``class 7:``.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8

    Raises
    ------
    ImageError
        `image` is not a picture.
    OptionError
        An argument is outside what it accepts; the message says what that is.
    """
    wanted = _Wanted(bgr, thickness, font_size, labels, confidence, palette, font)
    return _annotate(_canvas(image), detections, wanted)


class _Wanted(NamedTuple):
    """The options of `annotate`, as given."""

    bgr: bool
    thickness: int | None
    font_size: float | None
    labels: Labels
    confidence: bool | None
    palette: Palette | None
    font: str | os.PathLike[str] | None


def _annotate(canvas: npt.NDArray[np.uint8], detections: Boxes, wanted: _Wanted) -> npt.NDArray[np.uint8]:
    height, width = canvas.shape[:2]
    line_width = _thickness(wanted.thickness, width, height)
    lettering = Lettering(_letters(wanted.font_size, width, height), width, _font(wanted.font))
    _check_flag("bgr", wanted.bgr)
    if wanted.confidence is not None:
        _check_flag("confidence", wanted.confidence)
    colors = colors_of(wanted.palette)
    found = labels_by_box(detections, wanted.labels, wanted.confidence, colors, (width, height))
    if wanted.font_size is None:
        lettering = _less_crowded(found, lettering, width * height)
    painting = Image.fromarray(canvas)
    _Painter(painting, line_width, lettering, bool(wanted.bgr)).paint(found, _written(found, lettering))
    return np.array(painting)


def _less_crowded(found: Sequence[Label], lettering: Lettering, pixels: int) -> Lettering:
    """Smaller letters where labels would fill more than their share of the picture."""
    lines = _written(found, lettering)
    crowd = sum(line.width for rows in lines for line in rows) * lettering.line_height / (_CROWDED * pixels)
    if crowd <= 1:
        return lettering
    return replace(lettering, size=max(_SMALLEST, round(lettering.size / math.sqrt(crowd))))


def _written(found: Sequence[Label], lettering: Lettering) -> list[list[Line]]:
    return [[write(row, lettering) for row in label.rows] for label in found]


# Arguments ----------------------------------------------------------------------------------------------------------


def _canvas(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    pixels = check_pixels(image)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{name}={value!r}: expected True or False")


def _thickness(thickness: Any, width: int, height: int) -> int:
    if thickness is None:
        return max(1, round((height + width) * 0.0015))
    if isinstance(thickness, bool | np.bool_) or not isinstance(thickness, int | np.integer) or thickness < 1:
        raise OptionError(f"thickness={thickness!r}: expected pixels, an integer of 1 or more")
    return min(int(thickness), max(width, height))


def _letters(font_size: Any, width: int, height: int) -> float:
    if font_size is None:
        return max(_SMALL, round(min(height, width) * 0.025))
    number = isinstance(font_size, int | float | np.integer | np.floating) and not isinstance(font_size, bool)
    if not number or not 1 <= font_size <= 1000:
        raise OptionError(f"font_size={font_size!r}: expected the height of letters in pixels, 1 to 1000")
    return float(font_size)


def _font(font: Any) -> str | None:
    if font is None:
        return None
    if not isinstance(font, str | os.PathLike):
        raise OptionError(f"font={font!r}: expected the path of a TrueType or OpenType font file")
    return str(font)


# Painting -----------------------------------------------------------------------------------------------------------


#: Letters that were shrunk look thinner than those hinted for their size.
_STRONGER = [round(255 * (value / 255) ** 0.75) for value in range(256)]


class _Painter:
    """A picture and what is painted on it; sizes in pixels."""

    def __init__(self, painting: Image.Image, line_width: int, lettering: Lettering, bgr: bool) -> None:
        self._painting = painting
        self._draw = ImageDraw.Draw(painting)
        self._line_width = line_width
        self._lettering = lettering
        self._order = slice(None, None, -1 if bgr else 1)

    def paint(self, found: Sequence[Label], written: Sequence[list[Line]]) -> None:
        """Boxes first, then lines to labels, then labels; of each kind the surest last, on top."""
        edges = [self._edge(label.box) for label in found]
        for label, edge in zip(reversed(found), reversed(edges), strict=True):
            self._box(edge, label.color)
        height = self._lettering.line_height
        layout = Layout(*self._painting.size, edges, max(1, self._line_width // 2), height // 4)
        placed = [
            (layout.place(edge, max(line.width for line in lines), len(lines) * height), lines, label.color)
            for label, lines, edge in zip(found, written, edges, strict=True)
            if lines
        ]
        for place, _, color in reversed(placed):
            if place.leader is not None:
                self._leader(*place.leader, color)
        for place, lines, _ in reversed(placed):
            self._label(place.rect, lines)

    def _edge(self, box: tuple[int, int, int, int]) -> Rect:
        """The outside of a box's line, which is centred on the box's edge but at the border of the picture."""
        before, after = (self._line_width - 1) // 2, self._line_width // 2 + 1
        width, height = self._painting.size
        left, top = max(box[0] - before, 0), max(box[1] - before, 0)
        return Rect(left, top, min(box[2] + after, width), min(box[3] + after, height))

    def _box(self, edge: Rect, color: Color) -> None:
        corners, ink = (edge.left, edge.top, edge.right - 1, edge.bottom - 1), color[self._order]
        if 2 * self._line_width >= min(edge.right - edge.left, edge.bottom - edge.top):
            self._draw.rectangle(corners, fill=ink)  # Pillow's outline would reach beyond it
        else:
            self._draw.rectangle(corners, outline=ink, width=self._line_width)

    def _leader(self, start: Point, end: Point, color: Color) -> None:
        """A line with a ring at its end, smooth: painted four times as large, on its own, then shrunk."""
        radius = self._line_width + 1.75
        reach = math.ceil(radius) + 1
        left, top = min(start[0], end[0]) - reach, min(start[1], end[1]) - reach
        width, height = abs(end[0] - start[0]) + 2 * reach + 1, abs(end[1] - start[1]) + 2 * reach + 1
        scale = 4 if width * height < 1_000_000 else 1
        mask = Image.new("L", (width * scale, height * scale))
        draw = ImageDraw.Draw(mask)
        x0, y0, x1, y1 = (
            ((at - least) + 0.5) * scale for at, least in zip((*start, *end), (left, top) * 2, strict=True)
        )
        draw.line((x0, y0, x1, y1), fill=255, width=self._line_width * scale)
        _disc(draw, x1, y1, radius * scale)
        self._painting.paste(color[self._order], (left, top), mask.reduce(scale))
        # Hollow, as on a line of its own colour a dot is hardly seen.
        mask.paste(0, (0, 0, *mask.size))
        _disc(draw, x1, y1, radius * scale / 2)
        self._painting.paste(text_color(color), (left, top), mask.reduce(scale))

    def _label(self, place: Rect, lines: Sequence[Line]) -> None:
        height, scale = self._lettering.line_height, self._lettering.scale
        for row, line in enumerate(lines):
            top = place.top + row * height
            self._draw.rectangle((place.left, top, place.right - 1, top + height - 1), fill=line.color[self._order])
            mask = Image.new("L", (line.width * scale, height * scale))
            start = self._lettering.padding * scale, height * scale / 2
            ImageDraw.Draw(mask).text(start, line.text, fill=255, font=line.face, anchor="lm")
            mask = mask.reduce(scale).point(_STRONGER) if scale > 1 else mask
            self._painting.paste(text_color(line.color), (place.left, top), mask)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
