"""The loss of a [yolo] head: how boxes are compared, who answers for which truth, and what each is charged."""

from training.loss.yolo import LossParts, YoloLoss

__all__ = ["LossParts", "YoloLoss"]
