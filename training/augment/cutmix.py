"""CutMix: a rectangle of another picture is pasted over one (YOLOv4, sections 2.2 and 3.3; arXiv 1905.04899).

The original is for classification and mixes labels by area. For detection the objects in the pasted rectangle come
along as boxes, and objects beneath it shrink to what still shows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.augment.geometric import SMALLEST, VISIBLE, Boxes, Size, clip_boxes
from training.sample import Sample

__all__ = ["paste", "random_rectangle", "uncovered"]

Region = tuple[int, int, int, int]


def random_rectangle(rng: np.random.Generator, size: Size) -> Region:
    """Left, top, right, bottom of a rectangle in a picture of (width, height) `size`.

    As in the original its area is a uniform fraction of the picture's, its aspect the picture's and its centre uniform,
    before it is clipped to the picture. It has at least one pixel.
    """
    share = np.sqrt(rng.random())
    spans = []
    for side in size:
        half = share * side / 2
        centre = rng.uniform(0, side)
        start = min(max(0, round(centre - half)), side - 1)
        spans.append((start, max(start + 1, min(side, round(centre + half)))))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def paste(
    sample: Sample, other: Sample, rectangle: Region, *, visible: float = VISIBLE, smallest: float = SMALLEST
) -> Sample:
    """A picture with a rectangle of another pasted over it, at the same place.

    Parameters
    ----------
    sample, other : Sample
        Of the same size.
    rectangle : four ints
        Left, top, right, bottom, inside the pictures.
    visible, smallest : float
        A box beneath is dropped if less of its area stays visible, one of the other picture if less of it is in the
        rectangle, and both if the longer side that shows has fewer pixels than `smallest`.
    """
    left, top, right, bottom = rectangle
    image = sample.image.copy()
    image[top:bottom, left:right] = other.image[top:bottom, left:right]
    beneath, fraction = uncovered(sample.xyxy, rectangle)
    longest = (beneath[:, 2:] - beneath[:, :2]).max(axis=1, initial=0)
    stays = (fraction > 0) & (fraction >= visible) & (longest >= smallest)
    comes, pasted = clip_boxes(other.xyxy, rectangle, visible, smallest)
    return Sample(
        image,
        np.concatenate((sample.class_id[stays], other.class_id[comes])),
        np.concatenate((beneath[stays], pasted[comes])),
    )


def uncovered(xyxy: Boxes, rectangle: Region) -> tuple[Boxes, NDArray[np.float32]]:
    """What a rectangle leaves of the boxes beneath it.

    Parameters
    ----------
    xyxy : float32 array (n, 4)
    rectangle : four ints

    Returns
    -------
    boxes : float32 array (n, 4)
        Around the visible part: shorter where the rectangle cuts a box from side to side, of no size if it hides all.
    fraction : float32 array (n,)
        Of the area that is visible.
    """
    _, hidden = clip_boxes(xyxy, rectangle)
    area = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    hidden_area = (hidden[:, 2:] - hidden[:, :2]).prod(axis=1)
    boxes = xyxy.copy()
    for along, across in ((0, 1), (1, 0)):
        cut = (
            (hidden_area > 0) & (hidden[:, across] == xyxy[:, across]) & (hidden[:, across + 2] == xyxy[:, across + 2])
        )
        from_start = cut & (hidden[:, along] == xyxy[:, along])
        to_end = cut & (hidden[:, along + 2] == xyxy[:, along + 2])
        boxes[from_start, along] = hidden[from_start, along + 2]
        boxes[to_end, along + 2] = hidden[to_end, along]
    boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
    fraction = 1 - hidden_area / np.maximum(area, np.finfo(np.float32).tiny)
    return boxes, fraction.astype(np.float32)
