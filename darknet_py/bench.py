"""Measuring: time per inference, per layer, and the machine's own peak to compare with.

Load, compilation (or its cache) and inference are timed apart; medians after a warm-up.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from darknet_py.graph import Graph
from darknet_py.kernels.ops import operation_of
from darknet_py.kernels.target import cpu_name
from darknet_py.kernels.tiles.peak import FLOPS_PER_ROUND, multiply_registers
from darknet_py.layers import Convolutional, Layer
from darknet_py.network import Network
from darknet_py.threads import execute, physical_cores
from darknet_py.tuning import measured_alternatives
from darknet_py.weights import SeededWeights

__all__ = ["LayerTime", "Measurement", "describe_machine", "measure", "measure_layers", "measure_peak"]

_PEAK_ROUNDS = 2_000_000

#: Operations that serve another of the same layer; what others are called in tables.
_CONVERSIONS = ("convert", "round_image", "clear_border")
_ALGORITHMS = {"convolve": "direct", "convolve_matrix": "matrix"}


@dataclass(frozen=True)
class Measurement:
    """One network on one number of threads; seconds, and GFLOP/s of the direct algorithm's work."""

    model: str
    size: str
    threads: int
    prepare: float
    load: float
    first: float
    median: float
    fastest: float
    slowest: float
    gflops: float
    peak_share: float

    @property
    def fps(self) -> float:
        return 1 / self.median

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "fps": self.fps}


@dataclass(frozen=True)
class LayerTime:
    """Median seconds of all steps of one layer; `flops` of the direct algorithm's work.

    `alternatives` is what each algorithm took when the choice was measured, by itself on one thread.
    """

    layer: int
    kind: str
    algorithm: str
    shape: str
    seconds: float
    flops: float
    alternatives: dict[str, float]


def describe_machine() -> str:
    """Processor and physical cores, for the head of a table."""
    return f"{cpu_name()}, {physical_cores()} cores, {platform.system()}, Python {platform.python_version()}"


def measure_peak(threads: int) -> float:
    """GFLOP/s of fused multiply-adds on registers, `threads` at once: the best of several tries."""
    multiply_registers(1000)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(7):
            start = time.perf_counter()
            list(pool.map(multiply_registers, [_PEAK_ROUNDS] * threads))
            best = max(best, threads * _PEAK_ROUNDS * FLOPS_PER_ROUND / (time.perf_counter() - start) / 1e9)
    return best


def measure(
    graph: Graph,
    weights: str | SeededWeights,
    threads: int,
    repeat: int,
    peak: float,
    progress: Callable[[], None] = lambda: None,
    precision: str = "float32",
) -> tuple[Network, Measurement]:
    """Load a network and time `repeat` runs of its forward pass.

    `prepare` is how much longer the first load and run of the process take: kernels are compiled or taken from the
    cache, convolution algorithms measured. `load` and `first` are those of a second network.
    """

    def load_network() -> Network:
        return Network(graph, weights, threads=threads, precision=precision)

    prepare = _timed(lambda: _run_once(load_network()))
    start = time.perf_counter()
    network = load_network()
    load = time.perf_counter() - start
    state = network.acquire()
    state.blob[:] = np.random.default_rng(0).random(state.blob.shape, np.float32)
    first = _timed(lambda: network.forward(state))
    prepare = max(0.0, prepare - load - first)
    for _ in range(2):
        network.forward(state)
    times = []
    for _ in range(repeat):
        times.append(_timed(lambda: network.forward(state)))
        progress()
    network.release(state)
    median = statistics.median(times)
    gflops = graph.bflops / median
    size = f"{graph.blob.w}x{graph.blob.h}"
    return network, Measurement(
        graph.name, size, threads, prepare, load, first, median, min(times), max(times), gflops, gflops / peak
    )


def _run_once(network: Network) -> None:
    network.forward(network.acquire())


def measure_layers(network: Network, repeat: int) -> list[LayerTime]:
    """Time every step of a network's plan by itself, in order, the way it runs, and add up each layer's."""
    state = network.acquire()
    execute(state)
    parts = [state.only(number) for number in range(len(state.steps))]
    times: list[list[float]] = [[] for _ in parts]
    for _ in range(repeat):
        for part, seconds in zip(parts, times, strict=True):
            seconds.append(_timed(lambda part=part: execute(part)))  # type: ignore[misc]
    network.release(state)
    totals: dict[int, float] = {}
    names: dict[int, str] = {}
    chains: dict[int, list[int]] = {}
    for number, (row, seconds) in enumerate(zip(state.steps, times, strict=True)):
        if row["tasks"] == 0:  # the place for a picture
            continue
        index = int(row["layer"])
        totals[index] = totals.get(index, 0.0) + statistics.median(seconds)
        name, layers = operation_of(int(row["operation"])).name, state.plan.layers[number]
        if len(layers) > 1:
            chains[index] = sorted(set(layers))
        # A convolution's time includes converting its input, if nobody did before.
        if name not in _CONVERSIONS:
            names.setdefault(index, name)
    # Only a conversion is left of a convolution that a chain computes otherwise.
    return [_describe(network, index, names.get(index, ""), seconds, chains) for index, seconds in totals.items()]


def _describe(network: Network, index: int, name: str, seconds: float, chains: dict[int, list[int]]) -> LayerTime:
    layer = network.graph.layers[index]
    if index in chains:
        links = [network.graph.layers[link] for link in chains[index]]
        flops = sum(link.bflops * 1e9 for link in links)
        return LayerTime(index, f"layers {links[0].index}-{index}", "chain", _size(layer), seconds, flops, {})
    if not name:
        return LayerTime(index, "rounding", "round", _size(layer), seconds, 0.0, {})
    algorithm = network.algorithms.get(index, _ALGORITHMS.get(name, name))
    alternatives: dict[str, float] = {}
    kind, flops = layer.kind, 0.0
    convolution = {one.index: one for one in network.graph.of_type(Convolutional)}.get(index)
    if convolution is not None:
        flops = layer.bflops * 1e9
        kind += f" {convolution.size}x{convolution.size}/{convolution.stride_x}"
        alternatives = measured_alternatives(convolution, network.precision)
    return LayerTime(index, kind, algorithm, _size(layer), seconds, flops, alternatives)


def _size(layer: Layer) -> str:
    return f"{layer.shape.w}x{layer.shape.h}x{layer.shape.c}"


def _timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
