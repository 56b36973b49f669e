"""Which predictions of a [yolo] head answer for which true box, and how well each prediction covers any of them.

Darknet's rule (``yolo_layer.c``). A true box belongs to the cell that holds its centre and, of all the network's
anchors, to the one whose shape fits best; the head whose mask holds that anchor learns it. With ``iou_thresh`` below 1
every other anchor that fits better than that learns it too: "multiple anchors for a single ground truth" of YOLOv4
(arXiv 2004.10934, section 3.4), row "IT" of its Table 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Positives", "assign", "best_overlap"]


class Positives(NamedTuple):
    """The predictions of one head that answer for a true box, in ascending order of (image, anchor, row, column).

    Attributes
    ----------
    image, anchor, row, column : int64 Tensor (p,)
        Where the prediction stands; `anchor` counts within the head's mask. No two are the same.
    truth : int64 Tensor (p,)
        The row of the truth it answers for.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    truth: Tensor


def assign(
    truth: Tensor,
    anchors: Tensor,
    mask: Sequence[int],
    grid: tuple[int, int],
    size: tuple[int, int],
    iou_thresh: float = 1.0,
) -> Positives:
    """Find the predictions of a head that answer for each true box.

    Parameters
    ----------
    truth : Tensor (m, 6)
        Image index, class, cx, cy, w, h; the box relative to the image.
    anchors : Tensor (n, 2)
        Width and height of all anchors of the network, pixels of its input.
    mask : sequence of int
        The anchors this head has.
    grid : (width, height)
        Cells of the head.
    size : (width, height)
        The network's input, pixels.
    iou_thresh : float
        Anchors whose shape overlaps the truth's by more are positive beside the best one; 1 adds none.

    Returns
    -------
    Positives
        Where several true boxes claim one prediction the last in `truth` has it. (Darknet averages their box deltas and
        joins their classes, so that the prediction aims between objects.)
    """
    overlap = _shape_overlap(truth[:, 4:6], anchors / anchors.new_tensor(size))
    wanted = torch.zeros_like(overlap, dtype=torch.bool)
    wanted.scatter_(1, overlap.argmax(1, keepdim=True), True)
    if iou_thresh < 1:
        wanted |= overlap > iou_thresh

    index, anchor = wanted[:, list(mask)].nonzero(as_tuple=True)
    width, height = grid
    column = (truth[index, 2] * width).long().clamp(0, width - 1)
    row = (truth[index, 3] * height).long().clamp(0, height - 1)
    place = ((truth[index, 0].long() * len(mask) + anchor) * height + row) * width + column
    last = _last_of_equal(place)
    return Positives(truth[index[last], 0].long(), anchor[last], row[last], column[last], index[last])


def best_overlap(boxes: Tensor, truth: Tensor) -> Tensor:
    """How well each predicted box covers the true box of its image that it covers best.

    Parameters
    ----------
    boxes : Tensor (B, 4, n)
        cx, cy, w, h relative to the image, as planes.
    truth : Tensor (m, 6)
        Image index, class, cx, cy, w, h.

    Returns
    -------
    Tensor (B, n)
        Largest IoU, 0 where the image has no true box. Takes memory for n times the most boxes an image has.
    """
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    low, high = centre - half, centre + half
    area = boxes[:, 2] * boxes[:, 3]
    best = torch.zeros_like(area)
    for image in sorted(set(truth[:, 0].long().tolist())):
        cx, cy, w, h = truth[truth[:, 0] == image, 2:6, None].unbind(1)
        shared_w = torch.minimum(high[image, 0], cx + w / 2).sub_(torch.maximum(low[image, 0], cx - w / 2))
        shared_h = torch.minimum(high[image, 1], cy + h / 2).sub_(torch.maximum(low[image, 1], cy - h / 2))
        shared = shared_w.clamp_(min=0).mul_(shared_h.clamp_(min=0))
        union = (area[image] + w * h).sub_(shared).clamp_(min=torch.finfo(shared.dtype).tiny)
        best[image] = shared.div_(union).amax(0)
    return best


def _shape_overlap(sizes: Tensor, anchors: Tensor) -> Tensor:
    """IoU (m, n) of boxes (m, 2) and anchors (n, 2) that share a centre."""
    shared = torch.minimum(sizes[:, None], anchors).prod(-1)
    return shared / (sizes.prod(-1)[:, None] + anchors.prod(-1) - shared)


def _last_of_equal(values: Tensor) -> Tensor:
    """Index of the last occurrence of each value, in ascending order of the values."""
    ordered, order = values.sort(stable=True)
    is_last = torch.ones_like(ordered, dtype=torch.bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    return order[is_last]
