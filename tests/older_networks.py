"""Sections of older Darknets for `networks.TinyNetwork`: their weights, and the output naive layers give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import naive
import naive_older
import numpy as np
from naive import Array

__all__ = ["OLDER"]

Options = Mapping[str, object]


def _integer(options: Options, key: str, default: int) -> int:
    return int(str(options.get(key, default)))


def _activation(options: Options, default: str) -> str:
    return str(options.get("activation", default))


def _local(tiny: Any, options: Options) -> Array:
    filters, size, stride, pad = (
        _integer(options, key, default) for key, default in (("filters", 1), ("size", 1), ("stride", 1), ("pad", 0))
    )
    channels, height, width = tiny.x.shape
    out_h, out_w = ((side - (1 if pad else size)) // stride + 1 for side in (height, width))
    biases = tiny.draw(filters, out_h, out_w, scale=0.2).astype(np.float64)
    fan_in = channels * size * size
    weights = tiny.draw(out_h * out_w, filters, channels, size, size, scale=fan_in**-0.5).astype(np.float64)
    return naive.activate(naive_older.local(tiny.x, weights, biases, stride, pad), _activation(options, "logistic"))


def _deconvolutional(tiny: Any, options: Options) -> Array:
    filters, size, stride = (_integer(options, key, 1) for key in ("filters", "size", "stride"))
    pad = size // 2 if options.get("pad") else _integer(options, "padding", 0)
    bias = tiny.draw(filters, scale=0.2).astype(np.float64)
    norm: list[Array] = []
    if options.get("batch_normalize"):
        drawn = (
            tiny.draw(filters, low=0.8, high=1.2),
            tiny.draw(filters, scale=0.2),
            tiny.draw(filters, low=0.5, high=1.5),
        )
        norm = [array.astype(np.float64) for array in drawn]
    weights = tiny.draw(len(tiny.x), filters, size, size, scale=len(tiny.x) ** -0.5).astype(np.float64)
    y = naive_older.deconvolution(tiny.x, weights, stride, pad)
    y = naive.batch_norm(y, *norm, bias) if norm else y + bias[:, None, None]
    return naive.activate(y, _activation(options, "logistic"))


def _batchnorm(tiny: Any, options: Options) -> Array:
    n = len(tiny.x)
    drawn = (
        tiny.draw(n, scale=0.2),
        tiny.draw(n, low=0.8, high=1.2),
        tiny.draw(n, scale=0.2),
        tiny.draw(n, low=0.5, high=1.5),
    )
    biases, scales, mean, variance = (array.astype(np.float64) for array in drawn)
    return naive.batch_norm(tiny.x, scales, mean, variance, biases)


def _implicit(tiny: Any, options: Options) -> Array:
    return tiny.draw(_integer(options, "filters", 128), _integer(options, "atoms", 1), 1).astype(np.float64)


def _response(tiny: Any, options: Options) -> Array:
    given = {key: float(str(options[key])) for key in ("alpha", "beta", "kappa") if key in options}
    return naive_older.local_response(tiny.x, _integer(options, "size", 5), **given)


def _crop(tiny: Any, options: Options) -> Array:
    width, height = _integer(options, "crop_width", 1), _integer(options, "crop_height", 1)
    return naive_older.crop(tiny.x, width, height, bool(options.get("noadjust")))


def _detection(tiny: Any, options: Options) -> Array:
    classes, side = _integer(options, "classes", 1), _integer(options, "side", 7)
    return naive_older.detection(tiny.x, classes, side, bool(options.get("softmax")))


#: Section → its output, of a network and options.
OLDER: dict[str, Callable[[Any, Options], Array]] = {
    "contrastive": lambda tiny, o: np.zeros_like(tiny.x),
    "empty": lambda tiny, o: tiny.x,
    "silence": lambda tiny, o: tiny.x,
    "activation": lambda tiny, o: naive.activate(tiny.x, _activation(o, "linear")),
    "logistic": lambda tiny, o: naive.logistic(tiny.x),
    "batchnorm": _batchnorm,
    "normalization": _response,
    "lrn": _response,
    "l2norm": lambda tiny, o: naive_older.l2norm(tiny.x),
    "crop": _crop,
    "implicit": _implicit,
    "local": _local,
    "deconvolutional": _deconvolutional,
    "iseg": lambda tiny, o: naive_older.iseg(tiny.x, _integer(o, "classes", 20)),
    "detection": _detection,
}
