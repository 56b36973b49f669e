"""What a [yolo] head is charged for its predictions: boxes, objectness and classes, as in Darknet's ``yolo_layer.c``.

The loss stands directly behind the convolution that feeds the head, so it sees logits. Its gradient on objectness and
classes is Darknet's ``delta`` with the sign turned and divided by the batch, which Darknet does in the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from darknet_py.errors import OptionError
from training.loss.assignment import Positives, assign, best_overlap
from training.loss.overlap import box_loss, iou, squared_error

__all__ = ["LossParts", "YoloLoss"]

#: A prediction none of whose class probabilities exceeds this is not excused by ``ignore_thresh`` (Darknet's constant).
CLASS_MATCH = 0.25
#: e^16 anchors are far beyond any picture; above that, exp would run into infinity and the overlap into NaN.
LARGEST_EXPONENT = 16.0


class LossParts(NamedTuple):
    """The loss of one head, summed over its predictions and divided by the batch size; tensors without dimensions.

    Attributes
    ----------
    box, objectness, classes : Tensor
        Differentiable, each already times its normalizer.
    positives : Tensor, int64
        How many predictions of the batch answer for a true box.
    mean_iou : Tensor
        Mean IoU of those with their true boxes; 0 if there are none.
    """

    box: Tensor
    objectness: Tensor
    classes: Tensor
    positives: Tensor
    mean_iou: Tensor

    @property
    def total(self) -> Tensor:
        """What to minimise."""
        return self.box + self.objectness + self.classes


class _Place(NamedTuple):
    """Where predictions stand: cells and anchors in shapes that broadcast with them, anchors relative to the image."""

    column: Tensor
    row: Tensor
    anchor_w: Tensor
    anchor_h: Tensor
    grid: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class YoloLoss:
    """Loss of a [yolo] head; names, meanings and defaults are those of the cfg's section unless said otherwise.

    Parameters
    ----------
    classes : int
    anchors : tuple of float (2n,)
        Width and height of all anchors of the network in turn, pixels of its input.
    mask : tuple of int
        The anchors this head has.
    scale_x_y : float
        Stretches the logistic about the middle of the cell, so that a centre on the cell's edge needs no infinite
        logit: "eliminate grid sensitivity", arXiv 2004.10934, sections 3.4 and 4.3.
    new_coords : bool
        The convolution before has a logistic activation of its own: its outputs are taken as they are, w and h are
        ``(2 v)^2`` anchors, and objectness and classes are charged half their squared error, whose gradient is
        Darknet's delta there.
    iou_loss : str
        mse, iou, giou, diou or ciou; Darknet's default is mse, YOLOv4's choice and the default here is ciou.
        mse compares the head's outputs x, y, w, h, each box weighted by 2 less its area.
    iou_thresh : float
        See `assign`.
    ignore_thresh : float
        Predictions that overlap some true box by more, but are not positive, get no objectness loss.
    iou_normalizer, obj_normalizer, cls_normalizer : float
        Weights of the three parts. (Darknet leaves `cls_normalizer` out unless the cfg has ``counters_per_class``.)
    label_smooth_eps : float
        Class targets are ``y (1 - eps) + eps / 2``: class label smoothing, arXiv 2004.10934, sections 2.2 and 4.3.
    objectness_smooth : bool
        Predictions above `ignore_thresh` learn their overlap as objectness instead of being ignored or, if positive,
        instead of 1. (Darknet in addition teaches 0 to positives below the threshold, which is not followed.)
    max_delta : float
        Bound on each derivative of the box loss before the division by the batch; not for mse.
    exact_gradient : bool
        False: the box loss is differentiated as in Darknet: with respect to x and y in pictures, as if the logistic
        and the cell had slope 1, and to w and h in pictures times ``exp``, without the anchor. That is some hundred
        times steeper, and `iou_normalizer` 0.07 and `max_delta` 5 of the published cfgs are meant for it. True: the
        mathematical gradient, for which `iou_normalizer` has to be of the order of 1.

    Raises
    ------
    OptionError
        A value that cannot be meant.
    """

    classes: int
    anchors: tuple[float, ...]
    mask: tuple[int, ...]
    scale_x_y: float = 1.0
    new_coords: bool = False
    iou_loss: str = "ciou"
    iou_thresh: float = 1.0
    ignore_thresh: float = 0.7
    iou_normalizer: float = 0.07
    obj_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    label_smooth_eps: float = 0.0
    objectness_smooth: bool = False
    max_delta: float = math.inf
    exact_gradient: bool = False

    def __post_init__(self) -> None:
        box_loss(self.iou_loss)
        pairs = len(self.anchors) // 2
        if len(self.anchors) % 2 or not pairs or min(self.anchors) <= 0:
            raise OptionError(f"anchors={self.anchors}: expected pairs of positive widths and heights")
        if not self.mask or min(self.mask) < 0 or max(self.mask) >= pairs or len(set(self.mask)) < len(self.mask):
            raise OptionError(f"mask={self.mask}: expected different indices of the {pairs} anchors, 0 to {pairs - 1}")
        if self.classes < 1:
            raise OptionError(f"classes={self.classes}: expected at least 1")
        if self.max_delta <= 0:
            raise OptionError(f"max_delta={self.max_delta}: expected a positive bound; leave it out for none")
        if not 0 <= self.label_smooth_eps < 1:
            raise OptionError(f"label_smooth_eps={self.label_smooth_eps}: expected 0 up to, not including, 1")

    def __call__(self, raw: Tensor, truth: Tensor, size: tuple[int, int]) -> LossParts:
        """Charge the predictions of a batch.

        Parameters
        ----------
        raw : float Tensor (B, A * (5 + classes), H, W)
            What enters the [yolo] layer; per anchor the planes x, y, w, h, objectness, classes.
        truth : float32 Tensor (m, 6)
            Image index in the batch, class, cx, cy, w, h; the box relative to the image. m may be 0.
        size : (width, height)
            The network's input, pixels.

        Returns
        -------
        LossParts

        Raises
        ------
        OptionError
            `raw` or `truth` does not fit the head.
        """
        self._check(raw, truth)
        batch, _, height, width = raw.shape
        grid = (width, height)
        entries = raw.reshape(batch, len(self.mask), 5 + self.classes, height, width)
        truth = truth.to(raw)
        anchors = raw.new_tensor(self.anchors).view(-1, 2)
        own = anchors[list(self.mask)] / anchors.new_tensor(size)
        at = assign(truth, anchors, self.mask, grid, size, self.iou_thresh)

        predicted = entries[at.image, at.anchor, :, at.row, at.column]
        answered = truth[at.truth]
        place = _Place(at.column, at.row, own[at.anchor, 0], own[at.anchor, 1], grid)
        box, overlap = self._box(predicted[:, :4], answered[:, 2:], place, self.max_delta / batch)
        return LossParts(
            box.sum() * (self.iou_normalizer / batch),
            self._objectness(entries, truth, at, own) * (self.obj_normalizer / batch),
            self._classes(predicted[:, 5:], answered[:, 1].long()) * (self.cls_normalizer / batch),
            at.image.new_tensor(len(overlap)),
            overlap.sum() / max(len(overlap), 1),
        )

    def _check(self, raw: Tensor, truth: Tensor) -> None:
        channels = len(self.mask) * (5 + self.classes)
        if raw.dim() != 4 or raw.shape[1] != channels:
            raise OptionError(
                f"a head of {len(self.mask)} anchors and {self.classes} classes takes (B, {channels}, H, W), "
                f"not {tuple(raw.shape)}; see filters= of the convolution before it"
            )
        if truth.dim() != 2 or truth.shape[1] != 6:
            raise OptionError(f"truth has shape {tuple(truth.shape)}; expected (m, 6): image, class, cx, cy, w, h")
        for column, name, count in ((0, "image index", raw.shape[0]), (1, "class", self.classes)):
            wrong = truth[(truth[:, column] < 0) | (truth[:, column] >= count), column]
            if len(wrong):
                raise OptionError(f"truth has {name} {wrong[0]:g}; expected 0 to {count - 1}")

    def _centre(self, raw: Tensor) -> Tensor:
        """The layer's output for x or y: cells from the cell's corner."""
        return (raw if self.new_coords else raw.sigmoid()) * self.scale_x_y - 0.5 * (self.scale_x_y - 1)

    def _scale(self, raw: Tensor) -> Tensor:
        """Width or height in anchors."""
        return 4 * raw.square() if self.new_coords else raw.clamp(max=LARGEST_EXPONENT).exp()

    def _box(self, raw: Tensor, truth: Tensor, place: _Place, bound: float) -> tuple[Tensor, Tensor]:
        """Loss (p,) and IoU (p,) of the positive predictions (p, 4) with their true boxes (p, 4)."""
        if self.iou_loss == "mse":
            return self._squared_error(raw, truth, place), iou(self._decode(raw.unbind(-1), place, -1), truth).detach()
        if raw.requires_grad and bound < math.inf:
            raw = raw.clone()
            raw.register_hook(lambda gradient: gradient.clamp(-bound, bound))
        box = self._decode(raw.unbind(-1), place, -1)
        if not self.exact_gradient:
            slope = torch.ones_like(raw)
            if not self.new_coords:
                slope[:, 2:] = self._scale(raw[:, 2:]).detach()
            box = _with_slope(box, raw, slope)
        return box_loss(self.iou_loss)(box, truth), iou(box, truth).detach()

    def _squared_error(self, raw: Tensor, truth: Tensor, place: _Place) -> Tensor:
        """iou_loss=mse: the layer's outputs (p, 4) against the outputs that would give the true boxes."""
        outputs = torch.cat([self._centre(raw[:, :2]), raw[:, 2:]], -1)
        if not self.exact_gradient:
            outputs = _with_slope(outputs, raw, torch.ones_like(raw))
        x, y, w, h = truth.unbind(-1)
        columns, rows = place.grid
        scale = torch.stack([w / place.anchor_w, h / place.anchor_h], -1)
        # A box without width would ask for a logarithm of minus infinity.
        size = (scale / 4).sqrt() if self.new_coords else scale.clamp(min=math.exp(-LARGEST_EXPONENT)).log()
        centre = torch.stack([x * columns - place.column, y * rows - place.row], -1)
        return (2 - w * h) * squared_error(outputs, torch.cat([centre, size], -1))

    def _decode(self, raw: Sequence[Tensor], place: _Place, dim: int) -> Tensor:
        """Boxes relative to the image from the planes x, y, w, h, stacked along `dim`."""
        x, y, w, h = raw
        columns, rows = place.grid
        box = [
            (place.column + self._centre(x)) / columns,
            (place.row + self._centre(y)) / rows,
            self._scale(w) * place.anchor_w,
            self._scale(h) * place.anchor_h,
        ]
        return torch.stack(box, dim)

    def _objectness(self, entries: Tensor, truth: Tensor, at: Positives, own: Tensor) -> Tensor:
        """Summed loss of all predictions (B, A, 5 + classes, H, W)."""
        raw = entries[:, :, 4]
        with torch.no_grad():
            matched = self._matched(entries.detach(), truth, own)
            excused = matched > self.ignore_thresh
            positive = (at.image, at.anchor, at.row, at.column)
            if self.objectness_smooth:
                target, weight = matched.where(excused, 0), torch.ones_like(raw)
                target[positive] = matched[positive].where(excused[positive], 1)
            else:
                target, weight = torch.zeros_like(raw), (~excused).to(raw.dtype)
                target[positive] = weight[positive] = 1
        if self.new_coords:
            return (weight * (raw - target).square()).sum() / 2
        return functional.binary_cross_entropy_with_logits(raw, target, weight, reduction="sum")

    def _matched(self, entries: Tensor, truth: Tensor, own: Tensor) -> Tensor:
        """Largest IoU (B, A, H, W) of each prediction with a true box; 0 for those without a likely class."""
        height, width = entries.shape[-2:]
        column = torch.arange(width, dtype=entries.dtype, device=entries.device)
        row = torch.arange(height, dtype=entries.dtype, device=entries.device)[:, None]
        anchor_w, anchor_h = own.view(-1, 2, 1, 1).unbind(1)
        place = _Place(column, row, anchor_w, anchor_h, (width, height))
        boxes = self._decode(entries[:, :, :4].unbind(2), place, 1)
        likely = CLASS_MATCH if self.new_coords else math.log(CLASS_MATCH / (1 - CLASS_MATCH))
        overlap = best_overlap(boxes.flatten(2), truth).view(boxes[:, 0].shape)
        return overlap.where(entries[:, :, 5:].amax(2) > likely, 0)

    def _classes(self, raw: Tensor, class_id: Tensor) -> Tensor:
        """Summed loss of the class entries (p, classes) of the positive predictions."""
        target = functional.one_hot(class_id, self.classes).to(raw.dtype)
        target = target * (1 - self.label_smooth_eps) + self.label_smooth_eps / 2
        if self.new_coords:
            return squared_error(raw, target).sum()
        return functional.binary_cross_entropy_with_logits(raw, target, reduction="sum")


def _with_slope(value: Tensor, variable: Tensor, slope: Tensor) -> Tensor:
    """`value` to the bit, with `slope` for its derivative with respect to `variable`, whatever it really is."""
    return value.detach() + slope * (variable - variable.detach())
