"""YOLOv4's bag of freebies as changes of a cfg: each on or off by itself, as in Table 4 of arXiv 2004.10934.

The baseline has none of them: squared error for boxes, Darknet's anchors for COCO, falling steps of the learning rate.
Only distortion of colours is there, as in the paper, and has a column of its own here (PD).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from darknet_py.cfg import parse_cfg
from darknet_py.errors import OptionError
from training.cfgtext import insert_layer, set_options
from training.evolve import Gene

__all__ = ["FREEBIES", "GENES", "LOSSES", "Freebie", "Recipe", "Variant", "single_variants", "variant_cfg"]

#: Darknet's anchors for COCO, of cfg/yolov3.cfg, in pixels of an input of 416.
COCO_ANCHORS = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
COCO_SIZE = 416

#: Title of a box loss → its name in the cfg and the ``iou_normalizer`` it is meant for: Darknet's default, and that of
#: the published cfgs. With 0.75 for the three IoU losses as well, objectness learnt nothing in 1200 iterations of 4
#: pictures: AP50 0.000 (yolov4-codes, which learns for longer, has 0.5).
LOSSES = {"MSE": ("mse", 0.75), "GIoU": ("giou", 0.07), "DIoU": ("diou", 0.07), "CIoU": ("ciou", 0.07)}

#: What the genetic search may change. ``box_gain`` multiplies ``iou_normalizer``, so that what is found for one box
#: loss can be used with another.
GENES = (
    Gene("learning_rate", 0.0002, 0.005, log=True),
    Gene("decay", 0.002, 0.2, log=True),
    Gene("box_gain", 0.25, 4, log=True),
    Gene("obj_normalizer", 0.25, 4, log=True),
    Gene("cls_normalizer", 0.25, 4, log=True),
)

#: The last layers of the two deepest stages of the backbone, where DropBlock's authors found it best (arXiv
#: 1810.12890, section 4.1: "groups 3 and 4").
DROPBLOCK_AFTER = (46, 36)
DROPBLOCK = "[dropout]\ndropblock=1\nprobability=.1\ndropblock_size_rel=.3"

#: Mini-batches of a batch where CmBN is tried: few pictures in each are what it is for.
SUBDIVISIONS = 4


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all variants of a study have in common.

    Attributes
    ----------
    iterations, size, batch : int
        Changes of the weights, side of the square input in pixels, and pictures per change.
    anchors : tuple of float
        Those found for the data (OA), widths and heights in turn, in pixels of the input; as many as the cfg has.
    genes : mapping or None
        What the genetic search found (GA), a value for each of `GENES`; None if there was none.
    """

    iterations: int
    size: int
    batch: int
    anchors: tuple[float, ...]
    genes: Mapping[str, float] | None = None


class Variant(NamedTuple):
    """A row of the table: marks of the freebies it has (keys of `FREEBIES`) and its box loss (a key of `LOSSES`)."""

    name: str
    freebies: tuple[str, ...]
    loss: str = "MSE"


Edit = Callable[[str, Recipe], str]


class Freebie(NamedTuple):
    """A column of the table: what it is called, the cfg's options, where in YOLOv4's paper, and how a cfg gets it."""

    title: str
    options: str
    section: str
    apply: Edit


def _options(kind: str, **options: str) -> Edit:
    return lambda text, recipe: set_options(text, kind, options)


def _genes(text: str, recipe: Recipe) -> str:
    """Values of the search; the box loss must have been chosen."""
    if recipe.genes is None:
        raise OptionError("GA: no hyper-parameters were searched; run with --evolve")
    genes = dict(recipe.genes)
    head = next(section for section in parse_cfg(text) if section.kind == "yolo")
    genes["iou_normalizer"] = genes.pop("box_gain") * head.number("iou_normalizer", 0.75)
    net = ("learning_rate", "decay")
    text = set_options(text, "net", {name: _number(genes[name]) for name in net})
    return set_options(text, "yolo", {name: _number(value) for name, value in genes.items() if name not in net})


def _small_mini_batches(text: str, recipe: Recipe) -> str:
    return set_options(text, "net", {"subdivisions": str(SUBDIVISIONS)})


def _cross_mini_batch(text: str, recipe: Recipe) -> str:
    text = _small_mini_batches(text, recipe)
    return set_options(text, "convolutional", {"batch_normalize": "2"}, only_present=True)


def _optimised_anchors(text: str, recipe: Recipe) -> str:
    return set_options(text, "yolo", {"anchors": _anchors(recipe.anchors)})


def _dropblock(text: str, recipe: Recipe) -> str:
    for layer in DROPBLOCK_AFTER:  # the last first: it does not move the others
        text = insert_layer(text, layer, DROPBLOCK)
    return text


#: Mark → freebie, in the order of the table's columns: the paper's, then those it names elsewhere.
FREEBIES: dict[str, Freebie] = {
    "S": Freebie("eliminate grid sensitivity", "scale_x_y=2", "3.4, 4.3", _options("yolo", scale_x_y="2.0")),
    "M": Freebie("mosaic", "mosaic=1", "3.3", _options("net", mosaic="1")),
    "IT": Freebie(
        "multiple anchors for a single ground truth",
        "iou_thresh=.213",
        "3.4, 4.3",
        _options("yolo", iou_thresh="0.213"),
    ),
    "GA": Freebie("hyper-parameters by genetic search", "learning_rate, *_normalizer, ...", "3.3, 4.3", _genes),
    "LS": Freebie(
        "class label smoothing", "label_smooth_eps=.01", "2.2, 4.3", _options("yolo", label_smooth_eps="0.01")
    ),
    "CBN": Freebie("CmBN", f"batch_normalize=2, subdivisions={SUBDIVISIONS}", "3.3", _cross_mini_batch),
    "CA": Freebie("cosine annealing instead of steps", "policy=sgdr", "3.4, 4.3", _options("net", policy="sgdr")),
    "DM": Freebie("random training shapes", "random=1.4", "3.4, 4.3", _options("yolo", random="1.4")),
    "OA": Freebie("optimised anchors instead of COCO's", "anchors", "4.3", _optimised_anchors),
    "PD": Freebie(
        "photometric distortion",
        "hue=.1, saturation=1.5, exposure=1.5",
        "2.2",
        _options("net", hue=".1", saturation="1.5", exposure="1.5"),
    ),
    "CM": Freebie("CutMix", "cutmix=1", "2.2, 3.4", _options("net", cutmix="1")),
    "SAT": Freebie("self-adversarial training", "adversarial_lr=.03", "3.3", _options("net", adversarial_lr="0.03")),
    "DB": Freebie("DropBlock", "[dropout] dropblock=1", "2.2, 3.4", _dropblock),
    "BN4": Freebie(
        "no freebie: plain batch norm in the mini-batches of CBN",
        f"subdivisions={SUBDIVISIONS}",
        "",
        _small_mini_batches,
    ),
}

#: What every row but one has.
COMMON = ("PD",)


def single_variants() -> tuple[Variant, ...]:
    """The baseline, each freebie alone on it, the baseline without distortion of colours, and each other box loss."""
    alone = tuple(Variant(mark, (*COMMON, mark)) for mark in FREEBIES if mark not in COMMON)
    losses = tuple(Variant(loss, COMMON, loss) for loss in LOSSES if loss != "MSE")
    return (Variant("baseline", COMMON), *alone, Variant("no PD", ()), *losses)


def variant_cfg(base: str, variant: Variant, recipe: Recipe) -> str:
    """The cfg of a variant.

    Parameters
    ----------
    base : str
        The text of cfg/yolov4-codes.cfg, or of another cfg with nine anchors; DropBlock's places are the former's.
    variant : Variant
    recipe : Recipe

    Returns
    -------
    str

    Raises
    ------
    OptionError
        GA without a search, or a cfg that a freebie does not fit.
    """
    text = _baseline(base, recipe)
    loss, normalizer = LOSSES[variant.loss]
    text = set_options(text, "yolo", {"iou_loss": loss, "iou_normalizer": _number(normalizer)})
    for mark, freebie in FREEBIES.items():
        if mark in variant.freebies:
            text = freebie.apply(text, recipe)
    return text


def _baseline(base: str, recipe: Recipe) -> str:
    """No freebies; warm-up and moving average are a twentieth of the schedule, the rate is in proportion to the batch.

    1600 iterations of 4 pictures came to an AP50 of 0.04 on the validation scenes at the cfg's rate for 16 pictures, to
    0.16 at 0.3 of it.
    """
    steps = (recipe.iterations * 8 // 10, recipe.iterations * 9 // 10)
    own = parse_cfg(base)[0]
    rate = own.number("learning_rate", 0.001) * recipe.batch / own.integer("batch", 1)
    net = {
        "learning_rate": _number(rate), "ema_alpha": _number(max(0.0, 1 - 20 / recipe.iterations)),
        "batch": str(recipe.batch), "subdivisions": "1", "width": str(recipe.size), "height": str(recipe.size),
        "max_batches": str(recipe.iterations), "burn_in": str(recipe.iterations // 20),
        "policy": "steps", "steps": _listed(steps), "scales": ".1,.1",
        "mosaic": "0", "cutmix": "0", "hue": "0", "saturation": "1", "exposure": "1", "adversarial_lr": None,
    }  # fmt: skip
    scale = recipe.size / COCO_SIZE
    head = {
        "anchors": _anchors(tuple(max(1, round(side * scale)) for side in COCO_ANCHORS)),
        "scale_x_y": None, "iou_thresh": None, "label_smooth_eps": None, "random": None,
        "obj_normalizer": "1", "cls_normalizer": "1",
    }  # fmt: skip
    return set_options(set_options(base, "net", net), "yolo", head)


def _anchors(sides: tuple[float, ...]) -> str:
    pairs = zip(sides[::2], sides[1::2], strict=True)
    return ", ".join(f"{_number(width)},{_number(height)}" for width, height in pairs)


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def _number(value: float) -> str:
    """As `darknet_py.cfg` reads it back, to seven digits."""
    return f"{value:.7g}"
