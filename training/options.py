"""What a cfg says about training: Darknet's options of [net] and [yolo], read once into typed values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from darknet_py.cfg import Section
from training.augment.pipeline import AugmentOptions
from training.loss import YoloLoss

__all__ = ["TrainOptions", "read_options"]

_POLICIES = ("constant", "steps", "sgdr")
_IOU_LOSSES = ("mse", "iou", "giou", "diou", "ciou")
#: Darknet's ``random=1`` means sizes from 1/1.4 to 1.4 times the cfg's.
_RANDOM = 1.4


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Names and meanings of Darknet's cfg.

    Attributes
    ----------
    size : (int, int)
        Width and height of the network's input.
    batch, subdivisions : int
        Pictures per change of the weights, and the mini-batches they come in.
    max_batches : int
        Changes of the weights in all.
    learning_rate, learning_rate_min, policy, steps, scales, burn_in, power
        See `training.schedule.learning_rate`.
    momentum, decay : float
        Of the gradient, and of the kernels towards 0.
    adam, beta1, beta2 : bool, float, float
        Adam with decoupled decay instead of SGD; Darknet calls the betas B1 and B2.
    ema_alpha : float
        Share of the old value in the moving average of the weights, which is what is saved; 0 saves the last weights.
    adversarial_lr : float
        Step of self-adversarial training; 0 is off.
    random, resize_step : float, int
        See `training.schedule.training_size`.
    augment : AugmentOptions
    """

    size: tuple[int, int]
    batch: int
    subdivisions: int
    max_batches: int
    learning_rate: float
    learning_rate_min: float
    policy: str
    steps: tuple[int, ...]
    scales: tuple[float, ...]
    burn_in: int
    power: float
    momentum: float
    decay: float
    adam: bool
    beta1: float
    beta2: float
    ema_alpha: float
    adversarial_lr: float
    random: float
    resize_step: int
    augment: AugmentOptions

    @property
    def mini_batch(self) -> int:
        """Pictures that pass through the network at once."""
        return self.batch // self.subdivisions


def read_options(sections: Sequence[Section]) -> tuple[TrainOptions, tuple[YoloLoss, ...]]:
    """The options of a cfg, and the loss of each of its [yolo] heads in order.

    Raises
    ------
    CfgError
        An option that cannot be meant, or a cfg without a [yolo] head.
    """
    net = sections[0]
    heads = [section for section in sections if section.kind == "yolo"]
    if not heads:
        raise net.error("no [yolo] section: only networks with yolo heads can be trained")
    batch = net.integer("batch", 1, low=1)
    subdivisions = net.integer("subdivisions", 1, low=1)
    if batch % subdivisions:
        raise net.error(f"batch={batch} cannot be cut into subdivisions={subdivisions} equal parts", "batch")
    steps, scales = net.integers("steps") or (), net.numbers("scales") or ()
    if len(steps) != len(scales):
        raise net.error(f"{len(steps)} steps but {len(scales)} scales; expected one scale per step", "scales")
    options = TrainOptions(
        size=(net.integer("width", 416, low=1), net.integer("height", 416, low=1)),
        batch=batch,
        subdivisions=subdivisions,
        max_batches=net.integer("max_batches", 0, low=1),
        learning_rate=net.number("learning_rate", 0.001, low=0),
        learning_rate_min=net.number("learning_rate_min", 0.00001, low=0),
        policy=net.choice("policy", "constant", _POLICIES),
        steps=steps,
        scales=scales,
        burn_in=net.integer("burn_in", 0, low=0),
        power=net.number("power", 4, low=0),
        momentum=net.number("momentum", 0.9, low=0, high=1),
        decay=net.number("decay", 0.0001, low=0),
        adam=net.flag("adam"),
        beta1=net.number("B1", 0.9, low=0, high=1),
        beta2=net.number("B2", 0.999, low=0, high=1),
        ema_alpha=net.number("ema_alpha", 0, low=0, high=1),
        adversarial_lr=net.number("adversarial_lr", 0, low=0),
        random=_random(heads[-1]),
        resize_step=net.integer("resize_step", 32, low=1),
        augment=_augment(net, heads[-1]),
    )
    return options, tuple(_loss(section) for section in heads)


def _random(head: Section) -> float:
    value = head.number("random", 0, low=0)
    return _RANDOM if value == 1 else max(value, 1.0)


def _augment(net: Section, head: Section) -> AugmentOptions:
    return AugmentOptions(
        jitter=head.number("jitter", 0.2, low=0),
        resize=head.number("resize", 1, low=0),
        flip=int(net.integer("flip", 1) != 0),
        angle=net.number("angle", 0, low=0),
        hue=net.number("hue", 0, low=0),
        saturation=net.number("saturation", 1, low=1),
        exposure=net.number("exposure", 1, low=1),
        blur=net.integer("blur", 0, low=0),
        gaussian_noise=net.number("gaussian_noise", 0, low=0),
        mosaic=0.5 if net.flag("mosaic") else 0.0,
        mosaic_bound=net.flag("mosaic_bound"),
        cutmix=0.5 if net.flag("cutmix") else 0.0,
    )


def _loss(section: Section) -> YoloLoss:
    classes, num = section.integer("classes", 20), section.integer("num", 1)
    values: dict[str, Any] = {
        "iou_loss": section.choice("iou_loss", "mse", _IOU_LOSSES),
        "new_coords": section.flag("new_coords"),
        "objectness_smooth": section.flag("objectness_smooth"),
    }
    for key, default in (
        ("scale_x_y", 1.0), ("iou_thresh", 1.0), ("ignore_thresh", 0.5), ("iou_normalizer", 0.75),
        ("obj_normalizer", 1.0), ("cls_normalizer", 1.0), ("label_smooth_eps", 0.0), ("max_delta", float("inf")),
    ):  # fmt: skip
        values[key] = section.number(key, default)
    return YoloLoss(
        classes=classes,
        anchors=section.numbers("anchors") or (0.5,) * (2 * num),
        mask=section.integers("mask") or tuple(range(num)),
        **values,
    )
