"""From light to a file: lens blur, aberration, Bayer mosaic, photon and read noise, tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.render import Frame

__all__ = ["Optics", "photograph"]

_LOW_PASS = 0.65
_BLUR_STEPS = (0.0, 0.7, 1.4, 2.4, 4.0, 7.0)


@dataclass(frozen=True)
class Optics:
    """How a camera spoils a picture.

    Attributes
    ----------
    focus : float
        Depth that is sharp, world units.
    aperture : float
        Standard deviation of the blur, in pixels, infinitely far behind the focus.
    aberration : float
        Relative difference in size between the red and the blue picture.
    vignette : float
        Share of light lost in the corners.
    motion : (float, float)
        Pixels by which the whole picture smears right and down.
    electrons : float
        Photoelectrons of a white pixel: 20000 is a good camera, 400 a phone at night.
    read_noise : float
        Electrons.
    exposure : float
        Where the brightest twentieth of the picture is put, 1 being white.
    contrast : float
        Strength of the S-shaped tone curve, 0..1.
    sharpening : float
        Strength of the camera's unsharp mask.
    """

    focus: float
    aperture: float = 0.0
    aberration: float = 0.0
    vignette: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    electrons: float = 8000.0
    read_noise: float = 3.0
    exposure: float = 0.9
    contrast: float = 0.2
    sharpening: float = 0.3


def _defocus(light: NDArray[np.float32], depth: NDArray[np.float32], optics: Optics) -> NDArray[np.float32]:
    """Blur that grows with the difference of the reciprocal depths, as a thin lens has it."""
    if optics.aperture <= 0:
        return light
    sigma = np.abs(1 - optics.focus / np.maximum(depth, 1e-6)) * np.float32(optics.aperture)
    sigma = cv2.GaussianBlur(np.minimum(sigma, _BLUR_STEPS[-1]), (0, 0), 2.0)
    result = light.copy()
    sharper = light
    for low, high in pairwise(_BLUR_STEPS):
        if sigma.max() <= low:
            break
        blurred = cv2.GaussianBlur(light, (0, 0), high)
        weight = np.clip((sigma - low) / (high - low), 0, 1)[..., None]
        result = np.where(weight > 0, sharper + (blurred - sharper) * weight, result)
        sharper = blurred
    return np.asarray(result, np.float32)


def _scaled(channel: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    height, width = channel.shape
    matrix = np.array([[factor, 0, (1 - factor) * (width - 1) / 2], [0, factor, (1 - factor) * (height - 1) / 2]])
    return np.asarray(
        cv2.warpAffine(channel, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _smear(light: NDArray[np.float32], motion: tuple[float, float]) -> NDArray[np.float32]:
    length = float(np.hypot(*motion))
    if length < 0.5:
        return light
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for time in np.linspace(-0.5, 0.5, 4 * half + 1):
        x, y = half + time * motion[0], half + time * motion[1]
        left, top = int(x), int(y)
        for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
            kernel[row, column] += (1 - abs(x - column)) * (1 - abs(y - row))
    return np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def _lens(frame: Frame, optics: Optics) -> NDArray[np.float32]:
    light = _smear(_defocus(frame.radiance, frame.depth, optics), optics.motion)
    if optics.aberration:
        blue, green, red = cv2.split(light)
        # Green keeps its size: the true boxes are those of the green picture.
        light = cv2.merge([_scaled(blue, 1 - optics.aberration / 2), green, _scaled(red, 1 + optics.aberration / 2)])
    if optics.vignette:
        height, width = frame.depth.shape
        row = (np.arange(height, dtype=np.float32) - height / 2) ** 2
        column = (np.arange(width, dtype=np.float32) - width / 2) ** 2
        radius = (row[:, None] + column[None, :]) * np.float32(4 / (height**2 + width**2))
        light = light * (1 - np.float32(optics.vignette) * radius)[..., None]
    return np.asarray(light, np.float32)


def _mosaic(light: NDArray[np.float32], optics: Optics, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise on a Bayer mosaic of red, green, green and blue, then the colours filled in again."""
    height, width = light.shape[:2]
    raw = np.empty((height, width), np.float32)
    raw[0::2, 0::2], raw[0::2, 1::2] = light[0::2, 0::2, 2], light[0::2, 1::2, 1]
    raw[1::2, 0::2], raw[1::2, 1::2] = light[1::2, 0::2, 1], light[1::2, 1::2, 0]
    electrons = np.clip(raw, 0, 1.2) * np.float32(optics.electrons)
    # From twenty electrons on a Poisson variable is as good as normal, and far faster to draw.
    spread = np.sqrt(electrons + np.float32(optics.read_noise**2))
    electrons += spread * rng.standard_normal(raw.shape, np.float32)
    counts = np.clip(electrons / np.float32(1.2 * optics.electrons), 0, 1) * 65535
    # OpenCV names a mosaic by the colours of its second row and column.
    filled = cv2.demosaicing(counts.astype(np.uint16), cv2.COLOR_BayerBG2BGR_EA)
    return filled.astype(np.float32) * np.float32(1.2 / 65535)


def _tone(light: NDArray[np.float32], contrast: float) -> NDArray[np.uint8]:
    """Display values: soft shoulder, sRGB gamma, S curve; through a table of 4096 steps."""
    steps = np.linspace(0, 1.2, 4096)
    shoulder = np.where(steps < 0.8, steps, 0.8 + 0.2 * (1 - np.exp(-(steps - 0.8) / 0.2)))
    gamma = np.where(shoulder <= 0.0031308, 12.92 * shoulder, 1.055 * np.maximum(shoulder, 1e-9) ** (1 / 2.4) - 0.055)
    curved = gamma + contrast * (gamma * gamma * (3 - 2 * gamma) - gamma)
    table = np.clip(curved * 255 + 0.5, 0, 255).astype(np.uint8)
    return table[np.clip(light * np.float32(4095 / 1.2), 0, 4095).astype(np.uint16)]


def photograph(frame: Frame, optics: Optics, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture that a camera would store, before JPEG.

    Parameters
    ----------
    frame : Frame
        Linear light.
    optics : Optics
    rng : numpy.random.Generator
        For the noise.

    Returns
    -------
    uint8 array (H, W, 3)
        BGR.
    """
    # As before most sensors, a filter blurs by about a pixel, or fine bars would turn into coloured bands.
    light = cv2.GaussianBlur(_lens(frame, optics), (0, 0), _LOW_PASS)
    brightest = float(np.percentile(light[::8, ::8, 1], 95))
    light = light * np.float32(optics.exposure / max(brightest, 1e-3))
    picture = _tone(_mosaic(light, optics, rng), optics.contrast)
    if optics.sharpening:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
        picture = np.asarray(cv2.addWeighted(picture, 1 + optics.sharpening, soft, -optics.sharpening, 0), np.uint8)
    return picture
