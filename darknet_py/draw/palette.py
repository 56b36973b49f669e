"""One colour per class, and the colour of text on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from darknet_py.errors import OptionError

__all__ = ["Color", "Palette", "class_color", "colors_of", "text_color"]

#: Red, green, blue, 0..255.
Color: TypeAlias = tuple[int, int, int]

#: What ``annotate`` takes as its palette.
Palette: TypeAlias = Sequence[str | Sequence[int]] | Mapping[Any, str | Sequence[int]] | npt.NDArray[np.integer[Any]]

# Of the colours of OKLCH with lightness 0.66 to 0.84 and chroma 0.085 to 0.165 (soft, yet seen on a photo; all bear
# black text), each is the one farthest from those before it, the last eight counting double. The distance is that of
# OKLab, three tenths of it as without green receptors. The first 20 are 0.07 apart or more, all 80 0.044. Then 3 and 5
# changed places, for brightness among the first, and 14 and 16, as a bicycle and a dog were both blue.
_COLORS = """
    ff8c70 0599ef 1debc5 e4cc2b e1a0fe 7ba204 0aa99b da61a0 59ccfe e67425 8a80f2 fdb6aa 5bd47d bb9cd3 3a9fc2 8b9a5e
    fbac16 84dce0 ec676d b171dd fbb1d3 a6df64 9cabfa deac7d 11b569 29b9c7 b88a01 bf7c8b e481dc 8dcfab b5c32a c9c2ff
    878ccc fc94a5 fbbd74 0eb8fe c1815c c38dfd 31c69e aaab38 03e3fe b67ab1 ff94dd c3d394 70abdc d59185 f09106 6daf8c
    87bf42 1bd9d1 cf6ec8 daabdc 7fe597 729bf8 ee7a98 cb9b55 97d3fd 7bbe7d d5c66a b687d8 6ac2c2 f4aef7 4d9fe0 d695ad
    fd9c54 a3bdf5 a3ab6d 18dea3 d0af07 e57d63 a3ce76 9c97f5 df80b8 fda485 68bedf 79b157 608cf6 ce9c0f e56647 babd7c
"""  # fmt: skip

_DEFAULT: tuple[Color, ...] = tuple(
    (int(color[:2], 16), int(color[2:4], 16), int(color[4:], 16)) for color in _COLORS.split()
)


def class_color(class_id: int) -> Color:
    """Colour of a class, (red, green, blue) 0..255: the same in every picture, and far from those of its neighbours.

    There are 80; class 80 has that of class 0.
    """
    return _DEFAULT[class_id % len(_DEFAULT)]


def text_color(background: Color) -> Color:
    """Black or white, whichever has the higher contrast on `background` by WCAG 2: 4.5 or more on any."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in _unit(background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Contrast is (lighter + 0.05) / (darker + 0.05).
    return (0, 0, 0) if (luminance + 0.05) ** 2 >= 1.05 * 0.05 else (255, 255, 255)


def _unit(color: Color) -> Iterable[float]:
    return (value / 255 for value in color)


def colors_of(palette: Palette | None) -> Callable[[int, str], Color]:
    """The function from class number and name to colour that a palette stands for.

    Parameters
    ----------
    palette : sequence or mapping, optional
        Colours as (red, green, blue) or text such as "#ff8c70", "#f80" or "tomato": a sequence by class number,
        starting again where it ends, or a mapping from class numbers or names; what is not in it keeps its default.

    Raises
    ------
    OptionError
        It is neither, or one of its colours is none.
    """
    if palette is None:
        return lambda class_id, name: class_color(class_id)
    if isinstance(palette, Mapping):
        return _colors_of_mapping(palette)
    if isinstance(palette, np.ndarray):
        palette = palette.tolist()
    if isinstance(palette, str) or not isinstance(palette, Sequence):
        raise OptionError(
            f"palette={palette!r}: expected a sequence of colours, such as ['#ff8c70', (5, 153, 239)], or a mapping "
            "from class numbers or names to colours"
        )
    if not palette:
        raise OptionError("palette is empty, expected one colour or more; None for the default palette")
    colors = [_color(value, f"palette[{i}]") for i, value in enumerate(palette)]
    return lambda class_id, name: colors[class_id % len(colors)]


def _colors_of_mapping(palette: Mapping[Any, Any]) -> Callable[[int, str], Color]:
    colors: dict[int | str, Color] = {}
    for key, value in palette.items():
        if isinstance(key, bool | np.bool_) or not isinstance(key, str | SupportsIndex):
            raise OptionError(f"palette has the key {key!r}, expected class numbers or names")
        colors[key if isinstance(key, str) else key.__index__()] = _color(value, f"palette[{key!r}]")

    def color_of(class_id: int, name: str) -> Color:
        found = colors.get(class_id) or colors.get(name)
        return class_color(class_id) if found is None else found

    return color_of


def _color(value: Any, where: str) -> Color:
    expected = "expected (red, green, blue), three integers from 0 to 255, or text such as '#ff8c70' or 'tomato'"
    channels: tuple[int, ...] = ()
    if isinstance(value, str):
        # Without its hash, too, as in files of settings. Pillow would also take what has alpha.
        text = f"#{value}" if re.fullmatch(r"[0-9a-fA-F]{6}", value) else value
        with suppress(ValueError):
            channels = ImageColor.getrgb(text)
    elif isinstance(value, Sequence | np.ndarray):
        integers = all(isinstance(channel, SupportsIndex) and not isinstance(channel, bool) for channel in value)
        channels = tuple(channel.__index__() for channel in value) if integers else ()
    if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
        whole = ": a palette is a sequence of colours, one alone is [colour]" if isinstance(value, int) else ""
        raise OptionError(f"{where} is {value!r}, {expected}{whole}")
    return channels[0], channels[1], channels[2]
