"""Darknet's layers that remember, the slow, obvious way: float64, nothing from the package; for `TinyNetwork`.

Each function draws a layer's weights in file order and leaves in ``tiny.cells`` what does one step: it takes the input
and what is remembered (None before the first step) and gives the output and what is remembered now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import naive
import numpy as np
from naive import Array

__all__ = ["LAYERS"]

Options = Mapping[str, object]
Inner = Callable[[Array], Array]
Cell = Callable[[Array, Any], tuple[Array, Any]]


def _integer(options: Options, key: str, default: int) -> int:
    return int(str(options.get(key, default)))


def _activation(options: Options, default: str, key: str = "activation") -> str:
    return str(options.get(key, default))


def _norm(tiny: Any, outputs: int) -> list[Array]:
    drawn = (
        tiny.draw(outputs, low=0.8, high=1.2),
        tiny.draw(outputs, scale=0.2),
        tiny.draw(outputs, low=0.5, high=1.5),
    )
    return [values.astype(np.float64) for values in drawn]


def _connected(tiny: Any, options: Options, inputs: int, outputs: int, activation: str) -> Inner:
    """An inner [connected] layer: its batch norm comes after the weights in the file."""
    bias = tiny.draw(outputs, scale=0.3).astype(np.float64)
    weights = tiny.draw(outputs, inputs, scale=inputs**-0.5).astype(np.float64)
    norm = _norm(tiny, outputs) if options.get("batch_normalize") else None

    def run(x: Array) -> Array:
        y = naive.connected(x, weights)
        y = y + bias.reshape(-1, 1, 1) if norm is None else naive.batch_norm(y, *norm, bias)
        return naive.activate(y, activation)

    return run


def _convolution(tiny: Any, options: Options, channels: int, filters: int, activation: str) -> Inner:
    """An inner [convolutional] layer; xnor takes unfolded weights, and 0 outside the image."""
    size, groups = _integer(options, "size", 3), max(1, _integer(options, "groups", 1))
    pad = size // 2 if options.get("pad") else _integer(options, "padding", 0)
    window = {"pad": pad, "dilation": _integer(options, "dilation", 1), "groups": groups}
    fan_in = channels // groups * size * size
    bias = tiny.draw(filters, scale=0.3).astype(np.float64)
    norm = _norm(tiny, filters) if options.get("batch_normalize") else None
    weights = tiny.draw(filters, channels // groups, size, size, scale=fan_in**-0.5).astype(np.float64)

    def run(x: Array) -> Array:
        kernels = weights
        if options.get("xnor"):
            mean = np.abs(kernels).mean(axis=(1, 2, 3), keepdims=True)
            x, kernels = np.where(x > 0, 1.0, -1.0), np.where(kernels > 0, mean, -mean)
        y = naive.convolution(x, kernels, **window)
        y = y + bias.reshape(-1, 1, 1) if norm is None else naive.batch_norm(y, *norm, bias)
        return naive.activate(y, activation)

    return run


def _keep(tiny: Any, cell: Cell) -> Array:
    tiny.cells[len(tiny.outputs)] = cell
    return cell(tiny.x, None)[0]


def _recurrence(tiny: Any, options: Options, read: Inner, own: Inner, write: Inner, shape: tuple[int, ...]) -> Array:
    def cell(x: Array, state: Any) -> tuple[Array, Any]:
        state = np.zeros(shape) if state is None else state
        state = (state if options.get("shortcut") else 0) + read(x) + own(state)
        return write(state), state

    return _keep(tiny, cell)


def _rnn(tiny: Any, options: Options) -> Array:
    hidden, outputs = _integer(options, "hidden", 1), _integer(options, "output", 1)
    activation = _activation(options, "logistic")
    own = {0: activation, 1: "logistic", 2: "loggy"}[_integer(options, "logistic", 0)]
    read = _connected(tiny, options, tiny.x.size, hidden, activation)
    itself = _connected(tiny, options, hidden, hidden, own)
    write = _connected(tiny, options, hidden, outputs, activation)
    return _recurrence(tiny, options, read, itself, write, (hidden, 1, 1))


def _crnn(tiny: Any, options: Options) -> Array:
    hidden, filters = _integer(options, "hidden", 1), _integer(options, "output", 1)
    activation = _activation(options, "logistic")
    sizes = ((len(tiny.x), hidden), (hidden, hidden), (hidden, filters))
    parts = [_convolution(tiny, options, *size, activation) for size in sizes]
    return _recurrence(tiny, options, *parts, (hidden, *tiny.x.shape[1:]))


def _gru(tiny: Any, options: Options) -> Array:
    n = _integer(options, "output", 1)
    of_input = [_connected(tiny, options, tiny.x.size, n, "linear") for _ in range(3)]
    of_state = [_connected(tiny, options, n, n, "linear") for _ in range(3)]

    def cell(x: Array, state: Any) -> tuple[Array, Any]:
        state = np.zeros((n, 1, 1)) if state is None else state
        z, r = (naive.logistic(of_input[gate](x) + of_state[gate](state)) for gate in (0, 1))
        proposed = naive.logistic(of_input[2](x) + of_state[2](r * state))
        state = z * state + (1 - z) * proposed
        return state, state

    return _keep(tiny, cell)


def _lstm(tiny: Any, options: Options) -> Array:
    n = _integer(options, "output", 1)
    of_state = [_connected(tiny, options, n, n, "linear") for _ in range(4)]
    of_input = [_connected(tiny, options, tiny.x.size, n, "linear") for _ in range(4)]

    def cell(x: Array, state: Any) -> tuple[Array, Any]:
        h, c = (np.zeros((n, 1, 1)),) * 2 if state is None else state
        f, i, g, o = (own(h) + read(x) for own, read in zip(of_state, of_input, strict=True))
        c = naive.logistic(f) * c + naive.logistic(i) * np.tanh(g)
        h = naive.logistic(o) * np.tanh(c)
        return h, (h, c)

    return _keep(tiny, cell)


def _conv_lstm(tiny: Any, options: Options) -> Array:
    n, channels = _integer(options, "output", 1), len(tiny.x)
    activation, curve = _activation(options, "linear"), _activation(options, "tanh", "lstm_activation")
    limit = _integer(options, "state_constrain", 32)
    narrow = bool(options.get("bottleneck"))
    count = 3 if options.get("peephole") else 0
    peeping = [_convolution(tiny, options, n, n, activation) for _ in range(count)]
    own = [_convolution(tiny, options, 2 * n if narrow else n, n, activation) for _ in range(1 if narrow else 4)]
    reading = [_convolution(tiny, options, channels, n, activation) for _ in range(4)]

    def cell(x: Array, state: Any) -> tuple[Array, Any]:
        h, c = (np.zeros((n, *x.shape[1:])),) * 2 if state is None else state
        if narrow:
            x = naive.activate(own[0](np.concatenate([h, x])), curve)
        f, i, g, o = (reading[gate](x) + (0 if narrow else own[gate](h)) for gate in range(4))
        if peeping:
            f, i = f + peeping[0](c), i + peeping[1](c)
        c = naive.logistic(f) * c + naive.logistic(i) * naive.activate(g, curve)
        if peeping:
            o = o + peeping[2](c)
        h = naive.logistic(o) * naive.activate(c, curve)
        c = np.clip(c, -limit, limit) if limit else c
        h, c = (np.where(np.isfinite(values), values, 0) for values in (h, c))
        y = h.copy()
        if narrow and options.get("shortcut"):
            y[: n // 2] += x[: n // 2]
        return y, (h, c)

    return _keep(tiny, cell)


def _history(tiny: Any, options: Options) -> Array:
    """Darknet's inference, a step a run, never shifts what came before into its place."""
    zeros = np.zeros(((_integer(options, "history_size", 4) - 1) * len(tiny.x), *tiny.x.shape[1:]))
    return _keep(tiny, lambda x, state: (np.concatenate([x, zeros]), None))


LAYERS: dict[str, Callable[[Any, Options], Array]] = {
    "rnn": _rnn,
    "gru": _gru,
    "lstm": _lstm,
    "crnn": _crnn,
    "conv_lstm": _conv_lstm,
    "history": _history,
}
