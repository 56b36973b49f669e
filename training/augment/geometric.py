"""Geometric distortion: random scaling, cropping, flipping, rotating and tilting (YOLOv4, section 2.2).

Everything is joined into one 3×3 matrix, so a picture is sampled once however many distortions it undergoes. Pixels are
interpolated linearly, as in Darknet and at detection. Coordinates here are those of edges: a picture W pixels
wide spans 0..W and its first pixel is centred on 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.sample import Sample

__all__ = ["LOOSENING", "View", "bounded_angle", "clip_boxes", "move_boxes", "plain", "random_view", "warp"]

Matrix = NDArray[np.float64]
Boxes = NDArray[np.float32]

#: Width, height in pixels.
Size = tuple[int, int]

#: Mid-grey, what shows where a picture does not reach.
BORDER = (114.0, 114.0, 114.0)

#: The most by which turning may multiply the area of an upright box around a turned rectangle.
LOOSENING = 1.3

#: A box stays while this fraction of its area is in the picture ...
VISIBLE = 0.3

#: ... and its longer side has this many pixels.
SMALLEST = 6.0


@dataclass(frozen=True)
class View:
    """Where a picture is drawn: first placed (and mirrored), then turned, then tilted.

    Parameters
    ----------
    left, top, right, bottom : float
        The rectangle that the whole picture fills, in pixels of the output; it may reach outside.
    flip : bool
        Mirrored left to right.
    angle : float
        Degrees clockwise about the output's centre.
    corners : four pairs of float
        How far each corner of the output (top left, top right, bottom right, bottom left) is moved in x and y, as a
        fraction of the output's width and height. Equal moves of the upper corners are a shear; others tilt.
    """

    left: float
    top: float
    right: float
    bottom: float
    flip: bool = False
    angle: float = 0.0
    corners: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * 4

    @property
    def drawn(self) -> tuple[float, float]:
        """Width and height of the whole picture in the output, in pixels."""
        return self.right - self.left, self.bottom - self.top

    def matrix(self, size: Size) -> Matrix:
        """The 3×3 matrix from the picture's unit square to pixels of an output of (width, height) `size`."""
        start, end = (self.right, self.left) if self.flip else (self.left, self.right)
        place = np.array([[end - start, 0, start], [0, self.bottom - self.top, self.top], [0, 0, 1]], np.float64)
        return _tilt(self.corners, size) @ _turn(self.angle, size) @ place

    def fitted(self, xyxy: Boxes, width: int, height: int) -> View:
        """This view with its angle bounded (see `bounded_angle`) for the boxes of a picture of that size."""
        if not self.angle or not len(xyxy):
            return self
        across, down = self.drawn
        sides = (xyxy[:, 2:] - xyxy[:, :2]) * np.array([across / width, down / height])
        return replace(self, angle=bounded_angle(self.angle, sides))


def random_view(
    rng: np.random.Generator,
    size: Size,
    *,
    jitter: float = 0.0,
    resize: float = 1.0,
    flip: bool = False,
    angle: float = 0.0,
    perspective: float = 0.0,
) -> View:
    """A random view with Darknet's meaning of the options.

    Parameters
    ----------
    rng : Generator
    size : (int, int)
        Width and height of the output, in pixels.
    jitter : float
        Each of the four sides is moved in or out by up to this fraction of the picture's width or height.
    resize : float
        The picture is drawn up to this many times larger or smaller, its aspect kept; below 1 only smaller.
    flip : bool
        Mirror every second picture. Text and codes are mirrored too: a mirrored ArUco marker is no marker.
    angle : float
        Turned by up to this many degrees either way; less where `bounded_angle` says so.
    perspective : float
        Each corner is moved by up to this fraction of the output's width and height: shear and perspective.
    """
    width, height = size
    left, top, right, bottom = rng.uniform(-jitter, jitter, 4)
    # Two draws for four sides: left and top share one, right and bottom the other, which keeps the aspect.
    most = (1 - 1 / max(resize, 1 / resize)) / 2 if resize >= 1 else 0.0
    least = (1 - max(resize, 1 / resize)) / 2
    first, second = rng.uniform(least, most, 2)
    across = width / (1 - left - right - first - second)
    down = height / (1 - top - bottom - first - second)
    x, y = -(left + first) * across, -(top + first) * down
    mirrored = bool(rng.integers(2)) and flip
    degrees = float(rng.uniform(-angle, angle))
    moves = tuple((float(dx), float(dy)) for dx, dy in rng.uniform(-perspective, perspective, (4, 2)))
    return View(x, y, x + across, y + down, mirrored, degrees, moves)


def bounded_angle(angle: float, sides: NDArray[np.floating], loosening: float = LOOSENING) -> float:
    """The angle, brought towards 0 until no upright box around a turned rectangle has grown too much.

    A rectangle w × h turned by t has an upright box of area w·h·(1 + (w/h + h/w)·sin(2t)/2). Only small angles are
    meant: at the default of 1.3 times the area a square may turn by 8.7°, a bar of 5:1 by 3.3°.

    Parameters
    ----------
    angle : float
        Degrees; an angle beyond ±45 counts as ±45.
    sides : array (n, 2)
        Widths and heights before turning.
    loosening : float
        The most by which the area may be multiplied.
    """
    if not len(sides):
        return angle
    width, height = np.maximum(sides.astype(np.float64), 1e-6).T
    elongation = float((width / height + height / width).max())
    limit = math.degrees(math.asin(min(1.0, 2 * (loosening - 1) / elongation))) / 2
    return max(-limit, min(limit, angle))


def warp(
    sample: Sample,
    view: View,
    size: Size,
    *,
    out: NDArray[np.uint8] | None = None,
    visible: float = VISIBLE,
    smallest: float = SMALLEST,
) -> Sample:
    """A picture as the view shows it, with its boxes.

    Boxes are those around their four moved corners, clipped to the output; see `clip_boxes` for those that are dropped.

    Parameters
    ----------
    sample : Sample
    view : View
        Its angle is bounded for the sample's boxes.
    size : (int, int)
        Width and height of the output, in pixels.
    out : uint8 array (height, width, 3), optional
        Where to draw; a slice of a larger picture will do.
    visible, smallest : float
        As in `clip_boxes`.
    """
    image, moved = draw(sample, view, size, out)
    keep, clipped = clip_boxes(moved, (0, 0, *size), visible, smallest)
    return Sample(image, sample.class_id[keep], clipped[keep])


def draw(
    sample: Sample, view: View, size: Size, out: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.uint8], Boxes]:
    """The picture and boxes of `warp`, the boxes neither clipped nor dropped."""
    height, width = sample.image.shape[:2]
    matrix = view.fitted(sample.xyxy, width, height).matrix(size) @ np.diag([1 / width, 1 / height, 1.0])
    # OpenCV counts from the centre of the first pixel.
    between_centres = _shift(-0.5, -0.5) @ matrix @ _shift(0.5, 0.5)
    image = cv2.warpPerspective(
        sample.image, between_centres, size, dst=out, flags=cv2.INTER_LINEAR, borderValue=BORDER
    )
    return np.asarray(image, np.uint8), move_boxes(sample.xyxy, matrix)


def plain(sample: Sample, size: Size) -> Sample:
    """The picture stretched to (width, height) `size` by linear interpolation, all boxes kept: for evaluation."""
    height, width = sample.image.shape[:2]
    scale = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    image = cv2.resize(sample.image, size, interpolation=cv2.INTER_LINEAR)
    return Sample(np.asarray(image, np.uint8), sample.class_id.copy(), sample.xyxy * scale)


def move_boxes(xyxy: Boxes, matrix: Matrix) -> Boxes:
    """Upright boxes around the moved corners of boxes; one that reaches behind the viewer becomes empty.

    Parameters
    ----------
    xyxy : float32 array (n, 4)
    matrix : float64 array (3, 3)
    """
    corners = np.ones((len(xyxy), 4, 3))
    corners[..., 0] = xyxy[:, [0, 2, 2, 0]]
    corners[..., 1] = xyxy[:, [1, 1, 3, 3]]
    moved = corners @ matrix.T
    in_front = (moved[..., 2:] > 1e-6).all(axis=1)
    points = moved[..., :2] / np.maximum(moved[..., 2:], 1e-6)
    boxes = np.hstack((points.min(axis=1), points.max(axis=1)))
    return np.asarray(np.where(in_front, boxes, 0.0), np.float32)


def clip_boxes(
    xyxy: Boxes, region: tuple[float, float, float, float], visible: float = VISIBLE, smallest: float = SMALLEST
) -> tuple[NDArray[np.bool_], Boxes]:
    """Clip boxes to a region and say which are worth keeping.

    Parameters
    ----------
    xyxy : float32 array (n, 4)
    region : four numbers
        Left, top, right, bottom.
    visible : float
        A box is kept if at least this fraction of its area is inside ...
    smallest : float
        ... and the longer side of what is inside has at least this many pixels.

    Returns
    -------
    keep : bool array (n,)
    clipped : float32 array (n, 4)
        Of all boxes, also of those not kept.
    """
    low, high = np.array(region[:2], np.float32), np.array(region[2:], np.float32)
    clipped = np.hstack((xyxy[:, :2].clip(low, high), xyxy[:, 2:].clip(low, high)))
    sides = clipped[:, 2:] - clipped[:, :2]
    area = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    inside = sides.prod(axis=1)
    keep = (inside > 0) & (inside >= visible * area) & (sides.max(axis=1, initial=0) >= smallest)
    return keep, clipped


def _shift(dx: float, dy: float) -> Matrix:
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]], np.float64)


def _turn(angle: float, size: Size) -> Matrix:
    """Turn clockwise (y points down) about the centre."""
    x, y = size[0] / 2, size[1] / 2
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    rotation: Matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    return np.asarray(_shift(x, y) @ rotation @ _shift(-x, -y))


def _tilt(corners: tuple[tuple[float, float], ...], size: Size) -> Matrix:
    """The homography that moves the output's corners."""
    moves = np.array(corners) * size
    if not moves.any():
        return np.eye(3)
    start = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64) * size
    return np.asarray(
        cv2.getPerspectiveTransform(start.astype(np.float32), (start + moves).astype(np.float32)), np.float64
    )
