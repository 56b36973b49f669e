"""Solid things put together from surfaces: sheets, boxes, cans. World axes: x right, y away, z up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.heldout.artwork import Print
from training.heldout.render import Piece
from training.heldout.surfaces import Cylinder, Plane

__all__ = ["box", "can", "ground", "plain", "sheet", "turned"]

Floats = NDArray[np.floating[Any]]


def turned(vector: Sequence[float] | Floats, yaw: float) -> NDArray[np.float64]:
    """A vector turned counter-clockwise about the vertical by `yaw` radians."""
    x, y, z = vector
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([cos * x - sin * y, sin * x + cos * y, z])


def plain(colour: Floats) -> Print:
    """A skin of one BGR colour."""
    return Print(np.full((2, 2, 3), np.clip(colour, 0, 255), np.uint8))


def sheet(
    skin: Print, centre: Floats, right: Floats, down: Floats, width: float, bend: float = 0.0, **look: Any
) -> list[Piece]:
    """A sheet of paper, flat or bent about its vertical middle line.

    Parameters
    ----------
    skin : Print
    centre : float array (3,)
    right, down : float array (3,)
        Unit vectors along its sides.
    width : float
        The height follows from the print.
    bend : float
        Angle from edge to edge, radians; positive bulges towards the front, negative is hollow.
    **look
        Further attributes of `Piece`.
    """
    height = width * skin.image.shape[0] / skin.image.shape[1]
    if not bend:
        return [
            Piece(Plane(centre - right * width / 2 - down * height / 2, right * width, down * height), skin, **look)
        ]
    front = np.cross(down, right) * np.sign(bend)
    radius = width / abs(bend)
    origin = centre - front * radius - down * height / 2
    return [Piece(Cylinder(origin, down * height, front, radius, abs(bend), inner=bend < 0), skin, **look)]


def box(skins: Sequence[Print], base: Floats, size: tuple[float, float, float], yaw: float, **look: Any) -> list[Piece]:
    """A box that stands on its base.

    Parameters
    ----------
    skins : sequence of Print
        Front (towards −y before turning), top, left, right, back; the last serves for all that are missing.
    base : float array (3,)
        Centre of the bottom.
    size : (float, float, float)
        Width, depth, height.
    yaw : float
        Counter-clockwise turn, radians.
    **look
        Further attributes of `Piece`.
    """
    width, depth, height = size
    x, y, z = turned([width, 0, 0], yaw), turned([0, depth, 0], yaw), np.array([0.0, 0.0, height])
    low = base - x / 2 - y / 2
    faces = (
        Plane(low + z, x, -z),
        Plane(low + y + z, x, -y),
        Plane(low + y + z, -y, -z),
        Plane(low + x + z, y, -z),
        Plane(low + x + y + z, -x, -z),
    )
    return [Piece(face, skins[min(i, len(skins) - 1)], **look) for i, face in enumerate(faces)]


def can(
    skin: Print, lid: Print, base: Floats, axis: Floats, front: Floats, radius: float, height: float, **look: Any
) -> list[Piece]:
    """A can, closed at both ends.

    Parameters
    ----------
    skin, lid : Print
        What is wrapped around, once; what both ends show.
    base : float array (3,)
        Centre of the bottom.
    axis, front : float array (3,)
        Unit vectors from bottom to top, and from the axis to the middle of the skin.
    radius, height : float
    **look
        Further attributes of the mantle's `Piece`.
    """
    top = base + axis * height
    side = np.cross(front, -axis)
    ends = (
        Plane(top - radius * (side + front), 2 * radius * side, 2 * radius * front),
        Plane(base - radius * (side - front), 2 * radius * side, -2 * radius * front),
    )
    pieces = [Piece(Cylinder(top, -axis * height, front, radius, 2 * np.pi), skin, **look)]
    thing = look.get("thing", 0)
    return pieces + [Piece(end, lid, gloss=0.3, casts=False, round_outline=True, thing=thing) for end in ends]


def ground(skin: Print, centre: Floats, right: Floats, down: Floats, extent: float, tile: float) -> Piece:
    """A large floor or wall, covered with a repeated texture.

    Parameters
    ----------
    skin : Print
    centre, right, down : float array (3,)
    extent : float
        Side of the whole.
    tile : float
        Side of one repeat.
    """
    count = extent / tile
    origin = centre - right * extent / 2 - down * extent / 2
    return Piece(Plane(origin, right * extent, down * extent), skin, tiles=(count, count), casts=False, thing=-1)
