"""Scalar fields that textures are made of: spectra, cells, reaction and diffusion, plants, lit relief.

All fields are float32 of shape (size, size), between 0 and 1, and repeat without a seam unless said otherwise.
"""

from __future__ import annotations

from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["branches", "cells", "gray_scott", "relief", "spectral"]

Field = NDArray[np.float32]

# Feed and kill rates of J. E. Pearson, "Complex Patterns in a Simple System", Science 261, 1993.
_REGIMES = ((0.0367, 0.0649), (0.029, 0.057), (0.035, 0.060), (0.0545, 0.062), (0.022, 0.051))


def _stretched(values: NDArray[np.floating]) -> Field:
    low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-9)).astype(np.float32)


@lru_cache(maxsize=16)
def _frequencies(size: int, ratio: float) -> Field:
    rows, columns = np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None, :] * size
    radius = np.hypot(rows * ratio, columns / ratio).astype(np.float32)
    radius[0, 0] = np.inf
    return radius


def spectral(rng: np.random.Generator, size: int, slope: float, ratio: float = 1.0) -> Field:
    """Gaussian random field whose amplitudes fall as frequency to the power −`slope`.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Side in texels.
    slope : float
        1 is rough, 3 is smooth as hills.
    ratio : float
        Above 1, features are longer from top to bottom.
    """
    noise = rng.standard_normal((size, size // 2 + 1)) + 1j * rng.standard_normal((size, size // 2 + 1))
    return _stretched(np.fft.irfft2(noise * _frequencies(size, ratio) ** np.float32(-slope), s=(size, size)))


def cells(rng: np.random.Generator, size: int, count: int) -> tuple[Field, NDArray[np.int32]]:
    """Worley's cells: distance to the nearest of `count` random points, and which point that is."""
    points = rng.integers(0, size, (count, 2))
    canvas = np.ones((3 * size, 3 * size), np.uint8)
    for shift_y in range(3):
        for shift_x in range(3):
            canvas[points[:, 0] + shift_y * size, points[:, 1] + shift_x * size] = 0
    distance, labels = cv2.distanceTransformWithLabels(canvas, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    owners = np.zeros(labels.max() + 1, np.int32)
    copies = labels.reshape(3, size, 3, size)
    for index, (y, x) in enumerate(points):
        owners[copies[:, y, :, x]] = index
    middle = slice(size, 2 * size)
    return _stretched(distance[middle, middle]), owners[labels[middle, middle]]


@cache
def gray_scott(regime: int, size: int = 96, steps: int = 1800) -> Field:
    """Spots and mazes of two substances that react and diffuse (P. Gray, S. K. Scott, 1984).

    Parameters
    ----------
    regime : int
        0..4: which feed and kill rates; every call with the same regime returns the same array.
    size, steps : int
        Cells along a side; time steps.
    """
    feed, kill = _REGIMES[regime]
    rng = np.random.default_rng(regime)
    food = np.ones((size, size), np.float32)
    eater = np.zeros((size, size), np.float32)
    for y, x in rng.integers(0, size - 10, (14, 2)):
        food[y : y + 8, x : x + 8], eater[y : y + 8, x : x + 8] = 0.5, 0.25
    kernel = np.array([[0.05, 0.2, 0.05], [0.2, -1.0, 0.2], [0.05, 0.2, 0.05]], np.float32)
    for _ in range(steps):
        both = cv2.copyMakeBorder(cv2.merge([food, eater]), 1, 1, 1, 1, cv2.BORDER_WRAP)
        flow = cv2.filter2D(both, -1, kernel)[1:-1, 1:-1]
        reaction = food * eater * eater
        food = food + flow[..., 0] - reaction + np.float32(feed) * (1 - food)
        eater = eater + np.float32(0.5) * flow[..., 1] + reaction - np.float32(feed + kill) * eater
    return _stretched(eater)


def relief(height: Field, azimuth: float, steepness: float) -> Field:
    """Brightness of a height field lit from the side at 45 degrees (Lambert); 0.5 to 0.8 where it is flat.

    Parameters
    ----------
    height : float32 array (size, size)
    azimuth : float
        Where the light comes from, radians.
    steepness : float
        Height of 1, in texels.
    """
    slope_x = (np.roll(height, -1, axis=1) - np.roll(height, 1, axis=1)) * np.float32(steepness / 2)
    slope_y = (np.roll(height, -1, axis=0) - np.roll(height, 1, axis=0)) * np.float32(steepness / 2)
    toward = slope_x * np.float32(np.cos(azimuth)) + slope_y * np.float32(np.sin(azimuth))
    lit = (1 - toward) / np.sqrt(2 * (1 + slope_x**2 + slope_y**2))
    return np.clip(lit, 0, 1).astype(np.float32)


def branches(rng: np.random.Generator, size: int, plants: int) -> Field:
    """Branching strokes of an L-system, F → F[+F]F[−F], drawn with a turtle; does not repeat."""
    program = "F"
    for _ in range(3):
        program = program.replace("F", "F[+F]F[-F]")
    canvas = np.zeros((size, size), np.uint8)
    for _ in range(plants):
        x, y = rng.uniform(0, size, 2)
        heading, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.7)
        step, shade = size * rng.uniform(0.008, 0.025), int(rng.integers(90, 256))
        stack: list[tuple[float, float, float]] = []
        for letter in program:
            if letter == "F":
                angle = heading + rng.normal(0, 0.08)
                end = (x + step * np.cos(angle), y + step * np.sin(angle))
                width = max(1, round(size / 128) - len(stack))
                cv2.line(canvas, (round(x), round(y)), (round(end[0]), round(end[1])), shade, width, cv2.LINE_AA)
                x, y = end
            elif letter == "[":
                stack.append((x, y, heading))
            elif letter == "]":
                x, y, heading = stack.pop()
            else:
                heading += turn if letter == "+" else -turn
    return canvas.astype(np.float32) / 255
