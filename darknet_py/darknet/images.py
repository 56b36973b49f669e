"""IMAGE structures: made, filled, read from files, fitted to a network."""

from __future__ import annotations

import ctypes as ct
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from darknet_py.darknet.structures import IMAGE, floats_of
from darknet_py.errors import ImageError, OptionError
from darknet_py.pictures.geometry import Geometry

__all__ = [
    "array_to_image",
    "copy_image_from_bytes",
    "free_image",
    "letterbox_image",
    "letterboxed",
    "load_image",
    "make_image",
    "nparray_to_image",
    "path_of",
    "planes_of",
    "read_planes",
    "resized",
    "rgbgr_image",
]

Planes = npt.NDArray[np.float32]


def make_image(w: int, h: int, c: int) -> IMAGE:
    """A black image of w x h pixels and c channels; it lives as long as what this returns, or until `free_image`."""
    if min(w, h, c) < 1:
        raise OptionError(f"make_image({w}, {h}, {c}): expected a width, a height and channels of at least 1")
    return _image_of(np.zeros((c, h, w), np.float32))


def _image_of(planes: Planes) -> IMAGE:
    channels, height, width = planes.shape
    image = IMAGE(width, height, channels, planes.ctypes.data_as(ct.POINTER(ct.c_float)))
    image.planes = planes  # the pointer alone would not keep the memory
    return image


def planes_of(image: Any) -> Planes:
    """The memory of an IMAGE as an array (c, h, w); OptionError where it is none or was freed."""
    if not isinstance(image, IMAGE):
        raise OptionError(
            f"image of type {type(image).__name__}: expected an IMAGE (make_image and copy_image_from_bytes)"
        )
    if min(image.w, image.h, image.c) < 1:
        raise OptionError(f"IMAGE of {image.w} x {image.h} x {image.c}: expected at least 1 x 1 x 1")
    return floats_of(image.data, (image.c, image.h, image.w), "IMAGE")


def copy_image_from_bytes(image: IMAGE, pdata: Any) -> None:
    """Fill an IMAGE from 8-bit pixels.

    Parameters
    ----------
    image : IMAGE
    pdata : bytes-like, or ndarray of shape (h, w, c), uint8
        Row by row, the channels of a pixel together, in the order that the network expects (RGB).

    Raises
    ------
    OptionError
        Its size is not that of the image; C would read on, or fill a part.
    """
    planes = planes_of(image)
    try:
        pixels = np.frombuffer(pdata, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise OptionError(f"pixels of type {type(pdata).__name__}: expected bytes ({error})") from error
    if pixels.size != planes.size:
        raise OptionError(
            f"{pixels.size} bytes for an IMAGE of {image.w} x {image.h} x {image.c}: expected {planes.size}; "
            "was the picture resized to the size given to make_image?"
        )
    np.divide(pixels.reshape(image.h, image.w, image.c).transpose(2, 0, 1), np.float32(255), out=planes)


def free_image(image: IMAGE) -> None:
    """Let go of an image's memory; using it afterwards is an error that says so."""
    planes_of(image)
    image.data = ct.POINTER(ct.c_float)()
    image.planes = None


def load_image(filename: Any, w: int = 0, h: int = 0, c: int = 3) -> IMAGE:
    """Read a picture file as RGB (3 channels) or grey (1), resized to w x h pixels unless either is 0.

    Raises
    ------
    ImageError
        The file cannot be read; Darknet ends the program.
    """
    planes = _planes_of_pixels(_read(filename, c))
    return _image_of(np.ascontiguousarray(resized(planes, w, h) if w and h else planes))


def read_planes(filename: Any, w: int, h: int, c: int, like: str) -> tuple[Planes, tuple[int, int]]:
    """A picture file as planes (c, h, w) of a network's size, and its own (width, height); `like` as in Detector."""
    from darknet_py.pictures.blob import to_blob

    pixels = _read(filename, c)
    height, width = pixels.shape[:2]
    return np.moveaxis(to_blob(pixels, w, h, like=like), 2, 0), (width, height)


def _read(filename: Any, channels: int) -> npt.NDArray[np.uint8]:
    from darknet_py.pictures.load import load_image as load_pixels

    return load_pixels(path_of(filename), channels=channels)


def _planes_of_pixels(pixels: npt.NDArray[Any]) -> Planes:
    """Pixels (h, w, c) as planes (c, h, w), values divided by 255 as Darknet does."""
    planes = np.moveaxis(pixels, 2, 0).astype(np.float32)
    planes /= np.float32(255)
    return planes


def path_of(name: Any) -> Path:
    """A path given as C would take it (bytes), or as Python does."""
    value = name.value if isinstance(name, ct.c_char_p) else name
    if not isinstance(value, str | bytes | os.PathLike):
        raise OptionError(f"path of type {type(name).__name__}: expected bytes or str")
    return Path(os.fsdecode(value))


def resized(planes: Planes, width: int, height: int) -> Planes:
    """Planes (c, h, w) in another size, by Darknet's ``resize_image``: bilinear, corners on corners.

    With its slip: the last row has no share of its lower neighbour, also where it needs one.
    """
    rows, columns = planes.shape[1:]
    if (rows, columns) == (height, width):
        return planes
    left, far = _taps(columns, width)
    left[-1], far[-1] = columns - 1, 0
    right = np.minimum(left + 1, columns - 1)
    across = (1 - far) * planes[:, :, left] + far * planes[:, :, right]
    top, low = _taps(rows, height)
    near = (1 - low)[:, None]
    low[-1] = 0
    return near * across[:, top] + low[:, None] * across[:, np.minimum(top + 1, rows - 1)]


def _taps(length: int, new_length: int) -> tuple[npt.NDArray[np.int64], Planes]:
    """The element before each position of a resized axis, and how far behind it that lies."""
    step = np.float32(length - 1) / np.float32(max(new_length - 1, 1))
    position = np.arange(new_length, dtype=np.float32) * step
    index = position.astype(np.int64)
    return index, position - index.astype(np.float32)


def letterbox_image(image: IMAGE, w: int, h: int) -> IMAGE:
    """The image on a grey canvas of w x h pixels, its aspect ratio kept."""
    return _image_of(letterboxed(planes_of(image), w, h))


def letterboxed(planes: Planes, width: int, height: int) -> Planes:
    """Planes (c, h, w) on a grey canvas (c, height, width), their aspect ratio kept."""
    place = Geometry(planes.shape[2], planes.shape[1], width, height, letterbox=True)
    canvas = np.full((len(planes), height, width), 0.5, np.float32)
    rows = slice(place.top, place.top + place.new_height)
    columns = slice(place.left, place.left + place.new_width)
    canvas[:, rows, columns] = resized(planes, place.new_width, place.new_height)
    return canvas


def rgbgr_image(image: IMAGE) -> None:
    """Exchange red and blue, in place."""
    planes = planes_of(image)
    if len(planes) != 3:
        raise OptionError(f"IMAGE of {len(planes)} channels: expected 3 to exchange red and blue")
    planes[[0, 2]] = planes[[2, 0]]


def array_to_image(arr: Any) -> tuple[IMAGE, Planes]:
    """An IMAGE of 8-bit pixels (h, w, c), channels in the order they are in, and its values; of older versions."""
    pixels = np.asarray(arr)
    if pixels.ndim != 3 or pixels.size == 0:
        raise ImageError(f"array of shape {pixels.shape}: expected pixels (h, w, c)")
    planes = np.ascontiguousarray(_planes_of_pixels(pixels))
    return _image_of(planes), planes.ravel()


def nparray_to_image(img: Any) -> IMAGE:
    """An IMAGE in RGB of cv2's pixels (h, w, 3) in BGR, as a widespread patch of the module has it."""
    image, _ = array_to_image(img)
    rgbgr_image(image)
    return image
