"""The pictures of a batch: what may be given for several, and how they are read ahead of the network.

Stands beside ``load``, which reads one picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from typing import Any

import numpy as np
from PIL import Image

from darknet_py.errors import DarknetError, OptionError
from darknet_py.pictures.imagesource import ImageSource
from darknet_py.pictures.load import Picture
from darknet_py.workers import Workers

__all__ = ["pictures_of", "read_ahead"]


def pictures_of(images: Any) -> Iterable[ImageSource]:
    """The pictures that were given as a batch, each in memory that its source cannot fill again.

    Raises
    ------
    OptionError
        If that is one picture, or nothing that holds pictures.
    """
    if _is_one_picture(images):
        raise OptionError(f"{_kind(images)} given for a batch is one picture: use detect, or [picture]")
    if not isinstance(images, Iterable):
        raise OptionError(f"a batch of type {type(images).__name__}: expected a list or another iterable of pictures")
    return images if isinstance(images, Sequence) else map(_own, images)


def _is_one_picture(images: Any) -> bool:
    """Whether this is what `read_picture` takes. An array (N, H, W) is N grey pictures."""
    if isinstance(images, np.ndarray) and images.dtype != object:
        return images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    return isinstance(images, Iterable) and hasattr(images, "read")  # a file, whose lines are no pictures


def _kind(images: Any) -> str:
    shape = f" of shape {images.shape}" if isinstance(images, np.ndarray) else ""
    return f"{type(images).__name__}{shape}"


def _own(image: ImageSource) -> ImageSource:
    if isinstance(image, np.ndarray | Image.Image):
        return image.copy()
    return bytes(image) if isinstance(image, bytearray | memoryview) else image


def read_ahead(
    images: Iterable[ImageSource], load: Callable[[ImageSource], Picture], size: int
) -> Generator[list[Picture | DarknetError], None, None]:
    """Pictures `size` at a time, the next ones being read while those before are looked at.

    What cannot be read is, in its place, the error, which says the index in the batch.
    """
    first = 0
    with Workers(1) as reader:
        ahead: list[Future[Picture]] = []
        for chunk in chain(_chunks(images, size), [[]]):
            ready, ahead = ahead, [reader.submit(load, image) for image in chunk]
            if ready:
                yield [_result(reading, index) for index, reading in enumerate(ready, first)]
            first += len(ready)


def _chunks(images: Iterable[ImageSource], size: int) -> Iterator[list[ImageSource]]:
    rest = iter(images)
    while chunk := list(islice(rest, size)):
        yield chunk


def _result(reading: Future[Picture], index: int) -> Picture | DarknetError:
    try:
        return reading.result()
    except DarknetError as error:
        named = type(error)(f"image {index} of the batch: {error}")
        named.__cause__ = error
        return named
