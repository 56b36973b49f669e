"""Layers that move values or need none: [upsample], [reorg], [reorg3d], [crop], [dropout], [empty], [implicit], ...

And [softmax], and the two of which inference leaves zeros, [cost] and [contrastive].
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from darknet_py.cfg import Section
from darknet_py.layers.base import LARGEST, Builder, Layer, Parameter, refuse_unstored
from darknet_py.layers.tree import Tree, read_tree
from darknet_py.shape import Shape

__all__ = ["Contrastive", "Cost", "Crop", "Dropout", "Empty", "Implicit", "Reorg", "Softmax", "Upsample"]


@dataclass(frozen=True)
class Upsample(Layer):
    """Nearest-neighbour enlargement by ``stride``, or the sum of each block when ``reduce``; times ``scale``."""

    kinds = ("upsample",)

    stride: int
    scale: float
    reduce: bool

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Upsample:
        stride = section.integer("stride", 2, low=-LARGEST, high=LARGEST)
        if stride == 0:
            raise section.error("stride=0: expected a factor such as 2, or -2 to shrink", "stride")
        c, h, w = graph.shape
        factor = abs(stride)
        shape = Shape(c, h // factor, w // factor) if stride < 0 else Shape(c, h * factor, w * factor)
        return cls(
            **graph.base(section, shape),  # type: ignore[arg-type]
            stride=factor,
            scale=section.number("scale", 1.0),
            reduce=stride < 0,
        )

    @property
    def moves_values(self) -> bool:
        return not self.reduce and self.scale == 1

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        step = Fraction(self.stride) if self.reduce else Fraction(1, self.stride)
        return step, step


@dataclass(frozen=True)
class Reorg(Layer):
    """Trade of resolution for channels: true space-to-depth (``[reorg3d]``) or yolov2's flat shuffle (``[reorg]``)."""

    kinds = ("reorg", "reorg3d")

    stride: int
    reverse: bool
    flat: bool

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Reorg:
        stride = section.integer("stride", 1, low=1, high=LARGEST)
        reverse = section.flag("reverse")
        c, h, w = graph.shape
        square = stride * stride
        flat = section.kind == "reorg"
        # Reversed, [reorg3d] shuffles with the extents of its output, whose channels must divide once more.
        block = square * square if reverse and not flat else square
        if (reverse or flat) and c % block:
            raise section.error(f"stride={stride}: {block} must divide the {c} input channels", "stride")
        if not reverse and (h % stride or w % stride):
            raise section.error(f"stride={stride} must divide the input's width {w} and height {h}", "stride")
        shape = Shape(c // square, h * stride, w * stride) if reverse else Shape(c * square, h // stride, w // stride)
        return cls(**graph.base(section, shape), stride=stride, reverse=reverse, flat=flat)  # type: ignore[arg-type]

    @property
    def kind(self) -> str:
        return "reorg" if self.flat else "reorg3d"

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        step = Fraction(1, self.stride) if self.reverse else Fraction(self.stride)
        return step, step


@dataclass(frozen=True)
class Crop(Layer):
    """The middle of the map, ``crop_width`` x ``crop_height``; 2 x - 1 of it unless ``noadjust``."""

    kinds = ("crop",)

    top: int
    left: int
    noadjust: bool

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Crop:
        c, h, w = graph.shape
        height, width = (section.integer(key, 1, low=1, high=LARGEST) for key in ("crop_height", "crop_width"))
        for key in ("flip", "angle", "saturation", "exposure", "shift"):
            section.text(key)
        for key, wanted, there in (("crop_width", width, w), ("crop_height", height, h)):
            if wanted > there:
                raise section.error(f"{key}={wanted} of an input of {w} x {h}: expected at most {there}", key)
        return cls(
            **graph.base(section, Shape(c, height, width)),  # type: ignore[arg-type]
            top=(h - height) // 2,
            left=(w - width) // 2,
            noadjust=section.flag("noadjust"),
        )


@dataclass(frozen=True)
class Implicit(Layer):
    """Nothing but its weights, ``filters`` channels of ``atoms`` rows: a constant for layers that add or multiply."""

    kinds = ("implicit",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Implicit:
        filters = section.integer("filters", 128, low=1, high=LARGEST)
        atoms = section.integer("atoms", 1, low=1, high=LARGEST)
        for key in ("mean", "std"):  # what a training begins with
            section.text(key)
        refuse_unstored(section)
        return cls(**graph.base(section, Shape(filters, atoms, 1), inputs=()))  # type: ignore[arg-type]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (Parameter("weights", self.shape),)


@dataclass(frozen=True)
class Empty(Layer):
    """Another name for the layer before."""

    kinds = ("empty", "silence")

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Empty:
        return cls(**graph.base(section, graph.shape))  # type: ignore[arg-type]

    @property
    def renames(self) -> tuple[int, int] | None:
        return self.inputs[0], 0


@dataclass(frozen=True)
class Dropout(Layer):
    """Identity at inference; in training zeros values, or square blocks of them with ``dropblock``.

    A block's side is ``dropblock_size_abs`` cells, or ``dropblock_size_rel`` of the map's shorter side; the one that
    is 0 does not count.
    """

    kinds = ("dropout",)

    probability: float
    dropblock: bool
    dropblock_size_rel: float
    dropblock_size_abs: int

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Dropout:
        relative = section.number("dropblock_size_rel", 0.0)
        absolute = section.integer("dropblock_size_abs", 0)
        if not relative and not absolute:
            absolute = 7  # as Darknet
        return cls(
            **graph.base(section, graph.shape),  # type: ignore[arg-type]
            probability=section.number("probability", 0.2),
            dropblock=section.flag("dropblock"),
            # Darknet, too, follows the absolute size where both are given.
            dropblock_size_rel=0.0 if absolute else relative,
            dropblock_size_abs=absolute,
        )

    @property
    def renames(self) -> tuple[int, int] | None:
        return self.inputs[0], 0


@dataclass(frozen=True)
class Cost(Layer):
    """Zeros: without a truth to compare with, Darknet leaves this layer's output untouched."""

    kinds = ("cost",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Cost:
        for key in ("type", "scale", "ratio", "noobj"):
            section.text(key)
        return cls(**graph.base(section, graph.shape))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Contrastive(Layer):
    """Zeros: a loss of training, of which Darknet (on a CPU) leaves the output untouched at inference."""

    kinds = ("contrastive",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Contrastive:
        for key in ("classes", "temperature", "yolo_layer", "contrastive_neg_max"):
            section.text(key)
        return cls(**graph.base(section, graph.shape))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Softmax(Layer):
    """Softmax over ``groups`` consecutive blocks of the flattened (C, H, W) input, or over the groups of a tree."""

    kinds = ("softmax", "soft")

    groups: int
    temperature: float
    tree: Tree | None

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Softmax:
        groups = section.integer("groups", 1, low=1, high=LARGEST)
        section.text("spatial")  # only Darknet's GPU path looks at it
        if graph.shape.size % groups:
            raise section.error(f"groups={groups} does not divide the {graph.shape.size} inputs", "groups")
        tree = read_tree(section)
        if tree is not None and len(tree.parents) != graph.shape.size // groups:
            raise section.error(
                f"the tree has {len(tree.parents)} nodes, expected {graph.shape.size // groups}", "tree"
            )
        temperature = section.number("temperature", 1.0)
        if temperature == 0:
            raise section.error("temperature=0: expected another number, as inputs are divided by it", "temperature")
        return cls(**graph.base(section, graph.shape), groups=groups, temperature=temperature, tree=tree)  # type: ignore[arg-type]
