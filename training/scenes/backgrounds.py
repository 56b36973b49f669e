"""Coloured backgrounds cut from a bank of grey textures."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes.hardware import HARDWARE
from training.scenes.materials import MATERIALS
from training.scenes.patterns import PATTERNS

__all__ = ["background", "banked_texture", "coloured", "palette", "random_texture"]

_SIDE = 768
_BANK_SIZE = 184
_BANK_STREAM = 0x7E000000
_PATTERN_SHARE = 0.45
_PLAIN = 0.1


@lru_cache(maxsize=_BANK_SIZE)
def banked_texture(seed: int, number: int) -> NDArray[np.uint8]:
    """Texture `number` of a seed's bank: uint8 (768, 768), read-only; made when first asked for, then kept."""
    rng = np.random.default_rng((seed, _BANK_STREAM, number))
    makers = (*PATTERNS, *HARDWARE) if rng.random() < _PATTERN_SHARE else MATERIALS
    texture = makers[number % len(makers)](rng, _SIDE)
    texture.flags.writeable = False
    return texture


def random_texture(rng: np.random.Generator, seed: int) -> NDArray[np.uint8]:
    """One of the bank's textures."""
    return banked_texture(seed, int(rng.integers(_BANK_SIZE)))


def palette(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Colours for the 256 greys: uint8 (256, 1, 3) BGR.

    Mostly one hue between a dark and a light end, as in a material; else two to five colours in a row, so that a
    shelf's greys become spines of many hues.
    """
    if rng.random() < 0.85:
        hue, saturation = rng.uniform(0, 180), 255 * rng.beta(1, 3.5)
        low, high = sorted(rng.uniform(10, 250, 2))
        high = max(high, min(low + 25, 255))
        stops = np.array([[hue, saturation, low], [hue + rng.normal(0, 8), saturation * rng.uniform(0.4, 1), high]])
    else:
        count = int(rng.integers(2, 6))
        stops = np.stack([rng.uniform(0, 180, count), 255 * rng.beta(1, 2.2, count), rng.uniform(0, 255, count)], 1)
    stops[:, 0] %= 180
    colours = cv2.cvtColor(stops.astype(np.uint8)[:, None], cv2.COLOR_HSV2BGR).astype(np.float32)
    return cv2.resize(colours, (1, 256)).astype(np.uint8)


def coloured(grey: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint greys (H, W) with a palette: uint8 (H, W, 3) BGR."""
    return cv2.LUT(cv2.merge([grey] * 3), colours)


def background(rng: np.random.Generator, seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """A picture without codes: a texture in perspective, often a second beside it (a table against a wall).

    Returns
    -------
    uint8 array (height, width, 3)
        BGR.
    """
    if rng.random() < _PLAIN:
        return _plain(rng, width, height)
    picture = _view(rng, seed, width, height)
    if rng.random() < 0.4:
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        angle = rng.normal(np.pi / 2, 0.4) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
        normal = np.array([np.cos(angle), np.sin(angle)])
        along = np.array([-normal[1], normal[0]])
        far = 2.0 * np.linalg.norm(corners[2])
        half_plane = centre + np.array([along, along + normal, normal - along, -along]) * far
        mask = cv2.fillConvexPoly(np.zeros((height, width), np.uint8), half_plane.astype(np.int32), 255)
        cv2.copyTo(_view(rng, seed, width, height), mask, picture)
    return picture


def _plain(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """One even tone: a shop's white, a scanner's lid, the dark."""
    tone = rng.uniform(240, 255) if rng.random() < 0.6 else rng.uniform(0, 255)
    return np.full((height, width, 3), np.clip(tone + rng.normal(0, 6, 3), 0, 255), np.uint8)


def _view(rng: np.random.Generator, seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """A coloured texture under a random similarity with some foreshortening."""
    zoom = np.exp(rng.uniform(np.log(0.6), np.log(2.2)))
    angle = rng.normal(0, 0.12) if rng.random() < 0.6 else rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) * [
        [zoom],
        [zoom],
        [1],
    ]
    lean = np.eye(3)
    lean[2, :2] = rng.normal(0, 0.25, 2) / max(width, height)
    centre = np.array([[1, 0, -_SIDE * rng.uniform(0.3, 0.7)], [0, 1, -_SIDE * rng.uniform(0.3, 0.7)], [0, 0, 1]])
    back = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
    grey = cv2.warpPerspective(
        random_texture(rng, seed), back @ lean @ turn @ centre, (width, height), borderMode=cv2.BORDER_REFLECT_101
    )
    return coloured(grey, palette(rng))
