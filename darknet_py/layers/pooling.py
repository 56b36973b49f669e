"""[maxpool], [local_avgpool] and [avgpool]."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from darknet_py.cfg import Section
from darknet_py.layers.base import LARGEST, Builder, Layer
from darknet_py.layers.convolution import blur_shape, read_antialiasing, read_strides
from darknet_py.shape import Shape

__all__ = ["AvgPool", "LocalAvgPool", "MaxPool"]


def _window(section: Section) -> tuple[int, int, int, int]:
    """(size, padding, stride_x, stride_y); `padding` is the total of both sides and defaults to size - 1."""
    stride = section.integer("stride", 1, low=1, high=LARGEST)
    stride_x, stride_y = read_strides(section)
    size = section.integer("size", stride, low=1, high=LARGEST)
    return size, section.integer("padding", size - 1, low=0, high=LARGEST), stride_x, stride_y


def _pooled(shape: Shape, size: int, padding: int, stride_x: int, stride_y: int) -> Shape:
    h, w = shape.h + padding - size, shape.w + padding - size
    return Shape(shape.c, h // stride_y + 1 if h >= 0 else 0, w // stride_x + 1 if w >= 0 else 0)


@dataclass(frozen=True)
class MaxPool(Layer):
    """Maximum over a window whose start is ``-(padding // 2) + i * stride``; taps outside the image are ignored.

    With ``depth`` (``maxpool_depth=1``) the maximum runs over every ``shape.c``-th channel instead.
    """

    kinds = ("maxpool", "max")

    size: int
    padding: int
    stride_x: int
    stride_y: int
    depth: bool
    antialiasing: int
    unblurred: Shape
    blur_strides: tuple[int, int]

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> MaxPool:
        size, padding, stride_x, stride_y = _window(section)
        antialiasing = read_antialiasing(section)
        depth = section.flag("maxpool_depth")
        channels = section.integer("out_channels", 1, low=1, high=LARGEST)
        step_x, step_y = (1, 1) if antialiasing else (stride_x, stride_y)
        if depth:
            antialiasing = 0
            unblurred = Shape(min(channels, graph.shape.c), graph.shape.h, graph.shape.w)
        else:
            unblurred = _pooled(graph.shape, size, padding, step_x, step_y)
        shape = blur_shape(unblurred, antialiasing, stride_x, stride_y) if antialiasing else unblurred
        return cls(
            **graph.base(section, shape),  # type: ignore[arg-type]
            size=size,
            padding=padding,
            stride_x=step_x,
            stride_y=step_y,
            depth=depth,
            antialiasing=antialiasing,
            unblurred=unblurred,
            blur_strides=(stride_x, stride_y),
        )

    @property
    def moves_values(self) -> bool:
        # A window that lies outside the image has a maximum that no bfloat16 is.
        reaches_inside = self.padding - self.padding // 2 < self.size
        return reaches_inside and not self.depth and not self.antialiasing

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        across, down = (1, 1) if self.depth else self.blur_strides
        return Fraction(across), Fraction(down)

    @property
    def is_centred(self) -> bool:
        """Whether each output is the maximum over an odd window around the same place of the input."""
        plain = not self.depth and not self.antialiasing and self.stride_x == self.stride_y == 1
        return plain and self.size % 2 == 1 and self.padding == self.size - 1

    @property
    def bflops(self) -> float:
        # Darknet counts the input's channels, also where depth pooling leaves fewer.
        return self.size * self.size * self.in_shape.c * self.unblurred.h * self.unblurred.w / 1e9


@dataclass(frozen=True)
class LocalAvgPool(Layer):
    """Mean over the taps of the window that lie inside the image."""

    kinds = ("local_avgpool", "local_avg")

    size: int
    padding: int
    stride_x: int
    stride_y: int

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> LocalAvgPool:
        size, padding, stride_x, stride_y = _window(section)
        shape = _pooled(graph.shape, size, padding, stride_x, stride_y)
        return cls(
            **graph.base(section, shape),  # type: ignore[arg-type]
            size=size,
            padding=padding,
            stride_x=stride_x,
            stride_y=stride_y,
        )

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        return Fraction(self.stride_x), Fraction(self.stride_y)

    @property
    def bflops(self) -> float:
        return self.size * self.size * self.shape.size / 1e9


@dataclass(frozen=True)
class AvgPool(Layer):
    """Mean of each channel over the whole image."""

    kinds = ("avgpool", "avg")

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> AvgPool:
        return cls(**graph.base(section, Shape(graph.shape.c, 1, 1)))  # type: ignore[arg-type]
