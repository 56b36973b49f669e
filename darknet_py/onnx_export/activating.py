"""One emitter per activation; `ACTIVATIONS` is the table a layer's activation is looked up in."""

from __future__ import annotations

from collections.abc import Callable

from darknet_py.errors import UnsupportedError
from darknet_py.layers import Layer
from darknet_py.onnx_export.emission import Emission

__all__ = ["ACTIVATIONS", "activate"]


def activate(g: Emission, layer: Layer, name: str, x: str) -> str:
    """The activation called `name` in the cfg, applied to `x`."""
    emitter = ACTIVATIONS.get(name)
    if emitter is None:
        raise UnsupportedError(
            f"{layer.where}: activation={name} has no ONNX form here; use one of {', '.join(ACTIVATIONS)}"
        )
    return emitter(g, x)


def _leaky(slope: float) -> Callable[[Emission, str], str]:
    return lambda g, x: g.node("LeakyRelu", x, alpha=slope)


def _clip(low: float, high: float) -> Callable[[Emission, str], str]:
    return lambda g, x: g.node("Clip", x, g.constant(low), g.constant(high))


def _mish(g: Emission, x: str) -> str:
    """x tanh(ln(1 + e^x)) = x / (1 + 2 / (e(e + 2))) with e = e^x.

    ONNX Runtime expands the operator Mish into Softplus and Tanh, six times slower than this; OpenVINO, OpenCV and
    ncnn fuse the operator into the convolution before it. Where e^x overflows the inner quotient is 0, where it
    underflows infinite: both give the right limit.
    """
    if g.mish == "operator":
        return g.node("Mish", x)
    e = g.node("Exp", x)
    n = g.node("Mul", e, g.node("Add", e, g.constant(2)))
    return g.node("Div", x, g.node("Add", g.node("Div", g.constant(2), n), g.constant(1)))


def _affine(g: Emission, x: str, factor: float, term: float) -> str:
    return g.node("Add", g.node("Mul", x, g.constant(factor)), g.constant(term))


def _gelu(g: Emission, x: str) -> str:
    cube = g.node("Mul", g.node("Mul", x, x), x)
    inner = g.node("Add", g.node("Mul", cube, g.constant(0.035677)), g.node("Mul", x, g.constant(0.797885)))
    return g.node("Mul", g.node("Mul", x, g.constant(0.5)), g.node("Add", g.node("Tanh", inner), g.constant(1)))


def _ramp(g: Emission, x: str) -> str:
    return g.node("Add", g.node("Relu", x), g.node("Mul", x, g.constant(0.1)))


def _three_pieces(
    g: Emission, x: str, low: tuple[float, float, float], middle: tuple[float, float], high: tuple[float, float, float]
) -> str:
    """Straight lines: (edge, slope, offset) below and above their edges, (slope, offset) between them."""
    below = _affine(g, x, *low[1:])
    above = _affine(g, x, *high[1:])
    inside = g.node("Where", g.node("Greater", x, g.constant(high[0])), above, _affine(g, x, *middle))
    return g.node("Where", g.node("Less", x, g.constant(low[0])), below, inside)


def _stair(g: Emission, x: str) -> str:
    # floor(x / 2) plus, where floor(x) is odd, the fraction of x.
    half = g.node("Floor", g.node("Mul", x, g.constant(0.5)))
    n = g.node("Floor", x)
    odd = g.node("Sub", n, g.node("Mul", half, g.constant(2)))
    return g.node("Add", half, g.node("Mul", g.node("Sub", x, n), odd))


def _hard_mish(g: Emission, x: str) -> str:
    # Above 0: x; from -2 to 0: x²/2 + x; below: 0. Clipping first makes the middle formula 0 below -2.
    low = g.node("Clip", x, g.constant(-2), g.constant(0))
    square = g.node("Mul", g.node("Mul", low, low), g.constant(0.5))
    return g.node("Add", g.node("Relu", x), g.node("Add", square, low))


def _over_channels(g: Emission, values: str) -> str:
    total = g.node("ReduceSum", values, g.integers(1), keepdims=1)
    return g.node("Div", values, g.node("Add", total, g.constant(1e-4)))


def _normalize_maxval(g: Emission, x: str) -> str:
    largest = g.node("ReduceMax", x, g.integers(1), keepdims=1)
    return _over_channels(g, g.node("Exp", g.node("Sub", x, largest)))


#: Name in a cfg → emitter, in Darknet's definitions.
ACTIVATIONS: dict[str, Callable[[Emission, str], str]] = {
    "linear": lambda g, x: x,
    "leaky": _leaky(0.1),
    "mish": _mish,
    "logistic": lambda g, x: g.node("Sigmoid", x),
    "swish": lambda g, x: g.node("Mul", x, g.node("Sigmoid", x)),
    "relu": lambda g, x: g.node("Relu", x),
    "relu6": _clip(0, 6),
    "revleaky": _leaky(0.1),
    "relie": _leaky(0.01),
    "ramp": _ramp,
    "tanh": lambda g, x: g.node("Tanh", x),
    "loggy": lambda g, x: _affine(g, g.node("Sigmoid", x), 2, -1),
    "elu": lambda g, x: g.node("Elu", x, alpha=1.0),
    "selu": lambda g, x: g.node("Selu", x, alpha=1.6732, gamma=1.0507),
    "gelu": _gelu,
    "plse": lambda g, x: _three_pieces(g, x, (-4, 0.01, 0.04), (0.125, 0.5), (4, 0.01, 0.96)),
    "stair": _stair,
    "hardtan": _clip(-1, 1),
    "lhtan": lambda g, x: _three_pieces(g, x, (0, 0.001, 0), (1, 0), (1, 0.001, 0.999)),
    "hard_mish": _hard_mish,
    "normalize_channels": lambda g, x: _over_channels(g, g.node("Relu", x)),
    "normalize_channels_softmax": lambda g, x: _over_channels(g, g.node("Exp", x)),
    "normalize_channels_softmax_maxval": _normalize_maxval,
}
