"""The layer below the Detector: a blob in, head outputs (or any layer) out, in Darknet's layouts."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import OptionError
from darknet_py.graph import Graph, load_graph
from darknet_py.kernels.jit import check_environment
from darknet_py.kernels.transpose import to_pixels, to_planes
from darknet_py.layers import Layer
from darknet_py.plan import Plan, State, make_plan, pack_weights
from darknet_py.plan.algorithms import choose_algorithms
from darknet_py.resizing import Resizing
from darknet_py.threads import execute, physical_cores
from darknet_py.weights import WeightsFile, WeightsSource

__all__ = ["MOST_TOGETHER", "PRECISIONS", "Network", "read_planes", "write_pixels"]

#: Images of a batch that are computed at once: more would gain little and need memory for each.
MOST_TOGETHER = 8

PRECISIONS = ("float32", "bfloat16")

Floats = NDArray[np.float32]

_alive: WeakSet[Network] = WeakSet()


class Network:
    """A Darknet network with its weights.

    Parameters
    ----------
    cfg : str, Path or Graph
        The ``.cfg`` file, or a graph already loaded.
    weights : str, Path or WeightsSource
        The ``.weights`` file, whose size must be exactly what the cfg describes; or what gives a layer its arrays, such
        as `SeededWeights`.
    size : (int, int), optional
        (width, height) to run at instead of the cfg's.
    threads : int, optional
        Threads per run; all physical cores by default. Results do not depend on it.
    exact : bool
        Compute every convolution directly. By default many use Winograd algorithms, which are up to three times as
        fast, take more memory and round differently (by about 1e-5 of a layer's largest value).
    epsilon : float, optional
        Added to batch-norm variances instead of Darknet's 1e-5, to imitate other runtimes.
    precision : str
        ``"float32"``, or ``"bfloat16"``: weights and inputs of convolutions of eight channels or more are rounded to 8
        bits of mantissa and multiplied in pairs, added up in float32. On CPUs with AMX (Xeons from Sapphire Rapids on),
        where the first layer and shortcuts read rounded values too, three times as fast as float32; on others with
        AVX512-BF16 faster on a Zen 4, slower on a Xeon; elsewhere slow.

    Raises
    ------
    CfgError, UnsupportedError, WeightsError, OptionError
    """

    def __init__(
        self,
        cfg: str | Path | Graph,
        weights: str | Path | WeightsSource,
        *,
        size: tuple[int, int] | None = None,
        threads: int | None = None,
        exact: bool = False,
        epsilon: float | None = None,
        precision: str = "float32",
    ) -> None:
        check_environment()
        if precision not in PRECISIONS:
            raise OptionError(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}")
        if threads is not None and threads < 1:
            raise OptionError(f"threads={threads}: expected at least 1")
        self._threads = threads or physical_cores()
        if isinstance(cfg, Graph) and size is not None and size != (cfg.blob.w, cfg.blob.h):
            raise OptionError(f"size={size} beside a graph of {cfg.blob.w}x{cfg.blob.h}: give it to load_graph")
        self.graph = cfg if isinstance(cfg, Graph) else load_graph(cfg, size)
        source = WeightsFile(weights, self.graph) if isinstance(weights, str | Path) else weights
        self.precision = precision
        self.algorithms = choose_algorithms(self.graph, exact, precision)
        self._weights = pack_weights(self.graph, source, self.algorithms, self.threads, epsilon, precision)
        self.plan = make_plan(self.graph, self._weights, threads=self.threads)
        self._plans = {1: self.plan}
        self._states: dict[int, list[State]] = {}
        self._tapped: dict[frozenset[int], Plan] = {}
        self._lock = threading.Lock()
        _alive.add(self)

    @property
    def threads(self) -> int:
        """Threads per run."""
        return self._threads

    @property
    def heads(self) -> tuple[Layer, ...]:
        """Layers that boxes are decoded from, in cfg order."""
        return self.graph.heads

    def acquire(self, images: int = 1) -> State:
        """Buffers for a run on `images` images; give them back with `release`. Concurrent calls get different ones."""
        with self._lock:
            free = self._states.setdefault(images, [])
            if free:
                return free.pop()
            if images not in self._plans:
                self._plans[images] = make_plan(self.graph, self._weights, images=images, threads=self.threads)
            plan = self._plans[images]
        return State(plan)

    def release(self, state: State) -> None:
        """Return buffers for the next run; of those for several images only the last ones are kept.

        Not those of a run that an exception ended: helpers may still be at work in them.
        """
        images = state.plan.images
        with self._lock:
            if images > 1:
                self._states = {count: free for count, free in self._states.items() if count in (1, images)}
            self._states.setdefault(images, []).append(state)

    def forward(self, state: State, resizings: Sequence[Resizing] = ()) -> None:
        """Run the network on what was written to ``state.blobs``, (H, W, C) each, and what `resizings` will write."""
        state.resize_first(resizings)
        execute(state)
        state.resize_first(())  # pictures need not outlive the run

    @overload
    def run(self, blob: Any, taps: None = None) -> list[Floats]: ...
    @overload
    def run(self, blob: Any, taps: Sequence[int]) -> dict[int, Floats]: ...
    def run(self, blob: Any, taps: Sequence[int] | None = None) -> list[Floats] | dict[int, Floats]:
        """Run the network on a prepared blob.

        Parameters
        ----------
        blob : ndarray, shape (C, H, W) or (N, C, H, W), float32, RGB in [0, 1]
        taps : sequence of int, optional
            Layers to return; negative ones count from the last.

        Returns
        -------
        list of ndarray
            Without `taps`: the output of every head in cfg order, or of the last layer if there is none, in Darknet's
            layout: (C, H, W) for yolo, (H, W, C) for region (which Darknet stores cell by cell).
        dict of int to ndarray
            With `taps`: layer index, as given, → (C, H, W) output.

        A batch adds a leading axis N to every array.

        Raises
        ------
        OptionError
            If the blob's shape or dtype is not the network's, or a tap names no layer.
        """
        array = np.asarray(blob)
        self.check_blob(array)
        if array.ndim == 3:
            return self._run_together(array[None])[0] if taps is None else self._run_tapped(array, taps)
        if not len(array):  # as many results as ever, with no entry
            zeros = np.zeros(tuple(self.graph.blob), np.float32)
            if taps is None:
                return [output[None][:0] for output in self._run_together(zeros[None])[0]]
            return {tap: output[None][:0] for tap, output in self._run_tapped(zeros, taps).items()}
        if taps is None:
            parts = [array[first : first + MOST_TOGETHER] for first in range(0, len(array), MOST_TOGETHER)]
            each = [outputs for part in parts for outputs in self._run_together(part)]
            return [np.stack(column) for column in zip(*each, strict=True)]
        tapped = [self._run_tapped(one, taps) for one in array]
        return {tap: np.stack([one[tap] for one in tapped]) for tap in taps}

    def check_blob(self, blob: NDArray[Any], *, batch: bool = True) -> None:
        """Raise OptionError unless `blob` has the network's shape and dtype."""
        expected = tuple(self.graph.blob)
        if blob.ndim not in ((3, 4) if batch else (3,)) or blob.shape[-3:] != expected or blob.dtype != np.float32:
            raise OptionError(
                f"blob of shape {blob.shape} and dtype {blob.dtype}: expected {expected}"
                f"{f' or (N, {expected[0]}, {expected[1]}, {expected[2]})' if batch else ''}, float32 (C, H, W)"
            )

    def _run_together(self, blobs: Floats) -> list[list[Floats]]:
        """The outputs of each of some blobs (N, C, H, W)."""
        state = self.acquire(len(blobs))
        for target, blob in zip(state.blobs, blobs, strict=True):
            write_pixels(blob, target)
        self.forward(state)
        layers = self.heads or (self.graph.output,)
        outputs = [
            [_darknet_layout(layer, state.output(layer.index, image)) for layer in layers]
            for image in range(len(blobs))
        ]
        self.release(state)
        return outputs

    def _run_tapped(self, blob: Floats, taps: Sequence[int]) -> dict[int, Floats]:
        count = len(self.graph.layers)
        for tap in taps:
            if not -count <= tap < count:
                raise OptionError(f"tap {tap}: expected a layer from {-count} to {count - 1}")
        kept = frozenset(tap % count for tap in taps)
        plan = self._tapped.get(kept)
        if plan is None:
            plan = self._tapped[kept] = make_plan(self.graph, self._weights, kept, threads=self.threads)
        state = State(plan)
        write_pixels(blob, state.blob)
        self.forward(state)
        return {tap: read_planes(state.output(tap % count)) for tap in taps}


def write_pixels(blob: Floats, target: Floats) -> None:
    """Copy a blob (C, H, W) to `target` (H, W, C), which may be a view with gaps between its pixels and rows."""
    height, width, channels = target.shape
    row, pixel, _ = target.strides
    blob = np.ascontiguousarray(blob)
    to_pixels(blob.ctypes.data, channels, height, width, target.ctypes.data, pixel, row)


def read_planes(output: Floats) -> Floats:
    """A copy of an (H, W, C) output as (C, H, W)."""
    height, width, channels = output.shape
    row, pixel, _ = output.strides
    planes = np.empty((channels, height, width), np.float32)
    to_planes(output.ctypes.data, pixel, row, channels, height, width, planes.ctypes.data)
    return planes


def _darknet_layout(layer: Layer, output: Floats) -> Floats:
    return output.copy() if layer.kind == "region" else read_planes(output)


def _after_fork() -> None:
    """A forked child may have copied buffers with a helper in them, or a lock that another thread held."""
    for network in _alive:
        network._lock = threading.Lock()
        network._states = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
