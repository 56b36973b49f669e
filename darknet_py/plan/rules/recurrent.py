"""Rules of the layers that remember: their inner layers as convolutions, and what joins them, value by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from darknet_py.activations import CHANNEL_ACTIVATIONS
from darknet_py.kernels.ops.add import add
from darknet_py.kernels.ops.constrain import constrain
from darknet_py.kernels.ops.convolve import DENSE, DEPTHWISE
from darknet_py.kernels.ops.copy import copy
from darknet_py.kernels.ops.multiply import BY_VALUE, multiply
from darknet_py.kernels.ops.sign import sign
from darknet_py.kernels.ops.upsample import upsample
from darknet_py.kernels.vector.activate import ACTIVATION_CODES
from darknet_py.layers import Connected, ConvLstm, Convolutional, Crnn, Gru, History, Layer, Lstm, Recurrent, Rnn
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules.windows import convolve_window, normalize

__all__ = ["conv_lstm", "gru", "history", "lstm", "recurrence"]


def _part(
    lower: Lowering,
    layer: Recurrent,
    name: str,
    x: View,
    y: View | None = None,
    plus: View | None = None,
    after: str = "linear",
) -> View:
    """Emit an inner layer of `x`, to whose output `plus` is added before the activation `after`; where that is."""
    part, packed = dict(layer.parts)[name], lower.parts[layer.index, name]
    y = lower.temporary(part.shape) if y is None else y
    window: dict[str, Any] = _WINDOWS[type(part)](part)
    if getattr(part, "xnor", False):
        signs = lower.temporary(x.shape)
        lower.emit(sign, layer, x, signs)
        x = signs
    window["kind"] = DEPTHWISE if packed.is_depthwise else DENSE
    # A sum is made where the tile ends; what cannot be done there comes after it.
    alone = part.activation in CHANNEL_ACTIVATIONS or (plus is None and after != "linear")
    if not alone:
        window |= {"activation": ACTIVATION_CODES[part.activation], "after": ACTIVATION_CODES[after]}
        convolve_window(lower, layer, packed, x, y, plus, **window)
        return y
    product = lower.temporary(part.shape)
    by_value = "linear" if part.activation in CHANNEL_ACTIVATIONS else part.activation
    convolve_window(lower, layer, packed, x, product, **window, activation=ACTIVATION_CODES[by_value])
    normalize(lower, layer, part.activation, product, product)
    _add(lower, layer, product, plus, y, after)
    return y


def _window(part: Convolutional) -> dict[str, Any]:
    return {
        "stride": (part.stride_y, part.stride_x), "pads": (part.pad * part.dilation,) * 2, "dilation": part.dilation,
    }  # fmt: skip


#: How an inner layer goes over its input; that of a [connected] one is as large.
_WINDOWS: dict[type[Layer], Callable[[Any], dict[str, Any]]] = {Connected: lambda part: {}, Convolutional: _window}


def _add(
    lower: Lowering,
    layer: Recurrent,
    x: View,
    second: View | None,
    y: View,
    activation: str = "linear",
    factors: tuple[float, float] = (1, 1),
) -> View:
    """y = act(x + second), either times a factor."""
    rows = np.repeat(np.array([factors], np.float32).T, x.shape.c, axis=1)
    code = ACTIVATION_CODES[activation]
    if second is None:
        second = x.channels(0, 0)  # of which there is nothing to add
    lower.emit(add, layer, x, y, second, factors=rows, activation=code, stride=1, sample=1)
    return y


def _multiply(lower: Lowering, layer: Recurrent, x: View, second: View, y: View) -> View:
    lower.emit(multiply, layer, x, y, second, by=BY_VALUE, activation=ACTIVATION_CODES["linear"])
    return y


def recurrence(lower: Lowering, layer: Rnn | Crnn) -> None:
    """The next state from the input and the state, and the output from that."""
    state = lower.lasting(layer, "state")
    read = _part(lower, layer, "input", lower.view(layer.inputs[0]))
    following = _part(lower, layer, "self", state, plus=read)
    if layer.shortcut:
        _add(lower, layer, following, state, state)
    else:
        lower.emit(copy, layer, following, state)
    _part(lower, layer, "output", state, lower.target(layer.index))


def gru(lower: Lowering, layer: Gru) -> None:
    """Between the state and what is proposed instead, as far as the gate z is open."""
    x, state, y = lower.view(layer.inputs[0]), lower.lasting(layer, "state"), lower.target(layer.index)
    z, r = (
        _part(lower, layer, f"state_{gate}", state, plus=_part(lower, layer, f"input_{gate}", x), after="logistic")
        for gate in "zr"
    )
    kept = _multiply(lower, layer, r, state, r)
    proposed = _part(lower, layer, "state_h", kept, plus=_part(lower, layer, "input_h", x), after="logistic")
    # z s + (1 - z) h = h + z (s - h)
    away = _add(lower, layer, state, proposed, state, factors=(1, -1))
    _add(lower, layer, _multiply(lower, layer, z, away, z), proposed, y)
    lower.emit(copy, layer, y, state)


def lstm(lower: Lowering, layer: Lstm) -> None:
    """The cell, and how much of it is let out."""
    x, h, c = lower.view(layer.inputs[0]), lower.lasting(layer, "h"), lower.lasting(layer, "c")
    f, i, g, o = (
        _part(lower, layer, f"w{gate}", h, plus=_part(lower, layer, f"u{gate}", x), after=after)
        for gate, after in (("f", "logistic"), ("i", "logistic"), ("g", "tanh"), ("o", "logistic"))
    )
    seen = _next_cell(lower, layer, f, i, g, c, "tanh")
    y = _multiply(lower, layer, o, seen, lower.target(layer.index))
    lower.emit(copy, layer, y, h)


def _next_cell(lower: Lowering, layer: Recurrent, f: View, i: View, g: View, c: View, activation: str) -> View:
    """c = f c + i g; where act(c) is."""
    kept, added = _multiply(lower, layer, f, c, f), _multiply(lower, layer, i, g, i)
    _add(lower, layer, kept, added, c)
    return _add(lower, layer, kept, added, g, activation)


def conv_lstm(lower: Lowering, layer: ConvLstm) -> None:
    """As `lstm`, with the sums of two or three convolutions; what is not a number is forgotten."""
    h, c, y = lower.lasting(layer, "h"), lower.lasting(layer, "c"), lower.target(layer.index)
    joined = _bottleneck(lower, layer, h) if layer.bottleneck else None
    x = lower.view(layer.inputs[0]) if joined is None else joined

    def gate(name: str, activation: str, cell: View | None = None) -> View:
        sees = [] if cell is None else [("v", cell)]
        sees += [] if layer.bottleneck else [("w", h)]
        sees.append(("u", x))
        total = None
        for number, (kind, seen) in enumerate(sees, 1):
            after = activation if number == len(sees) else "linear"
            total = _part(lower, layer, kind + name, seen, plus=total, after=after)
        assert total is not None
        return total

    cell = c if layer.peephole else None
    f, i, g = gate("f", "logistic", cell), gate("i", "logistic", cell), gate("g", layer.lstm_activation)
    seen = _next_cell(lower, layer, f, i, g, c, layer.lstm_activation)
    o = gate("o", "logistic", cell)
    lower.emit(constrain, layer, _multiply(lower, layer, o, seen, seen), h, limit=0)
    lower.emit(constrain, layer, c, c, limit=layer.limit)
    lower.emit(copy, layer, h, y)
    if layer.residual and joined is not None:
        half = layer.shape.c // 2
        _add(lower, layer, y.channels(0, half), joined.channels(0, half), y.channels(0, half))


def _bottleneck(lower: Lowering, layer: ConvLstm, h: View) -> View:
    """The one convolution of output and input."""
    count = layer.shape.c
    both = lower.temporary(layer.shape._replace(c=2 * count))
    lower.emit(copy, layer, h, both.channels(0, count))
    lower.emit(copy, layer, lower.view(layer.inputs[0]), both.channels(count, count))
    return _part(lower, layer, "wf", both, after=layer.lstm_activation)


def history(lower: Lowering, layer: History) -> None:
    """The input, and zeros where those before it would be."""
    x, y = lower.view(layer.inputs[0]), lower.target(layer.index)
    lower.emit(copy, layer, x, y.channels(0, x.shape.c))
    if rest := y.shape.c - x.shape.c:
        zeros = y.channels(x.shape.c, rest)
        lower.emit(upsample, layer, x, zeros, stride=0, sums=1, scale=0.0)  # sums of no pixel
