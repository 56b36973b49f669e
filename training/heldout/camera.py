"""A pinhole camera with a real lens: Brown–Conrady distortion and a rolling shutter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Camera", "look_at"]

Floats = NDArray[np.floating[Any]]

_ITERATIONS = 12


@dataclass(frozen=True)
class Camera:
    """Where rays start, and where points land.

    Camera axes: x right, y down, z forward. Picture coordinates are continuous; the first pixel covers 0..1.

    Attributes
    ----------
    size : (int, int)
        Width and height in pixels.
    focal : float
        Focal length in pixels.
    rotation : float64 array (3, 3)
        World to camera axes.
    position : float64 array (3,)
        Centre of projection in the world.
    radial : (float, float)
        k1, k2 of D. C. Brown, "Decentering Distortion of Lenses", 1966.
    tangential : (float, float)
        p1, p2 of the same model.
    shutter : (float, float)
        Pixels by which the picture moves right and down while the sensor is read from its first row to its last.
    """

    size: tuple[int, int]
    focal: float
    rotation: NDArray[np.float64]
    position: NDArray[np.float64]
    radial: tuple[float, float] = (0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)
    shutter: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        corner = np.hypot(*self.size) / 2 / self.focal
        limit = self._fold()
        if np.isfinite(limit) and self._radial_factor(np.array(limit**2)) * limit <= corner:
            raise ValueError(
                f"Radial distortion {self.radial} folds the picture over before its corners "
                f"(half diagonal {corner:.2f} focal lengths): use smaller coefficients or a longer focal length."
            )

    def _radial_factor(self, squared: Floats) -> Floats:
        k1, k2 = self.radial
        return 1 + squared * (k1 + k2 * squared)

    def _fold(self) -> float:
        """The radius where the distorted radius stops growing; infinite where it never does."""
        k1, k2 = self.radial
        roots = np.roots([5 * k2, 3 * k1, 1.0]) if k2 else np.array([-1 / (3 * k1)] if k1 else [])
        growing = [float(root.real) for root in roots if abs(root.imag) < 1e-12 and root.real > 0]
        return float(np.sqrt(min(growing))) if growing else np.inf

    def _decentering(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        p1, p2 = self.tangential
        squared = x * x + y * y
        return 2 * p1 * x * y + p2 * (squared + 2 * x * x), p1 * (squared + 2 * y * y) + 2 * p2 * x * y

    def rays(self, xy: Floats) -> Floats:
        """Directions of the rays through points of the picture.

        Parameters
        ----------
        xy : float array (..., 2)
            Picture coordinates.

        Returns
        -------
        float array (..., 2)
            x and y of the direction (x, y, 1) in camera axes; the input's dtype.
        """
        width, height = self.size
        time = xy[..., 1] / height - 0.5
        distorted_x = (xy[..., 0] - self.shutter[0] * time - width / 2) / self.focal
        distorted_y = (xy[..., 1] - self.shutter[1] * time - height / 2) / self.focal
        x, y = distorted_x, distorted_y
        for _ in range(_ITERATIONS if any(self.radial + self.tangential) else 0):
            factor = self._radial_factor(x * x + y * y)
            dx, dy = self._decentering(x, y)
            x, y = (distorted_x - dx) / factor, (distorted_y - dy) / factor
        return np.stack([x, y], axis=-1)

    def ray_map(self, scale: float = 1.0) -> NDArray[np.float32]:
        """Rays of all pixel centres of the picture rendered `scale` times its size: float32 (h, w, 2)."""
        width, height = round(self.size[0] * scale), round(self.size[1] * scale)
        # The lens is smooth: rays on a coarse lattice, joined linearly, differ by less than a hundredth of a pixel.
        step = 8 * scale
        columns, rows = int(np.ceil(width / step)) + 2, int(np.ceil(height / step)) + 2
        lattice = np.stack(np.meshgrid(np.arange(columns) * 8.0, np.arange(rows) * 8.0), axis=-1)
        coarse = self.rays(lattice)
        at_x, at_y = (np.arange(width) + 0.5) / step, (np.arange(height) + 0.5) / step
        left, top = at_x.astype(int), at_y.astype(int)
        across = (at_x - left)[None, :, None]
        lines = coarse[:, left] * (1 - across) + coarse[:, left + 1] * across
        along = (at_y - top)[:, None, None].astype(np.float32)
        lines = lines.astype(np.float32)
        return lines[top] * (1 - along) + lines[top + 1] * along

    def to_camera(self, points: Floats) -> Floats:
        """World points (..., 3) in camera axes."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Where world points land in the picture.

        Parameters
        ----------
        points : float array (..., 3)
            World coordinates.

        Returns
        -------
        xy : float array (..., 2)
            Picture coordinates; not a number behind the camera.
        depth : float array (...)
            Distance along the optical axis; negative behind the camera.
        """
        seen = self.to_camera(points)
        depth = seen[..., 2]
        forward = np.where(depth > 0, depth, np.nan)
        x, y = seen[..., 0] / forward, seen[..., 1] / forward
        radius = np.hypot(x, y)
        # Beyond the fold the polynomial would bring points from far outside back into the picture.
        beyond = np.maximum(radius / self._fold(), 1.0)
        x, y, radius = x / beyond, y / beyond, radius / beyond
        factor = self._radial_factor(radius * radius)
        dx, dy = self._decentering(x, y)
        width, height = self.size
        still_x = (x * factor + dx) * beyond * self.focal + width / 2
        still_y = (y * factor + dy) * beyond * self.focal + height / 2
        moved_y = (still_y - self.shutter[1] / 2) / (1 - self.shutter[1] / height)
        moved_x = still_x + self.shutter[0] * (moved_y / height - 0.5)
        return np.stack([moved_x, moved_y], axis=-1), depth


def look_at(position: Floats, target: Floats, roll: float = 0.0) -> NDArray[np.float64]:
    """Rotation from world axes (z up) to those of a camera at `position` that looks at `target`.

    Parameters
    ----------
    position, target : float array (3,)
    roll : float
        Clockwise turn of the camera about its optical axis, radians.
    """
    forward = (target - position) / np.linalg.norm(target - position)
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll), np.sin(roll)
    return np.stack([cos * right + sin * down, cos * down - sin * right, forward])
