"""Grey textures of materials: what lies behind and around labels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["MATERIALS", "noise", "stretched"]

Texture = NDArray[np.uint8]


def noise(
    rng: np.random.Generator, side: int, cells: float, octaves: int, fade: float = 0.5, stretch: float = 1.0
) -> NDArray[np.float32]:
    """Sum of smooth random grids, each twice as fine as the one before.

    Parameters
    ----------
    side : int
        Side of the square field in pixels.
    cells : float
        Grid cells across the coarsest octave.
    octaves : int
    fade : float
        Amplitude of an octave relative to the one before.
    stretch : float
        Above 1 the field runs along x: that many times fewer cells across than down.

    Returns
    -------
    float32 array (side, side)
        Scaled to 0..1.
    """
    field = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        down = min(max(2, round(cells * 2**octave)), side)
        across = min(max(2, round(cells * 2**octave / stretch)), side)
        grid = rng.random((down, across), np.float32)
        field += fade**octave * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(field, None, 0, 1, cv2.NORM_MINMAX)


def stretched(field: NDArray[np.floating]) -> Texture:
    """Scale a field's range to 0..255, uint8."""
    return cv2.normalize(field.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def _grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    return columns, rows


def gradient(rng: np.random.Generator, side: int) -> Texture:
    """A plain wall: a slope of brightness with faint grain."""
    x, y = _grid(side)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * x + np.sin(angle) * y) / side
    return stretched(slope + rng.uniform(0.02, 0.2) * noise(rng, side, rng.uniform(4, 200), 2))


def clouds(rng: np.random.Generator, side: int) -> Texture:
    """Multi-octave noise: plaster, concrete, stained paper."""
    return stretched(noise(rng, side, rng.uniform(2, 12), int(rng.integers(3, 7)), rng.uniform(0.4, 0.75)))


def wood(rng: np.random.Generator, side: int) -> Texture:
    """Wavy grain along x, sometimes with joints between boards."""
    _, y = _grid(side)
    warp = noise(rng, side, 3, 3, stretch=4)
    rings = np.sin((y / side + 0.25 * warp) * rng.uniform(30, 160))
    field = 0.5 * rings + 1.5 * noise(rng, side, 60, 3, stretch=30) + warp
    if rng.random() < 0.6:
        board = side / rng.integers(2, 7)
        shade = rng.uniform(-0.6, 0.6, 16).astype(np.float32)
        field += shade[(y // board).astype(int)] - 2.0 * (y % board < 3)
    return stretched(field)


def fabric(rng: np.random.Generator, side: int) -> Texture:
    """Weave of two thread directions, sometimes with a checked pattern."""
    x, y = _grid(side)
    pitch = rng.uniform(4, 14)
    over = (x // pitch + y // pitch) % 2
    threads = np.where(over > 0, np.sin(np.pi * (x % pitch) / pitch), np.sin(np.pi * (y % pitch) / pitch))
    field = threads * 0.5 + 0.6 * noise(rng, side, 5, 5)
    if rng.random() < 0.4:
        stripe = rng.uniform(40, 160)
        field += 0.5 * ((x % stripe) < stripe / 3) + 0.5 * ((y % stripe) < stripe / 3)
    return stretched(field)


def marble(rng: np.random.Generator, side: int) -> Texture:
    """Veins: the ridges of a warped sine."""
    x, y = _grid(side)
    swirl = noise(rng, side, 3, 6, 0.55)
    veins = np.abs(np.sin((x * rng.uniform(0.2, 1) + y) / side * rng.uniform(4, 14) + 6 * swirl))
    return stretched(veins ** rng.uniform(0.2, 0.7) + 0.3 * swirl)


def cardboard(rng: np.random.Generator, side: int) -> Texture:
    """Corrugation under brown paper: faint regular ribs and fibres."""
    _, y = _grid(side)
    ribs = np.sin(y * 2 * np.pi / rng.uniform(8, 24))
    return stretched(rng.uniform(0.03, 0.25) * ribs + noise(rng, side, 4, 3) + 0.4 * noise(rng, side, 200, 2))


def brushed(rng: np.random.Generator, side: int) -> Texture:
    """Brushed metal: fine streaks under a broad highlight."""
    x, _ = _grid(side)
    shine = np.exp(-(((x / side - rng.uniform(0, 1)) / rng.uniform(0.15, 0.6)) ** 2))
    return stretched(0.5 * noise(rng, side, 380, 2, stretch=rng.uniform(20, 90)) + shine)


def terrazzo(rng: np.random.Generator, side: int) -> Texture:
    """Stone chips in mortar, gravel or granite."""
    coarse = noise(rng, side, rng.uniform(30, 140), 2, 0.7)
    levels = int(rng.integers(3, 8))
    return stretched(np.floor(coarse * levels) + 0.4 * noise(rng, side, 300, 1))


def bokeh(rng: np.random.Generator, side: int) -> Texture:
    """An out-of-focus room: overlapping soft shaded blobs."""
    canvas = noise(rng, side, 2, 2)
    for _ in range(rng.integers(10, 40)):
        blob = np.zeros((side // 4, side // 4), np.float32)
        centre = tuple(int(v) for v in rng.integers(0, side // 4, 2))
        axes = tuple(int(v) for v in rng.integers(side // 60, side // 10, 2))
        cv2.ellipse(blob, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
        blob = cv2.resize(cv2.GaussianBlur(blob, (0, 0), rng.uniform(0.6, 8)), (side, side))
        canvas += blob * (rng.uniform(-1, 1) - canvas) * rng.uniform(0.4, 1)
    return stretched(canvas)


def fibres(rng: np.random.Generator, side: int) -> Texture:
    """Grass, straw or carpet: many short strokes."""
    canvas = (60 * noise(rng, side, 4, 3)).astype(np.uint8)
    lean, spread = rng.uniform(0, np.pi), rng.uniform(0.2, 1.6)
    count = int(rng.integers(1500, 5000))
    starts = rng.uniform(0, side, (count, 2))
    angles = lean + rng.normal(0, spread, count)
    reach = rng.uniform(8, 60) * rng.uniform(0.4, 1, count)
    ends = starts + np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None]
    for start, end, tone in zip(starts.astype(int), ends.astype(int), rng.integers(30, 256, count), strict=True):
        cv2.line(canvas, start.tolist(), end.tolist(), int(tone), 1 + int(tone > 200), cv2.LINE_AA)
    return canvas


MATERIALS = (gradient, clouds, wood, fabric, marble, cardboard, brushed, terrazzo, bokeh, fibres)
