"""Ray casting: pieces of surface under one lamp, seen by a camera, as linear light.

Three passes: what each ray meets (albedo, depth, cosines), how much of the lamp reaches each point (at half the
resolution, for lamplight varies slowly), and the sum of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.artwork import Mark, Print
from training.heldout.camera import Camera
from training.heldout.surfaces import Hit, Shape

__all__ = ["Frame", "Light", "Piece", "render", "seen_pieces"]

# Linear light of an 8-bit sRGB value (IEC 61966-2-1).
_CODES = np.arange(256) / 255
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True)
class Piece:
    """A surface and what it is made of.

    Attributes
    ----------
    shape : Plane or Cylinder
        In world coordinates.
    skin : Print
        Texture over u, v = 0..1 and the symbols on it.
    gloss : float
        Radiance of the highlight's peak; 0 is matt.
    shininess : float
        Blinn–Phong exponent.
    tiles : (float, float)
        How often the texture repeats from left to right and from top to bottom.
    casts : bool
        Whether it throws shadows.
    round_outline : bool
        Whether only the ellipse inscribed in the rectangle exists, as a can's lid.
    thing : int
        Pieces of one object share a number.
    """

    shape: Shape
    skin: Print
    gloss: float = 0.0
    shininess: float = 30.0
    tiles: tuple[float, float] = (1.0, 1.0)
    casts: bool = True
    round_outline: bool = False
    thing: int = 0

    def marks(self) -> tuple[Mark, ...]:
        """Symbols with their corners in surface coordinates."""
        height, width = self.skin.image.shape[:2]
        return tuple(Mark(mark.symbol, mark.corners / (width, height)) for mark in self.skin.marks)


@dataclass(frozen=True)
class Light:
    """One distant lamp, the sky's light from everywhere, and what stands before the lamp.

    Attributes
    ----------
    toward : float64 array (3,)
        Unit vector to the lamp, world axes.
    lamp, sky : float array (3,)
        BGR, linear; white paper square to the lamp sends back about lamp + sky.
    softness : float
        Blur of the shadows' edges, in thousandths of the picture's longer side.
    screen : float32 array (n, n) or None
        What the lamp shines through, 0..1: foliage, a window's bars. Repeats.
    screen_width : float
        World units that the screen covers.
    pool : float
        Picture's half diagonals from the centre at which a spot lamp has lost half its light; infinite for the sun.
    """

    toward: NDArray[np.float64]
    lamp: NDArray[np.floating]
    sky: NDArray[np.floating]
    softness: float = 2.0
    screen: NDArray[np.float32] | None = None
    screen_width: float = 1.0
    pool: float = np.inf


class Frame(NamedTuple):
    """A rendered picture.

    Attributes
    ----------
    radiance : float32 array (H, W, 3)
        Linear BGR; white paper in full light is about 1.
    depth : float32 array (H, W)
        Along the optical axis; infinite where nothing is.
    """

    radiance: NDArray[np.float32]
    depth: NDArray[np.float32]


def _window(shape: Shape, camera: Camera, scale: float) -> tuple[slice, slice] | None:
    """Rows and columns that a shape can reach: everything when it comes near the camera's plane, or none."""
    if not shape.faces(camera.position):
        return None
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 25), np.linspace(0, 1, 7)), axis=-1)
    xy, depth = camera.project(shape.point(grid))
    width, height = round(camera.size[0] * scale), round(camera.size[1] * scale)
    if depth.min() <= 0.02 * abs(depth.max()):
        return slice(0, height), slice(0, width)
    # 25 chords of a full turn stay within 1 % of the circle, and the horizon between samples a little more.
    low, high = xy.min(axis=(0, 1)), xy.max(axis=(0, 1))
    slack = 2 + 0.02 * (high - low)
    left, top = np.maximum((low - slack) * scale, 0).astype(int)
    right, bottom = np.minimum((high + slack) * scale + 1, (width, height)).astype(int)
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


def _hits(piece: Piece, rays: NDArray[np.float32], nearest: NDArray[np.float32]) -> tuple[Hit, NDArray[np.bool_]]:
    """Where rays meet a piece (in camera axes), and which of them meet it first."""
    hit = piece.shape.hit(rays)
    with np.errstate(invalid="ignore"):
        first = hit.inside() & (hit.depth < nearest)
        if piece.round_outline:
            first &= (hit.u - 0.5) ** 2 + (hit.v - 0.5) ** 2 <= 0.25
    return hit, first


def seen_pieces(pieces: Sequence[Piece], camera: Camera, scale: float) -> NDArray[np.int32]:
    """Index of the piece at each pixel of a picture `scale` times the camera's size; −1 where there is none."""
    rays = camera.ray_map(scale)
    depth = np.full(rays.shape[:2], np.inf, np.float32)
    owner = np.full(rays.shape[:2], -1, np.int32)
    for index, piece in enumerate(pieces):
        window = _window(piece.shape, camera, scale)
        if window is None:
            continue
        seen = replace(piece, shape=piece.shape.seen_by(camera))
        hit, first = _hits(seen, rays[window], depth[window])
        depth[window][first], owner[window][first] = hit.depth[first], index
    return owner


def _cropped(first: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns outside of which nothing is seen of a piece."""
    rows, columns = np.flatnonzero(first.any(axis=1)), np.flatnonzero(first.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _albedo(piece: Piece, hit: Hit, first: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The texture at the hits, shrunk before to about one texel a pixel, that fine print does not alias."""
    texels = _shrunk(piece, hit, first)
    tiled = piece.tiles != (1.0, 1.0)
    maps = []
    for along, texture_side, repeats in zip((hit.u, hit.v), texels.shape[1::-1], piece.tiles, strict=True):
        at = np.zeros(first.shape, np.float32)
        np.multiply(along, np.float32(texture_side * repeats), out=at, where=first)
        at -= np.float32(0.5)
        maps.append(at % np.float32(texture_side) if tiled else at)
    border = cv2.BORDER_WRAP if tiled else cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(texels, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=border), np.uint8)


def _shrunk(piece: Piece, hit: Hit, first: NDArray[np.bool_]) -> NDArray[np.uint8]:
    image = piece.skin.image
    height, width = image.shape[:2]
    # A share of the hits is enough for an average.
    seen = first[::4, ::4]
    u, v = hit.u[::4, ::4][seen], hit.v[::4, ::4][seen]
    if u.size < 4:
        return image
    covered = max(float(np.ptp(u)) * float(np.ptp(v)) * piece.tiles[0] * piece.tiles[1], 1e-9)
    factor = np.sqrt(16 * u.size / (covered * height * width))
    if factor >= 0.8:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


class _Layers:
    """What the rays of one picture meet, nearest first."""

    def __init__(self, camera: Camera, light: Light, scale: float) -> None:
        self.camera, self.light, self.scale = camera, light, scale
        self.rays = camera.ray_map(scale)
        shape = self.rays.shape[:2]
        self.depth = np.full(shape, np.inf, np.float32)
        self.albedo = np.zeros((*shape, 3), np.uint8)
        self.cosine = np.zeros(shape, np.float32)
        self.shine = np.zeros(shape, np.float32)
        self.toward = (camera.rotation @ light.toward).astype(np.float32)

    def add(self, piece: Piece) -> None:
        """Draw a piece where it is nearer than all before."""
        window = _window(piece.shape, self.camera, self.scale)
        if window is None:
            return
        seen = replace(piece, shape=piece.shape.seen_by(self.camera))
        rays = self.rays[window]
        hit, first = _hits(seen, rays, self.depth[window])
        if not first.any():
            return
        crop = _cropped(first)
        hit, first, rays = hit.cropped(crop), first[crop], rays[crop]
        depth, albedo, cosine, shine = (
            layer[window][crop] for layer in (self.depth, self.albedo, self.cosine, self.shine)
        )
        cv2.copyTo(_albedo(piece, hit, first), first.view(np.uint8), albedo)
        np.copyto(depth, hit.depth, where=first)
        np.copyto(cosine, np.maximum(hit.normal @ self.toward, 0), where=first)
        np.copyto(shine, self._highlight(piece, rays, hit) if piece.gloss else 0, where=first)

    def _highlight(self, piece: Piece, rays: NDArray[np.float32], hit: Hit) -> NDArray[np.float32]:
        """Blinn's highlight: the normal against the bisector of lamp and eye."""
        x, y = rays[..., 0], rays[..., 1]
        length = np.sqrt(x * x + y * y + 1)
        eye_normal = -(x * hit.normal[..., 0] + y * hit.normal[..., 1] + hit.normal[..., 2]) / length
        eye_lamp = -(x * self.toward[0] + y * self.toward[1] + self.toward[2]) / length
        along = (eye_normal + hit.normal @ self.toward) / np.sqrt(2 + 2 * eye_lamp)
        return np.float32(piece.gloss) * np.maximum(along, 0) ** np.float32(piece.shininess)


def _lamplight(layers: _Layers, pieces: Sequence[Piece], step: int) -> NDArray[np.float32]:
    """Share of the lamp that reaches each point of every `step`-th ray."""
    light, camera = layers.light, layers.camera
    depth = layers.depth[step // 2 :: step, step // 2 :: step]
    rays = layers.rays[step // 2 :: step, step // 2 :: step]
    far = np.where(np.isfinite(depth), depth, 0)[..., None]
    points = np.concatenate([rays * far, far], axis=2)
    share = np.ones(depth.shape, np.float32)
    for piece in pieces:
        if piece.casts:
            gap = 2e-3 * float(np.linalg.norm(camera.to_camera(piece.shape.point(np.array([0.5, 0.5])))))
            with np.errstate(invalid="ignore", divide="ignore"):
                share[piece.shape.seen_by(camera).blocks(points, layers.toward, gap)] = 0
    if light.screen is not None:
        share *= _through_screen(light, points @ camera.rotation.astype(np.float32))
    if np.isfinite(light.pool):
        height, width = depth.shape
        row, column = np.mgrid[0:height, 0:width].astype(np.float32)
        from_centre = np.hypot(row - height / 2, column - width / 2) / (np.hypot(height, width) / 2)
        share *= 1 / (1 + (from_centre / np.float32(light.pool)) ** 2)
    sigma = max(0.4, light.softness / 1000 * max(depth.shape))
    return np.asarray(cv2.GaussianBlur(share, (0, 0), sigma), np.float32)


def _through_screen(light: Light, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The screen's value on the line from each point (camera-centred, world axes) to the lamp."""
    assert light.screen is not None
    aside = np.cross(light.toward, [0.0, 0.0, 1.0] if abs(light.toward[2]) < 0.95 else [1.0, 0.0, 0.0])
    aside /= np.linalg.norm(aside)
    axes = np.stack([aside, np.cross(light.toward, aside)]).astype(np.float32)
    size = light.screen.shape[0]
    at = (points @ axes.T) * np.float32(size / light.screen_width) % np.float32(size)
    return np.asarray(cv2.remap(light.screen, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def render(pieces: Sequence[Piece], camera: Camera, light: Light, supersample: int = 2) -> Frame:
    """What a camera sees, before its lens and sensor spoil it.

    Parameters
    ----------
    pieces : sequence of Piece
    camera : Camera
    light : Light
    supersample : int
        Rays along each side of a pixel.

    Returns
    -------
    Frame
    """
    layers = _Layers(camera, light, supersample)
    for piece in pieces:
        layers.add(piece)
    width, height = camera.size
    size = (width, height)
    share = cv2.resize(_lamplight(layers, pieces, 2 * supersample), size, interpolation=cv2.INTER_LINEAR)
    albedo, cosine, shine = layers.albedo, layers.cosine, layers.shine
    linear = cv2.LUT(albedo, _LINEAR)
    if supersample > 1:
        linear, cosine, shine = (
            np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA)) for layer in (linear, cosine, shine)
        )
    lamp, sky = np.asarray(light.lamp, np.float32), np.asarray(light.sky, np.float32)
    direct = cv2.merge([cosine * share * value for value in lamp]) + sky
    radiance = linear * direct + (shine * share)[..., None] * lamp
    middle = supersample // 2
    return Frame(radiance, layers.depth[middle::supersample, middle::supersample])
