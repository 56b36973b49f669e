"""Barcodes that are blurred or badly lit: turned upright, smoothed along the bars and sharpened across them.

A reader of barcodes takes single rows as they come. All rows of a barcode say the same, though, and what blurs the bars
does so in one direction: a few rows' mean has little noise, so that much of the blur can be undone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darknet_py.codes.views import Box, Grey, View, enlargement, turned_view, within

__all__ = ["LIGHT", "Bars", "Floats", "even_light", "find_bars", "sharpened"]

Floats = NDArray[np.float64]

# What follows was chosen on 79 photographs of which nothing else was read, most of them of barcodes: 25 are read now.
#: Pixels and modules of a barcode across its bars. EAN-13 has 95 modules; the blurs below suit those of 50 to 150, no
#: long Code 128. With 500 pixels a third fewer were read, with 800 and 1200 as many within two.
_ACROSS, _MODULES = 1000, 100
#: Modules along the bars that are averaged, and from one row to the next. A row a pixel reads two more for half as much
#: time again.
_SMOOTH, _STEP = 3.0, 0.5
#: Blurs that are undone, standard deviations in modules, and how much noise there is beside the bars in their power
#: (Wiener's filter). A noise of .003 or .1 read half as many; blurs of .95 and 1.2 none that these do not.
_BLURS, _NOISE = (0.45, 0.6, 0.75), 0.03
#: Modules over which light and contrast are made even. With light as it is 15 were read, made even 19.
LIGHT = 20
#: Share of the grey's changes that are in one direction: 97% of boxes of barcodes have more, 1% of those of QR codes.
_STRIPED = 0.3


class Bars(NamedTuple):
    """A barcode with its bars upright.

    Attributes
    ----------
    rows : ndarray, shape (H, W), float64
        Means of a few rows of pixels each.
    back : ndarray, shape (2, 3), float64
        From (x, y, 1) of `rows` to (x, y) of the picture.
    module : float
        Pixels of `rows` across the narrowest bar, about.
    """

    rows: Floats
    back: Floats
    module: float


def find_bars(grey: Grey, xyxy: Box) -> Bars | None:
    """What a box shows with its bars upright; None if nothing in it is striped."""
    left, top, right, bottom = within(grey, xyxy, 0.0)
    box = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    wide, tall = right - left, bottom - top
    turn, striped = _direction(grey[top:bottom, left:right])
    if striped < _STRIPED:
        return None
    across = max(wide * abs(math.cos(turn)), tall * abs(math.sin(turn)))
    left, top, right, bottom = within(grey, xyxy)
    scale = enlargement(_ACROSS / across, max(right - left, bottom - top))
    view = turned_view(Image.fromarray(grey[top:bottom, left:right]), (left, top), math.degrees(turn), scale)
    # What the margin has above and below the bars says nothing of them.
    down = (box - view.back[:, 2]) @ np.linalg.inv(view.back[:, :2])[1]
    first, last = max(0, math.floor(down.min())), min(len(view.pixels), math.ceil(down.max()))
    module = scale * across / _MODULES
    taken, step = (min(max(1, round(part * module)), last - first) for part in (_SMOOTH, _STEP))
    rows = np.stack([view.pixels[at : at + taken].mean(axis=0) for at in range(first, last - taken + 1, step)])
    back = view.back.copy()
    back[:, 2] += back[:, 1] * (first + (taken - step) / 2)
    back[:, 1] *= step
    return Bars(rows, back, module)


def _direction(grey: Grey) -> tuple[float, float]:
    """Which way greys change, in radians, and how much more so than across it, 0 to 1 (the structure tensor's)."""
    if min(grey.shape) < 3:
        return 0.0, 0.0
    # Of a box of twelve million pixels all gradients would take 270 MB.
    small = np.asarray(Image.fromarray(grey).reduce(1 + max(grey.shape) // 1000), np.float64)
    dx, dy = small[1:-1, 2:] - small[1:-1, :-2], small[2:, 1:-1] - small[:-2, 1:-1]
    xx, yy, xy = np.sum(dx * dx), np.sum(dy * dy), np.sum(dx * dy)
    more = np.hypot(2 * xy, xx - yy)
    return 0.5 * math.atan2(2 * xy, xx - yy), float(more / max(xx + yy, 1e-9))


def sharpened(bars: Bars) -> Iterator[View]:
    """The rows with more and more blur undone, each once with light made even and once with light as it is."""
    width = bars.rows.shape[1]
    pad = width // 4
    padded = np.pad(bars.rows, ((0, 0), (pad, pad)), mode="edge")
    waves = np.fft.rfft(padded)
    cycles = np.fft.rfftfreq(padded.shape[1])
    for blur in _BLURS:
        gauss = np.exp(-2 * (np.pi * blur * bars.module * cycles) ** 2)
        undone = np.fft.irfft(waves * (gauss / (gauss**2 + _NOISE) * (1 + _NOISE)), padded.shape[1])
        sharp = undone[:, pad : pad + width]
        yield View(_to_grey(128 + 60 * even_light(sharp, round(LIGHT * bars.module))), bars.back)
        low, high = np.percentile(_middle(sharp), (5, 95))
        yield View(_to_grey(30 + 190 * (sharp - low) / max(high - low, 1.0)), bars.back)


def _to_grey(values: Floats) -> Grey:
    return values.clip(0, 255).astype(np.uint8)


def _middle(rows: Floats) -> Floats:
    """What is in the middle of rows, where the bars are."""
    height, width = rows.shape
    return rows[height // 4 : height - height // 4, width // 4 : width - width // 4]


def even_light(rows: Floats, window: int) -> Floats:
    """Rows with a mean of 0 and a deviation of nearly 1 in a window around every place; what is flat stays flat."""
    mean = _moving_mean(rows, window)
    deviation = np.sqrt(np.maximum(_moving_mean((rows - mean) ** 2, window), 0.0))
    return (rows - mean) / (deviation + 0.3 * np.median(_middle(deviation)) + 1e-9)


def _moving_mean(rows: Floats, window: int) -> Floats:
    half = max(1, window // 2)
    sums = np.cumsum(np.pad(rows, ((0, 0), (half + 1, half)), mode="reflect"), axis=1)
    return (sums[:, 2 * half + 1 :] - sums[:, : -2 * half - 1]) / (2 * half + 1)
