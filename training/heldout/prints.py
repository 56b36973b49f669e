"""What symbols are printed on: bare stickers, parcel labels, price tags, plates; and packages' artwork."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.artwork import (
    Artwork,
    Print,
    frame,
    letters,
    margin,
    printed,
    stack,
    symbol_art,
)
from training.heldout.fields import branches, spectral
from training.heldout.materials import hsv
from training.heldout.symbols import Symbol
from training.heldout.words import FONTS, sentence, word

__all__ = ["design", "print_symbol", "worn"]

_QUIET = ((2.0, 5.0), (7.0, 12.0), (1.0, 3.0), (1.0, 2.5))


def _colours(rng: np.random.Generator, class_id: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Light stock and dark ink."""
    kind = rng.random()
    if kind < 0.6:
        stock = hsv(rng.uniform(20, 60), rng.uniform(0, 0.06), rng.uniform(0.86, 0.98))
    elif kind < 0.85:
        stock = hsv(rng.uniform(0, 360), rng.uniform(0.15, 0.65), rng.uniform(0.85, 0.97))
    else:
        stock = hsv(rng.uniform(25, 34), rng.uniform(0.25, 0.45), rng.uniform(0.7, 0.85))
    black = rng.random() < (0.9 if class_id == 3 else 0.7)
    ink = (
        hsv(rng.uniform(0, 360), 0.2, rng.uniform(0.04, 0.14))
        if black
        else hsv(rng.uniform(0, 360), rng.uniform(0.6, 1), 0.32)
    )
    # Blue and black on red or blue stock would hardly show: keep the stock's luminance up.
    while float(stock @ (0.114, 0.587, 0.299)) < 135:
        stock = stock * 0.8 + 51
    return stock.astype(np.float32), ink


def _human_readable(rng: np.random.Generator, symbol: Symbol, art: Artwork, texel: int) -> Artwork:
    """A barcode with its digits below the bars, as most have."""
    quiet = int(art.marks[0].corners[0, 0])
    bars = Artwork(art.ink[quiet:-quiet], tuple(m._replace(corners=m.corners - (0, quiet)) for m in art.marks))
    if rng.random() < 0.15:
        return margin(bars, (0, 3 * texel))
    text = letters(symbol.payload, str(rng.choice(FONTS[:8])), round(texel * rng.uniform(7, 11)))
    if text.ink.shape[1] > bars.ink.shape[1]:
        return margin(bars, (0, 3 * texel))
    return margin(stack([bars, text], 0, max(2, texel), 0.5), (0, 3 * texel))


def _bare(rng: np.random.Generator, symbol: Symbol, texel: int) -> Artwork:
    art = symbol_art(symbol, texel, rng.uniform(*_QUIET[symbol.class_id]))
    return _human_readable(rng, symbol, art, texel) if symbol.class_id == 1 else art


def _caption(rng: np.random.Generator, width: int, size: int) -> Artwork:
    """One to three lines no wider than `width` texels."""
    font, lines = str(rng.choice(FONTS)), []
    for _ in range(int(rng.integers(1, 4))):
        text = (
            sentence(rng, 2),
            f"{word(rng).upper()} {rng.integers(1000)}",
            f"{rng.integers(99)}.{rng.integers(99)} kg",
        )
        lines.append(text[rng.integers(3)])
    art = letters("\n".join(lines), font, size)
    if art.ink.shape[1] > width:
        factor = width / art.ink.shape[1]
        art = Artwork(cv2.resize(art.ink, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
    return art


def _label(rng: np.random.Generator, symbol: Symbol, texel: int) -> Artwork:
    """A form: letters above, beside and below, rules between."""
    core = _bare(rng, symbol, texel)
    height, width = core.ink.shape
    size = max(10, round(min(height, width) * rng.uniform(0.09, 0.2)))
    line = max(2, size // 8)
    if rng.random() < 0.5 or symbol.class_id == 1:
        rule = Artwork(np.full((line, width), 255, np.uint8))
        parts = [_caption(rng, width, size), rule, core]
        if rng.random() < 0.6:
            parts += [rule, _caption(rng, width, size)]
        art = stack(parts, 0, size // 2, float(rng.choice([0.0, 0.5])))
    else:
        sides = [core, _caption(rng, 2 * width, size)]
        art = stack(sides[:: 1 if rng.random() < 0.5 else -1], 1, size, 0.5)
    art = margin(art, size)
    return margin(frame(art, line), size // 2) if rng.random() < 0.5 else art


def worn(rng: np.random.Generator, part: Print) -> Print:
    """The print after use: uneven ink, dirt and a scratch; symbols stay readable."""
    height, width = part.image.shape[:2]
    field = cv2.resize(spectral(rng, 128, rng.uniform(0.6, 1.8)), (width, height), interpolation=cv2.INTER_LINEAR)
    strength = rng.uniform(0, 0.22)
    image = part.image * (1 - strength * field[..., None]) + 60 * strength * (1 - field[..., None])
    if rng.random() < 0.15:
        scratch = branches(rng, 128, 2)
        scratch = cv2.resize(scratch, (width, height), interpolation=cv2.INTER_LINEAR)[..., None] * 0.35
        image = image * (1 - scratch) + 200 * scratch
    return Print(np.clip(image, 0, 255).astype(np.uint8), part.marks)


def print_symbol(rng: np.random.Generator, symbol: Symbol, texel: int) -> Print:
    """A symbol on a sticker, label or plate of its own.

    Parameters
    ----------
    rng : numpy.random.Generator
    symbol : Symbol
    texel : int
        Texels a module.
    """
    stock, ink = _colours(rng, symbol.class_id)
    if symbol.class_id in (0, 2) and rng.random() < 0.06:
        stock, ink = ink, stock
    art = _bare(rng, symbol, texel) if rng.random() < 0.45 else _label(rng, symbol, texel)
    part = printed(art, stock, ink)
    return worn(rng, part) if rng.random() < 0.6 else part


def _shapes(rng: np.random.Generator, image: NDArray[np.uint8]) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        colour = tuple(float(c) for c in hsv(rng.uniform(0, 360), rng.uniform(0.3, 1), rng.uniform(0.2, 1)))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        extent = int(min(height, width) * rng.uniform(0.1, 0.5))
        way = rng.integers(4)
        if way == 0:
            cv2.circle(image, (x, y), extent, colour, -1, cv2.LINE_AA)
        elif way == 1:
            cv2.rectangle(image, (0, y), (width, y + extent), colour, -1)
        elif way == 2:
            cv2.ellipse(image, (x, y), (extent, extent // 2), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            points = np.array([x, y]) + rng.integers(-extent, extent + 1, (4, 2))
            cv2.fillConvexPoly(image, cv2.convexHull(points.astype(np.int32)), colour, cv2.LINE_AA)


def design(rng: np.random.Generator, width: int, height: int) -> Print:
    """Artwork of a package: coloured fields, a brand in large letters, small print. Bears no symbol."""
    # Large letters need few texels: drawn small and enlarged, it takes a tenth of the time.
    factor = min(1.0, 480 / max(width, height))
    columns, rows = max(8, round(width * factor)), max(8, round(height * factor))
    image = np.empty((rows, columns, 3), np.uint8)
    image[:] = hsv(rng.uniform(0, 360), rng.uniform(0.1, 0.95), rng.uniform(0.25, 0.97))
    _shapes(rng, image)
    for _ in range(int(rng.integers(1, 4))):
        size = max(8, round(min(rows, columns) * rng.uniform(0.05, 0.25)))
        text = word(rng).upper() if rng.random() < 0.6 else sentence(rng, 3).replace(" ", "\n")
        _letter(rng, image, letters(text, str(rng.choice(FONTS)), size).ink)
    return Print(np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8))


def _letter(rng: np.random.Generator, image: NDArray[np.uint8], ink: NDArray[np.uint8]) -> None:
    """Print letters somewhere on an image, light on dark or dark on light."""
    height, width = image.shape[:2]
    factor = min(1.0, 0.9 * width / ink.shape[1], 0.9 * height / ink.shape[0])
    size = max(1, int(ink.shape[1] * factor)), max(1, int(ink.shape[0] * factor))
    ink = np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), np.uint8)
    x, y = int(rng.integers(width - size[0] + 1)), int(rng.integers(height - size[1] + 1))
    under = image[y : y + size[1], x : x + size[0]]
    colour = hsv(rng.uniform(0, 360), rng.uniform(0, 0.8), 0.98 if under.mean() < 128 else 0.1)
    coverage = ink.astype(np.float32)[..., None] / 255
    under[:] = (under * (1 - coverage) + colour * coverage).astype(np.uint8)
