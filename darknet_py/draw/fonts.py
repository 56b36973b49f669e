"""Letters for labels: a font that has them, and what can be written where none has."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from typing import TypeAlias

from PIL import ImageFont

from darknet_py.errors import OptionError

__all__ = ["Font", "legible"]

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: Asked, in this order, for letters that Pillow's own font lacks: it has ASCII alone.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "arial.ttf", "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "msyh.ttc", "msgothic.ttc", "malgun.ttf", "PingFang.ttc",
    "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc",
)  # fmt: skip


def legible(text: str, instead: str, size: float, file: str | os.PathLike[str] | None = None) -> tuple[str, Font]:
    """A text as it can be written, and the font that has its letters.

    Parameters
    ----------
    text, instead : str
        What to write, and what if no font has its letters and they are more than accents on ASCII.
    size : float
        Of the letters, in pixels.
    file : str or Path, optional
        The font to take, whatever letters it has.

    Raises
    ------
    OptionError
        `file` is not a font.
    """
    if file is not None:
        return text, _font(os.fspath(file), size)
    own = _own_font(size)
    if text.isascii():
        return text, own
    for name in _SYSTEM_FONTS:
        face = _system_font(name, size)
        if face is not None and all(_has_letter(name, letter) for letter in set(text)):
            return text, face
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return (plain if plain.isascii() else instead), own


@lru_cache(maxsize=16)
def _own_font(size: float) -> Font:
    return ImageFont.load_default(size=size)


@lru_cache(maxsize=16)
def _font(file: str, size: float) -> Font:
    try:
        return ImageFont.truetype(file, size)
    except (OSError, TypeError, ValueError) as error:  # the latter two: a zero byte in the name
        raise OptionError(f"font={file!r}: {error}; expected a TrueType or OpenType font file") from error


@lru_cache(maxsize=64)
def _system_font(name: str, size: float) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has_letter(name: str, letter: str) -> bool:
    face = _system_font(name, 12)
    return face is not None and (letter.isspace() or bytes(face.getmask(letter)) != bytes(face.getmask("\uffff")))
