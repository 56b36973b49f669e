"""Small prints that a detector takes for codes until it has seen many: signs, marks and letters."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import lettering, payloads

__all__ = ["SIGNS", "sign"]

Ink = NDArray[np.uint8]
_SIDE = 96
_MIDDLE = (_SIDE // 2, _SIDE // 2)
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def sign(rng: np.random.Generator, side: int) -> Ink:
    """A random sign: uint8 (side, side) ink coverage."""
    ink = SIGNS[rng.integers(len(SIGNS))](rng)
    return cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA if side < _SIDE else cv2.INTER_LINEAR)


def _blank() -> Ink:
    return np.zeros((_SIDE, _SIDE), np.uint8)


def _put(rng: np.random.Generator, ink: Ink, text: str, share: float, tone: int = 255) -> Ink:
    """Text centred in place, as wide or high as a share of the side."""
    font, weight = _FONTS[rng.integers(len(_FONTS))], int(rng.integers(2, 9))
    (width, height), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = share * _SIDE / max(width, height, 1)
    (width, height), _ = cv2.getTextSize(text, font, scale, weight)
    corner = ((_SIDE - width) // 2, (_SIDE + height) // 2)
    return cv2.putText(ink, text, corner, font, scale, tone, weight, cv2.LINE_AA)


def square(rng: np.random.Generator) -> Ink:
    """The black square that is no marker, empty, nested or with a hole."""
    ink = _blank()
    for inset in np.sort(rng.integers(2, 44, int(rng.integers(1, 5)))).tolist():
        tone = 0 if ink[inset, inset] else 255
        cv2.rectangle(ink, (inset, inset), (_SIDE - 1 - inset, _SIDE - 1 - inset), tone, -1)
    return ink


def ring(rng: np.random.Generator) -> Ink:
    """A disc, a ring or a target."""
    ink = _blank()
    for radius in np.sort(rng.integers(4, 46, int(rng.integers(1, 5))))[::-1].tolist():
        cv2.circle(ink, _MIDDLE, radius, 0 if ink[_MIDDLE] else 255, -1, cv2.LINE_AA)
    return ink


def logo(rng: np.random.Generator) -> Ink:
    """Two to four solid shapes over each other, sometimes mirrored, as trade marks are."""
    ink = _blank()
    for _ in range(int(rng.integers(2, 5))):
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        middle, radius = rng.uniform(30, 66, 2), rng.uniform(10, 44)
        outline = middle + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        tone = 255 if rng.random() < 0.7 or not ink.any() else 0
        if rng.random() < 0.5:
            cv2.fillPoly(ink, [outline.astype(np.int32)], tone, cv2.LINE_AA)
        else:
            axes = (int(radius), int(radius * rng.uniform(0.3, 1)))
            turn, end, stroke = rng.uniform(0, 180), rng.uniform(120, 360), int(rng.integers(3, 14))
            cv2.ellipse(ink, middle.astype(int).tolist(), axes, turn, 0, end, tone, stroke, cv2.LINE_AA)
    return np.maximum(ink, ink[:, ::-1]) if rng.random() < 0.4 else ink


def letter(rng: np.random.Generator) -> Ink:
    """One letter or digit, bare, framed or cut out of a solid field."""
    ink = _blank()
    text = chr(int(rng.integers(48, 58))) if rng.random() < 0.55 else chr(int(rng.integers(65, 91)))
    match rng.integers(4):
        case 0:
            cv2.rectangle(ink, (3, 3), (_SIDE - 4, _SIDE - 4), 255, int(rng.integers(2, 9)))
            return _put(rng, ink, text, 0.55)
        case 1:
            cv2.rectangle(ink, (2, 2), (_SIDE - 3, _SIDE - 3), 255, -1)
            return _put(rng, ink, text, 0.6, 0)
        case 2:
            cv2.circle(ink, _MIDDLE, 44, 255, -1 if rng.random() < 0.5 else 5, cv2.LINE_AA)
            return _put(rng, ink, text, 0.45, 0 if ink[_MIDDLE] else 255)
        case _:
            return _put(rng, ink, text, 0.85)


def digits(rng: np.random.Generator) -> Ink:
    """Two to four large digits, as prices, weights and numbers of houses."""
    return _put(rng, _blank(), payloads.digits(rng, int(rng.integers(2, 5))), 0.95)


def recycling(rng: np.random.Generator) -> Ink:
    """Three arrows in a triangle, with or without the number of a plastic."""
    ink, stroke = _blank(), int(rng.integers(5, 14))
    corners = np.array([48, 54]) + 38 * np.array([[np.sin(a), -np.cos(a)] for a in np.arange(3) * 2 * np.pi / 3])
    for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        start, end = first + 0.16 * (second - first), first + 0.78 * (second - first)
        cv2.arrowedLine(ink, start.astype(int).tolist(), end.astype(int).tolist(), 255, stroke, cv2.LINE_AA, 0, 0.3)
    if rng.random() < 0.6:
        _put(rng, ink, str(rng.integers(1, 8)), 0.22)
    return ink


def arrow(rng: np.random.Generator) -> Ink:
    """One or two arrows in one of four directions."""
    ink, stroke = _blank(), int(rng.integers(6, 18))
    for x in (48,) if rng.random() < 0.5 else (26, 70):
        cv2.arrowedLine(ink, (x, 90), (x, 8), 255, stroke, cv2.LINE_AA, 0, float(rng.uniform(0.25, 0.5)))
    return np.rot90(ink, int(rng.integers(4))).copy()


def health_mark(rng: np.random.Generator) -> Ink:
    """An oval with two or three short lines: the mark of a dairy or a slaughterhouse."""
    ink = _blank()
    cv2.ellipse(ink, _MIDDLE, (46, int(rng.integers(28, 42))), 0, 0, 360, 255, int(rng.integers(2, 5)), cv2.LINE_AA)
    lines = (payloads.serial(rng, 2), payloads.serial(rng, int(rng.integers(4, 8))), payloads.serial(rng, 2))
    for top, text in zip((22, 40, 58), lines, strict=True):
        printed = lettering.line(text, 17, int(rng.integers(9)))[:, :70]
        left = (_SIDE - printed.shape[1]) // 2
        ink[top : top + 17, left : left + printed.shape[1]] = printed
    return ink


def diamond(rng: np.random.Generator) -> Ink:
    """A hazard diamond, a warning triangle or a road sign with something black in it."""
    ink, count = _blank(), int(rng.choice([3, 4, 4, 8]))
    angles = -np.pi / 2 + np.arange(count) * 2 * np.pi / count
    outline = (48 + 45 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.int32)
    cv2.polylines(ink, [outline], True, 255, int(rng.integers(3, 9)), cv2.LINE_AA)
    inner = cv2.resize(SIGNS[rng.integers(4)](rng), (40, 40), interpolation=cv2.INTER_AREA)
    ink[30:70, 28:68] = np.maximum(ink[30:70, 28:68], inner)
    return ink


def glyph(rng: np.random.Generator) -> Ink:
    """A dense character of short strokes, as of the scripts of East Asia."""
    ink, stroke = _blank(), int(rng.integers(3, 9))
    for _ in range(int(rng.integers(5, 14))):
        x, y = (rng.integers(0, 6, 2) * 16 + 8).tolist()
        reach = int(rng.integers(16, 64))
        end = ((x + reach, y), (x, y + reach), (x + reach // 2, y + reach))[rng.choice(3, p=(0.45, 0.4, 0.15))]
        cv2.line(ink, (x, y), (min(end[0], 90), min(end[1], 90)), 255, stroke, cv2.LINE_AA)
    return ink


def icon(rng: np.random.Generator) -> Ink:
    """Pixel art: a random small bitmap that is the same on both sides."""
    half = (rng.random((int(rng.integers(5, 10)), int(rng.integers(3, 6)))) < 0.5).astype(np.uint8) * 255
    return cv2.resize(np.hstack([half, half[:, ::-1]]), (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)


def screw(rng: np.random.Generator) -> Ink:
    """The head of a screw from above: a disc with a slot, a cross or a hexagon."""
    ink = _blank()
    cv2.circle(ink, _MIDDLE, 44, int(rng.integers(120, 256)), -1, cv2.LINE_AA)
    turn, teeth = rng.uniform(0, np.pi), int(rng.choice([1, 2, 3]))
    for angle in turn + np.arange(teeth) * np.pi / teeth:
        reach = 30 * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(ink, (48 - reach).astype(int).tolist(), (48 + reach).astype(int).tolist(), 0, 10, cv2.LINE_AA)
    cv2.circle(ink, _MIDDLE, 44, 255, 4, cv2.LINE_AA)
    return ink


SIGNS: tuple[Callable[[np.random.Generator], Ink], ...] = (
    square, ring, logo, letter, digits, recycling, arrow, health_mark, diamond, glyph, icon, screw,
)  # fmt: skip
