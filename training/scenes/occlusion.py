"""Fingers and scraps that hide a part of a code."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes.stage import Stage

__all__ = ["cover_part"]

_MOST_HIDDEN = 0.3
_SKIN = np.array([130, 160, 215])


def cover_part(rng: np.random.Generator, stage: Stage) -> None:
    """Put a finger or a scrap over an edge of one code; nothing when more than 30 % of any code would be hidden."""
    code = stage.seen[int(rng.integers(len(stage.seen)))]
    box = code.box
    size = float(np.sqrt(np.prod(box[2:] - box[:2])))
    edge = code.outline[int(rng.integers(len(code.outline)))]
    away = edge - (box[:2] + box[2:]) / 2
    away /= max(float(np.linalg.norm(away)), 1e-6)
    finger = rng.random() < 0.6
    tip = edge - away * size * rng.uniform(-0.02, 0.3)
    if finger:
        outline = _finger(rng, tip, away, size * rng.uniform(0.2, 0.5), 4 * size)
        colour = _SKIN * rng.uniform(0.35, 1.15)
    else:
        outline = _scrap(rng, tip, size * rng.uniform(0.1, 0.35))
        colour = rng.uniform(0, 255, 3)
    if stage.covered(outline).max() <= _MOST_HIDDEN:
        _paint(stage.picture, outline, np.clip(colour, 0, 255), size / 15)


def _finger(
    rng: np.random.Generator, tip: NDArray[np.float64], away: NDArray[np.float64], thick: float, reach: float
) -> NDArray[np.float64]:
    """Outline (n, 2) of a round tip and two sides that widen as they go away from the code."""
    across = np.array([-away[1], away[0]])
    angles = np.linspace(-np.pi / 2, np.pi / 2, 12)[:, None]
    end = tip + thick / 2 * (np.sin(angles) * across - np.cos(angles) * away)
    foot = tip + reach * away + across * rng.normal(0, 0.3) * reach
    spread = across * thick * rng.uniform(0.5, 1.0)
    return np.concatenate([end, [foot + spread, foot - spread]])


def _scrap(rng: np.random.Generator, middle: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Outline (n, 2) of an uneven blob."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 14))))
    return middle + radius * rng.uniform(0.6, 1.2, (len(angles), 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)


def _paint(picture: NDArray[np.uint8], outline: NDArray[np.float64], colour: NDArray[np.float64], rim: float) -> None:
    """Fill an outline in place; the inside is lighter than the rim, which gives the shape a body."""
    x0, y0 = np.maximum(np.floor(outline.min(axis=0)) - 2, 0).astype(int)
    x1, y1 = np.minimum(np.ceil(outline.max(axis=0)) + 2, picture.shape[1::-1]).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    place = picture[y0:y1, x0:x1]
    mask = np.zeros(place.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round((outline - [x0, y0]) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    body = cv2.GaussianBlur(mask, (0, 0), max(rim, 0.5))
    light = cv2.LUT(cv2.merge([body] * 3), _body_ramp(colour))
    share = cv2.merge([mask] * 3)
    cv2.multiply(place, 255 - share, place, scale=1 / 255)
    cv2.add(place, cv2.multiply(light, share, scale=1 / 255), place)


def _body_ramp(colour: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour from rim to core: uint8 (256, 1, 3)."""
    return (colour * np.linspace(0.55, 1.0, 256)[:, None, None]).astype(np.uint8)
