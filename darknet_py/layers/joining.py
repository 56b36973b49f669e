"""[route], [shortcut], [scale_channels] and [sam]: layers that read earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

from darknet_py.cfg import Section
from darknet_py.errors import UnsupportedError
from darknet_py.layers.base import LARGEST, Builder, Layer, Parameter, read_activation
from darknet_py.shape import Shape

__all__ = ["Route", "Sam", "ScaleChannels", "Shortcut"]


@dataclass(frozen=True)
class Route(Layer):
    """Concatenation over channels of one group of each listed layer."""

    kinds = ("route",)

    groups: int
    group_id: int

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Route:
        inputs = graph.references(section, "layers")
        groups = section.integer("groups", 1, low=1, high=LARGEST)
        group_id = section.integer("group_id", 0, low=0, high=LARGEST)
        if group_id >= groups:
            raise section.error(f"group_id={group_id} with groups={groups}: expected 0 to {groups - 1}", "group_id")
        shapes = [graph.shape_of(index) for index in inputs]
        for index, shape in zip(inputs, shapes, strict=True):
            if (shape.h, shape.w) != (shapes[0].h, shapes[0].w):
                raise section.error(
                    f"layer {index} is {shape.w} x {shape.h}, layer {inputs[0]} is {shapes[0].w} x {shapes[0].h}: "
                    "routed layers must have the same width and height",
                    "layers",
                )
            if shape.c % groups:
                raise section.error(
                    f"groups={groups} does not divide the {shape.c} channels of layer {index}", "groups"
                )
        joined = Shape(sum(shape.c for shape in shapes) // groups, shapes[0].h, shapes[0].w)
        return cls(**graph.base(section, joined, inputs), groups=groups, group_id=group_id)  # type: ignore[arg-type]

    @property
    def renames(self) -> tuple[int, int] | None:
        return (self.inputs[0], self.group_id * self.shape.c) if len(self.inputs) == 1 else None

    @property
    def joins(self) -> tuple[int, ...]:
        return self.inputs


@dataclass(frozen=True)
class Shortcut(Layer):
    """Sum of the previous layer and the layers in ``from``, over the channels both have, then an activation.

    Between different sizes it is pjreddie's strided addition, which the weights of such networks were trained with.
    """

    kinds = ("shortcut",)

    activation: str
    weights_type: str
    weights_normalization: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Shortcut:
        inputs = (graph.index - 1, *graph.references(section, "from"))
        kind = section.choice("weights_type", "none", ("none", "per_feature", "per_layer", "per_channel"))
        # Without weights Darknet does not look at it.
        norm = section.choice(
            "weights_normalization", "none", ("none", "relu", "avg_relu", "softmax"), lenient=kind == "none"
        )
        if kind != "none" and norm == "none":
            raise section.error(
                f"weights_type={kind} needs weights_normalization=relu or softmax (Darknet refuses it too)"
            )
        layer = cls(
            **graph.base(section, graph.shape, inputs),  # type: ignore[arg-type]
            activation=read_activation(section, "linear"),
            weights_type={"per_layer": "per_feature"}.get(kind, kind),
            weights_normalization={"avg_relu": "relu"}.get(norm, norm),
        )
        sizes = {graph.shape_of(index)[1:] for index in inputs}
        if len(sizes) > 1 and (kind != "none" or len(inputs) > 2):
            raise UnsupportedError(
                f"{section.where}: adds layers of different width and height with several inputs or weights; "
                "Darknet aborts on it, use layers of one size"
            )
        return layer

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        if self.weights_type == "none":
            return ()
        rows = len(self.inputs)
        shape = (rows, self.shape.c) if self.weights_type == "per_channel" else (rows,)
        return (Parameter("weights", shape),)

    @property
    def joins(self) -> tuple[int, ...]:
        return self.inputs[:2]

    @property
    def bflops(self) -> float:
        return self.shape.size * (len(self.inputs) - 1) * (2 if self.weights_type != "none" else 1) / 1e9


def _single_reference(section: Section, graph: Builder) -> int:
    value = section.integer("from", 0)
    if not section.has("from"):
        raise section.error("from= is missing; it names the layer to scale, such as from=-4")
    return graph.reference(section, "from", value)


@dataclass(frozen=True)
class ScaleChannels(Layer):
    """The ``from`` layer times one factor per channel (squeeze-excite), or per pixel with ``scale_wh``."""

    kinds = ("scale_channels",)

    scale_wh: bool
    activation: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> ScaleChannels:
        source = _single_reference(section, graph)
        shape, factor = graph.shape_of(source), graph.shape
        scale_wh = section.flag("scale_wh")
        expected = Shape(1, shape.h, shape.w) if scale_wh else Shape(shape.c, 1, 1)
        if factor != expected:
            raise section.error(
                f"the previous layer is {tuple(factor)} (c, h, w); expected {tuple(expected)} to scale layer {source}"
            )
        return cls(
            **graph.base(section, shape, (graph.index - 1, source)),  # type: ignore[arg-type]
            scale_wh=scale_wh,
            activation=read_activation(section, "linear"),
        )

    @property
    def grid(self) -> int:
        return self.inputs[1]

    @property
    def joins(self) -> tuple[int, ...]:
        return self.inputs[:2]


@dataclass(frozen=True)
class Sam(Layer):
    """The previous layer times the ``from`` layer, element by element (spatial attention)."""

    kinds = ("sam",)

    activation: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Sam:
        source = _single_reference(section, graph)
        if graph.shape_of(source) != graph.shape:
            raise section.error(
                f"layer {source} is {tuple(graph.shape_of(source))}, the previous one {tuple(graph.shape)}: "
                "expected equal shapes"
            )
        return cls(
            **graph.base(section, graph.shape, (graph.index - 1, source)),  # type: ignore[arg-type]
            activation=read_activation(section, "linear"),
        )

    @property
    def joins(self) -> tuple[int, ...]:
        return self.inputs[:2]
