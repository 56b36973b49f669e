"""Activated head maps to the rows that ``cv2.dnn`` gives of a Region layer, and what it does with such rows.

A row is centre x, centre y, width, height (fractions of the input), objectness, and a probability for each class that
is 0 where it does not exceed a threshold. Rows follow cell by cell, anchors innermost.
"""

from __future__ import annotations

import math

import numpy as np

from darknet_py.boxes.kernels.candidates import grown, logistic
from darknet_py.boxes.kernels.suppression import max_of, min_of
from darknet_py.kernels.jit import kernel

__all__ = ["MOST_COMPARISONS", "best_classes", "region_rows", "suppress_rows", "yolo_rows"]

#: As for Darknet's own suppression (see ``nms``), of which each takes longer here: those of 16384 rows with a
#: probability of one class, or 1831 of each of 80.
MOST_COMPARISONS = 1 << 28


@kernel
def yolo_rows(head_map, anchors, net_width, net_height, new_coords, thresh, rows):
    """[yolo]: map (h, w, m * n) and anchors (m, 2) float32 in pixels of the input; to rows (h * w * m, n) float32."""
    height, width, _ = head_map.shape
    entries = rows.shape[1]
    limit = np.float32(thresh)
    row = 0
    for y in range(height):
        for x in range(width):
            values = head_map[y, x]
            for n in range(anchors.shape[0]):
                at = n * entries
                objectness = values[at + 4]
                rows[row, 0] = (np.float32(x) + values[at]) / np.float32(width)
                rows[row, 1] = (np.float32(y) + values[at + 1]) / np.float32(height)
                for side in range(2):
                    size = values[at + 2 + side]
                    unit = net_height if side else net_width
                    if new_coords:
                        rows[row, 2 + side] = size * size * np.float32(4) * anchors[n, side] / np.float32(unit)
                    else:
                        rows[row, 2 + side] = grown(size, anchors[n, side], unit)
                rows[row, 4] = objectness
                # Behind a logistic no class exceeds 1: most rows need not be looked at. With new_coords it is the
                # cfg that decides what stands before the head.
                if objectness > limit or new_coords:
                    for k in range(5, entries):
                        prob = objectness * values[at + k]
                        rows[row, k] = prob if prob > limit else np.float32(0)
                else:
                    for k in range(5, entries):
                        rows[row, k] = np.float32(0)
                row += 1


@kernel
def region_rows(head_map, anchors, drop_below_half, thresh, rows):
    """[region]: map (h, w, m * n) and anchors (m, 2) float32 in cells; to rows (h * w * m, n) float32."""
    height, width, _ = head_map.shape
    entries = rows.shape[1]
    limit = np.float32(thresh)
    row = 0
    for y in range(height):
        for x in range(width):
            values = head_map[y, x]
            for n in range(anchors.shape[0]):
                at = n * entries
                rows[row, 0] = (np.float32(x) + logistic(values[at])) / np.float32(width)
                rows[row, 1] = (np.float32(y) + logistic(values[at + 1])) / np.float32(height)
                rows[row, 2] = grown(values[at + 2], anchors[n, 0], width)
                rows[row, 3] = grown(values[at + 3], anchors[n, 1], height)
                scale = values[at + 4]
                rows[row, 4] = scale
                if drop_below_half and scale < np.float32(0.5):
                    scale = np.float32(0)
                for k in range(5, entries):
                    prob = scale * values[at + k]
                    rows[row, k] = prob if prob > limit else np.float32(0)
                row += 1


@kernel
def suppress_rows(rows, overlap, order, kept):
    """Zero the probability of a class in rows (n, 5 + classes) that a likelier one of it overlaps by over `overlap`.

    To work in: order and kept (n,) int64. Where more than MOST_COMPARISONS were possible, the likeliest rows of each
    class are compared and the others zeroed.
    """
    limit = np.float32(overlap)
    most = np.int64(0)
    for row in range(rows.shape[0]):
        for k in range(5, rows.shape[1]):
            most += rows[row, k] > 0
    if most * most > MOST_COMPARISONS:
        most = max(1, int(math.sqrt(MOST_COMPARISONS / (rows.shape[1] - 5))))
    for k in range(5, rows.shape[1]):
        count = 0
        for row in range(rows.shape[0]):
            if rows[row, k] > 0:
                order[count] = row
                count += 1
        sort_descending(rows[:, k], order[:count], kept)
        for at in range(most, count):
            rows[order[at], k] = np.float32(0)
        found = 0
        for at in range(min(count, most)):
            row = order[at]
            hidden = False
            for other in range(found):
                if not row_overlap(rows[row], rows[kept[other]]) <= limit:
                    hidden = True
                    break
            if hidden:
                rows[row, k] = np.float32(0)
            else:
                kept[found] = row
                found += 1


@kernel
def sort_descending(keys, indices, work):
    """Order indices (n,) by keys[index], largest first, equal ones as they stand; merges in work (n,)."""
    size = indices.shape[0]
    width = 1
    while width < size:
        for low in range(0, size, 2 * width):
            middle = min(low + width, size)
            high = min(middle + width, size)
            left = low
            right = middle
            for at in range(low, high):
                if right >= high or (left < middle and keys[indices[left]] >= keys[indices[right]]):
                    work[at] = indices[left]
                    left += 1
                else:
                    work[at] = indices[right]
                    right += 1
        indices[:] = work[:size]
        width *= 2


@kernel
def row_overlap(a, b):
    """IoU of two rows: as cv2's ``1 - jaccardDistance``, in double and rounded on the way."""
    half = np.float32(2)
    a_left, a_top = np.float64(a[0] - a[2] / half), np.float64(a[1] - a[3] / half)
    b_left, b_top = np.float64(b[0] - b[2] / half), np.float64(b[1] - b[3] / half)
    a_width, a_height, b_width, b_height = np.float64(a[2]), np.float64(a[3]), np.float64(b[2]), np.float64(b[3])
    areas = a_width * a_height + b_width * b_height
    if areas <= 2.220446049250313e-16:
        return np.float32(1)
    width = min_of(a_left + a_width, b_left + b_width) - max_of(a_left, b_left)
    height = min_of(a_top + a_height, b_top + b_height) - max_of(a_top, b_top)
    both = width * height if width > 0 and height > 0 else 0.0
    return np.float32(1) - np.float32(1.0 - both / (areas - both))


@kernel
def best_classes(rows, thresh, picked, class_id, confidence):
    """The likeliest class of every row (n, 5 + classes) that reaches `thresh`, the first of equals; how many there are.

    To picked (n,) int64, the rows; class_id (n,) int32 and confidence (n,) float32, from the front.
    """
    limit = np.float32(thresh)
    found = 0
    for row in range(rows.shape[0]):
        values = rows[row]
        best = 5
        for k in range(6, values.shape[0]):
            if values[k] > values[best]:
                best = k
        if not values[best] < limit:
            picked[found] = row
            class_id[found] = best - 5
            confidence[found] = values[best]
            found += 1
    return found
