"""Small objects in large pictures: a detector run on overlapping tiles, and what it finds brought together.

A detector sees a photo of 4000x3000 at the size of its network, where an object of 100 pixels is left with ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from darknet_py import Detections, Detector
from darknet_py.boxes.decode import Candidates
from darknet_py.boxes.nms import suppress
from darknet_py.pictures.geometry import Geometry

__all__ = ["Picture", "find_everywhere", "merge", "windows"]

Picture = NDArray[np.uint8]

#: Share of a tile that the next one repeats. An object no larger than that lies wholly inside one of them.
OVERLAP = 0.25


def windows(width: int, height: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Overlapping tiles (left, top, right, bottom) of at most `side` pixels that cover a picture evenly."""

    def starts(length: int) -> list[int]:
        count = max(1, math.ceil((length - side * OVERLAP) / (side * (1 - OVERLAP))))
        return [round(i * max(length - side, 0) / max(count - 1, 1)) for i in range(count)]

    for top in starts(height):
        for left in starts(width):
            yield left, top, min(left + side, width), min(top + side, height)


def find_everywhere(detector: Detector, image: Picture, side: int = 1024, thresh: float = 0.25) -> Detections:
    """Objects of every size: in the whole picture, and in tiles of `side`, twice `side`, ... while those are smaller.

    Parameters
    ----------
    detector : Detector
    image : ndarray, shape (H, W, 3), uint8, BGR
    side : int
        Of the smallest tiles, in pixels.
    thresh : float
        Lowest confidence.
    """
    height, width = image.shape[:2]
    parts = [detector.detect(image, thresh)]
    while side < max(width, height):
        for left, top, right, bottom in windows(width, height, side):
            found = detector.detect(image[top:bottom, left:right], thresh)
            xyxy = found.xyxy + np.array((left, top, left, top), np.float32)
            # A box at a tile's edge inside the picture is part of an object that another search shows whole.
            tile, picture = np.array((left, top, right, bottom)), (0, 0, width, height)
            whole = (((xyxy - tile) * (1, 1, -1, -1) > 2) | (tile == picture)).all(axis=1)
            parts.append(replace(found, xyxy=xyxy, image_width=width, image_height=height)[whole])
        side *= 2
    return merge(parts, detector.names)


def merge(parts: Sequence[Detections], names: Sequence[str]) -> Detections:
    """Detections in one picture from several searches, overlapping boxes of a class reduced to the likeliest."""
    class_id = np.concatenate([part.class_id for part in parts])
    probs = np.zeros((len(class_id), len(names)), np.float32)
    probs[np.arange(len(class_id)), class_id] = np.concatenate([part.confidence for part in parts])
    boxes = np.concatenate([part.relative_cxcywh for part in parts])
    found = Candidates(boxes, np.concatenate([part.objectness for part in parts]), probs)
    width, height = parts[0].image_width, parts[0].image_height
    return Detections.from_candidates(suppress(found, nms=0.45), names, Geometry(width, height, width, height))
