"""Lines of print as ink coverage."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.scenes import payloads

__all__ = ["banked_line", "line", "paragraph"]

_CV_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_BANK_HEIGHT = 40
_BANK_SIZE = 320


def line(text: str, height: int, font: int) -> NDArray[np.uint8]:
    """Print one line of text.

    Parameters
    ----------
    text : str
    height : int
        Line height in pixels.
    font : int
        0 is Pillow's own outline font, others number OpenCV's fonts.

    Returns
    -------
    uint8 array (height, width)
        Ink coverage, 0 to 255.
    """
    if font == 0:
        face = ImageFont.load_default(height * 0.8)
        page = Image.new("L", (max(1, int(face.getlength(text)) + 2), height))
        ImageDraw.Draw(page).text((1, height * 0.78), text, fill=255, font=face, anchor="ls")
        return np.asarray(page)
    stroked, scale, weight = _CV_FONTS[font % len(_CV_FONTS)], height / 32, 1 + (font > len(_CV_FONTS))
    (width, _), _ = cv2.getTextSize(text, stroked, scale, weight)
    canvas = np.zeros((height, max(width, 1) + 4), np.uint8)
    return cv2.putText(canvas, text, (2, int(height * 0.78)), stroked, scale, 255, weight, cv2.LINE_AA)


@lru_cache(maxsize=_BANK_SIZE)
def _printed(number: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng((0x7E87, number))
    return line(payloads.label_line(rng), _BANK_HEIGHT, int(rng.integers(9)))


def banked_line(rng: np.random.Generator, height: int) -> NDArray[np.uint8]:
    """A random line of print from a bank, uint8 (height, width) ink coverage."""
    printed = _printed(int(rng.integers(_BANK_SIZE)))
    width = max(2, round(printed.shape[1] * height / _BANK_HEIGHT))
    mode = cv2.INTER_AREA if height < _BANK_HEIGHT else cv2.INTER_LINEAR
    return cv2.resize(printed, (width, height), interpolation=mode)


def paragraph(rng: np.random.Generator, width: int, height: int, size: int) -> NDArray[np.uint8]:
    """Lines of print filling a rectangle.

    Parameters
    ----------
    width, height : int
        Of the rectangle, in pixels.
    size : int
        Line height in pixels; lines stand 1.25 of it apart.

    Returns
    -------
    uint8 array (height, width)
        Ink coverage.
    """
    ink = np.zeros((height, width), np.uint8)
    ragged = rng.random() < 0.6
    for top in range(0, height - size + 1, max(size + size // 4, 1)):
        left, end = 0, round(width * (rng.uniform(0.5, 1.0) if ragged else 1.0))
        while left < end - size:
            printed = banked_line(rng, size)[:, : end - left]
            ink[top : top + size, left : left + printed.shape[1]] = printed
            left += printed.shape[1] + size // 2
    return ink
