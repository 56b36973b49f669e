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
from darknet_py.geometry import Geometry

__all__ = [
    "array_to_image",
    "copy_image_from_bytes",
    "fitted",
    "free_image",
    "letterbox_image",
    "letterboxed",
    "load_image",
    "make_image",
    "nparray_to_image",
    "path_of",
    "planes_of",
    "read_planes",
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
    return _image_of(np.ascontiguousarray(read_planes(filename, w, h, c)[0]))


def read_planes(filename: Any, w: int, h: int, c: int) -> tuple[Planes, tuple[int, int]]:
    """A picture file as planes (c, h, w), of its own size where w or h is 0; and its own (width, height)."""
    from darknet_py import image as pictures

    pixels = pictures.load_image(path_of(filename), channels=c)
    height, width = pixels.shape[:2]
    size = (w, h) if w and h else (width, height)
    return pictures.to_blob(pixels, *size, like="darknet.py").transpose(2, 0, 1), (width, height)


def path_of(name: Any) -> Path:
    """A path given as C would take it (bytes), or as Python does."""
    value = name.value if isinstance(name, ct.c_char_p) else name
    if not isinstance(value, str | bytes | os.PathLike):
        raise OptionError(f"path of type {type(name).__name__}: expected bytes or str")
    return Path(os.fsdecode(value))


def fitted(planes: Planes, width: int, height: int) -> Planes:
    """Planes (c, h, w) resized to a network's size by ``cv2.INTER_LINEAR``, as the scripts do it.

    Pixels of 8 bits are resized as such, so that a picture gives the very blob of ``like="darknet.py"``.
    """
    if planes.shape[1:] == (height, width):
        return planes
    pixels = np.ascontiguousarray(planes.transpose(1, 2, 0))
    whole = np.rint(pixels * np.float32(255))
    if np.array_equal(whole / np.float32(255), pixels) and whole.max() <= 255 and whole.min() >= 0:
        from darknet_py.image import to_blob

        return np.moveaxis(to_blob(whole.astype(np.uint8), width, height, like="darknet.py"), 2, 0)
    import cv2

    resized: Planes = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.moveaxis(resized.reshape(height, width, len(planes)), 2, 0)


def letterbox_image(image: IMAGE, w: int, h: int) -> IMAGE:
    """The image on a grey canvas of w x h pixels, its aspect ratio kept."""
    return _image_of(letterboxed(planes_of(image), w, h))


def letterboxed(planes: Planes, width: int, height: int) -> Planes:
    """Planes (c, h, w) on a grey canvas (c, height, width), their aspect ratio kept."""
    place = Geometry(planes.shape[2], planes.shape[1], width, height, letterbox=True)
    canvas = np.full((len(planes), height, width), 0.5, np.float32)
    rows = slice(place.top, place.top + place.new_height)
    columns = slice(place.left, place.left + place.new_width)
    canvas[:, rows, columns] = fitted(planes, place.new_width, place.new_height)
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
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)
    return _image_of(planes), planes.ravel()


def nparray_to_image(img: Any) -> IMAGE:
    """An IMAGE in RGB of cv2's pixels (h, w, 3) in BGR, as a widespread patch of the module has it."""
    image, _ = array_to_image(img)
    rgbgr_image(image)
    return image
