"""How well two boxes agree: IoU, GIoU, DIoU and CIoU, differentiable, and the losses made of them.

YOLOv4 compares these in section 4.3 (Table 4, row "loss") after introducing them in section 2.2; CIoU won.
Boxes are (cx, cy, w, h) in any one unit, widths and heights not negative. Every function works element by element on
leading dimensions that broadcast and returns finite values and gradients for boxes without area.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from darknet_py.errors import OptionError

__all__ = ["BOX_LOSSES", "box_loss", "ciou", "diou", "giou", "iou", "squared_error"]

#: Areas and lengths are kept above these before one divides by them. A millionth of a picture is far below a pixel, and
#: its square is still far from float32's smallest numbers, so that derivatives of quotients stay finite.
SMALLEST_SIDE = 1e-6
SMALLEST_AREA = SMALLEST_SIDE**2


class _Pair(NamedTuple):
    """What the four measures have in common, each (...,)."""

    iou: Tensor
    union: Tensor
    enclosing_w: Tensor
    enclosing_h: Tensor


def _compare(a: Tensor, b: Tensor) -> _Pair:
    a_centre, a_size = a[..., :2], a[..., 2:]
    b_centre, b_size = b[..., :2], b[..., 2:]
    a_low, a_high = a_centre - a_size / 2, a_centre + a_size / 2
    b_low, b_high = b_centre - b_size / 2, b_centre + b_size / 2
    shared_w, shared_h = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).unbind(-1)
    enclosing_w, enclosing_h = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).unbind(-1)
    shared = shared_w * shared_h
    union = a_size[..., 0] * a_size[..., 1] + b_size[..., 0] * b_size[..., 1] - shared
    return _Pair(shared / union.clamp(min=SMALLEST_AREA), union, enclosing_w, enclosing_h)


def _centre_penalty(a: Tensor, b: Tensor, pair: _Pair) -> Tensor:
    """Squared distance of the centres over the squared diagonal of the enclosing box, in [0, 1]."""
    diagonal = pair.enclosing_w.square() + pair.enclosing_h.square()
    return (a[..., :2] - b[..., :2]).square().sum(-1) / diagonal.clamp(min=SMALLEST_AREA)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union.

    Parameters
    ----------
    a, b : Tensor (n, 4), cx, cy, w, h
        Shapes that broadcast will do.

    Returns
    -------
    Tensor (n,), in [0, 1]
        0 for two boxes without area, as in Darknet's ``box_iou``.
    """
    return _compare(a, b).iou


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU: less the share of the enclosing box that neither covers.

    Arguments as `iou`; result in (-1, 1]. Rezatofighi et al., CVPR 2019, arXiv 1902.09630.
    """
    pair = _compare(a, b)
    enclosing = pair.enclosing_w * pair.enclosing_h
    return pair.iou - (enclosing - pair.union) / enclosing.clamp(min=SMALLEST_AREA)


def diou(a: Tensor, b: Tensor) -> Tensor:
    """Distance IoU: less the squared distance of the centres over the squared enclosing diagonal.

    Arguments as `iou`; result in (-1, 1]. Zheng et al., AAAI 2020, arXiv 1911.08287, equation 7. (Darknet trains on
    this as well; only the value it prints has the exponent 0.6 of its NMS.)
    """
    return _compare_distance(a, b)[1]


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU: DIoU less ``alpha * v``, the disagreement of the aspect ratios.

    ``v = 4 / pi^2 * (atan(w_a / h_a) - atan(w_b / h_b))^2`` and ``alpha = v / (1 - IoU + v)``, a weight that no
    gradient flows through. Arguments as `iou`. Zheng et al., AAAI 2020, arXiv 1911.08287, equations 8 to 11; the loss
    of YOLOv4 (arXiv 2004.10934, section 3.4).
    """
    overlap, distance = _compare_distance(a, b)
    v = 4 / math.pi**2 * (_aspect(a) - _aspect(b)).square()
    with torch.no_grad():
        alpha = v / (1 - overlap + v).clamp(min=SMALLEST_AREA)
    return distance - alpha * v


def _compare_distance(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(IoU, DIoU)."""
    pair = _compare(a, b)
    return pair.iou, pair.iou - _centre_penalty(a, b, pair)


def _aspect(box: Tensor) -> Tensor:
    """Angle of the diagonal, from 0 for an upright line to pi/2 for a lying one."""
    return torch.atan2(box[..., 2], box[..., 3].clamp(min=SMALLEST_SIDE))


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Half the squared distance of two 4-vectors, so that its gradient is their difference.

    Parameters
    ----------
    a, b : Tensor (n, 4)
        In whatever coordinates the caller wants compared: a [yolo] head gives its own outputs.

    Returns
    -------
    Tensor (n,)
    """
    return (a - b).square().sum(-1) / 2


#: What ``iou_loss=`` may say in a cfg.
BOX_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": squared_error,
    "iou": lambda a, b: 1 - iou(a, b),
    "giou": lambda a, b: 1 - giou(a, b),
    "diou": lambda a, b: 1 - diou(a, b),
    "ciou": lambda a, b: 1 - ciou(a, b),
}


def box_loss(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss a cfg's ``iou_loss`` names.

    Parameters
    ----------
    kind : str
        One of ``BOX_LOSSES``.

    Returns
    -------
    callable of (prediction (n, 4), truth (n, 4)) -> (n,)
        0 where they agree.

    Raises
    ------
    OptionError
        `kind` is none of them.
    """
    if kind not in BOX_LOSSES:
        raise OptionError(f"iou_loss={kind} is not known; expected one of {', '.join(BOX_LOSSES)}")
    return BOX_LOSSES[kind]
