"""The picture while sheets are laid into it: pasting, and who covers whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, product

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes.camera import project
from training.scenes.difficulty import HARD, Difficulty
from training.scenes.symbols import BARCODE, Symbol

__all__ = ["Seen", "Stage", "paste"]

_MASK_SCALE = 0.5
_OVERLAP = 0.04
_COVERED = 0.03


@dataclass(frozen=True)
class Seen:
    """A code in the picture.

    Attributes
    ----------
    symbol : Symbol
    outline : float64 array (n, 2)
        Points along the symbol's edge, the first n/4 on its top, then right, bottom and left, pixels.
    """

    symbol: Symbol
    outline: NDArray[np.float64]

    @property
    def box(self) -> NDArray[np.float64]:
        """Left, top, right, bottom of the outline, pixels, not clipped to the picture."""
        return np.concatenate([self.outline.min(axis=0), self.outline.max(axis=0)])

    @property
    def pitch(self) -> float:
        """Pixels a module takes in the direction where it takes fewest."""
        side = len(self.outline) // 4
        corners = self.outline[[0, side, 2 * side, 3 * side]]
        lengths = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
        rows, columns = self.symbol.modules.shape
        across = min(lengths[0], lengths[2]) / columns
        return float(across if self.symbol.class_id == BARCODE else min(across, min(lengths[1], lengths[3]) / rows))


@dataclass
class Stage:
    """A picture under composition and the codes that lie in it."""

    picture: NDArray[np.uint8]
    difficulty: Difficulty = HARD
    seen: list[Seen] = field(default_factory=list)
    _ids: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.picture.shape[:2]
        self._ids = np.zeros((int(height * _MASK_SCALE) + 1, int(width * _MASK_SCALE) + 1), np.uint8)

    def clipped(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of a box (left, top, right, bottom) inside the picture."""
        height, width = self.picture.shape[:2]
        return np.clip(box, 0, [width, height, width, height])

    def covered(self, outline: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of each seen code's area a polygon (n, 2) would cover: float64 (codes,)."""
        mask = np.zeros_like(self._ids)
        cv2.fillPoly(mask, [np.round(outline * _MASK_SCALE).astype(np.int32)], 1)
        count = len(self.seen) + 1
        hidden = np.bincount(self._ids[mask > 0], minlength=count)[1:]
        return hidden / np.maximum(np.bincount(self._ids.ravel(), minlength=count)[1:], 1)

    def has_room(self, sheet: NDArray[np.float64], codes: list[Seen]) -> bool:
        """Whether a sheet of this outline hides no code, and no box of its codes meets another box by much."""
        if self.covered(sheet).max(initial=0.0) > _COVERED:
            return False
        pairs = [*combinations(codes, 2), *product(codes, self.seen)]
        return all(_overlap(a.box, b.box) <= _OVERLAP for a, b in pairs)

    def is_even(self, box: NDArray[np.float64], spread: float) -> bool:
        """Whether the greys in a box (left, top, right, bottom) have at most this standard deviation."""
        x0, y0, x1, y1 = self.clipped(box).astype(int)
        place = self.picture[y0 : y1 + 1, x0 : x1 + 1]
        return place.size > 0 and float(cv2.cvtColor(place, cv2.COLOR_BGR2GRAY).std()) <= spread

    def add(self, codes: list[Seen]) -> None:
        """Note codes that have been pasted."""
        for code in codes:
            self.seen.append(code)
            cv2.fillPoly(self._ids, [np.round(code.outline * _MASK_SCALE).astype(np.int32)], len(self.seen))


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection of two boxes over the smaller's area."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    smaller = min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2]))
    return float(np.prod(np.clip(sides, 0, None)) / max(smaller, 1e-9))


def paste(
    picture: NDArray[np.uint8], bgra: NDArray[np.uint8], homography: NDArray[np.float64], shadow: tuple[float, int, int]
) -> None:
    """Lay a sheet into the picture, in place; only the sheet's surroundings are touched.

    Parameters
    ----------
    picture : uint8 array (H, W, 3)
    bgra : uint8 array (h, w, 4)
        Premultiplied.
    homography : float64 array (3, 3)
        From the sheet's edge coordinates (0..w, 0..h) to the picture's (0..W, 0..H).
    shadow : (float, int, int)
        Depth of the shadow thrown, 0 for none, and its offset in x and y, pixels.
    """
    height, width = bgra.shape[:2]
    corners = project(homography, np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64))
    depth, dx, dy = shadow
    reach = 2 + 2 * max(abs(dx), abs(dy))
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)) - reach, 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)) + reach, picture.shape[1::-1]).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    # Averaging 2×2 or 3×3 samples a pixel keeps fine modules from aliasing where the sheet is seen at a slant.
    fine = 3 if (x1 - x0) * (y1 - y0) < 20_000 else 2
    scale = np.diag([fine, fine, 1.0]) @ np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centres = np.linalg.inv(half) @ scale @ homography @ half
    size = ((x1 - x0) * fine, (y1 - y0) * fine)
    warped = cv2.resize(cv2.warpPerspective(bgra, centres, size), (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    place = picture[y0:y1, x0:x1]
    opaque = warped[..., 3]
    if depth > 0:
        thrown = cv2.warpAffine(opaque, np.array([[1.0, 0, dx], [0, 1, dy]]), (x1 - x0, y1 - y0))
        blurred = cv2.GaussianBlur(thrown, (0, 0), max(1.0, max(abs(dx), abs(dy)) / 2))
        dim = 255 - (blurred * depth).astype(np.uint8)
        cv2.multiply(place, cv2.merge([dim] * 3), place, scale=1 / 255)
    cv2.multiply(place, cv2.merge([255 - opaque] * 3), place, scale=1 / 255)
    cv2.add(place, np.ascontiguousarray(warped[..., :3]), place)
