"""Layers that change values where they are: [activation], [batchnorm] and [normalization].

And those of pjreddie's Darknet: [logistic], which is an [activation] here, [l2norm] and [iseg].
"""

from __future__ import annotations

from dataclasses import dataclass

from darknet_py.cfg import Section
from darknet_py.layers.base import LARGEST, Builder, Layer, Parameter, read_activation, refuse_unstored

__all__ = ["Activation", "BatchNorm", "Iseg", "L2Norm", "Normalization"]


@dataclass(frozen=True)
class Activation(Layer):
    """An activation by itself; [logistic] is the one of that name (with a loss, in training)."""

    kinds = ("activation", "logistic")

    section: str
    activation: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Activation:
        name = "logistic" if section.kind == "logistic" else read_activation(section, "linear")
        return cls(**graph.base(section, graph.shape), section=section.kind, activation=name)  # type: ignore[arg-type]

    @property
    def kind(self) -> str:
        return self.section


@dataclass(frozen=True)
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance) * scale + bias, by channel."""

    kinds = ("batchnorm",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> BatchNorm:
        refuse_unstored(section)
        return cls(**graph.base(section, graph.shape))  # type: ignore[arg-type]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(Parameter(name, (self.shape.c,)) for name in ("biases", "scales", "mean", "variance"))


@dataclass(frozen=True)
class Normalization(Layer):
    """x / norm^beta, where norm is ``kappa`` plus ``alpha`` times the squares of ``size`` channels around.

    Of those, Darknet never adds channel size / 2 (rounded down), and subtracts it later; networks were trained so.
    """

    kinds = ("normalization", "lrn")

    size: int
    alpha: float
    beta: float
    kappa: float

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Normalization:
        return cls(
            **graph.base(section, graph.shape),  # type: ignore[arg-type]
            size=section.integer("size", 5, low=1, high=LARGEST),
            alpha=section.number("alpha", 0.0001),
            beta=section.number("beta", 0.75),
            kappa=section.number("kappa", 1.0),
        )


@dataclass(frozen=True)
class L2Norm(Layer):
    """Each pixel divided by its length, the root of the sum of its channels' squares (pjreddie's Darknet)."""

    kinds = ("l2norm",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> L2Norm:
        return cls(**graph.base(section, graph.shape))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Iseg(Layer):
    """Logistic on the first ``classes`` channels, the ``ids`` others as they are (pjreddie's Darknet)."""

    kinds = ("iseg",)

    classes: int
    ids: int

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Iseg:
        classes = section.integer("classes", 20, low=1, high=LARGEST)
        ids = section.integer("ids", 32, low=0, high=LARGEST)
        if graph.shape.c != classes + ids:
            raise section.error(
                f"the layer before gives {graph.shape.c} channels, expected {classes} classes + {ids} ids = "
                f"{classes + ids}: set filters={classes + ids} there, or correct classes= and ids="
            )
        return cls(**graph.base(section, graph.shape), classes=classes, ids=ids)  # type: ignore[arg-type]
