"""[rnn], [gru], [lstm], [crnn], [conv_lstm], [history]: what a sequence goes through, a picture or vector a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from darknet_py.activations import CHANNEL_ACTIVATIONS
from darknet_py.cfg import Section
from darknet_py.layers.base import LARGEST, Builder, Layer, Parameter, read_activation
from darknet_py.layers.convolution import Connected, Convolutional
from darknet_py.shape import Shape

__all__ = ["ConvLstm", "Crnn", "Gru", "History", "Lstm", "Recurrent", "Rnn"]

#: [rnn] `logistic`: what the state's own product goes through instead of the layer's activation.
_LOGISTIC = {1: "logistic", 2: "loggy"}


@dataclass(frozen=True)
class Recurrent(Layer):
    """A layer made of others, and what it remembers; always multiplied in float32, as errors would add up.

    Attributes
    ----------
    parts : tuple of (str, Connected or Convolutional)
        The layers inside by their names in Darknet, in the order of the weights file. Their arrays are called by both
        names: ``uf.biases``.
    """

    parts: tuple[tuple[str, Connected | Convolutional], ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(
            Parameter(f"{name}.{parameter.name}", parameter.shape)
            for name, part in self.parts
            for parameter in part.parameters
        )

    def is_stored_transposed(self, version: tuple[int, ...]) -> bool:
        return self.parts[0][1].is_stored_transposed(version)

    @property
    def working(self) -> int:
        return sum(part.outputs for _, part in self.parts)

    @property
    def bflops(self) -> float:
        return sum(part.bflops for _, part in self.parts)


def _output(section: Section, key: str = "output") -> int:
    return section.integer(key, 1, low=1, high=LARGEST)


def _connected(base: dict[str, object], inputs: Shape, outputs: int, normalize: bool, activation: str) -> Connected:
    shapes = {"in_shape": inputs, "shape": Shape(outputs, 1, 1)}
    return Connected(**(base | shapes), batch_normalize=normalize, activation=activation)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Rnn(Recurrent):
    """a = input(x), b = self(state), state = a + b (and what it was, with ``shortcut``), y = output(state)."""

    kinds = ("rnn",)

    shortcut: bool

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Rnn:
        base = graph.base(section, Shape(_output(section), 1, 1))
        hidden, normalize = _output(section, "hidden"), section.flag("batch_normalize")
        activation = read_activation(section, "logistic")
        own = _LOGISTIC.get(section.integer("logistic", 0), activation)
        state = Shape(hidden, 1, 1)
        parts = (
            ("input", _connected(base, graph.shape, hidden, normalize, activation)),
            ("self", _connected(base, state, hidden, normalize, own)),
            ("output", _connected(base, state, _output(section), normalize, activation)),
        )
        return cls(**base, parts=parts, shortcut=section.flag("shortcut"))  # type: ignore[arg-type]

    @property
    def lasting(self) -> tuple[tuple[str, Shape], ...]:
        return (("state", dict(self.parts)["self"].shape),)


def _gates(section: Section, graph: Builder, names: tuple[str, ...]) -> dict[str, object]:
    """The fields of a layer of linear products, those with a ``+`` of its state and the others of its input."""
    outputs, normalize = _output(section), section.flag("batch_normalize")
    base = graph.base(section, Shape(outputs, 1, 1))
    state = Shape(outputs, 1, 1)
    parts = (
        (name.lstrip("+"), _connected(base, state if name[0] == "+" else graph.shape, outputs, normalize, "linear"))
        for name in names
    )
    return base | {"parts": tuple(parts)}


@dataclass(frozen=True)
class Gru(Recurrent):
    """A gated unit; what it proposes goes through a logistic function (elsewhere through tanh), as in Darknet."""

    kinds = ("gru",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Gru:
        names = ("input_z", "input_r", "input_h", "+state_z", "+state_r", "+state_h")
        return cls(**_gates(section, graph, names))  # type: ignore[arg-type]

    @property
    def lasting(self) -> tuple[tuple[str, Shape], ...]:
        return (("state", self.shape),)


@dataclass(frozen=True)
class Lstm(Recurrent):
    """A long short-term memory: gates f, i and o, a proposal g, the cell c = f c + i g and the output h = o tanh(c)."""

    kinds = ("lstm",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Lstm:
        names = ("+wf", "+wi", "+wg", "+wo", "uf", "ui", "ug", "uo")
        return cls(**_gates(section, graph, names))  # type: ignore[arg-type]

    @property
    def lasting(self) -> tuple[tuple[str, Shape], ...]:
        return (("h", self.shape), ("c", self.shape))


def _convolution(section: Section, graph: Builder, filters: int, activation: str) -> Convolutional:
    """What all convolutions of a section have in common, for its input."""
    _, h, w = graph.shape
    size, stride = (section.integer(key, default, low=1, high=LARGEST) for key, default in (("size", 3), ("stride", 1)))
    padding = section.integer("padding", 0, low=0, high=LARGEST)
    pad = size // 2 if section.flag("pad") else padding
    dilation, xnor = section.integer("dilation", 1, low=1, high=LARGEST), section.flag("xnor")
    groups = 1 if xnor else max(1, section.integer("groups", 1, high=LARGEST))
    fits = size <= min(h, w) + 2 * pad
    shape = Shape(filters, (h + 2 * pad - size) // stride + 1, (w + 2 * pad - size) // stride + 1)
    if not fits or shape[1:] != (h, w):
        raise section.error(
            f"size={size} stride={stride} and padding {pad} would turn {w} x {h} into "
            f"{f'{shape.w} x {shape.h}' if fits else 'nothing'}: what it remembers must stay as large as its input; "
            f"set pad=1, an odd size and stride=1"
        )
    return Convolutional(
        **graph.base(section, shape),  # type: ignore[arg-type]
        filters=filters,
        size=size,
        stride_x=stride,
        stride_y=stride,
        pad=pad,
        groups=groups,
        dilation=dilation if size > 1 else 1,
        batch_normalize=section.flag("batch_normalize"),
        activation=activation,
        antialiasing=0,
        share=None,
        flipped=False,
        xnor=xnor,
        bin_output=False,
        unblurred=shape,
        blur_strides=(stride, stride),
    )


def _reading(section: Section, first: Convolutional, channels: int, filters: int) -> Convolutional:
    """The same convolution of so many channels to so many filters."""
    if channels % first.groups or filters % first.groups:
        raise section.error(f"groups={first.groups} must divide its {channels} channels and its {filters} filters")
    shape = first.shape._replace(c=filters)
    in_shape = first.in_shape._replace(c=channels)
    return replace(first, in_shape=in_shape, shape=shape, unblurred=shape, filters=filters)


@dataclass(frozen=True)
class Crnn(Recurrent):
    """As `Rnn`, with convolutions."""

    kinds = ("crnn",)

    shortcut: bool

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Crnn:
        hidden, filters = _output(section, "hidden"), _output(section)
        first = _convolution(section, graph, hidden, read_activation(section, "logistic"))
        parts = (
            ("input", _reading(section, first, graph.shape.c, hidden)),
            ("self", _reading(section, first, hidden, hidden)),
            ("output", _reading(section, first, hidden, filters)),
        )
        base = graph.base(section, first.shape._replace(c=filters))
        return cls(**base, parts=parts, shortcut=section.flag("shortcut"))  # type: ignore[arg-type]

    @property
    def lasting(self) -> tuple[tuple[str, Shape], ...]:
        return (("state", dict(self.parts)["self"].shape),)


@dataclass(frozen=True)
class ConvLstm(Recurrent):
    """As `Lstm`, with convolutions.

    Attributes
    ----------
    peephole : bool
        The gates see the cell too: f and i what it was, o what it becomes.
    bottleneck : bool
        One convolution joins output and input of a run, and the gates see that alone; with ``residual`` half of it is
        added to the output.
    limit : int
        The cell stays between this and its negative from run to run; 0 for no limit.
    lstm_activation : str
        Of the proposal and of the cell.
    """

    kinds = ("conv_lstm",)

    peephole: bool
    bottleneck: bool
    residual: bool
    limit: int
    lstm_activation: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> ConvLstm:
        filters, channels = _output(section), graph.shape.c
        first = _convolution(section, graph, filters, read_activation(section, "linear"))
        peephole, bottleneck = section.flag("peephole"), section.flag("bottleneck")
        activation = read_activation(section, "tanh", "lstm_activation")
        if activation in CHANNEL_ACTIVATIONS:
            raise section.error(f"lstm_activation={activation}: expected one that is for each value", "lstm_activation")
        residual = section.flag("shortcut") and bottleneck
        if bottleneck and channels != filters:
            raise section.error(
                f"bottleneck=1 with output={filters} and {channels} input channels: Darknet reads outside the image "
                "unless they are equal"
            )
        if residual and filters % 2:
            raise section.error(f"bottleneck=1 and shortcut=1 with output={filters}: expected an even number")
        reads = {"v": filters, "w": 2 * filters if bottleneck else filters, "u": channels}
        names = [*(("vf", "vi", "vo") if peephole else ())]
        names += ["wf"] if bottleneck else ["wf", "wi", "wg", "wo"]
        names += ["uf", "ui", "ug", "uo"]
        parts = tuple((name, _reading(section, first, reads[name[0]], filters)) for name in names)
        return cls(
            **graph.base(section, first.shape),  # type: ignore[arg-type]
            parts=parts,
            peephole=peephole,
            bottleneck=bottleneck,
            residual=residual,
            limit=section.integer("state_constrain", 32, low=0, high=LARGEST),
            lstm_activation=activation,
        )

    @property
    def lasting(self) -> tuple[tuple[str, Shape], ...]:
        return (("h", self.shape), ("c", self.shape))

    @property
    def bflops(self) -> float:
        return super().bflops + (12 if self.peephole else 9) * self.outputs / 1e9


@dataclass(frozen=True)
class History(Layer):
    """The input, and room for those before it, which is empty where each run is one step, as in Darknet's inference."""

    kinds = ("history",)

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> History:
        c, h, w = graph.shape
        size = section.integer("history_size", 4, low=1, high=LARGEST)
        return cls(**graph.base(section, Shape(c * size, h, w)))  # type: ignore[arg-type]
