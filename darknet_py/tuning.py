"""Which algorithm computes each convolution: measured on this machine once, by running plans of one layer.

Above `plan`, which carries out what is chosen. Timings are taken on one thread, so that the choice, and with it every
bit of a result, does not depend on threads.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from darknet_py.cache.timings import read_timings, write_timings
from darknet_py.errors import OptionError
from darknet_py.graph import Graph
from darknet_py.kernels.jit import LANES, MATRIX_TILES, cache_layers
from darknet_py.kernels.ops.step import BLOCK
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.kernels.tiles.register import BLOCKS
from darknet_py.kernels.vector.formats import FLOAT32
from darknet_py.layers import Convolutional
from darknet_py.plan.algorithms import DIRECT, choose_fastest, extra_budget, fits
from darknet_py.plan.blocks import Packed
from darknet_py.plan.memory import aligned
from darknet_py.plan.packing import PackedWeights, multiplied_in
from darknet_py.plan.plan import make_plan
from darknet_py.plan.state import State
from darknet_py.threads import execute

__all__ = [
    "choose_algorithms",
    "forget_timings",
    "known_timings",
    "measured_alternatives",
]

_log = logging.getLogger(__name__)

#: Names the algorithms to use, first that fits, instead of measuring: "direct", "F4,F2,S2", ...
_PIN = "DARKNET_PY_CONVOLUTION"

#: Layers of less work (0.1 ms) are computed directly: no algorithm gains what measuring it would cost.
_SMALLEST_BFLOPS = 0.025

#: Algorithms that keep their accuracy in bfloat16: the transforms of the others have coefficients up to 8, which
#: multiply the error of rounding (see `cook_toom`). The lean ones would have to derive weights that are rounded. Matrix
#: tiles have no need of any.
_ROUNDED = () if MATRIX_TILES else ("F2", "S2")

#: Runs of each algorithm: more than the least while its fastest two differ by more than `_SETTLED`, as they do beside
#: other work (a choice from four runs beside a test suite made yolov4 at 416 8 % slower), and no more of one that takes
#: `_BEHIND` times as long as another.
_ROUNDS, _MOST_ROUNDS = 4, 16
_SETTLED = 1.03
_BEHIND = 1.3
_WIDE = BLOCKS * LANES
#: Read between two timings, so that weights come from memory as they do inside a network.
_FLUSH_FLOATS = 10 << 20

#: Seconds by shape and algorithm.
Timings = dict[str, dict[str, float]]

#: What this process measured: where nothing can be cached, its networks still agree with each other.
_measured: Timings = {}

#: Shapes to be measured again although a folder that cannot be written knows them.
_forgotten: set[str] = set()


def _fitting(layer: Convolutional, precision: str) -> list[str]:
    """The Winograd algorithms that can compute this convolution."""
    names = ALGORITHMS if multiplied_in(layer, precision) is FLOAT32 else _ROUNDED
    return [name for name in names if fits(layer, name)]


def choose_algorithms(graph: Graph, exact: bool = False, precision: str = "float32") -> dict[int, str]:
    """Winograd algorithm by layer index; layers that are not listed are computed directly.

    Parameters
    ----------
    graph : Graph
    exact : bool
        Only direct algorithms.
    precision : str
        float32 or bfloat16.

    Notes
    -----
    Timings are cached beside the compiled kernels: the choice is the same for every process that finds them.
    ``DARKNET_PY_CONVOLUTION`` (such as ``direct`` or ``F4,F2,S2``) replaces measuring.
    """
    layers = _candidates(graph, precision)
    if exact or not layers:
        return {}
    pinned = os.environ.get(_PIN)
    if pinned:
        return _pinned(layers, pinned.split(","), precision)
    timings = _timings(layers, precision)
    costs = {layer: timings[_key(layer, precision)] for layer in layers}
    value_bytes = {layer: multiplied_in(layer, precision).value_bytes for layer in layers}
    return choose_fastest(costs, value_bytes, extra_budget(graph))


def _candidates(graph: Graph, precision: str) -> list[Convolutional]:
    """The convolutions for which there is a choice."""
    convolutions = graph.of_type(Convolutional)
    shared = {layer.share for layer in convolutions}
    return [
        layer
        for layer in convolutions
        if layer.index not in shared and layer.bflops >= _SMALLEST_BFLOPS and _fitting(layer, precision)
    ]


def forget_timings(graph: Graph, precision: str = "float32") -> None:
    """Drop what was measured for the layers of a graph: the next network of these shapes is measured again."""
    keys = {_key(layer, precision) for layer in _candidates(graph, precision)}
    for key in keys & _measured.keys():
        del _measured[key]
    _forgotten.update(keys)
    _store(known_timings())


def _pinned(layers: list[Convolutional], names: list[str], precision: str) -> dict[int, str]:
    unknown = [name for name in names if name not in ALGORITHMS and name != DIRECT]
    if unknown:
        raise OptionError(f"{_PIN}={','.join(names)}: expected names out of {DIRECT}, {', '.join(ALGORITHMS)}")
    chosen = {}
    for layer in layers:
        fitting = [name for name in names if name in _fitting(layer, precision)]
        if fitting:
            chosen[layer.index] = fitting[0]
    return chosen


# Measuring ----------------------------------------------------------------------------------------------------


def _key(layer: Convolutional, precision: str) -> str:
    c, h, w = layer.in_shape
    shape = f"{c}x{h}x{w} {layer.filters} /{layer.stride_x} pad {layer.pad} {layer.activation}"
    format = multiplied_in(layer, precision)
    return shape if format is FLOAT32 else f"{shape} {format.name}"


def known_timings() -> Timings:
    """Seconds by shape and algorithm measured so far, as cached; what was measured last counts."""
    found: Timings = {}
    for layer in cache_layers().readable:
        found |= read_timings(layer, {DIRECT, *ALGORITHMS}, DIRECT)
    return {key: timings for key, timings in found.items() if key not in _forgotten}


def measured_alternatives(layer: Convolutional, precision: str = "float32") -> dict[str, float]:
    """Seconds that each algorithm took on this layer's shape; empty if it was never measured."""
    return known_timings().get(_key(layer, precision), {})


def _timings(layers: list[Convolutional], precision: str) -> Timings:
    known = known_timings() | _measured
    keys = {_key(layer, precision): layer for layer in layers}
    missing = {key: layer for key, layer in keys.items() if key not in known}
    if missing:
        _log.info("measuring convolution algorithms for %d shapes of layers (once on this machine)", len(missing))
        _measured.update(_measure(missing, precision))
        known |= _measured
        _forgotten.difference_update(missing)
        _store(known | known_timings() | {key: _measured[key] for key in missing})  # others measure, too
    return known


def _store(timings: Timings) -> None:
    layer = cache_layers().writable
    if layer is not None:
        write_timings(layer, timings)


def _measure(layers: Mapping[str, Convolutional], precision: str) -> Timings:
    """Time every algorithm on every shape, round by round over all of them, and keep the fastest run of each."""
    names = {key: [DIRECT, *_fitting(layer, precision)] for key, layer in layers.items()}
    largest = max(_weight_floats(layer, name) for key, layer in layers.items() for name in names[key])
    pool = aligned(largest)
    pool[:] = 0.01  # as a pair of bfloat16 another small number, and an ordinary one
    flush = np.ones(_FLUSH_FLOATS, np.float32)
    times: dict[str, dict[str, list[float]]] = {}
    for key, layer in layers.items():
        trials = {name: _trial(layer, name, pool, precision) for name in names[key]}
        found = times[key] = {name: [] for name in trials}
        for number in range(_MOST_ROUNDS + 1):
            for name, state in trials.items():
                flush.sum()
                start = time.perf_counter()
                execute(state)
                if number:  # the first run brings memory in
                    found[name].append(time.perf_counter() - start)
            if number:
                fastest = min(map(min, found.values()))
                trials = {name: state for name, state in trials.items() if min(found[name]) <= _BEHIND * fastest}
            if number >= _ROUNDS and all(_is_settled(found[name]) for name in trials):
                break
    return {key: {name: min(seconds) for name, seconds in options.items()} for key, options in times.items()}


def _is_settled(seconds: list[float]) -> bool:
    fastest, second = sorted(seconds)[:2]
    return second <= _SETTLED * fastest


def _weight_floats(layer: Convolutional, name: str) -> int:
    return _panels(name) * layer.in_shape.c * (-(-layer.filters // LANES) + 1) * LANES


def _panels(name: str) -> int:
    return 9 if name == DIRECT else ALGORITHMS[name].panels


def _trial(layer: Convolutional, name: str, pool: NDArray[np.float32], precision: str) -> State:
    """A network of this layer alone, its weights somewhere in `pool`."""
    alone = dataclasses.replace(layer, index=0, inputs=(-1,))
    graph = Graph(layer.where, layer.in_shape, False, (alone,))
    counts = [min(_WIDE, layer.filters - first) for first in range(0, layer.filters, _WIDE)]
    table = np.zeros(len(counts), BLOCK)
    lane = 0
    format = multiplied_in(layer, precision)
    run = layer.in_shape.c // format.joined
    for row, count in zip(table, counts, strict=True):
        row["y"], row["count"] = lane, count
        row["weights"], row["bias"] = pool.ctypes.data + 4 * run * _panels(name) * lane, pool.ctypes.data
        lane += _WIDE if count > LANES else LANES
    algorithm = "" if name == DIRECT else name
    packed = Packed(table, (pool,), run, 3, 3, algorithm, format)
    return State(make_plan(graph, PackedWeights({0: packed}, {})))
