"""[convolutional], [deconvolutional], [local] and [connected]: the layers with matrices of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from darknet_py.cfg import Section
from darknet_py.errors import UnsupportedError
from darknet_py.layers.base import LARGEST, Builder, Layer, Parameter, read_activation, refuse_unstored
from darknet_py.shape import Shape

__all__ = ["Connected", "Convolutional", "Deconvolutional", "Local", "blur_shape"]


def read_strides(section: Section, default: int = 1) -> tuple[int, int]:
    """(stride_x, stride_y), each falling back to ``stride``."""
    stride = section.integer("stride", default, low=1, high=LARGEST)
    # Darknet takes a stride_x below 1 as "not given".
    x, y = (section.integer(key, -1, high=LARGEST) for key in ("stride_x", "stride_y"))
    return (x if x >= 1 else stride, y if y >= 1 else stride)


def read_antialiasing(section: Section) -> int:
    """0, 1 (3x3 blur) or 2 (2x2 blur); Darknet takes any other number as 1."""
    value = section.integer("antialiasing", 0)
    return value if value in (0, 2) else 1


def blur_shape(shape: Shape, antialiasing: int, stride_x: int, stride_y: int) -> Shape:
    """Shape after the fixed blur of an antialiased layer (3x3 pad 1, or 2x2 pad 0) at the declared stride."""
    size, pad = (2, 0) if antialiasing == 2 else (3, 1)
    return Shape(shape.c, (shape.h + 2 * pad - size) // stride_y + 1, (shape.w + 2 * pad - size) // stride_x + 1)


@dataclass(frozen=True)
class Convolutional(Layer):
    """A convolution with folded batch norm, bias and activation.

    ``share`` is the layer whose weights it uses, or None; ``unblurred`` the shape before the
    antialiasing blur, which then runs at ``blur_strides`` (x, y).
    """

    kinds = ("convolutional", "conv")

    filters: int
    size: int
    stride_x: int
    stride_y: int
    pad: int
    groups: int
    dilation: int
    batch_normalize: bool
    activation: str
    antialiasing: int
    share: int | None
    flipped: bool
    xnor: bool
    bin_output: bool
    unblurred: Shape
    blur_strides: tuple[int, int]

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Convolutional:
        c, h, w = graph.shape
        filters = section.integer("filters", 1, low=1, high=LARGEST)
        size = section.integer("size", 1, low=1, high=LARGEST)
        stride_x, stride_y = read_strides(section)
        padding = section.integer("padding", 0, low=0, high=LARGEST)
        pad = size // 2 if section.flag("pad") else padding
        dilation = section.integer("dilation", 1, low=1, high=LARGEST) if size > 1 else 1
        section.text("dilation")
        xnor = section.flag("xnor")
        groups = max(1, section.integer("groups", 1, high=LARGEST))
        if xnor:
            groups = 1
        if c % groups or filters % groups:
            raise section.error(f"groups={groups} must divide both the {c} input channels and filters={filters}")
        if size == 1 and stride_x == stride_y == 1 and pad:
            raise section.error(f"padding={pad} with size=1 stride=1: Darknet reads outside the image; use padding=0")
        refuse_unstored(section)
        for key in ("binary", "cbn"):
            section.text(key)
        antialiasing = read_antialiasing(section)
        step_x, step_y = (1, 1) if antialiasing else (stride_x, stride_y)
        # Dilation is not in Darknet's shape formula; it agrees with the window only for pad = size/2.
        unblurred = Shape(filters, (h + 2 * pad - size) // step_y + 1, (w + 2 * pad - size) // step_x + 1)
        shape = blur_shape(unblurred, antialiasing, stride_x, stride_y) if antialiasing else unblurred
        if size > h + 2 * pad or size > w + 2 * pad:
            shape = Shape(filters, 0, 0)
        layer = cls(
            **graph.base(section, shape),  # type: ignore[arg-type]
            filters=filters,
            size=size,
            stride_x=step_x,
            stride_y=step_y,
            pad=pad,
            groups=groups,
            dilation=dilation,
            batch_normalize=section.flag("batch_normalize") or section.flag("cbn"),
            activation=read_activation(section, "logistic"),
            antialiasing=antialiasing,
            share=cls._read_share(section, graph),
            flipped=section.flag("flipped"),
            # C binarises only where the two strides are equal.
            xnor=xnor and stride_x == stride_y,
            bin_output=section.flag("bin_output"),
            unblurred=unblurred,
            blur_strides=(stride_x, stride_y),
        )
        layer._check_share(section, graph)
        return layer

    @staticmethod
    def _read_share(section: Section, graph: Builder) -> int | None:
        value = section.integer("share_index", -1000000000)
        return None if value == -1000000000 else graph.reference(section, "share_index", value)

    def _check_share(self, section: Section, graph: Builder) -> None:
        if self.share is None:
            return
        source = graph.layers[self.share]
        if source.kind != self.kind:
            raise section.error(f"share_index names layer {self.share}, a [{source.kind}]; expected a [convolutional]")
        assert isinstance(source, type(self))
        mine, theirs = self._weights_shape, source._weights_shape
        if mine != theirs:
            raise section.error(f"share_index names layer {self.share} with weights {theirs}, expected {mine}")
        if self.in_shape.c != source.in_shape.c:
            raise section.error(
                f"share_index names layer {self.share} of {source.in_shape.c} input channels, "
                f"expected {self.in_shape.c}"
            )
        if self.xnor != source.xnor:
            raise UnsupportedError(
                f"{section.where}: share_index names layer {self.share}, and only one of the two is xnor, which is not "
                "supported"
            )

    @property
    def border(self) -> int:
        """The padding, or more where the output's shape ignores dilation."""
        ends = (
            (outputs - 1) * stride + (self.size - 1 - self.pad) * self.dilation - (inputs - 1)
            for outputs, stride, inputs in (
                (self.unblurred.h, self.stride_y, self.in_shape.h),
                (self.unblurred.w, self.stride_x, self.in_shape.w),
            )
        )
        return max(self.pad * self.dilation, *ends)

    def alone(self) -> Layer:
        return replace(self, activation="linear") if self.xnor and self.bin_output else self

    def is_stored_transposed(self, version: tuple[int, ...]) -> bool:
        return self.flipped

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        across, down = self.blur_strides
        return Fraction(across), Fraction(down)

    @property
    def _weights_shape(self) -> tuple[int, int, int, int]:
        return (self.filters, self.in_shape.c // self.groups, self.size, self.size)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        if self.share is not None:
            return ()
        n = (self.filters,)
        norm = ("scales", "mean", "variance") if self.batch_normalize else ()
        return (
            Parameter("biases", n),
            *(Parameter(name, n) for name in norm),
            Parameter("weights", self._weights_shape),
        )

    @property
    def bflops(self) -> float:
        fan = self.in_shape.c // self.groups * self.size * self.size
        work = 2.0 * fan * self.filters * self.unblurred.h * self.unblurred.w / 1e9
        return work / 32 if self.xnor else work


@dataclass(frozen=True)
class Deconvolutional(Layer):
    """A transposed convolution (pjreddie's Darknet): each pixel adds its window to the output, ``stride`` apart."""

    kinds = ("deconvolutional", "deconv")

    filters: int
    size: int
    stride: int
    pad: int
    batch_normalize: bool
    activation: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Deconvolutional:
        _, h, w = graph.shape
        filters = section.integer("filters", 1, low=1, high=LARGEST)
        size = section.integer("size", 1, low=1, high=LARGEST)
        stride = section.integer("stride", 1, low=1, high=LARGEST)
        padding = section.integer("padding", 0, low=0, high=LARGEST)
        pad = size // 2 if section.flag("pad") else padding
        if pad >= size:
            raise section.error(f"padding={pad} with size={size}: expected less than the size")
        refuse_unstored(section)
        height, width = ((side - 1) * stride + size - 2 * pad for side in (h, w))
        return cls(
            **graph.base(section, Shape(filters, max(0, height), max(0, width))),  # type: ignore[arg-type]
            filters=filters,
            size=size,
            stride=stride,
            pad=pad,
            batch_normalize=section.flag("batch_normalize"),
            activation=read_activation(section, "logistic"),
        )

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        return Fraction(1, self.stride), Fraction(1, self.stride)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        n = (self.filters,)
        norm = ("scales", "mean", "variance") if self.batch_normalize else ()
        return (
            Parameter("biases", n),
            *(Parameter(name, n) for name in norm),
            Parameter("weights", (self.in_shape.c, self.filters, self.size, self.size)),
        )


@dataclass(frozen=True)
class Local(Layer):
    """A convolution with other weights for each position of its window."""

    kinds = ("local",)
    of_one_size = True

    size: int
    stride: int
    pad: int
    activation: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Local:
        _, h, w = graph.shape
        filters = section.integer("filters", 1, low=1, high=LARGEST)
        size = section.integer("size", 1, low=1, high=LARGEST)
        stride = section.integer("stride", 1, low=1, high=LARGEST)
        pad = section.integer("pad", 0, low=0, high=LARGEST)
        # Darknet's formula takes any padding for size / 2, its window takes it as pixels: the same for size 3.
        less = 1 if pad else size
        refuse_unstored(section)
        height, width = ((side - less) // stride + 1 if side >= less else 0 for side in (h, w))
        return cls(
            **graph.base(section, Shape(filters, height, width)),  # type: ignore[arg-type]
            size=size,
            stride=stride,
            pad=pad,
            activation=read_activation(section, "logistic"),
        )

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        return Fraction(self.stride), Fraction(self.stride)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        filters, h, w = self.shape
        return (
            Parameter("biases", self.shape),
            Parameter("weights", (h * w, filters, self.in_shape.c, self.size, self.size)),
        )


@dataclass(frozen=True)
class Connected(Layer):
    """A fully connected layer over the flattened (C, H, W) input."""

    kinds = ("connected", "conn")
    of_one_size = True

    batch_normalize: bool
    activation: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Connected:
        outputs = section.integer("output", 1, low=1, high=LARGEST)
        refuse_unstored(section)
        return cls(
            **graph.base(section, Shape(outputs, 1, 1)),  # type: ignore[arg-type]
            batch_normalize=section.flag("batch_normalize"),
            activation=read_activation(section, "logistic"),
        )

    def is_stored_transposed(self, version: tuple[int, ...]) -> bool:
        return version[0] > 1000 or version[1] > 1000

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        n = (self.shape.c,)
        norm = ("scales", "mean", "variance") if self.batch_normalize else ()
        return (
            Parameter("biases", n),
            Parameter("weights", (self.shape.c, self.in_shape.size)),
            *(Parameter(name, n) for name in norm),
        )
