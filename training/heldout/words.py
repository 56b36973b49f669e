"""Letters for labels: pronounceable nonsense and the fonts that come with matplotlib."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

try:
    import matplotlib
except ImportError as error:
    raise ImportError(
        "The held-out set prints with the fonts of matplotlib, which is not installed: pip install matplotlib"
    ) from error

__all__ = ["FONTS", "sentence", "text_ink", "word"]

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
)

_ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pr qu r s st t tr v w z".split()
_VOWELS = "a e i o u ai ea io ou".split()
_CODAS = "n r s l t nd st rk x m ".split(" ")


def word(rng: np.random.Generator) -> str:
    """A pronounceable word of two or three syllables."""
    syllables = [
        str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) + str(rng.choice(_CODAS))
        for _ in range(int(rng.integers(2, 4)))
    ]
    return "".join(syllables)


def sentence(rng: np.random.Generator, count: int) -> str:
    """`count` words with a capital and a full stop."""
    return " ".join(word(rng) for _ in range(count)).capitalize() + "."


@lru_cache(maxsize=256)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), size)


def text_ink(text: str, font: str, size: int) -> NDArray[np.uint8]:
    """Coverage of a text, cropped to its ink.

    Parameters
    ----------
    text : str
        Lines separated by newlines.
    font : str
        One of `FONTS`.
    size : int
        Font size in texels.

    Returns
    -------
    uint8 array (h, w)
        0 where the paper shows, 255 where it is inked.
    """
    face = _font(font, max(4, size))
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=face)
    canvas = Image.new("L", (max(1, int(right - left) + 1), max(1, int(bottom - top) + 1)))
    ImageDraw.Draw(canvas).multiline_text((-left, -top), text, font=face, fill=255)
    return np.asarray(canvas)
