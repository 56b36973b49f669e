"""Tiny networks for tests: sections added one by one, each with random weights and the output naive layers give.

The cfg text and the weights file are written here from the format's description, apart from the package.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
import recurrent_layers
from naive import Array
from numpy.typing import NDArray
from older_networks import OLDER

from darknet_py import Network
from darknet_py.kernels.ops import OPERATIONS
from darknet_py.plan import chains
from darknet_py.plan.plan import Plan

Floats = NDArray[np.float32]
Options = Mapping[str, object]

#: Allowed difference, relative to the layer's largest magnitude...
TOLERANCE = 1e-5
#: ... or to this, where that is smaller: a layer of few values may cancel to almost nothing.
SMALLEST_SCALE = 0.1

_numbers = itertools.count()


class TinyNetwork:
    """A network that grows by `add`; ``outputs[i]`` is what layer i must give for `blob`.

    Parameters
    ----------
    shape : (int, int, int)
        (channels, height, width) of the input.
    seed : int
        Of the blob (normally distributed, so half of it is negative) and the weights.
    """

    def __init__(self, shape: tuple[int, int, int], seed: int = 0, net: Options | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.blob: Floats = self.random.standard_normal(shape, np.float32)
        self.net = dict(net or {})
        self.sections: list[tuple[str, Options]] = []
        self.outputs: list[Array] = []
        self.stored: list[Floats] = []
        self.convolutions: dict[int, dict[str, Floats]] = {}
        #: Of layers that remember, what does one step.
        self.cells: dict[int, recurrent_layers.Cell] = {}

    @property
    def x(self) -> Array:
        """The input of the next layer."""
        return self.outputs[-1] if self.outputs else self.blob.astype(np.float64)

    def add(self, kind: str, options: Options | None = None) -> Array:
        """Append a section; its output, by the naive layers."""
        options = dict(options or {})
        output = _LAYERS[kind](self, options)
        self.sections.append((kind, options))
        self.outputs.append(output)
        return output

    def absolute(self, reference: int) -> int:
        return len(self.outputs) + reference if reference < 0 else reference

    def referred(self, options: Options, key: str) -> list[Array]:
        """Outputs of the layers that a comma-separated list names."""
        return [self.outputs[self.absolute(int(item))] for item in str(options[key]).split(",")]

    def draw(self, *shape: int, low: float | None = None, high: float = 0.0, scale: float = 1.0) -> Floats:
        """Random float32 values that are also appended to the weights file."""
        values = self.random.standard_normal(shape) * scale if low is None else self.random.uniform(low, high, shape)
        self.stored.append(values.astype(np.float32))
        return self.stored[-1]

    def cfg(self) -> str:
        c, h, w = self.blob.shape
        net = {"width": w, "height": h, "channels": c, **self.net}
        blocks = [("net", net), *self.sections]
        return "\n".join(f"[{kind}]\n" + "".join(f"{k}={v}\n" for k, v in o.items()) for kind, o in blocks)

    def write(self, directory: Path, header: bytes | None = None) -> tuple[Path, Path]:
        """Write the cfg and the weights under names not used before; their paths."""
        number = next(_numbers)
        cfg, weights = directory / f"{number}.cfg", directory / f"{number}.weights"
        cfg.write_text(self.cfg())
        weights.write_bytes(weights_bytes(self.stored, header))
        return cfg, weights


def weights_bytes(arrays: Iterable[Floats], header: bytes | None = None) -> bytes:
    """A weights file: version 0.2.5 with a 64-bit count unless another header is given."""
    if header is None:
        header = struct.pack("<iiiQ", 0, 2, 5, 32013312)
    return header + b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)


def assert_close(found: Floats, expected: Array, what: str = "") -> float:
    """Assert equal shapes and values within TOLERANCE of the largest; the difference in that unit."""
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    assert found.dtype == np.float32
    scale = max(float(np.abs(expected).max()), SMALLEST_SCALE)
    difference = float(np.abs(found - expected).max()) / scale
    assert difference <= TOLERANCE, f"{what}: {difference:.1e} of the largest magnitude {scale:.3g}"
    return difference


def check(tiny: TinyNetwork, directory: Path, kept: Iterable[Iterable[int]] = (), threads: int = 2) -> None:
    """Compare every layer with the naive one: all tapped, none tapped (where layers fuse), and each set of `kept`."""
    network = Network(*tiny.write(directory), threads=threads)
    for taps in (range(len(tiny.outputs)), *(list(some) for some in kept)):
        for index, found in network.run(tiny.blob, taps=taps).items():
            kind = tiny.sections[index][0]
            assert_close(found, tiny.outputs[index], f"layer {index} [{kind}] with taps {list(taps)}\n{tiny.cfg()}")
    heads = [i for i, (kind, _) in enumerate(tiny.sections) if kind in ("yolo", "Gaussian_yolo", "region", "detection")]
    last = max(i for i, (kind, _) in enumerate(tiny.sections) if kind != "cost" or i == 0)
    outputs = network.run(tiny.blob)
    assert len(outputs) == len(heads or [last])
    for index, found in zip(heads or [last], outputs, strict=True):
        assert_close(found, tiny.outputs[index], f"untapped output {index} [{tiny.sections[index][0]}]\n{tiny.cfg()}")


@contextmanager
def eager_chains(band_bytes: int = 4096) -> Iterator[None]:
    """Chain whatever can be chained, however small, in bands of few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "_SMALLEST_BYTES", 0)
        patch.setattr(chains, "_BAND_BYTES", band_bytes)
        patch.setattr(chains, "_BAND_ROWS", 1)
        patch.setattr(chains, "_TASK_ROWS", 2)
        yield


def residual(shape: tuple[int, int, int] = (5, 20, 12), width: int = 17) -> TinyNetwork:
    """A small network of every kind of step that threads may divide, ending in a head."""
    tiny = TinyNetwork(shape, seed=1)
    tiny.add("convolutional", {"filters": width, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": width, "size": 3, "pad": 1, "groups": width, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("maxpool", {"size": 3, "stride": 1})
    tiny.add("route", {"layers": "-1,-2"})
    tiny.add("avgpool")
    tiny.add("convolutional", {"filters": 2 * width, "activation": "logistic"})
    tiny.add("scale_channels", {"from": 4, "activation": "linear"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("upsample", {"stride": 2})
    tiny.add("convolutional", {"filters": 14, "activation": "linear"})
    tiny.add("yolo", {"classes": 2, "num": 2, "anchors": "3,4,5,6"})
    return tiny


def blobs_of(tiny: TinyNetwork, count: int) -> Floats:
    return np.random.default_rng(count).standard_normal((count, *tiny.blob.shape), np.float32)


# One function per layer type: draw its weights in file order, return its output --------------------------------


def _integer(options: Options, key: str, default: int) -> int:
    return int(str(options.get(key, default)))


def _strides(options: Options) -> tuple[int, int]:
    stride = _integer(options, "stride", 1)
    return tuple(v if (v := _integer(options, key, -1)) >= 1 else stride for key in ("stride_x", "stride_y"))  # type: ignore[return-value]


def _activation(options: Options, default: str) -> str:
    return str(options.get("activation", default))


def _convolutional(tiny: TinyNetwork, options: Options) -> Array:
    filters, size = _integer(options, "filters", 1), _integer(options, "size", 1)
    xnor, antialiasing = bool(options.get("xnor")), _integer(options, "antialiasing", 0)
    groups = 1 if xnor else max(1, _integer(options, "groups", 1))
    stride_x, stride_y = _strides(options)
    arrays = _convolution_arrays(tiny, options, filters, len(tiny.x) // groups, size)
    bias, weights = arrays["biases"].astype(np.float64), arrays["weights"].astype(np.float64)
    window = {
        "stride_x": 1 if antialiasing else stride_x,
        "stride_y": 1 if antialiasing else stride_y,
        "pad": size // 2 if options.get("pad") else _integer(options, "padding", 0),
        "dilation": _integer(options, "dilation", 1) if size > 1 else 1,
    }
    norm = [arrays[name].astype(np.float64) for name in ("scales", "mean", "variance") if name in arrays]
    if xnor and stride_x == stride_y:
        if norm:  # xnor takes the signs and the mean of folded weights
            scales, mean, variance = norm
            factor = scales / np.sqrt(variance + naive.EPSILON)
            weights, bias = weights * factor[:, None, None, None], bias - mean * factor
        y = naive.xnor_convolution(tiny.x, weights, **window) + bias[:, None, None]
    else:
        y = naive.convolution(tiny.x, weights, groups=groups, **window)
        y = naive.batch_norm(y, *norm, bias) if norm else y + bias[:, None, None]
    y = naive.activate(y, _activation(options, "logistic"))
    return naive.blur(y, antialiasing, stride_x, stride_y) if antialiasing else y


def _convolution_arrays(
    tiny: TinyNetwork, options: Options, filters: int, channels: int, size: int
) -> dict[str, Floats]:
    index = len(tiny.outputs)
    if "share_index" in options:
        tiny.convolutions[index] = tiny.convolutions[tiny.absolute(_integer(options, "share_index", 0))]
        return tiny.convolutions[index]
    arrays = {"biases": tiny.draw(filters, scale=0.2)}
    fan_in = channels * size * size
    if options.get("batch_normalize"):
        arrays["scales"] = tiny.draw(filters, low=0.8, high=1.2)
        arrays["mean"] = tiny.draw(filters, scale=0.2)
        arrays["variance"] = tiny.draw(filters, low=0.5, high=1.5)
    if options.get("flipped"):
        stored = tiny.draw(fan_in, filters, scale=fan_in**-0.5)
        arrays["weights"] = stored.T.reshape(filters, channels, size, size)
    else:
        arrays["weights"] = tiny.draw(filters, channels, size, size, scale=fan_in**-0.5)
    tiny.convolutions[index] = arrays
    return arrays


def _connected(tiny: TinyNetwork, options: Options) -> Array:
    outputs, inputs = _integer(options, "output", 1), tiny.x.size
    bias = tiny.draw(outputs, scale=0.2).astype(np.float64)
    weights = tiny.draw(outputs, inputs, scale=inputs**-0.5).astype(np.float64)
    y = naive.connected(tiny.x, weights)
    if options.get("batch_normalize"):
        scales, mean = tiny.draw(outputs, low=0.8, high=1.2), tiny.draw(outputs, scale=0.2)
        variance = tiny.draw(outputs, low=0.5, high=1.5)
        y = naive.batch_norm(y, *(a.astype(np.float64) for a in (scales, mean, variance)), bias)
    else:
        y = y + bias[:, None, None]
    return naive.activate(y, _activation(options, "logistic"))


def _window(options: Options) -> tuple[int, int, int, int]:
    size = _integer(options, "size", _integer(options, "stride", 1))
    return (size, _integer(options, "padding", size - 1), *_strides(options))


def _maxpool(tiny: TinyNetwork, options: Options) -> Array:
    if options.get("maxpool_depth"):
        return naive.maxpool_depth(tiny.x, _integer(options, "out_channels", 1))
    size, padding, stride_x, stride_y = _window(options)
    antialiasing = _integer(options, "antialiasing", 0)
    if antialiasing:
        return naive.blur(naive.maxpool(tiny.x, size, padding, 1, 1), antialiasing, stride_x, stride_y)
    return naive.maxpool(tiny.x, size, padding, stride_x, stride_y)


def _shortcut(tiny: TinyNetwork, options: Options) -> Array:
    others = tiny.referred(options, "from")
    weights = None
    kind = options.get("weights_type", "none")
    if kind != "none":
        width = len(tiny.x) if kind == "per_channel" else 1
        raw = tiny.draw(len(others) + 1, width, low=-0.1, high=1.0).astype(np.float64)
        weights = naive.shortcut_weights(raw, str(options["weights_normalization"]))
    return naive.activate(naive.shortcut(tiny.x, others, weights), _activation(options, "linear"))


def _scale_channels(tiny: TinyNetwork, options: Options) -> Array:
    return naive.activate(
        naive.scale_channels(tiny.x, tiny.referred(options, "from")[0]), _activation(options, "linear")
    )


def _sam(tiny: TinyNetwork, options: Options) -> Array:
    return naive.activate(tiny.x * tiny.referred(options, "from")[0], _activation(options, "linear"))


def _softmax(tiny: TinyNetwork, options: Options) -> Array:
    return naive.softmax(tiny.x, _integer(options, "groups", 1), float(str(options.get("temperature", 1))))


def _scale_x_y(options: Options) -> float:
    return float(str(options.get("scale_x_y", 1)))


_LAYERS: dict[str, Callable[[TinyNetwork, Options], Array]] = {
    "convolutional": _convolutional,
    "connected": _connected,
    "maxpool": _maxpool,
    "local_avgpool": lambda tiny, o: naive.local_avgpool(tiny.x, *_window(o)),
    "avgpool": lambda tiny, o: naive.avgpool(tiny.x),
    "route": lambda tiny, o: naive.route(
        tiny.referred(o, "layers"), _integer(o, "groups", 1), _integer(o, "group_id", 0)
    ),
    "shortcut": _shortcut,
    "scale_channels": _scale_channels,
    "sam": _sam,
    "upsample": lambda tiny, o: naive.upsample(tiny.x, _integer(o, "stride", 2), float(str(o.get("scale", 1)))),
    "reorg": lambda tiny, o: naive.reorg(tiny.x, _integer(o, "stride", 1), bool(o.get("reverse"))),
    "reorg3d": lambda tiny, o: naive.reorg3d(tiny.x, _integer(o, "stride", 1), bool(o.get("reverse"))),
    "dropout": lambda tiny, o: tiny.x,
    "cost": lambda tiny, o: np.zeros_like(tiny.x),
    "softmax": _softmax,
    **OLDER,
    **recurrent_layers.LAYERS,
    "yolo": lambda tiny, o: naive.yolo(tiny.x, _integer(o, "classes", 20), _scale_x_y(o), bool(o.get("new_coords"))),
    "Gaussian_yolo": lambda tiny, o: naive.gaussian_yolo(tiny.x, _integer(o, "classes", 20), _scale_x_y(o)),
    "region": lambda tiny, o: naive.region(tiny.x, _integer(o, "classes", 20), softmax_classes=bool(o.get("softmax"))),
}


def steps_of(plan: Plan, *names: str) -> NDArray[Any]:
    """The records of a plan's steps that are of these operations."""
    numbers = [list(OPERATIONS).index(name) for name in names]
    return plan.table[np.isin(plan.table["operation"], numbers)]


def arguments_of(plan: Plan, steps: NDArray[Any], name: str) -> list[Any]:
    """One argument of each of some steps of one operation."""
    owned = {array.ctypes.data: array for array in plan.constants if array.dtype.names and name in array.dtype.names}
    return [owned[int(at)][name][0].item() for at in steps["arguments"]]
