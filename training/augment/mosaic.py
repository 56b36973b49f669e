"""Mosaic: four pictures in one (YOLOv4, section 3.3).

Objects appear out of their usual context, and batch statistics see four times as many pictures. As in Darknet each
picture is drawn in the size it has alone and a part of it shows; where Darknet takes the part at the picture's inner
corner, here it is taken anywhere, so that objects in the middle of a picture are not always cut at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from training.augment.geometric import SMALLEST, VISIBLE, Size, View, clip_boxes, draw
from training.sample import Sample

__all__ = ["mosaic", "quadrants", "random_centre", "through_window"]

Region = tuple[int, int, int, int]

#: The centre keeps this fraction of the sides away from the border.
MARGIN = 0.2


def random_centre(rng: np.random.Generator, size: Size) -> tuple[int, int]:
    """Where four pictures meet in an output of (width, height) `size`: at least a fifth from every side."""
    x, y = (int(rng.integers(round(MARGIN * side), round((1 - MARGIN) * side) + 1)) for side in size)
    return x, y


def quadrants(centre: tuple[int, int], size: Size) -> tuple[Region, Region, Region, Region]:
    """Left, top, right, bottom of the four parts: top left, top right, bottom left, bottom right."""
    (x, y), (width, height) = centre, size
    return (0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)


def through_window(rng: np.random.Generator, view: View, region: Region, size: Size, zoom: float = 1.0) -> View:
    """A view for the whole output, moved so that a random part of the picture shows in a quadrant.

    Parameters
    ----------
    rng : Generator
    view : View
        For an output of (width, height) `size`.
    region : four ints
        The quadrant; the border shows in it only if the picture is drawn smaller than the quadrant.
    size : (int, int)
    zoom : float
        The picture is drawn smaller by a random factor between this and 1, but no smaller than fills the quadrant.

    Returns
    -------
    View
        In pixels of the quadrant.
    """
    sides = (region[2] - region[0], region[3] - region[1])
    shrink = max(float(rng.uniform(zoom, 1.0)), sides[0] / size[0], sides[1] / size[1])
    left, right = _slide(rng, view.left * shrink, view.right * shrink, sides[0])
    top, bottom = _slide(rng, view.top * shrink, view.bottom * shrink, sides[1])
    return replace(view, left=left, top=top, right=right, bottom=bottom)


def mosaic(
    samples: Sequence[Sample],
    views: Sequence[View],
    centre: tuple[int, int],
    size: Size,
    *,
    mosaic_bound: bool = True,
    visible: float = VISIBLE,
    smallest: float = SMALLEST,
) -> Sample:
    """Four pictures in one.

    Parameters
    ----------
    samples : four Samples
    views : four Views
        In pixels of the quadrants, see `through_window`.
    centre : (int, int)
        x, y in pixels of the output.
    size : (int, int)
        Width and height of the output, in pixels.
    mosaic_bound : bool
        Boxes end where their quadrant ends. Otherwise they go on under the neighbouring pictures to the output's
        border, as objects half hidden.
    visible, smallest : float
        Boxes of which less is visible in their quadrant are dropped, as in `clip_boxes`.
    """
    image = np.empty((size[1], size[0], 3), np.uint8)
    class_ids, boxes = [], []
    for sample, view, region in zip(samples, views, quadrants(centre, size), strict=True):
        left, top, right, bottom = region
        _, moved = draw(sample, view, (right - left, bottom - top), image[top:bottom, left:right])
        moved += np.array([left, top, left, top], np.float32)
        keep, clipped = clip_boxes(moved, region, visible, smallest)
        if not mosaic_bound:
            _, clipped = clip_boxes(moved, (0, 0, *size))
        class_ids.append(sample.class_id[keep])
        boxes.append(clipped[keep])
    return Sample(image, np.concatenate(class_ids), np.concatenate(boxes))


def _slide(rng: np.random.Generator, start: float, end: float, side: int) -> tuple[float, float]:
    """The interval as seen from a window of `side` pixels placed at random inside it (or around it, if shorter)."""
    low, high = sorted((start, end - side))
    at = float(rng.uniform(low, high))
    return start - at, end - at
