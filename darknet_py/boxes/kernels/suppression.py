"""Per-class suppression of overlapping boxes, in the order Darknet's repeated stable sorts give."""

from __future__ import annotations

import math

import numpy as np

from darknet_py.kernels.jit import inlined, kernel

__all__ = ["suppress_boxes", "work_size"]

#: Boxes compared between two looks at whether one of them overlaps.
CHUNK = 64


def work_size(boxes: int, classes: int, members: int) -> int:
    """Numbers that `suppress_boxes` needs to work in; `members` is how many probabilities are not 0."""
    return 2 * (boxes + members) + classes


@kernel
def suppress_boxes(cxcywh, objectness, probs, most, thresh, distance, exponent, work, edges, kept, order):
    """Zero in `probs` every box that a likelier one of its class overlaps; the boxes in Darknet's order to `order`.

    cxcywh (n, 4), objectness (n,), probs (n, classes) float32, order (n,) int64. To work in: work (`work_size`,) int64,
    edges and kept (5, n) float32: left, top, right, bottom and area of all boxes, and of those of a class that are
    kept. Of each class only the `most` likeliest are compared, and the others zeroed.

    Darknet sorts ALL boxes by each class in turn, so ties follow the order the class before left. A stable sort
    moves the members of a class, ordered, before all others, which stay as they were: giving the members keys below
    all given so far is the same, at the cost of the members alone.
    """
    boxes, classes = probs.shape
    total = (work.shape[0] - classes) // 2 - boxes
    keys = work[:boxes]
    ends = work[boxes : boxes + classes]
    members = work[boxes + classes : boxes + classes + total]
    scratch = work[boxes + classes + total :]
    alive = objects_first(objectness, scratch)
    for rank in range(boxes):
        keys[scratch[rank]] = rank
    find_edges(cxcywh, edges)
    group_by_class(probs, keys, alive, ends, members)
    lowest = 0
    start = 0
    for k in range(classes):
        mine = members[start : ends[k]]
        start = ends[k]
        sort_members(mine, probs, k, keys, scratch)
        lowest -= mine.shape[0]
        for rank in range(mine.shape[0]):
            keys[mine[rank]] = lowest + rank
        for rank in range(most, mine.shape[0]):
            probs[mine[rank], k] = np.float32(0)
        suppress_class(mine[:most], probs, k, cxcywh, edges, kept, thresh, distance, exponent)
    slots = scratch[: boxes - lowest]
    for i in range(slots.shape[0]):
        slots[i] = -1
    for box in range(boxes):
        slots[keys[box] - lowest] = box
    to = 0
    for i in range(slots.shape[0]):
        box = slots[i]
        if box >= 0:
            order[to] = box
            to += 1


@inlined
def objects_first(objectness, order):
    """Darknet's order of boxes, where those of objectness 0 were swapped to the end; how many stand before them."""
    alive = objectness.shape[0]
    for box in range(alive):
        order[box] = box
    at = 0
    while at < alive:
        if objectness[order[at]] == 0:
            alive -= 1
            order[at], order[alive] = order[alive], order[at]
        else:
            at += 1
    return alive


@inlined
def find_edges(cxcywh, edges):
    """Left, top, right, bottom and area (5, n) of centre boxes (n, 4)."""
    two = np.float32(2)
    for box in range(cxcywh.shape[0]):
        x, y, w, h = cxcywh[box, 0], cxcywh[box, 1], cxcywh[box, 2], cxcywh[box, 3]
        edges[0, box] = x - w / two
        edges[1, box] = y - h / two
        edges[2, box] = x + w / two
        edges[3, box] = y + h / two
        edges[4, box] = w * h


@inlined
def suppress_class(members, probs, k, cxcywh, edges, kept, thresh, distance, exponent):
    """Zero the probability of class k of those of its ordered members that one before them overlaps."""
    count = 0
    for rank in range(members.shape[0]):
        box = members[rank]
        if is_hidden(box, members[:count], kept, cxcywh, edges, thresh, distance, exponent):
            probs[box, k] = np.float32(0)
            continue
        # The kept boxes gather at the front, over members already dealt with.
        members[count] = box
        for edge in range(5):
            kept[edge, count] = edges[edge, box]
        count += 1


@kernel
def is_hidden(box, others, kept, cxcywh, edges, thresh, distance, exponent):
    """Whether `box` overlaps one of the boxes `others` (count,), whose edges are the first columns of `kept`."""
    for start in range(0, others.shape[0], CHUNK):
        stop = min(start + CHUNK, others.shape[0])
        over = count_overlapping(
            kept[0, start:stop],
            kept[1, start:stop],
            kept[2, start:stop],
            kept[3, start:stop],
            kept[4, start:stop],
            edges[0, box],
            edges[1, box],
            edges[2, box],
            edges[3, box],
            edges[4, box],
            thresh,
        )
        if over == 0:
            continue
        if not distance:
            return True
        # The distance only takes away from the IoU, so what did not exceed by the IoU alone needs no pow().
        for i in range(start, stop):
            if overlap_less_distance(cxcywh, edges, others[i], box, exponent) > thresh:
                return True
    return False


@kernel
def count_overlapping(lefts, tops, rights, bottoms, areas, left, top, right, bottom, area, thresh):
    """Number of the boxes whose IoU with one box is above `thresh` >= 0.

    Without a branch, so that it runs in vectors: 14 times as fast as a loop that leaves at the first hit.
    The comparisons are Darknet's own, which decides what becomes of NaN.
    """
    count = 0
    for i in range(lefts.shape[0]):
        width = min_of(rights[i], right) - max_of(lefts[i], left)
        height = min_of(bottoms[i], bottom) - max_of(tops[i], top)
        intersection = width * height
        union = areas[i] + area - intersection
        iou = intersection / union
        count += (width >= 0) & (height >= 0) & (union != 0) & (iou > thresh)
    return count


@kernel
def overlap_less_distance(cxcywh, edges, a, b, exponent):
    """IoU - (d2 / c2) ** exponent: squares of the centres' distance and of the diagonal of the box around both."""
    width = min_of(edges[2, a], edges[2, b]) - max_of(edges[0, a], edges[0, b])
    height = min_of(edges[3, a], edges[3, b]) - max_of(edges[1, a], edges[1, b])
    intersection = width * height
    union = edges[4, a] + edges[4, b] - intersection
    if width < 0 or height < 0 or intersection == 0 or union == 0:
        return np.float32(0)
    iou = intersection / union
    width = max_of(edges[2, a], edges[2, b]) - min_of(edges[0, a], edges[0, b])
    height = max_of(edges[3, a], edges[3, b]) - min_of(edges[1, a], edges[1, b])
    c2 = width * width + height * height
    if c2 == 0:
        return iou
    dx = cxcywh[a, 0] - cxcywh[b, 0]
    dy = cxcywh[a, 1] - cxcywh[b, 1]
    d2 = dx * dx + dy * dy
    return iou - np.float32(math.pow(np.float64(d2 / c2), exponent))


@kernel
def max_of(a, b):
    """The larger; `b` if either is NaN."""
    return a if a > b else b


@kernel
def min_of(a, b):
    """The smaller; `b` if either is NaN."""
    return a if a < b else b


@inlined
def group_by_class(probs, keys, alive, ends, members):
    """The boxes of each class, class after class, to members, and where each class ends to ends (classes,).

    Boxes with a key from `alive` on belong to none.
    """
    boxes, classes = probs.shape
    ends[:] = 0
    for box in range(boxes):
        if keys[box] < alive:
            for k in range(classes - 1):
                if probs[box, k] != 0:
                    ends[k + 1] += 1
    for k in range(1, classes):
        ends[k] += ends[k - 1]
    for box in range(boxes):
        if keys[box] < alive:
            for k in range(classes):
                if probs[box, k] != 0:
                    members[ends[k]] = box
                    ends[k] += 1


@inlined
def sort_members(members, probs, k, keys, scratch):
    """Merge sort of box indices by probability of class k, highest first, then by key."""
    size = members.shape[0]
    width = 1
    while width < size:
        for low in range(0, size, 2 * width):
            middle = min(low + width, size)
            high = min(middle + width, size)
            left = low
            right = middle
            for at in range(low, high):
                if right >= high or (left < middle and not precedes(members[right], members[left], probs, k, keys)):
                    scratch[at] = members[left]
                    left += 1
                else:
                    scratch[at] = members[right]
                    right += 1
        for at in range(size):
            members[at] = scratch[at]
        width *= 2


@inlined
def precedes(a, b, probs, k, keys):
    """Whether box a comes before box b."""
    if probs[a, k] != probs[b, k]:
        return probs[a, k] > probs[b, k]
    return keys[a] < keys[b]
