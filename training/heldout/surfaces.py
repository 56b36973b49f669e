"""Planes and cylinders, cut to a rectangle of surface coordinates, as rays meet them.

Surface coordinates u, v run from 0 to 1: u to the right and v down, as one who looks at the front sees them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.camera import Camera

__all__ = ["Cylinder", "Hit", "Plane", "Shape"]

Floats = NDArray[np.floating[Any]]


class Hit(NamedTuple):
    """Where rays meet a surface; `depth` is not positive or not a number where they do not.

    Attributes
    ----------
    u, v, depth : float32 array (h, w)
    normal : float32 array (3,) or (h, w, 3)
        Unit vectors, in the axes of the rays.
    """

    u: NDArray[np.float32]
    v: NDArray[np.float32]
    depth: NDArray[np.float32]
    normal: NDArray[np.float32]

    def inside(self) -> NDArray[np.bool_]:
        """Where a ray meets the front of the rectangle."""
        return (self.depth > 0) & (self.u >= 0) & (self.u <= 1) & (self.v >= 0) & (self.v <= 1)

    def cropped(self, window: tuple[slice, slice]) -> Hit:
        """The hits of some rows and columns."""
        normal = self.normal if self.normal.ndim == 1 else self.normal[window]
        return Hit(self.u[window], self.v[window], self.depth[window], normal)


def _unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)


def _transform(vectors: Floats, matrix: Floats, offset: Floats | None = None) -> NDArray[np.float32]:
    """`matrix` times vectors (h, w, n), plus an offset."""
    full = matrix if offset is None else np.column_stack([matrix, offset])
    return np.asarray(cv2.transform(np.ascontiguousarray(vectors, np.float32), full.astype(np.float64)), np.float32)


@dataclass(frozen=True)
class Plane:
    """A flat rectangle: `origin` is its upper left corner, `across` and `down` are its sides."""

    origin: Floats
    across: Floats
    down: Floats

    def faces(self, eye: Floats) -> bool:
        """Whether a point is on the side of the front."""
        return bool(np.cross(self.down, self.across) @ (eye - self.origin) > 0)

    def seen_by(self, camera: Camera) -> Plane:
        """The same rectangle in camera axes."""
        return Plane(camera.to_camera(self.origin), camera.rotation @ self.across, camera.rotation @ self.down)

    def point(self, uv: Floats) -> Floats:
        """Points (..., 3) at surface coordinates (..., 2)."""
        return self.origin + uv[..., :1] * self.across + uv[..., 1:] * self.down

    def normal(self, uv: Floats) -> Floats:
        """Unit vectors (..., 3) that leave the front."""
        return np.broadcast_to(_unit(np.cross(self.down, self.across)), (*uv.shape[:-1], 3))

    def hit(self, rays: NDArray[np.float32]) -> Hit:
        """Where rays (x, y, 1) from the origin, given as (h, w, 2), meet the plane, from whichever side."""
        inverse = np.linalg.inv(np.column_stack([self.across, self.down, self.origin]))
        solved = _transform(rays, inverse[:, :2], inverse[:, 2])
        depth = 1 / np.where(solved[..., 2] == 0, np.float32(np.nan), solved[..., 2])
        facing = _unit(np.cross(self.down, self.across))
        return Hit(solved[..., 0] * depth, solved[..., 1] * depth, depth, facing.astype(np.float32))

    def blocks(self, points: NDArray[np.float32], light: Floats, gap: float) -> NDArray[np.bool_]:
        """Which of the points (h, w, 3) lie in its shadow: farther than `gap` behind it, seen from the light."""
        try:
            inverse = np.linalg.inv(np.column_stack([self.across, self.down, -light]))
        except np.linalg.LinAlgError:
            return np.zeros(points.shape[:2], bool)
        u, v, away = cv2.split(_transform(points, inverse, -inverse @ self.origin))
        return (away > gap) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)


@dataclass(frozen=True)
class Cylinder:
    """Part of a cylinder's mantle: cans, bottles and bent sheets.

    Attributes
    ----------
    origin : float array (3,)
        Point of the axis at v = 0.
    down : float array (3,)
        Along the axis, to v = 1.
    radial : float array (3,)
        Unit vector across the axis; points to u = 0.5.
    radius : float
    sweep : float
        Angle from u = 0 to u = 1, radians, at most a full turn.
    inner : bool
        Whether the front is the hollow side.
    """

    origin: Floats
    down: Floats
    radial: Floats
    radius: float
    sweep: float
    inner: bool = False

    @property
    def _basis(self) -> Floats:
        axis = _unit(self.down)
        return np.stack([self.radial, np.cross(self.radial, axis) * (-1 if self.inner else 1), axis])

    def faces(self, eye: Floats) -> bool:
        """Whether a point may see the front: all points outside, for a front that is outside."""
        aside = np.cross(eye - self.origin, _unit(self.down))
        return self.inner or bool(aside @ aside > self.radius**2)

    def seen_by(self, camera: Camera) -> Cylinder:
        """The same mantle in camera axes."""
        turn = camera.rotation
        return replace(self, origin=camera.to_camera(self.origin), down=turn @ self.down, radial=turn @ self.radial)

    def point(self, uv: Floats) -> Floats:
        """Points (..., 3) at surface coordinates (..., 2)."""
        angle = (uv[..., :1] - 0.5) * self.sweep
        radial, tangent, _ = self._basis
        return self.origin + uv[..., 1:] * self.down + self.radius * (np.cos(angle) * radial + np.sin(angle) * tangent)

    def normal(self, uv: Floats) -> Floats:
        """Unit vectors (..., 3) that leave the front."""
        angle = (uv[..., :1] - 0.5) * self.sweep
        radial, tangent, _ = self._basis
        return (np.cos(angle) * radial + np.sin(angle) * tangent) * (-1 if self.inner else 1)

    def hit(self, rays: NDArray[np.float32]) -> Hit:
        """Where rays (x, y, 1) from the origin, given as (h, w, 2), meet the front."""
        basis = self._basis
        x, y, z = cv2.split(_transform(rays, basis[:, :2], basis[:, 2]))
        start = (-basis @ self.origin).astype(np.float32)
        depth = self._roots(x, y, start[0], start[1])[1 if self.inner else 0]
        across, along = start[0] + depth * x, start[1] + depth * y
        u = 0.5 + np.arctan2(along, across) / np.float32(self.sweep)
        v = (start[2] + depth * z) / np.float32(np.linalg.norm(self.down))
        sides = np.stack([across, along], axis=-1) / np.float32(-self.radius if self.inner else self.radius)
        return Hit(u, v, depth, _transform(sides, basis[:2].T))

    def _roots(self, x: Floats, y: Floats, from_x: Floats, from_y: Floats) -> tuple[Floats, Floats]:
        """Both crossings of lines (from_x, from_y) + t (x, y) with the circle; not a number where none are."""
        squared, half = x * x + y * y, x * from_x + y * from_y
        rest = half * half - squared * (from_x * from_x + from_y * from_y - np.float32(self.radius**2))
        root = np.sqrt(np.where(rest >= 0, rest, np.float32(np.nan)))
        return (-half - root) / squared, (-half + root) / squared

    def blocks(self, points: NDArray[np.float32], light: Floats, gap: float) -> NDArray[np.bool_]:
        """Which of the points (h, w, 3) lie in its shadow: farther than `gap` behind it, seen from the light."""
        basis = self._basis
        x, y, z = cv2.split(_transform(points, basis, -basis @ self.origin))
        toward = (basis @ light).astype(np.float32)
        height, half = np.float32(np.linalg.norm(self.down)), self.sweep / 2
        shadowed = np.zeros(x.shape, bool)
        for away in self._roots(np.float32(toward[0]) + 0 * x, np.float32(toward[1]) + 0 * y, x, y):
            along = z + away * toward[2]
            angle = np.arctan2(y + away * toward[1], x + away * toward[0])
            shadowed |= (away > gap) & (along >= 0) & (along <= height) & (np.abs(angle) <= half)
        return shadowed


Shape = Plane | Cylinder
