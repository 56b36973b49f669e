"""PNGs by blocks of rows: inflated piece by piece, the filters of its lines undone here."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from darknet_py.pictures.containers.filebytes import Bytes
from darknet_py.pictures.containers.orientation import exif_orientation
from darknet_py.pictures.containers.png import png_chunks
from darknet_py.pictures.containers.refusals import check_size, damaged
from darknet_py.tiling.strips import Blocks, Strips, as_grey

__all__ = ["png_strips"]

Pixels = npt.NDArray[np.uint8]

#: Bytes of a chunk that are read at a time, and of lines that are inflated at a time, about.
_PIECE, _LINES = 1 << 18, 1 << 22

#: Colour type → samples of a pixel.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class _Header(NamedTuple):
    width: int
    height: int
    bits: int
    samples: int
    palette: Pixels | None


def png_strips(data: Bytes, where: str, *, grey: bool) -> Strips | None:
    """The strips of a PNG; None if it has to be decoded as a whole: interlaced, of fewer bits than 8, or not a PNG.

    Raises
    ------
    ImageError
        Naming `where` and the cause; what only decoding shows is raised by the blocks.
    """
    header, palette, orientation = b"", None, 1
    for name, begin, end in png_chunks(data):
        if name == b"IHDR" and not header:
            header = data[begin + 8 : min(begin + 21, end)]
        elif name == b"PLTE" and palette is None:
            colours = np.frombuffer(data[begin + 8 : end - 4], np.uint8)
            palette = np.zeros((256, 3), np.uint8)
            palette[: len(colours) // 3] = colours[: len(colours) // 3 * 3].reshape(-1, 3)[:256]
        elif name == b"eXIf" and orientation == 1:
            orientation = exif_orientation(data[begin + 8 : end - 4])
        elif name == b"CgBI":
            return None
    if len(header) < 13:
        return None
    width, height, bits, colours_kind, *methods = struct.unpack(">IIBBBBB", header)
    check_size(width, height, where, "max_tiled_pixels")
    indexed = colours_kind == 3
    if bits not in (8, 16) or any(methods) or colours_kind not in _SAMPLES or (indexed and palette is None):
        return None
    found = _Header(width, height, bits, _SAMPLES[colours_kind], palette if indexed else None)

    def blocks() -> Blocks:
        for pixels in _pixels(data, found, where):
            yield as_grey(pixels) if grey else pixels

    return Strips(width, height, 1 if grey else 3, blocks, orientation)


def _pixels(data: Bytes, header: _Header, where: str) -> Iterator[Pixels]:
    """(n, W, 3) RGB: alpha is dropped, and of 16 bits the lower ones."""
    for lines in _lines(data, header, where):
        values = lines.reshape(len(lines), header.width, -1)[:, :, :: header.bits // 8]
        if header.palette is not None:
            yield header.palette[values[..., 0]]
        elif header.samples < 3:
            yield np.repeat(values[..., :1], 3, axis=2)
        else:
            yield np.ascontiguousarray(values[..., :3])


def _lines(data: Bytes, header: _Header, where: str) -> Iterator[Pixels]:
    """(n, bytes of a line), filters undone."""
    from darknet_py.kernels.png_lines import undo_filters  # Numba is not imported for who reads no PNG so

    step = header.samples * header.bits // 8
    line = header.width * step
    above = np.zeros(line, np.uint8)
    for raw in _inflated(data, header.height, line + 1, where):
        lines = np.frombuffer(raw, np.uint8).reshape(-1, line + 1)
        if lines[:, 0].max() > 4:
            raise damaged(where, f"a line with filter {lines[:, 0].max()}", len(data))
        undone = np.empty((len(lines), line), np.uint8)
        undo_filters(lines.copy(), step, above, undone)
        above = undone[-1].copy()
        yield undone


def _inflated(data: Bytes, height: int, line: int, where: str) -> Iterator[bytes]:
    """The bytes of whole lines, some at a time."""
    most = max(1, _LINES // line)
    inflater, ready, left = zlib.decompressobj(), bytearray(), height
    try:
        for piece in _pieces(data):
            while piece and left:
                wanted = min(most, left) * line
                ready += inflater.decompress(piece, wanted - len(ready))
                piece = inflater.unconsumed_tail
                if len(ready) == wanted:
                    left -= wanted // line
                    yield bytes(ready)
                    ready.clear()
    except zlib.error as error:
        raise damaged(where, error, len(data)) from error
    if left:
        raise damaged(where, f"{left} of its {height} lines are missing", len(data))


def _pieces(data: Bytes) -> Iterator[bytes]:
    for name, begin, end in png_chunks(data):
        if name == b"IDAT":
            for at in range(begin + 8, end - 4, _PIECE):
                yield data[at : min(at + _PIECE, end - 4)]
