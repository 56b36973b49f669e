"""What cameras and their programs do to colours and detail: filter mosaics, tone curves, denoising, earlier files."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["demosaiced", "smeared", "stored_before", "toned"]

Picture = NDArray[np.uint8]


def toned(rng: np.random.Generator, picture: Picture) -> Picture:
    """A tone curve: gamma, more or less contrast, lifted or crushed blacks, clipped lights; half the pictures stay."""
    if rng.random() < 0.5:
        return picture
    x = np.linspace(0, 1, 256)
    y = x ** np.exp(rng.normal(0, 0.35))
    steep = rng.uniform(-0.5, 0.9)
    y = y + steep * (y - y * y) * (2 * y - 1)
    low, high = (rng.uniform(-0.12, 0.0), rng.uniform(1.0, 1.15)) if rng.random() < 0.6 else (0.0, 1.0)
    if rng.random() < 0.25:
        # Haze, a dirty lens or light from behind: pale all over.
        low, high = rng.uniform(0.05, 0.35), rng.uniform(0.6, 1.0)
    curve = np.clip((low + (high - low) * y) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, curve))


def demosaiced(rng: np.random.Generator, picture: Picture) -> Picture:
    """One colour a pixel, the others guessed from the neighbours: false colours and zips at fine bars.

    A third of the pictures; the others are meant to have been made smaller since.
    """
    if rng.random() > 0.33:
        return picture
    raw = np.ascontiguousarray(picture[..., 1])
    raw[0::2, 0::2] = picture[0::2, 0::2, 0]
    raw[1::2, 1::2] = picture[1::2, 1::2, 2]
    return np.asarray(cv2.cvtColor(raw, cv2.COLOR_BayerBGGR2BGR))


def smeared(rng: np.random.Generator, picture: Picture, limit: float) -> Picture:
    """A phone's denoising: flat where it was flat, blotches where it was faint; a tenth of the pictures.

    Parameters
    ----------
    limit : float
        Pixels of the smallest module; finer ones would be wiped out.
    """
    if rng.random() > 0.1 or limit < 1.2:
        return picture
    return np.asarray(cv2.medianBlur(picture, 3) if rng.random() < 0.4 else cv2.bilateralFilter(picture, 5, 30, 2))


def stored_before(rng: np.random.Generator, picture: Picture) -> Picture:
    """A coarse JPEG that the picture was before: messengers and shops store again what was stored."""
    if rng.random() > 0.2:
        return picture
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(18, 75))]
    stored = cv2.imencode(".jpg", picture, quality)[1]
    return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)
