"""What happens to printed sheets: dirt, scratches, folds, shading, cut corners and bending round a cylinder."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Curl", "age", "outline"]


def age(rng: np.random.Generator, canvas: NDArray[np.uint8]) -> None:
    """Shade, soil, fold and scratch a sheet in place: uint8 (height, width, 3) BGR."""
    shade = _shade(rng, *canvas.shape[:2])
    cv2.multiply(canvas, cv2.merge([shade] * 3), canvas, scale=1 / 224)
    span = min(canvas.shape[:2])
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 14))):
            _scratch(rng, canvas, span)
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(3, 40) * min(1.0, span / 200))):
            centre = (int(rng.integers(canvas.shape[1])), int(rng.integers(canvas.shape[0])))
            tone = rng.uniform(20, 120, 3) if rng.random() < 0.7 else rng.uniform(180, 255, 3)
            cv2.circle(canvas, centre, max(1, int(span * rng.uniform(0.002, 0.012))), tone.tolist(), -1, cv2.LINE_AA)


def outline(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8] | None:
    """Opacity of a sheet with rounded or clipped corners, uint8 (height, width); None for a plain rectangle."""
    if rng.random() < 0.65:
        return None
    cut = int(min(height, width) * rng.uniform(0.01, 0.06))
    opaque = np.zeros((height, width), np.uint8)
    right, bottom = width - 1, height - 1
    points = [(cut, 0), (right - cut, 0), (right, cut), (right, bottom - cut), (right - cut, bottom), (cut, bottom)]
    cv2.fillConvexPoly(opaque, np.array([*points, (0, bottom - cut), (0, cut)], np.int32), 255)
    if rng.random() < 0.7:
        for x in (cut, right - cut):
            for y in (cut, bottom - cut):
                cv2.circle(opaque, (x, y), cut, 255, -1)
    return opaque


def _shade(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Brightness over the sheet, 224 for unchanged: broad unevenness, stains and folds."""
    field = 1 + rng.uniform(0, 0.08) * rng.standard_normal((4, 4)).astype(np.float32)
    field = cv2.resize(field, (96, 96), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.2:
        stain = cv2.resize(rng.random((8, 8), np.float32), (96, 96), interpolation=cv2.INTER_CUBIC)
        field -= rng.uniform(0.1, 0.4) * np.clip(stain - 0.6, 0, 0.4)
    if rng.random() < 0.25:
        rows, columns = np.mgrid[0:96, 0:96].astype(np.float32) / 96 - 0.5
        for _ in range(int(rng.integers(1, 4))):
            angle = rng.integers(2) * np.pi / 2 + rng.normal(0, 0.4)
            across = np.cos(angle) * columns + np.sin(angle) * rows - rng.uniform(-0.4, 0.4)
            field -= (
                rng.uniform(0.05, 0.3) * np.sign(rng.normal()) * np.exp(-np.abs(across) * 14) * np.tanh(across * 40)
            )
    shade = np.clip(field * 224, 60, 255).astype(np.uint8)
    return cv2.resize(shade, (width, height), interpolation=cv2.INTER_LINEAR)


def _scratch(rng: np.random.Generator, canvas: NDArray[np.uint8], span: int) -> None:
    """One thin light or dark line of two legs."""
    start = rng.uniform(0, 1, 2) * canvas.shape[1::-1]
    angle, reach = rng.uniform(0, 2 * np.pi), span * rng.uniform(0.05, 0.6)
    middle = start + reach * np.array([np.cos(angle), np.sin(angle)])
    angle += rng.normal(0, 0.4)
    end = middle + reach * np.array([np.cos(angle), np.sin(angle)])
    tone = rng.uniform(190, 255) if rng.random() < 0.7 else rng.uniform(30, 120)
    legs = np.stack([start, middle, end]).astype(np.int32)
    cv2.polylines(canvas, [legs], False, [tone] * 3, max(1, span // 250), cv2.LINE_AA)


class Curl(NamedTuple):
    """A sheet bent round a cylinder and seen from the front, slightly from above.

    Attributes
    ----------
    width, height : int
        Of the sheet in pixels; they stay.
    reach : float
        Half the angle the sheet goes round the cylinder, radians, 0 < reach < π/2.
    sag : float
        Pixels by which lines along x bulge downwards in their middle.
    """

    width: int
    height: int
    reach: float
    sag: float

    def points(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points (n, 2) of the flat sheet are seen."""
        turn = (2 * flat[:, 0] / self.width - 1) * self.reach
        x = (np.sin(turn) / np.sin(self.reach) + 1) * self.width / 2
        return np.stack([x, flat[:, 1] + self.sag * self._bulge(x)], axis=1)

    def image(self, bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bent sheet, darker where it turns away; uint8 (height, width, 4)."""
        x = np.arange(self.width) + 0.5
        turn = np.arcsin((2 * x / self.width - 1) * np.sin(self.reach))
        source_x = (turn / self.reach + 1) * self.width / 2 - 0.5
        rows = np.arange(self.height, dtype=np.float32)[:, None]
        map_y = rows - (self.sag * self._bulge(x)).astype(np.float32)
        map_x = np.broadcast_to(source_x.astype(np.float32), map_y.shape)
        bent = cv2.remap(bgra, np.ascontiguousarray(map_x), map_y, cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
        dim = np.tile((255 * (0.35 + 0.65 * np.cos(turn))).astype(np.uint8), (self.height, 1))
        return cv2.multiply(bent, cv2.merge([dim, dim, dim, np.full_like(dim, 255)]), scale=1 / 255)

    def _bulge(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """0 at the sides, 1 in the middle, following the circle's outline."""
        edge = np.cos(self.reach)
        across = (2 * x / self.width - 1) * np.sin(self.reach)
        return (np.sqrt(np.clip(1 - across**2, 0, 1)) - edge) / (1 - edge)
