"""Whatever holds a picture to 8-bit pixels. Files are decoded by `imagefile`, with OpenCV or without it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from darknet_py.errors import ImageError, OptionError
from darknet_py.pictures.containers.refusals import no_fourth
from darknet_py.pictures.imagefile import decode_file, pixels_of_pil
from darknet_py.pictures.imagesource import ImageSource, file_bytes, refusal

__all__ = ["Picture", "load_image", "pick_channels", "read_picture"]


def load_image(source: ImageSource, *, bgr: bool = True, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Read a picture from a file, by its path, opened or as bytes, from an array or from Pillow.

    Files are turned upright by their EXIF orientation, as ``cv2.imread`` and Darknet's OpenCV build do (its stb build
    does not), an AVIF by its own boxes. Alpha is dropped, 16-bit values keep their upper 8 bits, CMYK becomes RGB.
    Arrays and Pillow images are taken as their pixels lie. A file cut short is an error, never a half-grey picture;
    a JPEG of which only the end marker is missing is read, with a warning in the log. A reader that was registered
    with Pillow, such as pillow-heif's, is asked for what is not read here.

    Parameters
    ----------
    source : str, Path, bytes, file object, ndarray or PIL.Image.Image
        A path; the bytes of an image file, also as a uint8 array (n,), (n, 1) or (1, n); anything with a ``read``
        that gives them; pixels of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8; or a Pillow image of any
        mode but "F".
    bgr : bool
        Whether arrays of 3 or 4 channels are in OpenCV's order BGR(A), otherwise RGB(A). Says nothing of files
        and Pillow images, which know their order.
    channels : {3, 1, 4}
        3 for RGB; 4 for that and a fourth channel, which the picture must have (alpha, or a depth in its place); 1 for
        grey: a JPEG's own luma plane, of anything else ``(77 R + 150 G + 29 B) >> 8``, as Darknet's stb reader gives a
        network with ``channels=1``.

    Returns
    -------
    ndarray, shape (H, W, channels), uint8, RGB, RGBA or grey
        May share memory with `source` where nothing had to be changed.

    Raises
    ------
    ImageError
        Naming the file and the cause: missing, a directory, empty, not an image, of a kind that is not read (with
        what to do), too large, cut short, without the fourth channel that is asked for; the shape or dtype of an array
        that is not 8-bit pixels; or the type of what is none of these, such as None.
    """
    picture = read_picture(source, bgr=bgr, channels=channels)
    return pick_channels(picture.pixels, (2, 1, 0)) if picture.reverses else picture.pixels


class Picture(NamedTuple):
    """Pixels as `load_image` gives them, but for the order of three channels: with `reverses` it is BGR."""

    pixels: npt.NDArray[np.uint8]
    reverses: bool


def read_picture(source: ImageSource, *, bgr: bool = True, channels: int = 3) -> Picture:
    """`load_image`, without turning round the channels of an array: resizing does that on the way."""
    if channels not in (1, 3, 4):
        raise OptionError(f"channels={channels!r}: expected 3 (RGB), 1 (grey) or 4 (RGBA)")
    alpha = channels == 4
    encoded = file_bytes(source)
    if encoded is not None:
        pixels = decode_file(*encoded, grey=channels == 1, alpha=alpha)
    elif isinstance(source, np.ndarray):
        array = np.asarray(source)  # what is cut from a np.matrix keeps its two axes
        if bgr and channels == 3 and array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
            return Picture(_nonempty(np.ascontiguousarray(array)), True)
        pixels = _pixels_of_array(array, bgr, alpha)
    elif isinstance(source, Image.Image):
        pixels = pixels_of_pil(source, "PIL image", alpha=alpha)
    else:
        raise refusal(source)
    return Picture(_as_channels(_nonempty(pixels), channels), False)


def _nonempty(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if pixels.size == 0:
        raise ImageError(f"image of shape {pixels.shape} has no pixels, expected at least 1x1")
    return pixels


def pick_channels(pixels: npt.NDArray[np.uint8], order: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The channels `order` of (H, W, C), as a copy."""
    # Four times as fast as a copy of pixels[..., ::-1]. cv2.cvtColor would be four times faster still, but need cv2.
    picked = np.empty((*pixels.shape[:2], len(order)), np.uint8)
    for at, channel in enumerate(order):
        picked[..., at] = pixels[..., channel]
    return picked


def _pixels_of_array(array: npt.NDArray[Any], bgr: bool, alpha: bool) -> npt.NDArray[np.uint8]:
    """Check an array and bring it to (H, W) or (H, W, 3) RGB; with `alpha` to (H, W, 4), which it must have."""
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = ": channels first? use array.transpose(1, 2, 0)" if array.ndim == 3 and shape[0] in (1, 3, 4) else ""
        hint = ": pass the images of a batch one by one" if array.ndim == 4 else hint
        hint = ": did cv2.imread fail? It gives None then" if array.ndim == 0 else hint
        raise ImageError(f"image array of shape {shape}, expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4){hint}")
    if array.dtype != np.uint8:
        what_to_do = {
            "f": "if it lies in [0, 1], pass (array * 255).round().astype(np.uint8)",
            "u": "if it holds 16-bit values, pass (array >> 8).astype(np.uint8)",
            "b": "pass array.astype(np.uint8) * 255",
        }.get(array.dtype.kind, "if it lies in 0..255, pass array.astype(np.uint8)")
        raise ImageError(f"image array of dtype {array.dtype}, expected uint8: {what_to_do}")
    if alpha and array.size:
        if array.ndim == 2 or shape[2] != 4:
            raise no_fourth(f"image array of shape {shape}")
        return pick_channels(array, (2, 1, 0, 3)) if bgr else array
    if array.ndim == 2 or shape[2] == 1 or array.size == 0:
        return array.reshape(shape[:2]) if array.size else array
    if shape[2] == 3 and not bgr:
        return array
    return pick_channels(array, (2, 1, 0) if bgr else (0, 1, 2))


def _as_channels(pixels: npt.NDArray[np.uint8], channels: int) -> npt.NDArray[np.uint8]:
    if pixels.ndim == 2:
        return np.ascontiguousarray(
            np.repeat(pixels[:, :, None], channels, axis=2) if channels > 1 else pixels[..., None]
        )
    if channels == 1:
        red, green, blue = (pixels[..., k].astype(np.uint16) for k in range(3))
        return ((77 * red + 150 * green + 29 * blue) >> 8).astype(np.uint8)[..., None]
    return np.ascontiguousarray(pixels)
