"""Boxes with the probability of every class to entries of one class each, in pixels."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.jit import kernel

__all__ = ["fill_entries"]


@kernel
def fill_entries(cxcywh, objectness, probs, width, height, xyxy, confidence, class_id, box_objectness):
    """Every (box, class) that has a probability, in order, with its corners in an image of that size in pixels.

    cxcywh (n, 4), objectness (n,), probs (n, classes) float32 to xyxy (m, 4), confidence (m,), box_objectness (m,)
    float32 and class_id (m,) int64, where m probabilities are not 0.
    """
    two = np.float32(2)
    wide, high = np.float32(width), np.float32(height)
    at = 0
    for box in range(probs.shape[0]):
        for k in range(probs.shape[1]):
            if probs[box, k] != 0:
                x, y = cxcywh[box, 0], cxcywh[box, 1]
                half_width, half_height = cxcywh[box, 2] / two, cxcywh[box, 3] / two
                xyxy[at, 0] = (x - half_width) * wide
                xyxy[at, 1] = (y - half_height) * high
                xyxy[at, 2] = (x + half_width) * wide
                xyxy[at, 3] = (y + half_height) * high
                confidence[at] = probs[box, k]
                class_id[at] = k
                box_objectness[at] = objectness[box]
                at += 1
