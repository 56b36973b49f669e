"""Where activations live: buffers, views of them, and one arena in which buffers share memory over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from darknet_py.kernels.vector.formats import FLOAT32, Format
from darknet_py.plan.memory import MemoryFault
from darknet_py.shape import Shape

__all__ = ["Buffer", "View", "pixel_bytes", "place_buffers"]

#: Bytes of a cache line: every buffer begins on one.
_LINE = 64

#: Lines a multiple of this many bytes apart share one or two sets of a first-level cache of 32 KB, which hold 8 each:
#: too few for the pixels of a tile. A 1x1 convolution of 1024 channels at 13x13 took 2.0 ms before pixels were moved
#: apart and takes 1.6 (Zen 4); one of 512 channels gains 1 %.
_COLLIDING = 2048

#: The same of pixels that matrix tiles load, 16 at once: 3 x 3 convolutions of 64 to 256 channels take 0.95 of the time
#: (a Xeon with AMX).
_COLLIDING_TILES = 256

#: Values of a vector, the widest there is: pixels of formats that are stored by whole vectors have room for them.
_VECTOR = 16


def pixel_bytes(channels: int, format: Format = FLOAT32) -> int:
    """Bytes from pixel to pixel that hold `channels` and spread over the cache.

    For matrix tiles pixels do not straddle lines, which would take twice as long to load.
    """
    values = -(-channels // _VECTOR) * _VECTOR if format.whole_vectors else channels
    pixel = values * format.value_bytes
    pixel += _LINE * (pixel % _COLLIDING == 0)
    if format is FLOAT32 or pixel <= _LINE:
        return pixel
    from darknet_py.kernels.jit import MATRIX_TILES  # 1 s for whoever only asks how large buffers are

    if MATRIX_TILES:
        pixel = -(-pixel // _LINE) * _LINE
        pixel += _LINE * (pixel % _COLLIDING_TILES == 0)
    return pixel


@dataclass(eq=False)
class Buffer:
    """Memory used from step `first` to step `last`.

    ``size`` bytes for one image. With ``images`` above 1 there is a place for each, `stride` bytes apart.
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
        """Bytes from the beginning of the arena to its own; MemoryFault unless it was given a place there."""
        if self._offset is None:
            raise MemoryFault(f"a buffer of {self.size} bytes is used and has no place in memory")
        return self._offset

    def place(self, offset: int) -> None:
        """Give it a place."""
        self._offset = offset

    @property
    def stride(self) -> int:
        """Bytes from one image's place to the next; 0 if they use the same."""
        return 0 if self.images == 1 else -(-self.size // _LINE) * _LINE

    @property
    def extent(self) -> int:
        """Bytes in all."""
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
    """An activation (H, W, C) of some format inside a buffer: channels contiguous, pixels `pixel` bytes apart.

    Rows follow each other after `row` bytes, which is ``w * pixel`` but inside a border. The first value is `start`
    bytes into the buffer.
    """

    buffer: Buffer
    shape: Shape
    format: Format
    pixel: int
    row: int
    start: int = 0

    @classmethod
    def made(cls, shape: Shape, format: Format = FLOAT32, border: int = 0) -> View:
        """A view of a new buffer, inside a border of pixels."""
        pixel = pixel_bytes(shape.c, format)
        row = (shape.w + 2 * border) * pixel
        return cls(Buffer((shape.h + 2 * border) * row), shape, format, pixel, row, border * (row + pixel))

    @property
    def is_dense(self) -> bool:
        """Whether rows follow each other without a gap."""
        return self.row == self.shape.w * self.pixel

    def begin(self, image: int = 0) -> int:
        """Bytes from the beginning of the arena to the first value of `image`.

        Raises
        ------
        MemoryFault
            If its buffer has no place, or not all of the view is inside it.
        """
        c, h, w = self.shape
        end = self.start + (h - 1) * self.row + (w - 1) * self.pixel + c * self.format.value_bytes
        if self.start < 0 or end > self.buffer.size or not 0 <= image * (self.buffer.stride > 0) < self.buffer.images:
            raise MemoryFault(
                f"a view of {w} x {h} x {c} values of {self.format}, bytes {self.start} to {end} of image {image}, "
                f"is not inside its buffer of {self.buffer.images} times {self.buffer.size}"
            )
        return self.buffer.offset + self.start + image * self.buffer.stride

    def channels(self, first: int, count: int) -> View:
        """The view of some of its channels."""
        start = self.start + first * self.format.value_bytes
        return replace(self, shape=self.shape._replace(c=count), start=start)

    def window(self, top: int, left: int, h: int, w: int) -> View:
        """The view of some of its rows and columns; its rows have gaps between them."""
        start = self.start + top * self.row + left * self.pixel
        return replace(self, shape=self.shape._replace(h=h, w=w), start=start)


def place_buffers(buffers: Iterable[Buffer], band: int = 0) -> int:
    """Give every buffer an offset such that no two alive at the same step overlap; return the bytes needed.

    Largest first, each at the lowest place that is free during its life, `band` bytes away from any other.
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
