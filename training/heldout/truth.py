"""Where the symbols are in the picture, and whether a person could make them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.heldout.artwork import Mark
from training.heldout.camera import Camera
from training.heldout.render import Piece, seen_pieces
from training.heldout.symbols import Symbol

__all__ = ["LEAST_MODULE", "Limits", "Truth", "judge", "outline", "prune"]

# Pixels that a module must have for a person to tell the class, one number a class.
LEAST_MODULE = (1.3, 1.0, 1.6, 2.5)

_NETWORK_SIDE = 416
_COARSE = 0.25
_LEAST_COSINE = 0.32
_LEAST_VISIBLE = 0.72


class Limits(NamedTuple):
    """What a symbol's longer side must be.

    Attributes
    ----------
    share : (float, float)
        Least and most, relative to the picture's longer side.
    pixels : float
        Least, in the picture.
    stretched : float
        Least, after the picture is stretched to a network's 416 × 416.
    """

    share: tuple[float, float] = (0.05, 0.7)
    pixels: float = 25.0
    stretched: float = 16.0


_EVERYDAY = Limits()


class Truth(NamedTuple):
    """One symbol in a picture.

    Attributes
    ----------
    symbol : Symbol
    piece : int
        Index of the piece that bears it.
    xyxy : float64 array (4,)
        Box of the whole outline, clipped to the picture, pixels.
    module : float
        Pixels of a module along its shorter direction.
    depth : float
        Mean depth along the optical axis, world units.
    visible : float
        Share of the symbol's surface that is in the picture and not hidden.
    clear : bool
        Whether size, slant and module are within the test set's limits.
    hidden_by : int
        Index of the piece that hides the largest part; −1 where that part is outside the picture or nothing is hidden.
    """

    symbol: Symbol
    piece: int
    xyxy: NDArray[np.float64]
    module: float
    depth: float
    visible: float
    clear: bool
    hidden_by: int = -1


def _inner(mark: Mark, across: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Surface coordinates of points given as shares 0..1 of the symbol's own width and height."""
    first, second, third, fourth = mark.corners
    a, b = across[..., None], along[..., None]
    return (first * (1 - a) + second * a) * (1 - b) + (fourth * (1 - a) + third * a) * b


def outline(mark: Mark, samples: int = 64) -> NDArray[np.float64]:
    """Surface coordinates (4, samples, 2) of points on the symbol's upper, right, lower and left edge."""
    steps = np.linspace(0, 1, samples)
    zero, one = np.zeros(samples), np.ones(samples)
    return _inner(mark, np.stack([steps, one, steps, zero]), np.stack([zero, steps, one, steps]))


def _longer_side_fits(box: NDArray[np.float64], camera: Camera, limits: Limits) -> bool:
    size = np.array(camera.size, float)
    sides = box[2:] - box[:2]
    longer, stretched = float(sides.max()), float((sides * _NETWORK_SIDE / size).max())
    least, most = limits.share
    return longer >= limits.pixels and least <= longer / size.max() <= most and stretched >= limits.stretched


def _judge_mark(
    mark: Mark, index: int, piece: Piece, camera: Camera, owner: NDArray[np.int32], limits: Limits
) -> Truth:
    edges, depth = camera.project(piece.shape.point(outline(mark)))
    if depth.min() <= 0:
        return Truth(mark.symbol, index, np.zeros(4), 0.0, 0.0, 0.0, False)
    lengths = np.linalg.norm(np.diff(edges, axis=1), axis=2).sum(axis=1)
    rows, columns = mark.symbol.dark.shape
    across, along = lengths[[0, 2]].min() / columns, lengths[[1, 3]].min() / rows
    module = float(across if mark.symbol.class_id == 1 else min(across, along))
    points = edges.reshape(-1, 2)
    size = np.array(camera.size, float)
    box = np.concatenate([np.clip(points.min(axis=0), 0, size), np.clip(points.max(axis=0), 0, size)])

    steps = (np.arange(16) + 0.5) / 16
    uv = _inner(mark, *np.meshgrid(steps, steps))
    surface = piece.shape.point(uv)
    eye = camera.position - surface
    cosine = float(((eye / np.linalg.norm(eye, axis=2, keepdims=True)) * piece.shape.normal(uv)).sum(axis=2).min())
    xy, _ = camera.project(surface)
    inside = ((xy >= 0) & (xy < size)).all(axis=2)
    at = np.clip((xy * _COARSE).astype(int), 0, (owner.shape[1] - 1, owner.shape[0] - 1))
    owners = np.where(inside, owner[at[..., 1], at[..., 0]], -1)
    visible = float((owners == index).mean())
    others, counts = np.unique(owners[owners != index], return_counts=True)
    hidden_by = int(others[counts.argmax()]) if others.size else -1
    clear = (
        _longer_side_fits(box, camera, limits)
        and module >= LEAST_MODULE[mark.symbol.class_id]
        and cosine >= _LEAST_COSINE
    )
    return Truth(mark.symbol, index, box, module, float(depth.mean()), visible, clear, hidden_by)


def judge(pieces: Sequence[Piece], camera: Camera, limits: Limits = _EVERYDAY) -> list[Truth]:
    """All symbols of a scene, those that cannot be made out included.

    Parameters
    ----------
    pieces : sequence of Piece
    camera : Camera
    limits : Limits
    """
    owner = seen_pieces(pieces, camera, _COARSE)
    return [
        _judge_mark(mark, index, piece, camera, owner, limits)
        for index, piece in enumerate(pieces)
        for mark in piece.marks()
    ]


def prune(pieces: Sequence[Piece], camera: Camera, limits: Limits = _EVERYDAY) -> tuple[list[Piece], list[Truth]]:
    """Take away things until every symbol left can be made out.

    A thing whose symbol is too small, too slanted, or hidden by more than the limit goes as a whole: half a symbol
    without a label would be a wrong label. Where a thing without a symbol hides one, the thing in front goes instead.

    Parameters
    ----------
    pieces : sequence of Piece
    camera : Camera
    limits : Limits

    Returns
    -------
    pieces : list of Piece
    truths : list of Truth
        The symbols left.
    """
    left = list(pieces)
    while True:
        truths = judge(left, camera, limits)
        bad = {left[truth.piece].thing for truth in truths if not truth.clear}
        if not bad:
            worst = min(truths, key=lambda truth: truth.visible, default=None)
            if worst is None or worst.visible >= _LEAST_VISIBLE:
                return left, truths
            bad = {left[worst.piece].thing}
            before = left[worst.hidden_by].thing if worst.hidden_by >= 0 else -1
            if before >= 0 and not any(left[truth.piece].thing == before for truth in truths):
                bad = {before}
        left = [piece for piece in left if piece.thing not in bad]
