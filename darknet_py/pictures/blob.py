"""8-bit pixels to the network's input blob; only the resizing of ``like="opencv"`` and ``"darknet.py"`` needs cv2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from darknet_py.errors import ImageError, OptionError
from darknet_py.find_cv2 import need_cv2
from darknet_py.pictures.geometry import Geometry
from darknet_py.pictures.load import pick_channels
from darknet_py.pictures.resizing import Resizing, scale_into

__all__ = ["LIKES", "begin_blob", "to_blob"]

#: Whose resizing ``to_blob`` reproduces.
LIKES = ("darknet", "darknet.py", "opencv")

#: The canvas around a letterboxed picture.
_GREY = np.float32(0.5)


def to_blob(
    image: npt.NDArray[np.uint8],
    net_width: int,
    net_height: int,
    *,
    letterbox: bool = False,
    like: str = "darknet",
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Resize 8-bit pixels to the network's size and scale them to [0, 1].

    ``like="darknet"`` is, value for value, what ``detector test`` feeds the network: ``resize_image`` (bilinear with
    aligned corners, not anti-aliased) or ``letterbox_image``, in float32. That includes its slip at the last row,
    which is black for some pairs of heights (such as 240 to 416): trained networks have always seen it. Where C
    divides by zero (an input one pixel high), the first row is taken.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        Channels in the order that the network expects, RGB as ``load_image`` gives it.
    net_width, net_height : int
        Size of the blob in pixels.
    letterbox : bool
        Keep the aspect ratio and paste the picture on a canvas of 0.5; only with ``like="darknet"``.
    like : {"darknet", "darknet.py", "opencv"}
        The latter two resize the 8-bit pixels by ``cv2.resize`` (half-pixel centres), as Darknet's Python scripts and
        ``cv2.dnn`` do, and so need OpenCV; neither of them letterboxes.
    out : ndarray, shape (net_height, net_width, C), float32, optional
        Where to write; may be a view into a padded buffer as long as its last axis is contiguous.

    Returns
    -------
    ndarray, shape (net_height, net_width, C), float32
        `out` if given. Channels last, in [0, 1].

    Raises
    ------
    ImageError, OptionError
    UnsupportedError
        Where cv2 has to resize and cannot be imported.
    """
    if image.ndim != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ImageError(
            f"image of shape {image.shape}, dtype {image.dtype}, expected (H, W, C), uint8: use load_image"
        )
    if like not in LIKES:
        raise OptionError(f"like={like!r}: expected one of {', '.join(LIKES)}")
    if letterbox and like != "darknet":
        raise OptionError(f"letterbox=True with like={like!r}, which never letterboxes: use like='darknet'")
    height, width, channels = image.shape
    geometry = Geometry(width, height, net_width, net_height, letterbox)
    if out is None:
        out = np.empty((net_height, net_width, channels), np.float32)
    _check_out(out, (net_height, net_width, channels))
    resizing = begin_blob(image, geometry, out, like=like)
    if resizing is not None:
        resizing.run()
    return out


def begin_blob(
    image: npt.NDArray[np.uint8],
    geometry: Geometry,
    out: npt.NDArray[np.float32],
    *,
    like: str = "darknet",
    reverses: bool = False,
) -> Resizing | None:
    """Do what `to_blob` does, but for Darknet's resizing: that is returned, if there is any, for threads to share.

    With `reverses` the three channels of `image` are the wrong way round.
    """
    area = _picture_area(out, geometry)
    resizes = image.shape[:2] != area.shape[:2]
    if resizes and like == "darknet":
        return Resizing(image, area, reverses)
    if resizes:
        cv2 = need_cv2(f"like={like!r}")
        image = cv2.resize(image, (geometry.new_width, geometry.new_height), interpolation=cv2.INTER_LINEAR)
        image = image.reshape(area.shape)  # cv2 drops an axis of one channel
    if reverses:
        image = pick_channels(image, (2, 1, 0))
    scale_into(image, area)
    return None


def _check_out(out: npt.NDArray[np.float32], shape: tuple[int, int, int]) -> None:
    strides_fit = all(
        length == 1 or (stride > 0 and stride % 4 == 0) for length, stride in zip(out.shape, out.strides, strict=True)
    )
    if out.shape != shape or out.dtype != np.float32 or not out.flags.aligned or not out.flags.writeable:
        raise OptionError(f"out of shape {out.shape}, dtype {out.dtype}, expected {shape}, float32, writable")
    if not strides_fit or (shape[2] > 1 and out.strides[2] != 4):
        raise OptionError(f"out with strides {out.strides}, expected positive ones and a contiguous last axis")


def _picture_area(out: npt.NDArray[np.float32], geometry: Geometry) -> npt.NDArray[np.float32]:
    """The part of the blob that the picture covers, after painting what it does not cover."""
    left, top = geometry.left, geometry.top
    right, bottom = left + geometry.new_width, top + geometry.new_height
    out[:top] = out[bottom:] = _GREY
    out[top:bottom, :left] = out[top:bottom, right:] = _GREY
    return out[top:bottom, left:right]
