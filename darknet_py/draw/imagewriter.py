"""Pictures written to files, wholly or not at all; the last thing that happens to them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from darknet_py.errors import ImageError, OptionError
from darknet_py.files import write_whole

__all__ = ["IMAGE_SUFFIXES", "check_pixels", "save_image"]

#: File name endings that ``save_image`` writes.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class _Encoding(NamedTuple):
    """What Pillow is asked for, by its name of the format, and the longest side that the format has room for."""

    format: str
    longest: int
    options: dict[str, Any]


# Quality 95 and no loss are cv2.imwrite's defaults, too. Colours in full resolution, which makes a file 18 % larger:
# halved, as cv2 has them, lines of one pixel fade and letters fray.
_JPEG = _Encoding("JPEG", 65500, {"quality": 95, "subsampling": 0})

_ENCODINGS = {
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    # Level 6, Pillow's own, takes four times as long for a file 16 % smaller; cv2's files are larger than level 1's.
    ".png": _Encoding("PNG", 2**31 - 1, {"compress_level": 1}),
    ".webp": _Encoding("WEBP", 16383, {"lossless": True}),
    ".bmp": _Encoding("BMP", 2**31 - 1, {}),
}


def check_pixels(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The array itself, if it is a picture.

    Raises
    ------
    ImageError
        It is not of shape (H, W, 3), (H, W, 1) or (H, W) and dtype uint8.
    """
    expected = "expected an array of shape (H, W, 3), (H, W, 1) or (H, W), uint8"
    if image is None:
        raise ImageError(f"image is None, {expected}: did cv2.imread fail? It returns None for what it cannot read")
    if not isinstance(image, np.ndarray):
        cure = ": numpy.asarray(image) of a Pillow image in mode RGB, with bgr=False" if _is_pillow(image) else ""
        raise ImageError(f"image is a {type(image).__name__}, {expected}{cure}")
    if (
        image.dtype != np.uint8
        or image.size == 0
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (1,), (3,))
    ):
        raise ImageError(f"image of shape {image.shape}, dtype {image.dtype}, {expected}")
    return image


def _is_pillow(image: object) -> bool:
    return isinstance(image, Image.Image)


def save_image(path: str | os.PathLike[str], image: npt.NDArray[np.uint8], *, bgr: bool = True) -> None:
    """Write a picture to a file, in the format that its name ends in, wholly or not at all.

    JPEG has quality 95 and colours in full resolution; the other formats lose nothing.

    Parameters
    ----------
    path : str or Path
        Ends in one of ``IMAGE_SUFFIXES``, in any case. An existing file is replaced once the new one is complete, and
        keeps its mode.
    image : ndarray, shape (H, W, 3), (H, W, 1) or (H, W), uint8
    bgr : bool
        Whether three channels are in OpenCV's order, otherwise RGB (as ``load_image`` returns them).

    Raises
    ------
    OptionError
        The ending is unknown, or the path cannot be written.
    OutputError
        The disk is full, or fails.
    ImageError
        The array is not a picture, or too large for the format.
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"path is {path!r}, expected a str or a Path that ends in one of {', '.join(IMAGE_SUFFIXES)}")
    if not isinstance(bgr, bool | np.bool_):
        raise OptionError(f"bgr={bgr!r}: expected True or False")
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise OptionError(f"{path}: ends in {suffix!r}, expected one of {', '.join(IMAGE_SUFFIXES)}")
    pixels = check_pixels(image)
    if pixels.ndim == 3:
        pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., ::-1] if bgr else pixels
    write_whole(target, _encode(pixels, suffix, f"{path}: image of shape {image.shape}"))


def _encode(pixels: npt.NDArray[np.uint8], suffix: str, where: str) -> bytes:
    kind, longest, options = _ENCODINGS[suffix]
    # Asked first, as libjpeg says so on stderr.
    if max(pixels.shape[:2]) > longest:
        raise ImageError(f"{where} cannot be encoded as {suffix}: {longest} pixels a side at most: smaller, or .png?")
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    except KeyError as error:
        raise OptionError(f"{where}: this Pillow was built without {kind}: write a .png, or install another") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{where} cannot be encoded as {suffix}: {error}") from error
    return buffer.getvalue()
