"""Darknet's training of a [yolo] head as slow scalar loops; imports nothing of what it checks.

A box is (cx, cy, w, h). A prediction stands at (image, anchor of the mask, row, column).
"""

import math


def edges(box):
    cx, cy, w, h = box
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def intersection(a, b):
    a_left, a_top, a_right, a_bottom = edges(a)
    b_left, b_top, b_right, b_bottom = edges(b)
    w = min(a_right, b_right) - max(a_left, b_left)
    h = min(a_bottom, b_bottom) - max(a_top, b_top)
    return w * h if w > 0 and h > 0 else 0.0


def union(a, b):
    return a[2] * a[3] + b[2] * b[3] - intersection(a, b)


def enclosing(a, b):
    a_left, a_top, a_right, a_bottom = edges(a)
    b_left, b_top, b_right, b_bottom = edges(b)
    return max(a_right, b_right) - min(a_left, b_left), max(a_bottom, b_bottom) - min(a_top, b_top)


def iou(a, b):
    shared = intersection(a, b)
    return shared / union(a, b) if shared else 0.0


def giou(a, b):
    w, h = enclosing(a, b)
    return iou(a, b) - (w * h - union(a, b)) / (w * h)


def diou(a, b):
    w, h = enclosing(a, b)
    return iou(a, b) - ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / (w * w + h * h)


def aspect_term(a, b):
    return 4 / math.pi**2 * (math.atan(a[2] / a[3]) - math.atan(b[2] / b[3])) ** 2


def aspect_weight(a, b):
    v = aspect_term(a, b)
    return v / (1 - iou(a, b) + v) if v else 0.0


def ciou(a, b, alpha=None):
    """`alpha`: the weight of the aspect ratio, where a derivative wants it fixed."""
    return diou(a, b) - (aspect_weight(a, b) if alpha is None else alpha) * aspect_term(a, b)


def ciou_gradient(a, b, step=1e-6):
    """Of CIoU at `a`, by differences, the weight of the aspect ratio held."""
    alpha = aspect_weight(a, b)
    gradient = []
    for k in range(4):
        low, high = list(a), list(a)
        low[k] -= step
        high[k] += step
        gradient.append((ciou(high, b, alpha) - ciou(low, b, alpha)) / (2 * step))
    return gradient


def shape_overlap(w, h, anchor_w, anchor_h):
    return iou((0, 0, w, h), (0, 0, anchor_w, anchor_h))


def assignment(truth, anchors, mask, grid, size, iou_thresh):
    """{prediction: row of truth}; `truth` rows are image, class, cx, cy, w, h; `anchors` are pairs."""
    found = {}
    for t, (image, _, cx, cy, w, h) in enumerate(truth):
        fits = [shape_overlap(w, h, aw / size[0], ah / size[1]) for aw, ah in anchors]
        best, best_fit = 0, 0.0
        for n, fit in enumerate(fits):
            if fit > best_fit:
                best, best_fit = n, fit
        for n, fit in enumerate(fits):
            if n in mask and (n == best or (iou_thresh < 1 and fit > iou_thresh)):
                column, row = min(int(cx * grid[0]), grid[0] - 1), min(int(cy * grid[1]), grid[1] - 1)
                found[int(image), mask.index(n), row, column] = t
    return found


def logistic(x):
    return 1 / (1 + math.exp(-x))


def decode(entry, place, head):
    """The box of a prediction's first four entries; `head` has mask, anchors, grid, size, scale_x_y, new_coords."""
    _, n, row, column = place
    x, y, w, h = entry[:4]
    anchor_w, anchor_h = head.anchors[head.mask[n]]
    if head.new_coords:
        w, h = 4 * w * w, 4 * h * h
    else:
        x, y, w, h = logistic(x), logistic(y), math.exp(w), math.exp(h)
    x, y = (v * head.scale_x_y - (head.scale_x_y - 1) / 2 for v in (x, y))
    grid_w, grid_h = head.grid
    return (column + x) / grid_w, (row + y) / grid_h, w * anchor_w / head.size[0], h * anchor_h / head.size[1]


def deltas(entries, truth, head):
    """Darknet's deltas of objectness and classes, {prediction: (objectness, [classes])}.

    `entries[prediction]` is the list of raw values; `head` further has iou_thresh, ignore_thresh, label_smooth_eps,
    objectness_smooth.
    """
    positives = assignment(truth, head.anchors, head.mask, head.grid, head.size, head.iou_thresh)
    found = {}
    for place, entry in entries.items():
        outputs = list(entry[4:]) if head.new_coords else [logistic(v) for v in entry[4:]]
        objectness, probs = outputs[0], outputs[1:]
        box = decode(entry, place, head)
        best = 0.0
        for image, _, *true_box in truth:
            if image == place[0] and max(probs) > 0.25:
                best = max(best, iou(box, true_box))
        target = 0.0
        if best > head.ignore_thresh:
            target = best if head.objectness_smooth else objectness
        class_deltas = [0.0] * len(probs)
        if place in positives:
            if not (head.objectness_smooth and best > head.ignore_thresh):
                target = 1.0
            eps = head.label_smooth_eps
            for c, prob in enumerate(probs):
                wanted = 1.0 if c == truth[positives[place]][1] else 0.0
                class_deltas[c] = wanted * (1 - eps) + 0.5 * eps - prob
        found[place] = target - objectness, class_deltas
    return found
