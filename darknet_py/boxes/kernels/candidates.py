"""Boxes out of activated head maps: one pass counts what exceeds the threshold, one fills arrays of that size.

Maps are (h, w, c), channels last and anchor after anchor. Boxes go to arrays that other heads share, from row `first`
on; probabilities of classes that a head has not got are 0. The threshold is rounded to float32, as in C, and every
comparison is ``>`` so that NaN is never taken.
"""

from __future__ import annotations

import math

import numpy as np

from darknet_py.kernels.jit import kernel

__all__ = ["count_objects", "fill_detection", "fill_gaussian", "fill_region", "fill_yolo"]


@kernel
def count_objects(head_map, num, entries, entry, thresh):
    """Number of anchors in the map whose number `entry` (the objectness) is above `thresh`."""
    height, width, _ = head_map.shape
    limit = np.float32(thresh)
    count = 0
    for row in range(height):
        for col in range(width):
            for n in range(num):
                if head_map[row, col, n * entries + entry] > limit:
                    count += 1
    return count


@kernel
def fill_yolo(head_map, anchors, net_width, net_height, new_coords, classes, thresh, first, cxcywh, objectness, probs):
    """[yolo]: anchors (m, 2) float32 in pixels of the net; cxcywh (n, 4), objectness (n,), probs (n, most classes)."""
    height, width, _ = head_map.shape
    limit = np.float32(thresh)
    four = np.float32(4)
    box = first
    for row in range(height):
        for col in range(width):
            values = head_map[row, col]
            for n in range(anchors.shape[0]):
                at = n * (5 + classes)
                confidence = values[at + 4]
                if not confidence > limit:
                    continue
                cxcywh[box, 0] = (np.float32(col) + values[at]) / np.float32(width)
                cxcywh[box, 1] = (np.float32(row) + values[at + 1]) / np.float32(height)
                for side in range(2):
                    size = values[at + 2 + side]
                    unit = net_height if side else net_width
                    if new_coords:
                        cxcywh[box, 2 + side] = size * size * four * anchors[n, side] / np.float32(unit)
                    else:
                        cxcywh[box, 2 + side] = grown(size, anchors[n, side], unit)
                objectness[box] = confidence
                for k in range(classes):
                    prob = confidence * values[at + 5 + k]
                    probs[box, k] = prob if prob > limit else np.float32(0)
                for k in range(classes, probs.shape[1]):
                    probs[box, k] = np.float32(0)
                box += 1


@kernel
def fill_gaussian(head_map, anchors, net_width, net_height, shift, classes, thresh, first, cxcywh, objectness, probs):
    """[Gaussian_yolo]: as ``fill_yolo``; the point moves by `shift` (0, 1/2, -1/2) of the box to become its centre."""
    height, width, _ = head_map.shape
    limit = np.float32(thresh)
    shift32 = np.float32(shift)
    box = first
    for row in range(height):
        for col in range(width):
            values = head_map[row, col]
            for n in range(anchors.shape[0]):
                at = n * (9 + classes)
                confidence = values[at + 8]
                if not confidence > limit:
                    continue
                cxcywh[box, 2] = grown(values[at + 4], anchors[n, 0], net_width)
                cxcywh[box, 3] = grown(values[at + 6], anchors[n, 1], net_height)
                cxcywh[box, 0] = (np.float32(col) + values[at]) / np.float32(width) + shift32 * cxcywh[box, 2]
                cxcywh[box, 1] = (np.float32(row) + values[at + 2]) / np.float32(height) + shift32 * cxcywh[box, 3]
                objectness[box] = confidence
                uncertainty = (values[at + 1] + values[at + 3] + values[at + 5] + values[at + 7]) / np.float32(4)
                certainty = 1.0 - np.float64(uncertainty)
                for k in range(classes):
                    prob = np.float32(np.float64(confidence * values[at + 9 + k]) * certainty)
                    probs[box, k] = prob if prob > limit else np.float32(0)
                for k in range(classes, probs.shape[1]):
                    probs[box, k] = np.float32(0)
                box += 1


@kernel
def fill_region(head_map, anchors, coords, drop_below_half, parents, classes, thresh, first, cxcywh, objectness, probs):
    """[region]: every box, objectness 1; anchors (m, 2) in cells; parents (classes,) int64 of a tree, else (0,)."""
    height, width, _ = head_map.shape
    limit = np.float32(thresh)
    box = first
    for row in range(height):
        for col in range(width):
            values = head_map[row, col]
            for n in range(anchors.shape[0]):
                at = n * (coords + 1 + classes)
                cxcywh[box, 0] = (np.float32(col) + logistic(values[at])) / np.float32(width)
                cxcywh[box, 1] = (np.float32(row) + logistic(values[at + 1])) / np.float32(height)
                cxcywh[box, 2] = grown(values[at + 2], anchors[n, 0], width)
                cxcywh[box, 3] = grown(values[at + 3], anchors[n, 1], height)
                objectness[box] = np.float32(1)
                scale = values[at + coords]
                if drop_below_half and scale < np.float32(0.5):
                    scale = np.float32(0)
                begin = at + coords + 1
                for k in range(probs.shape[1]):
                    probs[box, k] = np.float32(0)
                if parents.shape[0] == 0:
                    for k in range(classes):
                        prob = scale * values[begin + k]
                        probs[box, k] = prob if prob > limit else np.float32(0)
                elif scale > limit:
                    deepest_likely(values, begin, parents, probs[box, :classes])
                box += 1


@kernel
def fill_detection(values, side, num, squares, classes, thresh, first, cxcywh, objectness, probs):
    """[detection]: every box, of the flat map (side * side * (classes + 5 * num),); w and h squared with `squares`."""
    limit = np.float32(thresh)
    cells = side * side
    for cell in range(cells):
        row = cell // side
        col = cell - row * side
        for n in range(num):
            box = first + cell * num + n
            at = cells * (classes + num) + (cell * num + n) * 4
            cxcywh[box, 0] = (values[at] + np.float32(col)) / np.float32(side)
            cxcywh[box, 1] = (values[at + 1] + np.float32(row)) / np.float32(side)
            for k in range(2, 4):
                cxcywh[box, k] = values[at + k] * values[at + k] if squares else values[at + k]
            scale = values[cells * classes + cell * num + n]
            objectness[box] = scale
            for k in range(classes):
                prob = scale * values[cell * classes + k]
                probs[box, k] = prob if prob > limit else np.float32(0)
            for k in range(classes, probs.shape[1]):
                probs[box, k] = np.float32(0)


@kernel
def grown(log_size, anchor, unit):
    """exp(log_size) * anchor / unit, in double as in Darknet, where exp() is not expf(), and rounded once."""
    return np.float32(math.exp(np.float64(log_size)) * np.float64(anchor) / np.float64(unit))


@kernel
def logistic(x):
    """Logistic of one number with a rounding after each step, as Darknet's float32 ``1 / (1 + expf(-x))``."""
    return np.float32(1) / (np.float32(1) + np.float32(math.exp(-np.float64(x))))


@kernel
def deepest_likely(values, first, parents, probs):
    """Keep the last node of the tree whose probability times its ancestors' is above 1/2; probs (classes,) out.

    Darknet multiplies in index order inside the head's output, so a node listed before its parent sees the
    parent not yet multiplied; `probs` stands in for that output, which stays as it was.
    """
    classes = probs.shape[0]
    for k in range(classes):
        prob = values[first + k]
        parent = parents[k]
        if parent >= 0:
            prob *= probs[parent] if parent < k else values[first + parent]
        probs[k] = prob
    found = False
    for k in range(classes - 1, -1, -1):
        if not found and probs[k] > np.float32(0.5):
            found = True
        else:
            probs[k] = np.float32(0)
