"""Where activations live: buffers, views of them, and one arena in which buffers share memory over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from darknet_py.plan.memory import MemoryFault
from darknet_py.shape import Shape

__all__ = ["Buffer", "View", "pixel_floats", "place_buffers"]

#: Floats per cache line: every buffer begins on one.
_LINE = 16

#: Lines a multiple of this many floats apart share one or two sets of a first-level cache of 32 KB, which hold 8 each:
#: too few for the pixels of a tile. A 1x1 convolution of 1024 channels at 13x13 took 2.0 ms before pixels were moved
#: apart and takes 1.6 (Zen 4); one of 512 channels gains 1 %.
_COLLIDING = 512

#: The same of pixels in bfloat16, of which matrix tiles load 16 at once: 3 x 3 convolutions of 64 to 256 channels take
#: 0.95 of the time (a Xeon with AMX).
_COLLIDING_PAIRS = 64


def pixel_floats(channels: int) -> int:
    """Floats from pixel to pixel that hold `channels` and spread over the cache."""
    return channels + _LINE * (channels % _COLLIDING == 0)


@dataclass(eq=False)
class Buffer:
    """Memory used from step `first` to step `last`.

    ``size`` floats for one image. With ``images`` above 1 there is a place for each, `stride` floats apart.
    ``shared`` buffers never have more than one: what is in them belongs to no image. ``filled`` ones hold something
    before the first step.
    """

    size: int
    first: int = 1 << 60
    last: int = -1
    images: int = 1
    shared: bool = False
    filled: bool = False
    _offset: int | None = field(default=None, init=False)

    @property
    def offset(self) -> int:
        """Floats from the beginning of the arena to its own; MemoryFault unless it was given a place there."""
        if self._offset is None:
            raise MemoryFault(f"a buffer of {self.size} floats is used and has no place in memory")
        return self._offset

    def place(self, offset: int) -> None:
        """Give it a place."""
        self._offset = offset

    @property
    def stride(self) -> int:
        """Floats from one image's place to the next; 0 if they use the same."""
        return 0 if self.images == 1 else -(-self.size // _LINE) * _LINE

    @property
    def extent(self) -> int:
        """Floats in all."""
        return self.size + (self.images - 1) * self.stride

    def use(self, step: int) -> None:
        """Note that `step` reads or writes it."""
        self.first = min(self.first, step)
        self.last = max(self.last, step)

    def keep(self) -> None:
        """Keep it from its first use to the end of the run."""
        self.last = 1 << 60


@dataclass(frozen=True)
class View:
    """An activation (H, W, C) inside a buffer: channels contiguous, `pixel` floats from pixel to pixel.

    Rows follow each other after `row` floats, which is ``w * pixel`` but inside a border.
    """

    buffer: Buffer
    shape: Shape
    pixel: int
    row: int
    start: int = 0

    @classmethod
    def dense(cls, shape: Shape) -> View:
        """A view of a whole new buffer."""
        pixel = pixel_floats(shape.c)
        return cls(Buffer(shape.h * shape.w * pixel), shape, pixel, shape.w * pixel)

    @classmethod
    def pairs(cls, shape: Shape, border: int = 0) -> View:
        """A view of a new buffer for bfloat16, two channels in the place of a float, inside a border of pixels.

        Pixels hold whole vectors of 16 channels. For matrix tiles they do not straddle lines, which would take twice as
        long to load.
        """
        from darknet_py.kernels.jit import MATRIX_TILES  # 1 s for whoever only asks how large buffers are

        pixel = pixel_floats(-(-shape.c // 16) * 8)
        if MATRIX_TILES and pixel > _LINE:
            pixel = -(-pixel // _LINE) * _LINE
            pixel += _LINE * (pixel % _COLLIDING_PAIRS == 0)
        row = (shape.w + 2 * border) * pixel
        buffer = Buffer((shape.h + 2 * border) * row)
        return cls(buffer, shape._replace(c=shape.c // 2), pixel, row, border * (row + pixel))

    def begin(self, image: int = 0) -> int:
        """Floats from the beginning of the arena to the first value of `image`.

        Raises
        ------
        MemoryFault
            If its buffer has no place, or not all of the view is inside it.
        """
        c, h, w = self.shape
        end = self.start + (h - 1) * self.row + (w - 1) * self.pixel + c
        if self.start < 0 or end > self.buffer.size or not 0 <= image * (self.buffer.stride > 0) < self.buffer.images:
            raise MemoryFault(
                f"a view of {w} x {h} x {c} floats, {self.start} to {end} of image {image}, "
                f"is not inside its buffer of {self.buffer.images} times {self.buffer.size}"
            )
        return self.buffer.offset + self.start + image * self.buffer.stride

    def channels(self, first: int, count: int) -> View:
        """The view of some of its channels."""
        return replace(self, shape=self.shape._replace(c=count), start=self.start + first)


def place_buffers(buffers: Iterable[Buffer], band: int = 0) -> int:
    """Give every buffer an offset such that no two alive at the same step overlap; return the floats needed.

    Largest first, each at the lowest place that is free during its life, `band` floats away from any other.
    """
    order = sorted(buffers, key=lambda b: -b.extent)
    # As arrays: a network may have as many buffers as layers, and each is compared with all that were placed before.
    lives = np.array([(b.first, b.last) for b in order], np.int64).reshape(-1, 2)
    begins, ends = np.empty((2, len(order)), np.int64)
    for n, buffer in enumerate(order):
        alive = np.flatnonzero((lives[:n, 0] <= buffer.last) & (lives[:n, 1] >= buffer.first))
        extent, offset = buffer.extent + 2 * band, 0
        if len(alive):
            alive = alive[np.argsort(begins[alive], kind="stable")]
            free = -(-np.maximum.accumulate(ends[alive]) // _LINE) * _LINE  # from here on, until the next begins
            fits = np.flatnonzero(begins[alive[1:]] - free[:-1] >= extent)
            offset = 0 if begins[alive[0]] >= extent else int(free[fits[0] if len(fits) else -1])
        buffer.place(offset + band)
        begins[n], ends[n] = offset, offset + extent
    return int(ends.max(initial=0))
