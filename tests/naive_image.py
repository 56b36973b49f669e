"""Darknet's preprocessing as obvious loops over pixels, every value rounded to float32; nothing from the package."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

F = np.float32


def unit_floats(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 to float32 in [0, 1], divided in double."""
    out = np.zeros(pixels.shape, F)
    for index in np.ndindex(pixels.shape):
        out[index] = F(float(pixels[index]) / 255.0)
    return out


def _column(image: np.ndarray, x: int, width: int) -> Callable[[int, int], np.float32]:
    """The value of output column x at (row, channel) of a float32 image (h, w, c)."""
    w = image.shape[1]
    if x == width - 1 or w == 1:
        return lambda row, k: image[row, w - 1, k]
    sx = F(x) * (F(w - 1) / F(width - 1))
    ix = int(sx)
    dx = sx - F(ix)
    return lambda row, k: (F(1) - dx) * image[row, ix, k] + dx * image[row, ix + 1, k]


def resize_image(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Float32 (h, w, c) to (height, width, c): all columns, then all rows."""
    h, w, channels = image.shape
    if (h, w) == (height, width):
        return image.copy()
    part = np.zeros((h, width, channels), F)
    for x in range(width):
        value = _column(image, x, width)
        for row in range(h):
            for k in range(channels):
                part[row, x, k] = value(row, k)
    out = np.zeros((height, width, channels), F)
    scale = F(h - 1) / F(height - 1) if height > 1 else F(0)
    for y in range(height):
        sy = F(y) * scale
        iy = int(sy)
        dy = sy - F(iy)
        for x in range(width):
            for k in range(channels):
                out[y, x, k] = (F(1) - dy) * part[iy, x, k]
                if y < height - 1 and h > 1:
                    out[y, x, k] += dy * part[iy + 1, x, k]
    return out


def letterbox_size(w: int, h: int, width: int, height: int) -> tuple[int, int]:
    """Size of a (w, h) picture in a (width, height) canvas; C's integer division."""
    if F(width) / F(w) < F(height) / F(h):
        return width, (h * width) // w
    return (w * height) // h, height


def letterbox_image(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Float32 (h, w, c) resized and pasted into the middle of a canvas of 0.5."""
    h, w, channels = image.shape
    new_width, new_height = letterbox_size(w, h, width, height)
    picture = resize_image(image, new_width, new_height)
    out = np.full((height, width, channels), F(0.5))
    for y in range(new_height):
        for x in range(new_width):
            out[y + (height - new_height) // 2, x + (width - new_width) // 2] = picture[y, x]
    return out


def grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to (H, W, 1) uint8 in integers, as stb_image weighs them."""
    out = np.zeros((*pixels.shape[:2], 1), np.uint8)
    for y, x in np.ndindex(pixels.shape[:2]):
        red, green, blue = (int(v) for v in pixels[y, x])
        out[y, x, 0] = (77 * red + 150 * green + 29 * blue) // 256
    return out
