"""Boxes as programs for OpenCV compare them: in whole pixels. Beside ``nms``, for ``like="opencv"`` alone.

Where two boxes overlap by about the threshold, rounding and moving them decides which of them are reported.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["whole_pixels"]


def whole_pixels(cxcywh: npt.NDArray[np.float32], width: int, height: int, *, inside: bool) -> npt.NDArray[np.float32]:
    """Boxes in an image of that size, in pixels, cut down to whole ones.

    Parameters
    ----------
    cxcywh : ndarray, shape (n, 4), float32
        Centre, width and height as fractions of the image.
    width, height : int
    inside : bool
        True: moved into the image as ``cv2.dnn.DetectionModel`` does, which sets a left or top edge beyond the image to
        0, leaves the box as wide and as high, and only then cuts off what is right of the image or below it. False: as
        scripts leave them before ``cv2.dnn.NMSBoxes``.

    Returns
    -------
    ndarray, shape (n, 4), float32
        Centre, width and height in pixels; boxes that are not finite stay so.
    """
    size = np.array((width, height), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        centre, sides = np.trunc(cxcywh[:, :2] * size), np.trunc(cxcywh[:, 2:] * size)
        if inside:
            near = np.clip(centre - np.trunc(sides / 2), 0, size - 1)
            sides = np.maximum(np.minimum(sides, size - near), 1)
        else:
            near = np.trunc(centre - sides / 2)
        return np.concatenate((near + sides / 2, sides), axis=1).astype(np.float32)
