"""Blocks of rows to tiles, at the size of the picture and reduced: what is held is a row of tiles and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from darknet_py.pictures.containers.orientation import upright
from darknet_py.tiling.grid import Tile, turned
from darknet_py.tiling.strips import Strips

__all__ = ["Level", "Looked", "cut"]

Pixels = npt.NDArray[np.uint8]

#: Pixels that are reduced at a time: Pillow copies them.
_REDUCED = 1 << 21


class Level(NamedTuple):
    """A size at which a picture is looked at: reduced by `factors` (across, down), and there in `tiles`.

    Tiles are those of the upright picture, in its own pixels after the reduction; `factors` are of the stored one.
    """

    factors: tuple[int, int]
    tiles: list[Tile]


class Looked(NamedTuple):
    """A tile's pixels, upright, and where it lies in the upright picture, in pixels of full size."""

    pixels: Pixels
    tile: Tile


def cut(strips: Strips, blocks: Iterable[Pixels], levels: list[Level]) -> Iterator[Looked]:
    """The tiles of all levels, as soon as the blocks have given their rows."""
    cutters = [_Cutter(strips, level) for level in levels]
    for block in blocks:
        for cutter in cutters:
            yield from cutter.take(block)
    for cutter in cutters:
        yield from cutter.finish()


def _reduced(length: int, factor: int) -> int:
    return -(-length // factor)


class _Cutter:
    """The tiles of one level."""

    def __init__(self, strips: Strips, level: Level) -> None:
        self._factors = level.factors
        self._orientation = strips.orientation
        width, height = (_reduced(strips.width, level.factors[0]), _reduced(strips.height, level.factors[1]))
        stored = sorted(
            ((turned(tile, width, height, strips.orientation), tile) for tile in level.tiles),
            key=lambda pair: (pair[0].top, pair[0].left),
        )
        self._rows = deque([list(row) for _, row in groupby(stored, key=lambda pair: pair[0].top)])
        self._held: deque[Pixels] = deque()
        self._first, self._past = 0, 0
        self._rest: Pixels | None = None

    def take(self, block: Pixels) -> Iterator[Looked]:
        if self._factors == (1, 1):
            yield from self._add(block)
            return
        rows = self._factors[1]
        step = max(1, _REDUCED // (block.shape[1] * rows)) * rows
        begin = 0
        if self._rest is not None and len(self._rest):
            begin = min(rows - len(self._rest), len(block))
            self._rest = np.concatenate([self._rest, block[:begin]])
            if len(self._rest) < rows:
                return
            yield from self._add(self._reduce(self._rest))
        end = begin + (len(block) - begin) // rows * rows
        self._rest = block[end:].copy()  # not the whole block
        for top in range(begin, end, step):
            yield from self._add(self._reduce(block[top : min(top + step, end)]))

    def finish(self) -> Iterator[Looked]:
        if self._rest is not None and len(self._rest):
            yield from self._add(self._reduce(self._rest))

    def _reduce(self, block: Pixels) -> Pixels:
        """Means of rectangles; what is left at the right and at the bottom are smaller ones."""
        if block.shape[2] != 3:  # of four, Pillow would multiply by the last
            planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(block, 2, 0)]
            return np.dstack([np.asarray(plane.reduce(self._factors)) for plane in planes])
        return np.asarray(Image.fromarray(block).reduce(self._factors))

    def _add(self, rows: Pixels) -> Iterator[Looked]:
        self._held.append(rows)
        self._past += len(rows)
        while self._rows and self._past >= self._rows[0][0][0].bottom:
            row = self._rows.popleft()
            for stored, tile in row:
                yield self._looked(self._pixels(stored), tile)
            self._drop(self._rows[0][0][0].top if self._rows else self._past)

    def _pixels(self, stored: Tile) -> Pixels:
        at, parts = self._first, []
        for rows in self._held:
            part = rows[max(0, stored.top - at) : max(0, stored.bottom - at), stored.left : stored.right]
            if len(part):
                parts.append(part)
            at += len(rows)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _drop(self, needed: int) -> None:
        """Let go of blocks above row `needed`."""
        while self._held and self._first + len(self._held[0]) <= needed:
            self._first += len(self._held.popleft())

    def _looked(self, pixels: Pixels, tile: Tile) -> Looked:
        across, down = self._factors if self._orientation < 5 else self._factors[::-1]
        lies = Tile(tile.left * across, tile.top * down, tile.right * across, tile.bottom * down)
        return Looked(np.ascontiguousarray(upright(pixels, self._orientation)), lies)
