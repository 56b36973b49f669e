"""Decoding and suppression the slow, obvious way: float64, one box at a time, nothing from the package.

A box is a dict with x, y, w, h (fractions of the image, centre first), objectness and probs (list).
"""

import math


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def yolo_boxes(head_map, anchors, mask, classes, net_size, thresh, new_coords=False):
    """head_map (h, w, c); anchors flat pairs; net_size (width, height)."""
    height, width, _ = head_map.shape
    boxes = []
    for row in range(height):
        for col in range(width):
            for n, anchor in enumerate(mask):
                x, y, w, h, objectness, *probs = map(float, head_map[row, col, n * (5 + classes) :][: 5 + classes])
                if not objectness > thresh:
                    continue
                grow = (lambda t: 4 * t * t) if new_coords else math.exp
                boxes.append(
                    {
                        "x": (col + x) / width,
                        "y": (row + y) / height,
                        "w": grow(w) * anchors[2 * anchor] / net_size[0],
                        "h": grow(h) * anchors[2 * anchor + 1] / net_size[1],
                        "objectness": objectness,
                        "probs": [objectness * p if objectness * p > thresh else 0.0 for p in probs],
                    }
                )
    return boxes


def gaussian_boxes(head_map, anchors, mask, classes, net_size, thresh, yolo_point="center"):
    height, width, _ = head_map.shape
    boxes = []
    for row in range(height):
        for col in range(width):
            for n, anchor in enumerate(mask):
                block = [float(v) for v in head_map[row, col, n * (9 + classes) :][: 9 + classes]]
                objectness = block[8]
                if not objectness > thresh:
                    continue
                w = math.exp(block[4]) * anchors[2 * anchor] / net_size[0]
                h = math.exp(block[6]) * anchors[2 * anchor + 1] / net_size[1]
                x, y = (col + block[0]) / width, (row + block[2]) / height
                if yolo_point == "left_top":
                    x, y = x + w / 2, y + h / 2
                elif yolo_point == "right_bottom":
                    x, y = x - w / 2, y - h / 2
                certainty = 1 - (block[1] + block[3] + block[5] + block[7]) / 4
                probs = [objectness * p * certainty for p in block[9:]]
                probs = [p if p > thresh else 0.0 for p in probs]
                boxes.append({"x": x, "y": y, "w": w, "h": h, "objectness": objectness, "probs": probs})
    return boxes


def region_boxes(head_map, anchors, num, classes, thresh, coords=4, classfix=0, parents=None):
    height, width, _ = head_map.shape
    boxes = []
    for row in range(height):
        for col in range(width):
            for n in range(num):
                block = [float(v) for v in head_map[row, col, n * (coords + 1 + classes) :][: coords + 1 + classes]]
                scale, given = block[coords], block[coords + 1 :]
                if classfix == -1 and scale < 0.5:
                    scale = 0.0
                if parents is None:
                    probs = [scale * p if scale * p > thresh else 0.0 for p in given]
                else:
                    followed = follow_tree(given, parents)
                    probs = followed if scale > thresh else [0.0] * classes
                boxes.append(
                    {
                        "x": (col + sigmoid(block[0])) / width,
                        "y": (row + sigmoid(block[1])) / height,
                        "w": math.exp(block[2]) * anchors[2 * n] / width,
                        "h": math.exp(block[3]) * anchors[2 * n + 1] / height,
                        "objectness": 1.0,
                        "probs": probs,
                    }
                )
    return boxes


def detection_boxes(flat, side, num, classes, thresh, sqrt=False):
    """[detection], from Darknet's flat output: classes of all cells, then confidences, then boxes."""
    flat = [float(value) for value in flat]
    boxes = []
    for cell in range(side * side):
        row, col = divmod(cell, side)
        for n in range(num):
            scale = flat[side * side * classes + cell * num + n]
            x, y, w, h = flat[side * side * (classes + num) + (cell * num + n) * 4 :][:4]
            power = 2 if sqrt else 1
            probs = [scale * p if scale * p > thresh else 0.0 for p in flat[cell * classes :][:classes]]
            box = {"x": (x + col) / side, "y": (y + row) / side, "w": w**power, "h": h**power}
            boxes.append({**box, "objectness": scale, "probs": probs})
    return boxes


def follow_tree(probs, parents):
    """What Darknet leaves in a region head's output: products along the tree, then all but one node zeroed."""
    probs = list(probs)
    for j, parent in enumerate(parents):
        if parent >= 0:
            probs[j] *= probs[parent]
    likely = [j for j, p in enumerate(probs) if p > 0.5]
    return [p if likely and j == likely[-1] else 0.0 for j, p in enumerate(probs)]


def letterbox_size(image_size, net_size):
    """Size of the picture inside the letterbox, by Darknet's integer arithmetic."""
    (image_width, image_height), (net_width, net_height) = image_size, net_size
    if net_width / image_width < net_height / image_height:
        return net_width, image_height * net_width // image_width
    return image_width * net_height // image_height, net_height


def undo_letterbox(boxes, image_size, net_size):
    new_size = letterbox_size(image_size, net_size)
    for box in boxes:
        for centre, side, net, new in zip("xy", "wh", net_size, new_size, strict=True):
            box[centre] = (box[centre] * net - (net - new) / 2) / new
            box[side] = box[side] * net / new


def edges(box):
    """Left, right, top, bottom."""
    x, y, w, h = box["x"], box["y"], box["w"], box["h"]
    return x - w / 2, x + w / 2, y - h / 2, y + h / 2


def overlap(a, b, exponent=None):
    """IoU, less (d2 / c2) ** exponent when one is given."""
    al, ar, at, ab = edges(a)
    bl, br, bt, bb = edges(b)
    width, height = min(ar, br) - max(al, bl), min(ab, bb) - max(at, bt)
    intersection = width * height if width >= 0 and height >= 0 else 0.0
    union = a["w"] * a["h"] + b["w"] * b["h"] - intersection
    iou = intersection / union if intersection and union else 0.0
    diagonal = (max(ar, br) - min(al, bl)) ** 2 + (max(ab, bb) - min(at, bt)) ** 2
    if exponent is None or diagonal == 0:
        return iou
    return iou - (((a["x"] - b["x"]) ** 2 + (a["y"] - b["y"]) ** 2) / diagonal) ** exponent


def suppress(boxes, thresh, exponent=None):
    """Darknet's own procedure on copies; returns the boxes in the order it leaves them."""
    boxes = [dict(box, probs=list(box["probs"])) for box in boxes]
    last = len(boxes) - 1
    i = 0
    while i <= last:
        if boxes[i]["objectness"] == 0:
            boxes[i], boxes[last] = boxes[last], boxes[i]
            last -= 1
        else:
            i += 1
    alive, rest = boxes[: last + 1], boxes[last + 1 :]
    for k in range(len(boxes[0]["probs"]) if boxes else 0):
        alive.sort(key=lambda box: -box["probs"][k])  # stable, as glibc's qsort
        for i, box in enumerate(alive):
            if box["probs"][k] == 0:
                continue
            for other in alive[i + 1 :]:
                if overlap(box, other, exponent) > thresh:
                    other["probs"][k] = 0.0
    return alive + rest
