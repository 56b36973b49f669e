"""The camera: pose of a sheet, lens, light and sensor."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["compress", "expose", "focus", "lit", "pose", "project", "resample"]

Picture = NDArray[np.uint8]
_NOISE_SIDE = 1024


def pose(rng: np.random.Generator, width: float, height: float, long_side: int) -> NDArray[np.float64]:
    """Look at a rectangle from a random direction.

    Parameters
    ----------
    width, height : float
        Of the rectangle, in picture pixels were it seen from the front.
    long_side : int
        Of the picture, pixels; the focal length is 0.8 to 2 of it.

    Returns
    -------
    float64 array (3, 3)
        Homography from the rectangle's own coordinates (0..width, 0..height) to picture pixels relative to the
        point where its centre is seen.
    """
    focal = long_side * rng.uniform(0.8, 2.0)
    tilt = min(abs(rng.normal(0, 24)), 60.0)
    nearest = 0.6 * focal / (np.hypot(width, height) / 2)
    tilt = np.deg2rad(tilt) if nearest >= 1 else min(np.deg2rad(tilt), np.arcsin(nearest))
    direction = rng.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(direction), np.sin(direction), 0]) * tilt
    turn = cv2.Rodrigues(np.array([0, 0, _roll(rng)]))[0] @ cv2.Rodrigues(axis)[0]
    lens = np.diag([focal, focal, 1.0])
    plane = np.column_stack([turn[:, 0], turn[:, 1], [0, 0, focal]])
    centred = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    return lens @ plane @ centred


def _roll(rng: np.random.Generator) -> float:
    """Rotation in the picture, radians: nearly half nearly upright, some on their side, the others anyhow."""
    kind = rng.random()
    if kind < 0.45:
        return np.deg2rad(rng.normal(0, 7))
    if kind < 0.6:
        return rng.integers(1, 4) * np.pi / 2 + np.deg2rad(rng.normal(0, 7))
    return rng.uniform(0, 2 * np.pi)


def project(homography: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a homography to points (n, 2)."""
    return cv2.perspectiveTransform(points[None].astype(np.float64), homography)[0]


def lit(rng: np.random.Generator, picture: Picture) -> Picture:
    """Light and colour: vignetting, a slope of light, shadows with soft edges, glare, white balance, exposure."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:48, 0:64].astype(np.float32)
    x, y = columns / 32 - 1, rows / 24 - 1
    gain = np.exp(rng.normal(0.08, 0.22)) * (1 - rng.uniform(0, 0.15) * (x * x + y * y))
    gain *= 1 + rng.uniform(-0.22, 0.22) * x + rng.uniform(-0.22, 0.22) * y
    if rng.random() < 0.25:
        angle, edge = rng.uniform(0, 2 * np.pi), rng.uniform(-0.7, 0.7)
        across = np.cos(angle) * x + np.sin(angle) * y - edge
        gain *= 1 - rng.uniform(0.2, 0.6) / (1 + np.exp(-across * rng.uniform(6, 60)))
    gain = np.clip(gain, 0.25, 1.9)
    balance = np.exp(rng.normal(0, 0.06, 3))
    map_ = cv2.resize((gain[..., None] * balance * 100).clip(0, 255).astype(np.uint8), (width, height))
    picture = cv2.multiply(picture, map_, scale=1 / 100)
    if rng.random() < 0.15:
        glare = np.zeros((48, 64), np.float32)
        for _ in range(int(rng.integers(1, 4))):
            cx, cy, a, b = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.2)
            glare += rng.uniform(40, 170) * np.exp(-(((x - cx) / a) ** 2) - ((y - cy) / b) ** 2)
        spot = cv2.resize(glare.clip(0, 255).astype(np.uint8), (width, height))
        picture = cv2.add(picture, cv2.merge([spot] * 3))
    return picture


def focus(rng: np.random.Generator, picture: Picture, limit: float) -> Picture:
    """Blur by the lens or by movement.

    Parameters
    ----------
    limit : float
        Largest standard deviation of the blur, pixels, at which the smallest code still shows its texture.
    """
    kind = rng.random()
    sigma = limit * rng.beta(1, 1.8)
    if kind < 0.45 and sigma > 0.25:
        return cv2.GaussianBlur(picture, (0, 0), sigma)
    if kind < 0.6 and sigma > 0.6:
        # A disk of radius r has the standard deviation r/2 in each direction.
        reach = int(np.ceil(2 * sigma))
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        disk = np.clip(2 * sigma + 0.5 - np.hypot(rows, columns), 0, 1)
        return cv2.filter2D(picture, -1, disk / disk.sum())
    if kind < 0.75 and sigma > 0.4:
        # A streak of length l has the standard deviation l/√12 along it.
        length = min(sigma * np.sqrt(12), 24.0)
        angle = rng.uniform(0, np.pi)
        half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
        reach = int(np.ceil(length / 2)) + 1
        streak = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
        first, last = (np.round((reach + np.array([-half, half])) * 16)).astype(int).tolist()
        cv2.line(streak, first, last, 255, 1, cv2.LINE_AA, 4)
        return cv2.filter2D(picture, -1, streak.astype(np.float32) / streak.sum())
    return picture


@lru_cache(maxsize=1)
def _grain() -> NDArray[np.float32]:
    return np.random.default_rng(0x6E01).standard_normal((_NOISE_SIDE, _NOISE_SIDE, 3), np.float32)


def expose(rng: np.random.Generator, picture: Picture) -> Picture:
    """Sensor noise that grows with the root of the light and with the gain; coarse when the picture was enlarged."""
    height, width = picture.shape[:2]
    gain = 12 * rng.beta(1, 3)
    if gain < 0.7:
        return picture
    top, left = rng.integers(0, _NOISE_SIDE - height + 1), rng.integers(0, _NOISE_SIDE - width + 1)
    grain = _grain()[top : top + height, left : left + width]
    if rng.random() < 0.4:
        grain = cv2.blur(grain, (2, 2)) * 1.5
    # Read noise and shot noise: variance = gain² (0.3 + 0.7 light).
    spread = (gain * np.sqrt(0.3 + 0.7 * np.arange(256) / 255)).astype(np.float32)
    noisy = cv2.add(picture, cv2.multiply(grain, cv2.LUT(picture, spread)), dtype=cv2.CV_8U)
    return np.asarray(noisy)


def resample(rng: np.random.Generator, picture: Picture, limit: float) -> Picture:
    """Enlarge a smaller picture or sharpen, as cameras and messengers do; mostly neither.

    Parameters
    ----------
    limit : float
        Smallest scale, below 1, at which the finest code still shows its texture.
    """
    kind = rng.random()
    if kind < 0.15 and limit < 1:
        scale = rng.uniform(limit, 1)
        size = picture.shape[1::-1]
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, size, interpolation=rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if kind < 0.3:
        amount = rng.uniform(0.3, 1.2)
        soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.6))
        return np.asarray(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0))
    return picture


def compress(rng: np.random.Generator, picture: Picture) -> bytes:
    """JPEG of a quality between 30 and 95, mostly upper."""
    quality = int(30 + 65 * rng.beta(2.2, 1.2))
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
