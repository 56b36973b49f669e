"""Where the tiles of a picture lie."""

from __future__ import annotations

import math
from typing import NamedTuple

from darknet_py.errors import OptionError

__all__ = ["MOST_TILES", "Tile", "tiles_of", "turned"]

#: A network of a millisecond takes a quarter of an hour for so many.
MOST_TILES = 1 << 20


class Tile(NamedTuple):
    """A part of a picture, in its pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def tiles_of(width: int, height: int, size: tuple[int, int], overlap: float) -> list[Tile]:
    """Tiles that cover a picture evenly, row by row.

    Parameters
    ----------
    width, height : int
        Of the picture.
    size : (int, int)
        (width, height) of a tile; no tile is larger than the picture.
    overlap : float, in [0, 0.9]
        Least share of a tile's sides that its neighbours repeat.

    Raises
    ------
    OptionError
        More than `MOST_TILES`.
    """
    counts = [_count(length, side, overlap) for length, side in ((width, size[0]), (height, size[1]))]
    if math.prod(counts) > MOST_TILES:
        raise OptionError(
            f"{counts[0]} x {counts[1]} tiles of {size[0]}x{size[1]} in a picture of {width}x{height} pixels: expected "
            f"at most {MOST_TILES}: choose larger tiles or less overlap"
        )
    columns, rows = _starts(width, size[0], counts[0]), _starts(height, size[1], counts[1])
    return [Tile(left, top, min(left + size[0], width), min(top + size[1], height)) for top in rows for left in columns]


def _count(length: int, side: int, overlap: float) -> int:
    return max(1, math.ceil((length - side * overlap) / max(1.0, side * (1 - overlap)))) if length > side else 1


def _starts(length: int, side: int, count: int) -> list[int]:
    return [round(i * max(length - side, 0) / max(count - 1, 1)) for i in range(count)]


def turned(tile: Tile, width: int, height: int, orientation: int) -> Tile:
    """Where a tile of the upright picture lies in the picture as it is stored, of that width and height."""
    left, top, right, bottom = tile
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    # As `upright` has it: rows are turned round after the axes were swapped.
    rows_turned = orientation in (3, 4, 7, 8) if orientation < 5 else orientation in (3, 2, 6, 7)
    columns_turned = orientation in (2, 3, 6, 7) if orientation < 5 else orientation in (3, 4, 7, 8)
    if rows_turned:
        top, bottom = height - bottom, height - top
    if columns_turned:
        left, right = width - right, width - left
    return Tile(left, top, right, bottom)
