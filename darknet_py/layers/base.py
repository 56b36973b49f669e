"""What every layer has, and what a section may ask of the graph while it becomes a layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, NamedTuple

from darknet_py.activations import ACTIVATIONS, CHANNEL_ACTIVATIONS, SYNONYMS
from darknet_py.cfg import Section
from darknet_py.characters import strange
from darknet_py.errors import UnsupportedError
from darknet_py.shape import Shape

__all__ = ["Builder", "Layer", "Parameter", "did_you_mean", "read_activation"]

#: More than any network has, and few enough that no size computed from them overflows.
LARGEST = 1 << 20
LARGEST_OUTPUT = 1 << 31

#: Functions that Darknet has not got, and which are not those whose names are like theirs.
_FOREIGN = frozenset(
    "hswish hardswish hsigmoid hardsigmoid prelu rrelu relu1 softplus softsign softmax celu glu".split()
)

#: Layer options that matter to training only, or to no result; they pass without a warning.
TRAINING_KEYS = frozenset(
    """
    absolute adversarial_lr alpha angle aspect assisted_excitation background batch bflops bias_match blur box_scale
    burn_in burnin_update class_scale clip cls_normalizer contrastive_color contrastive_jit_flip coord_scale
    coordconv counters_per_class cutmix decay delta_normalizer dets_for_show dets_for_track dont_update dot dropblock
    dropblock_size_abs dropblock_size_rel dynamic_minibatch ema_alpha embedding_layer equidistant_point exposure
    exponential_lr flip focal_loss forced gamma gaussian_noise grad_centr hue ignore_thresh iou_loss iou_normalizer
    iou_thresh iou_thresh_kind jitter keep_delta_score label_smooth_eps lambda1 lambda2 learning_rate
    learning_rate_max letter_box_train loss_scale map max max_batches max_chart_loss max_crop max_delta min_crop
    mixup momentum mosaic mosaic_bound noobject_scale noloss num_sigmas_reject_badlabels obj_normalizer
    object_scale objectness_smooth onlyforward optimized_memory policy power probability random rescore resize
    resize_step reverse reverse_ saturation scale_xy_ scales seq_scales show_details show_receptive_field sim_thresh
    smoothing sqrt step steps stopbackward stream subdivisions sgdr_cycle sgdr_mult thresh time_steps track
    track_ciou_norm track_history_size train_only_bn truth_thresh try_fix_nan uc_normalizer use_cuda_graph
    wait_stream weights_reject_freq workspace_size_limit_MB badlabels_rejection_percentage badlabels_reject_threshold
    unsupervised augment_speed init_delay log_step time_normalizer bf16 log rotate shear translate sway stretch
    stretch_sway num_of_clusters reorder_anchors yolo_layer beta1 beta2 B1 B2 eps adam contrastive cosine_embedding
    """.split()
)

#: All options that layers ask for. Where an error ends the reading of a section, those behind it are no strangers.
LAYER_KEYS = frozenset(
    """
    activation anchors antialiasing atoms batch_normalize beta beta_nms bin_output binary bottleneck cbn channels
    classes classfix contrastive_neg_max coords crop_height crop_width dilation dontload dontloadscales dropblock
    dropblock_size_abs dropblock_size_rel filters flipped from group_id groups height hidden history_size ids inputs
    kappa layers letter_box logistic lstm_activation mask maxpool_depth mean new_coords nms_kind noadjust noobj num
    out_channels output pad padding peephole probability ratio reverse scale scale_wh scale_x_y share_index shift
    shortcut side size softmax spatial state_constrain std stride stride_x stride_y temperature tree type
    weights_normalization weights_type width xnor yolo_point
    """.split()
)


class Parameter(NamedTuple):
    """One array of the weights file: its name and shape; arrays follow each other in the order given."""

    name: str
    shape: tuple[int, ...]

    @property
    def role(self) -> str:
        """What it is to the layer it is of, which may be one inside another: ``weights`` of ``uf.weights``."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Layer:
    """One layer with resolved references and shapes.

    Attributes
    ----------
    index : int
        Position, 0 for the first section after ``[net]``.
    where : str
        ``file:line: [kind] (layer n)``, for messages.
    inputs : tuple of int
        Layers read, the previous one first where it is read; -1 is the blob.
    in_shape, shape : Shape
        Of the first input and of the output.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    #: Whether Darknet stores the output cell after cell, (H, W, C).
    by_cells: ClassVar[bool] = False
    #: Whether how many weights it has depends on how large the input is.
    of_one_size: ClassVar[bool] = False

    index: int
    where: str
    inputs: tuple[int, ...]
    in_shape: Shape
    shape: Shape

    @property
    def kind(self) -> str:
        """The section's canonical name."""
        return self.kinds[0]

    @property
    def outputs(self) -> int:
        return self.shape.size

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Arrays of this layer in the weights file, in file order."""
        return ()

    def is_stored_transposed(self, version: tuple[int, ...]) -> bool:
        """Whether a file of this version holds the weights with their first axis last."""
        return False

    @property
    def bflops(self) -> float:
        """Billions of operations, counted as Darknet's layer table does."""
        return 0.0

    @property
    def is_head(self) -> bool:
        """Whether boxes are decoded from this layer."""
        return False

    @property
    def lasting(self) -> tuple[tuple[str, Shape], ...]:
        """What it keeps from one run to the next, of each image: names and extents; all 0 before the first run."""
        return ()

    @property
    def working(self) -> int:
        """Values that it needs room for while it is computed, besides its output and what lasts."""
        return 0

    @property
    def renames(self) -> tuple[int, int] | None:
        """(layer, first channel) if the output is nothing but a name for channels of that layer's; else None."""
        return None

    @property
    def moves_values(self) -> bool:
        """Whether outputs are inputs, as they are: the layer can work on values of any format."""
        return False

    @property
    def border(self) -> int:
        """How far its windows reach beyond the image, in pixels."""
        return 0

    @property
    def joins(self) -> tuple[int, ...]:
        """The layers that Darknet marks as read by one that joins several."""
        return ()

    def alone(self) -> Layer:
        """What this layer is if no layer that joins several reads it."""
        return self

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        """How many positions of the input, across and down, one of the output stands for."""
        return Fraction(1), Fraction(1)

    @property
    def grid(self) -> int:
        """The layer whose positions this one's follow: the first that it reads."""
        return self.inputs[0] if self.inputs else self.index - 1


class Builder:
    """What a section may ask while it becomes a layer: its input and the layers before it."""

    def __init__(self, blob: Shape) -> None:
        self.blob = blob
        self.layers: list[Layer] = []

    @property
    def index(self) -> int:
        return len(self.layers)

    @property
    def shape(self) -> Shape:
        """Output of the previous layer: the input of the next."""
        return self.layers[-1].shape if self.layers else self.blob

    def base(self, section: Section, shape: Shape, inputs: Sequence[int] | None = None) -> dict[str, object]:
        """The fields every layer has, after checking that `shape` can exist."""
        if min(shape) < 1:
            raise section.error(
                f"the output would be {shape.w} x {shape.h} x {shape.c} (w x h x c) for an input of "
                f"{self.shape.w} x {self.shape.h} x {self.shape.c}: make the input larger or size/stride smaller"
            )
        if shape.size > LARGEST_OUTPUT:
            raise section.error(f"the output would be {shape.w} x {shape.h} x {shape.c} values: too large to be meant")
        chosen = (self.index - 1,) if inputs is None else tuple(inputs)
        first = self.shape if not chosen else self.shape_of(chosen[0])
        return {"index": self.index, "where": section.where, "inputs": chosen, "in_shape": first, "shape": shape}

    def shape_of(self, index: int) -> Shape:
        return self.blob if index < 0 else self.layers[index].shape

    def reference(self, section: Section, key: str, value: int) -> int:
        """Resolve one entry of ``from``/``layers``: negative counts back from this layer, else absolute."""
        index = self.index + value if value < 0 else value
        if not 0 <= index < self.index:
            raise section.error(
                f"{key} names layer {value}, {'not an earlier layer' if index >= 0 else 'before the first layer'}; "
                f"{self._earlier()}",
                key,
            )
        return index

    def _earlier(self) -> str:
        """How the layers before this one may be named."""
        if self.index < 2:
            return "expected 0 or -1, the one layer before it" if self.index else "none is before it"
        return f"expected 0 to {self.index - 1}, or -1 to -{self.index}"

    def references(self, section: Section, key: str) -> tuple[int, ...]:
        values = section.references(key)
        if not values:
            raise section.error(f"{key}= is missing; it lists the layers to read, such as {key}=-1,8")
        return tuple(self.reference(section, key, value) for value in values)


def read_activation(section: Section, default: str, key: str = "activation") -> str:
    """The section's activation; an unknown one is an error (Darknet would silently use relu)."""
    name = section.word(key) or default
    known = (*ACTIVATIONS, *CHANNEL_ACTIVATIONS)
    if name in known:
        return name
    plain = _plain(name)
    meant = SYNONYMS.get(plain) or next((one for one in known if _plain(one) == plain), None)
    if meant is None:
        advice = "" if plain in _FOREIGN else did_you_mean(name, known)
        raise section.error(
            f"{key}={name} is not known{strange(name)}{advice}; Darknet would take it for relu; expected one of "
            f"{', '.join(known)}",
            key,
        )
    section.warnings.append(f"{section.where}: {key}={name} is called {meant} in Darknet, which would take it for relu")
    return meant


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to stand behind a word that is not known; empty if none of the known ones is near."""
    import difflib

    near = difflib.get_close_matches(word[:60].lower(), list(known), 1, 0.75)
    return f" (is {near[0]} meant?)" if near else ""


def refuse_unstored(section: Section) -> None:
    """Raise UnsupportedError if the weights of this layer are not in the file."""
    refuse(section, "dontload", "the weights of this layer would be undefined; train or export the whole network")
    refuse(section, "dontloadscales", "the batch norm of this layer would be undefined")


def refuse(section: Section, key: str, why: str) -> None:
    """Raise UnsupportedError if `key` is set."""
    if section.flag(key):
        raise UnsupportedError(f"{section.where}: {key}={section.text(key)} is not supported: {why}")
