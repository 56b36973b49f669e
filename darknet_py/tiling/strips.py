"""A picture as blocks of rows from top to bottom: read as they are asked for where the file permits it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from darknet_py.pictures.containers.filebytes import Bytes, FileBytes
from darknet_py.pictures.containers.kinds import HEAD, kind_of
from darknet_py.pictures.imagesource import ImageSource, file_bytes
from darknet_py.pictures.load import read_picture

__all__ = ["Blocks", "Strips", "as_grey", "open_strips"]

Pixels = npt.NDArray[np.uint8]

#: (n, W, C) each, uint8, for the taker to keep.
Blocks: TypeAlias = Iterator[Pixels]

#: A picture of up to so many pixels is decoded as a whole: it takes no more than what a strip may.
_SMALL = 1 << 24


@dataclass(frozen=True)
class Strips:
    """A picture that has yet to be read.

    Attributes
    ----------
    width, height, channels : int
        As it is stored.
    blocks : function
        Reads it: gives blocks of rows, as they are stored, from top to bottom.
    orientation : int
        1 to 8, of EXIF: how to turn what is stored.
    reverses : bool
        Whether the three channels are BGR.
    whole : ndarray or None
        Its pixels, where they are in memory anyway.
    """

    width: int
    height: int
    channels: int
    blocks: Callable[[], Blocks]
    orientation: int = 1
    reverses: bool = False
    whole: Pixels | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as a viewer sees it."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


@contextmanager
def open_strips(source: ImageSource, *, bgr: bool, channels: int) -> Generator[Strips, None, None]:
    """A picture's strips; JPEGs, PNGs and TIFFs of more than `_SMALL` pixels are read as far as they are needed.

    All others, and those of these that can only be decoded as a whole, are held in memory, as by `read_picture`.

    Raises
    ------
    ImageError
        As `read_picture`; also while the blocks are read.
    """
    if isinstance(source, str | os.PathLike) and os.path.isfile(source):
        try:
            file = FileBytes(source)
        except OSError:
            file = None  # `read_picture` says why
        if file is not None:
            with file:
                strips = _strips(file, os.fsdecode(source), channels)
                if strips is not None:
                    yield strips
                    return
    elif not isinstance(source, np.ndarray):
        encoded = file_bytes(source)
        if encoded is not None:
            strips = _strips(*encoded, channels)
            source = encoded[0]
            if strips is not None:
                yield strips
                return
    picture = read_picture(source, bgr=bgr, channels=channels)
    height, width, channels = picture.pixels.shape
    yield Strips(
        width, height, channels, lambda: iter([picture.pixels]), reverses=picture.reverses, whole=picture.pixels
    )


def _strips(data: Bytes, where: str, channels: int) -> Strips | None:
    from darknet_py.tiling.jpegrows import jpeg_strips
    from darknet_py.tiling.pngrows import png_strips
    from darknet_py.tiling.tiffrows import tiff_strips

    kind = kind_of(data[:HEAD])
    reader = kind.reader if kind and channels != 4 else ""
    grey = channels == 1
    if reader == "jpeg":
        found = jpeg_strips(data[:], where, grey=grey)
    elif reader == "png":
        found = png_strips(data, where, grey=grey)
    elif reader == "tiff":
        found = tiff_strips(data, where, grey=grey)
    else:
        return None
    return None if found is None or found.width * found.height <= _SMALL else found


def as_grey(pixels: Pixels) -> Pixels:
    """RGB to (n, W, 1) as `read_picture` has it."""
    return read_picture(pixels, bgr=False, channels=1).pixels
