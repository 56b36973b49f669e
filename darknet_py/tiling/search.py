"""A large picture searched in tiles: which, at what sizes, in batches, and what was found made one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple, TypeVar

from darknet_py.arguments import as_choice, as_number, as_size
from darknet_py.boxes.decode import Candidates
from darknet_py.boxes.detections import Detections
from darknet_py.boxes.selection import Selection
from darknet_py.errors import OptionError
from darknet_py.network import MOST_TOGETHER
from darknet_py.pictures.containers.refusals import check_size
from darknet_py.pictures.geometry import Geometry
from darknet_py.pictures.load import Picture
from darknet_py.pipeline import Pipeline
from darknet_py.tiling.grid import Tile, tiles_of
from darknet_py.tiling.levels import Level, Looked, cut
from darknet_py.tiling.merging import gather, mend
from darknet_py.tiling.strips import Strips
from darknet_py.workers import Workers

__all__ = ["SCALES", "Tiling", "search"]

#: "tiles" alone, "whole" for the picture as a whole beside them, "all" for tiles of twice, four times... the size too.
SCALES = ("whole", "tiles", "all")

_T = TypeVar("_T")


class Tiling(NamedTuple):
    """How to cut a picture.

    Attributes
    ----------
    size : (int, int)
        (width, height) of a tile, in pixels of the picture.
    overlap : float
        Least share of a tile's sides that its neighbours repeat.
    scales : str
        One of `SCALES`.
    """

    size: tuple[int, int]
    overlap: float = 0.2
    scales: str = "whole"

    @classmethod
    def asking(cls, tiles: object, overlap: object, scales: object, net: tuple[int, int]) -> Tiling:
        """What a caller asks for, checked; "auto" is the size of the network's input.

        Raises
        ------
        OptionError
        """
        if isinstance(tiles, str):
            if tiles != "auto":
                raise OptionError(f"tiles={tiles[:40]!r}: expected 'auto', or (width, height) such as (608, 416)")
            size = net
        else:
            size = as_size("tiles", tiles)
        if min(size) < 1:
            raise OptionError(f"tiles={size[0]}x{size[1]}: expected at least 1x1 pixels")
        return cls(size, as_number("overlap", overlap, high=0.9), as_choice("scales", scales, SCALES))


def search(pipeline: Pipeline, strips: Strips, tiling: Tiling, wanted: Selection, where: str = "image") -> Detections:
    """What is in a picture, looked at in tiles.

    Raises
    ------
    ImageError
        The picture is too large, or cannot be read to its end.
    OptionError
        Too many tiles.
    """
    check_size(strips.width, strips.height, where, "max_tiled_pixels")
    width, height = strips.upright_size
    levels = _levels(pipeline, strips, tiling)
    geometry = Geometry(width, height, width, height)
    one = len(levels) == 1 and len(levels[0].tiles) == 1
    # NMS across classes sees those alone that are wanted; within a class, what is left out comes last, as in `select`.
    of_tiles = wanted._replace(max_det=None, classes=wanted.classes if wanted.agnostic else None)
    in_tiles = wanted if one else of_tiles
    once = pipeline.looking_once()
    found: list[tuple[Tile, Candidates]] = []
    with closing(_ahead(strips.blocks())) as blocks:
        for looked in _together(cut(strips, blocks, levels), MOST_TOGETHER):
            # Tiles are looked at once; it is the picture that is shown smaller and larger as well.
            for all_of_it, some in groupby(looked, partial(_shows_all, width, height)):
                tiles = list(some)
                pictures = [Picture(pixels, strips.reverses) for pixels, _ in tiles]
                looking = pipeline if all_of_it else once
                found += zip((tile for _, tile in tiles), looking.candidates(pictures, in_tiles), strict=True)
    if one:  # the picture itself
        return pipeline.detections(found[0][1], geometry)
    gathered = gather(found, width, height, pipeline.classes)
    merged = mend(gathered, agnostic=wanted.agnostic).to_candidates(width, height)
    return pipeline.detections(pipeline.chosen(merged, geometry, wanted), geometry)


def _shows_all(width: int, height: int, looked: Looked) -> bool:
    left, top, right, bottom = looked.tile
    return left == top == 0 and right >= width and bottom >= height


def _levels(pipeline: Pipeline, strips: Strips, tiling: Tiling) -> list[Level]:
    width, height = strips.upright_size
    levels = [Level((1, 1), tiles_of(width, height, tiling.size, tiling.overlap))]
    if len(levels[0].tiles) == 1 or tiling.scales == "tiles":
        return levels
    factor = 2
    while tiling.scales == "all" and (-(-width // factor) > tiling.size[0] or -(-height // factor) > tiling.size[1]):
        reduced = -(-width // factor), -(-height // factor)
        levels.append(Level((factor, factor), tiles_of(*reduced, tiling.size, tiling.overlap)))
        factor *= 2
    return [*levels, _whole(pipeline, strips)]


def _whole(pipeline: Pipeline, strips: Strips) -> Level:
    """The picture at once, reduced as far as the network's input, the larger where there are two, lets it."""
    width, height = strips.upright_size
    geometry = pipeline.geometry(width, height, pipeline.doubled)
    factors = max(1, width // geometry.new_width), max(1, height // geometry.new_height)
    tile = Tile(0, 0, -(-width // factors[0]), -(-height // factors[1]))
    return Level(factors if strips.orientation < 5 else factors[::-1], [tile])


def _together(items: Iterable[_T], count: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while chunk := list(islice(rest, count)):
        yield chunk


def _ahead(items: Iterator[_T]) -> Generator[_T, None, None]:
    """The items, the next one being read while this one is looked at."""
    end = object()

    def following(_: None) -> object:
        return next(items, end)

    with Workers(1) as reader:
        coming = reader.submit(following, None)
        while (item := coming.result()) is not end:
            coming = reader.submit(following, None)
            yield item  # type: ignore[misc]
