"""JPEGs by blocks of rows: Pillow's libjpeg is fed piece by piece, and the memory of rows that were seen given back.

The decoder writes into an array of the whole picture's size, which is address space, not memory, until it is written
to. ``MADV_DONTNEED`` gives the pages back; where a system lacks it the array fills up. A picture of 12000x9000 takes
6 MB so, in place of 432.
"""

from __future__ import annotations

import logging
import mmap
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from darknet_py.pictures.containers.jpeg import (
    END,
    FILLINGS,
    PROGRESSIVE,
    Header,
    check_header,
    ends_in_grey,
    grey_of_cmyk,
    mode_of,
    read_header,
    refusal_of,
    rgb_of_cmyk,
    scans_are_complete,
)
from darknet_py.pictures.containers.pillow import pillow_maps_arrays, without_fourth
from darknet_py.pictures.containers.refusals import damaged
from darknet_py.tiling.strips import Blocks, Strips

__all__ = ["jpeg_strips"]

Pixels = npt.NDArray[np.uint8]

_log = logging.getLogger(__name__)

#: Bytes given to the decoder at a time.
_PIECE = 1 << 16
#: Rows that are looked at to see how far the decoder got.
_AHEAD = 1 << 12


def jpeg_strips(data: bytes, where: str, *, grey: bool) -> Strips | None:
    """The strips of a JPEG; None if it has to be decoded as a whole: a progressive one, or one of several scans.

    Raises
    ------
    ImageError
        Naming `where` and the cause; what only decoding shows, such as a file cut short, is raised by the blocks.
    """
    header = read_header(data, where)
    check_header(header, where, "max_tiled_pixels")
    mode = mode_of(header, grey, where)
    one_scan = data[header.scan : header.scan + 1] == bytes([len(header.components)])
    if header.frame == PROGRESSIVE or not one_scan or not pillow_maps_arrays():
        return None

    def blocks() -> Blocks:
        for block in _checked(data, header, mode, where):
            if mode == "L":
                yield block.copy()
            elif mode == "CMYK":
                yield grey_of_cmyk(block)[..., None] if grey else rgb_of_cmyk(block)
            else:
                yield without_fourth(block)

    return Strips(header.width, header.height, 1 if grey else 3, blocks, header.orientation)


def _checked(data: bytes, header: Header, mode: str, where: str) -> Iterator[Pixels]:
    """The decoder's blocks; as `read_jpeg` does, refuses a file without pixels, and reads one without its end."""
    end = data.find(END, header.scan)
    if end < 0:
        entropy = data.rstrip(b"\xff")
        if not (scans_are_complete(entropy, header) and _whole(entropy, header, mode)):
            raise damaged(where, "not all of its pixels are there", len(data))
        _log.warning("%s: a JPEG without its end marker; its pixels are all there", where)
        data = entropy + END
    try:
        for block in _decoded(data, header, mode):
            yield block
            last = block[-1:, -4:].copy()
    except ValueError as error:
        raise refusal_of(header, where, error, len(data)) from error
    greyish = end >= 0 and ends_in_grey(last if mode == "L" else last[..., :3], mode)
    if greyish and not _whole(data[:end].rstrip(b"\xff"), header, mode):
        raise damaged(where, "the lower part of the JPEG is missing", len(data))


def _whole(entropy: bytes, header: Header, mode: str) -> bool:
    """Whether nothing that may follow changes a pixel; three times decoded, as there is no room for one result."""
    try:
        sums = {_checksum(entropy + more + END, header, mode) for more in (b"", *FILLINGS)}
    except ValueError:
        return False
    return len(sums) == 1


def _checksum(data: bytes, header: Header, mode: str) -> int:
    value = 0
    for block in _decoded(data, header, mode):
        value = zlib.crc32(block.data, value)
    return value


def _decoded(data: bytes, header: Header, mode: str) -> Iterator[Pixels]:
    """(n, W, 4), or (n, W, 1) of "L", from top to bottom, each good until the next is asked for.

    Raises
    ------
    ValueError
        libjpeg gives up or waits for more bytes.
    """
    mode = "RGBX" if mode == "RGB" else mode
    memory, freed, done, rest = _Memory(header, 1 if mode == "L" else 4), 0, 0, b""
    mapped: Any = memory.rows if mode != "L" else memory.rows[..., 0]
    image = Image.frombuffer(mode, (header.width, header.height), mapped, "raw", mode, 0, 1)
    decoder: Any = Image._getdecoder(mode, "jpeg", (mode, ""))
    try:
        decoder.setimage(image.im, (0, 0, header.width, header.height))
        for at in range(0, len(data), _PIECE):
            rest += data[at : at + _PIECE]
            used, status = decoder.decode(rest)
            if used < 0 and status:
                raise ValueError("cannot decode image data")
            reached = header.height if used < 0 else memory.written(done)
            rest = rest[used:] if used >= 0 else b""
            if reached > done:
                yield memory.rows[done:reached]
                done, freed = reached, memory.give_back(freed, reached)
            if used < 0:
                return
        raise ValueError("not enough image data")
    finally:
        decoder.cleanup()


class _Memory:
    """Room for all rows, of which only those in use are in memory."""

    def __init__(self, header: Header, bands: int) -> None:
        self._row = header.width * bands
        size = self._row * header.height
        # Not shared, as an anonymous map of Python's is: the pages of those stay.
        private = getattr(mmap, "MAP_PRIVATE", None)
        try:
            self._map: Any = mmap.mmap(-1, size, flags=private | mmap.MAP_ANONYMOUS) if private else mmap.mmap(-1, size)
        except OSError as error:
            raise MemoryError(f"{size} bytes of address space: {error}") from error
        self.rows: Pixels = np.frombuffer(self._map, np.uint8).reshape(header.height, header.width, bands)

    def written(self, done: int) -> int:
        """How many rows the decoder has written for sure, `done` being known.

        The fourth byte of a pixel that is written is 255. A row of grey is known by not being black, and so are those
        above it.
        """
        while True:
            ahead = self.rows[done : done + _AHEAD]
            marks = ahead[:, 0, 3] if ahead.shape[2] == 4 else ahead[:, :, 0].any(axis=1)
            seen = np.flatnonzero(marks)
            if not len(seen):
                return done
            done += int(seen[-1]) + 1

    def give_back(self, freed: int, reached: int) -> int:
        """Let go of the rows above `reached`, from byte `freed` on; gives where to go on."""
        end = self._row * reached // mmap.PAGESIZE * mmap.PAGESIZE
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None and end > freed:
            self._map.madvise(advice, freed, end - freed)
            return end
        return freed
