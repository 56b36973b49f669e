"""Photometric distortion: brightness, contrast, hue, saturation and noise (YOLOv4, section 2.2), and blur.

Hue, saturation and exposure are Darknet's: in HSV, by tables over the 256 levels of each channel.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.sample import Sample

__all__ = ["Colours", "add_noise", "blur", "blur_background", "random_colours", "recolour"]

Pixels = NDArray[np.uint8]

_LEVELS = np.arange(256, dtype=np.float64)


class Colours(NamedTuple):
    """One change of colours.

    Attributes
    ----------
    hue : float
        Turns around the colour circle: 1/3 makes red green.
    saturation, exposure : float
        Factors on the saturation and value of HSV; exposure is the paper's brightness.
    contrast : float
        Factor on the distance from mid-grey, 127.5.
    grey : bool
        Without colour; hue and saturation then have no effect.
    """

    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    contrast: float = 1.0
    grey: bool = False


def random_colours(
    rng: np.random.Generator,
    *,
    hue: float = 0.0,
    saturation: float = 1.0,
    exposure: float = 1.0,
    contrast: float = 1.0,
    grey: float = 0.0,
) -> Colours:
    """A random change of colours with Darknet's meaning of the options.

    Parameters
    ----------
    rng : Generator
    hue : float
        The hue is turned by up to this much either way, 0..0.5.
    saturation, exposure, contrast : float
        From 1: the factor lies in [1/s, s], half of the time below 1.
    grey : float
        Chance of a picture without colour, 0..1.
    """
    turn = float(rng.uniform(-hue, hue))
    return Colours(
        turn, _factor(rng, saturation), _factor(rng, exposure), _factor(rng, contrast), bool(rng.random() < grey)
    )


def recolour(image: Pixels, colours: Colours) -> Pixels:
    """A picture in changed colours.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        BGR.
    colours : Colours

    Returns
    -------
    uint8 array (H, W, 3)
        BGR, a new array. Values beyond 255 are clipped. Going through 8-bit HSV costs some levels of precision.
    """
    exposed = _table(_LEVELS * colours.exposure)
    if colours.grey:
        grey = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), exposed)
        changed = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    elif colours[:3] != (0.0, 1.0, 1.0):
        # The FULL kind is finer than 180 hues. OpenCV counts 256 levels to the turn going in and 255 coming out.
        hue = _table((_LEVELS / 256 + colours.hue) % 1 * 255)
        tables = np.stack((hue, _table(_LEVELS * colours.saturation), exposed), axis=-1)[None]
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
        changed = cv2.cvtColor(cv2.LUT(hsv, tables), cv2.COLOR_HSV2BGR_FULL)
    else:
        changed = image.copy()
    if colours.contrast != 1:
        changed = cv2.LUT(changed, _table(127.5 + (_LEVELS - 127.5) * colours.contrast))
    return np.asarray(changed, np.uint8)


def add_noise(image: Pixels, rng: np.random.Generator, deviation: float) -> Pixels:
    """Gaussian noise of a standard deviation in grey levels, of its own for every pixel and channel.

    The noise has 256 equally likely values, the quantiles of the bell curve (so it ends at 2.9 deviations): a table
    over random bytes is several times faster than normal numbers.
    """
    noise = cv2.LUT(
        np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape),
        np.rint(deviation * _normal_quantiles()).astype(np.int16),
    )
    return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)


def blur(image: Pixels, size: int) -> Pixels:
    """Gaussian blur with a kernel of `size` pixels, the next odd number if it is even; 1 changes nothing."""
    side = size // 2 * 2 + 1
    return np.asarray(cv2.GaussianBlur(image, (side, side), 0), np.uint8)


def blur_background(sample: Sample, size: int = 17) -> Pixels:
    """The picture blurred outside its boxes; Darknet's ``blur=1``, which makes the objects stand out."""
    blurred = blur(sample.image, size)
    low = np.floor(sample.xyxy[:, :2]).astype(int).tolist()
    high = np.ceil(sample.xyxy[:, 2:]).astype(int).tolist()
    for (left, top), (right, bottom) in zip(low, high, strict=True):
        blurred[top:bottom, left:right] = sample.image[top:bottom, left:right]
    return blurred


def _factor(rng: np.random.Generator, most: float) -> float:
    """Darknet's rand_scale: uniform in [1, most], every second time its inverse."""
    factor = float(rng.uniform(1.0, most))
    return factor if rng.integers(2) else 1 / factor


def _table(values: NDArray[np.float64]) -> Pixels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


@cache
def _normal_quantiles() -> NDArray[np.float64]:
    """256 values of standard deviation 1, each the median of its slice of the bell curve."""
    values = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
    return np.asarray(values / values.std())
