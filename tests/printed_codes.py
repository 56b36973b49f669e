"""Codes as zxing-cpp prints them, in pictures that are not only white, and detections around them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from darknet_py import Detections

zxingcpp = pytest.importorskip("zxingcpp", reason="reading codes needs the extra codes")

NAMES = ["qr", "barcode", "datamatrix", "aruco"]


def printed(kind: str, text: str, scale: int = 3) -> np.ndarray:
    """Grey pixels of a code with a quiet zone."""
    code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
    return np.pad(np.array(code.to_image(scale=scale)), 8 * scale, constant_values=255)


def scene(*placed: tuple[np.ndarray, int, int], size: tuple[int, int] = (640, 480)) -> np.ndarray:
    """A grey picture (H, W) of paper with things at (left, top)."""
    picture = np.full(size[::-1], 200, np.uint8)
    for pixels, left, top in placed:
        picture[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return picture


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Turned about its middle, all of it, on paper."""
    height, width = pixels.shape
    way = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    across, down = abs(way[:, :2]) @ (width, height)
    way[:, 2] += (across - width) / 2, (down - height) / 2
    return cv2.warpAffine(pixels, way, (int(across) + 1, int(down) + 1), flags=cv2.INTER_AREA, borderValue=(200,))


def boxes(*rows: tuple[str, Sequence[float]], size: tuple[int, int] = (640, 480)) -> Detections:
    """What a detector may have found, likeliest first."""
    n = len(rows)
    confidence = np.linspace(0.9, 0.5, n) if n else np.empty(0)
    names = np.array([name for name, _ in rows], np.str_)
    class_id = np.array([NAMES.index(name) for name, _ in rows], np.int64)
    xyxy = np.array([box for _, box in rows], np.float32).reshape(-1, 4)
    return Detections(xyxy, confidence, class_id, names, *size, confidence)
