"""Codes marked straight on parts: pins that dent metal, lasers that dull or brighten it, moulds that raise it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes.backgrounds import random_texture
from training.scenes.blocks import Mark
from training.scenes.symbols import Symbol

__all__ = ["engraved"]

Ink = NDArray[np.uint8]


def engraved(rng: np.random.Generator, seed: int, symbol: Symbol, side: int) -> tuple[NDArray[np.uint8], Mark]:
    """A part's surface with a code in it.

    Parameters
    ----------
    seed : int
        Whose bank of textures the metal is cut from.
    symbol : Symbol
        With square modules.
    side : int
        The symbol's longer side in pixels.

    Returns
    -------
    uint8 array (height, width, 3)
        BGR.
    Mark
    """
    rows, columns = symbol.modules.shape
    pitch = max(side / max(rows, columns), 1.0)
    cell = 12
    modules = _worn(rng, symbol.modules)
    height, width = max(2, round(rows * pitch)), max(2, round(columns * pitch))
    margins = [max(2, round(pitch * rng.uniform(1, 8))) for _ in range(4)]
    left, right, top, bottom = margins
    surface = _metal(rng, seed, top + height + bottom, left + width + right)
    kind = rng.choice(3, p=(0.45, 0.4, 0.15))
    relief = _dents(rng, modules, cell) if kind == 0 else _fields(rng, modules, cell, raised=kind == 2)
    change = cv2.resize(relief, (width, height), interpolation=cv2.INTER_AREA)
    place = surface[top : top + height, left : left + width]
    place[:] = np.clip(place + change * rng.uniform(35, 130), 0, 255)
    tint = 1 + rng.normal(0, 0.05, 3) if rng.random() < 0.8 else rng.uniform(0.75, 1.2, 3)
    colour = np.clip(surface[..., None] * tint, 0, 255).astype(np.uint8)
    return colour, Mark(symbol, (left, top, left + width, top + height))


def _metal(rng: np.random.Generator, seed: int, height: int, width: int) -> NDArray[np.float32]:
    """Grey of a plain, cast or brushed surface under uneven light: float32 (height, width), 0 to 255."""
    texture = random_texture(rng, seed)
    zoom = rng.uniform(0.2, 1.0)
    cut = texture[: max(2, int(texture.shape[0] * zoom)), : max(2, int(texture.shape[1] * zoom))]
    grain = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) - float(cut.mean())
    if rng.random() < 0.5:
        streaks = rng.standard_normal((height, max(2, width // int(rng.integers(8, 60))))).astype(np.float32)
        grain = grain * 0.3 + cv2.resize(streaks, (width, height)) * rng.uniform(4, 30)
    slope = cv2.resize(rng.uniform(-1, 1, (2, 2)).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    surface = rng.uniform(60, 205) + rng.uniform(0.03, 0.35) * grain + rng.uniform(0, 45) * slope
    return np.clip(surface, 0, 255).astype(np.float32)


def _worn(rng: np.random.Generator, modules: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Modules of which some were not marked or are scratched; never more than one in twelve."""
    share = rng.uniform(0, 0.08) if rng.random() < 0.6 else 0.0
    return modules ^ (rng.random(modules.shape) < share).astype(np.uint8)


def _dents(rng: np.random.Generator, modules: NDArray[np.uint8], cell: int) -> NDArray[np.float32]:
    """Dot peening: a dent a module, dark at the side of the light and bright at the other, or dark or bright all over.

    Returns
    -------
    float32 array (rows * cell, columns * cell)
        Change of the brightness, about -1 to 1.
    """
    rows, columns = modules.shape
    relief = np.zeros((rows * cell, columns * cell), np.float32)
    radius, light, off = rng.uniform(0.28, 0.52) * cell, rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.09) * cell
    towards = np.array([np.cos(light), np.sin(light)]) * radius * rng.uniform(0.1, 0.45)
    depth, rim = rng.uniform(-1, -0.3), rng.choice([0.0, 0.5, 1.0])
    if rng.random() < 0.3:
        depth, rim = -depth, -rim
    for row, column in np.argwhere(modules).tolist():
        middle = (np.array([column, row]) + 0.5) * cell + rng.normal(0, off, 2)
        size = max(1, round(radius * rng.uniform(0.85, 1.15)))
        cv2.circle(relief, (middle + towards).astype(int).tolist(), size, float(rim), -1, cv2.LINE_AA)
        cv2.circle(relief, (middle - towards / 2).astype(int).tolist(), size, float(depth), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(relief, (0, 0), rng.uniform(0.5, 1.6))


def _fields(rng: np.random.Generator, modules: NDArray[np.uint8], cell: int, raised: bool) -> NDArray[np.float32]:
    """Laser: whole modules darker or brighter, uneven; raised or sunk, with a light and a dark edge. As `_dents`."""
    plane = np.kron(modules, np.ones((cell, cell), np.uint8)).astype(np.float32)
    if rng.random() < 0.5:
        # The beam's own lines.
        plane *= (1 - rng.uniform(0.2, 0.6) * (np.arange(plane.shape[0]) % int(rng.integers(2, 5)) == 0))[:, None]
    plane = cv2.GaussianBlur(plane, (0, 0), rng.uniform(0.4, 3.0))
    if raised:
        light = rng.uniform(0, 2 * np.pi)
        slope_x, slope_y = cv2.Sobel(plane, cv2.CV_32F, 1, 0), cv2.Sobel(plane, cv2.CV_32F, 0, 1)
        edge = np.cos(light) * slope_x + np.sin(light) * slope_y
        return edge / max(float(np.abs(edge).max()), 1e-6) + rng.uniform(-0.3, 0.3) * plane
    uneven = cv2.resize(rng.uniform(0.5, 1, (4, 4)).astype(np.float32), plane.shape[::-1])
    # Marked parts may look darker or, on anodised and painted ones, brighter than what surrounds them.
    return plane * uneven * (-1 if rng.random() < 0.55 else 1)
