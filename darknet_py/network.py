"""The layer below the Detector: a blob in, head outputs (or any layer) out, in Darknet's layouts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from darknet_py.arguments import (
    MOST_THREADS,
    PRECISIONS,
    as_choice,
    as_flag,
    as_integer,
    as_number,
    as_path,
    as_size,
    lasting_path,
    short,
)
from darknet_py.errors import OptionError
from darknet_py.graph import Graph, load_graph
from darknet_py.kernels.jit import check_environment
from darknet_py.layers import Head
from darknet_py.plan.guard import run_guarded
from darknet_py.plan.memory import check_guard
from darknet_py.plan.packing import pack_weights
from darknet_py.plan.pool import Pool
from darknet_py.plan.program import Plan
from darknet_py.plan.state import FirstStep, State
from darknet_py.planes import read_planes, write_pixels
from darknet_py.session import Session, forget
from darknet_py.threads import execute, physical_cores
from darknet_py.tuning import choose_algorithms
from darknet_py.weights import WeightsFile, WeightsSource

__all__ = ["MOST_TOGETHER", "Network"]

#: Images of a batch that are computed at once: more would gain little and need memory for each.
MOST_TOGETHER = 8

Floats = NDArray[np.float32]


class Network:
    """A Darknet network with its weights.

    Parameters
    ----------
    cfg : str, Path or Graph
        The ``.cfg`` file, the name of a shipped one ("yolov4"), or a graph already loaded.
    weights : str, Path or WeightsSource
        The ``.weights`` file, whose size must be exactly what the cfg describes; or what gives a layer its arrays, such
        as `SeededWeights`.
    size : (int, int) or int, optional
        (width, height) to run at instead of the cfg's, or one number for a square.
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

    Notes
    -----
    Pickled, sent to another process or copied, it travels as its files' paths and its options, and loads the files
    again at the other end; a graph or seeded weights travel themselves.
    """

    def __init__(
        self,
        cfg: str | Path | Graph,
        weights: str | Path | WeightsSource,
        *,
        size: tuple[int, int] | int | None = None,
        threads: int | None = None,
        exact: bool = False,
        epsilon: float | None = None,
        precision: str = "float32",
    ) -> None:
        check_environment()
        check_guard()
        precision = as_choice("precision", precision, PRECISIONS)
        threads = None if threads is None else as_integer("threads", threads, low=1, high=MOST_THREADS)
        cores = physical_cores()
        self._threads = threads or cores
        size = None if size is None else as_size("size", size)
        if isinstance(cfg, Graph) and size not in (None, (cfg.blob.w, cfg.blob.h)):
            raise OptionError(f"size={size} beside a graph of {cfg.blob.w}x{cfg.blob.h}: give it to load_graph")
        exact = as_flag("exact", exact)
        epsilon = None if epsilon is None else as_number("epsilon", epsilon, high=1)
        self.graph = cfg if isinstance(cfg, Graph) else load_graph(cfg, size)
        source = _open(weights, self.graph)
        self._weights_name = source.path.name if isinstance(source, WeightsFile) else "seeded weights"
        self._files = lasting_path(cfg), lasting_path(weights)
        #: As asked for: another machine has other cores.
        self._options: dict[str, Any] = {
            "size": size, "threads": threads, "exact": exact, "epsilon": epsilon, "precision": precision,
        }  # fmt: skip
        self.precision = precision
        self.algorithms = choose_algorithms(self.graph, exact, precision)
        packed = pack_weights(self.graph, source, self.algorithms, self.threads, epsilon, precision)
        self._pool = Pool(self.graph, packed, self.threads, max(1, cores // self.threads))

    def __repr__(self) -> str:
        return f"Network({self.description}, {len(self.graph.layers)} layers)"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._options), self._files

    @property
    def files(self) -> tuple[Any, Any]:
        """The cfg and the weights it was made of, as they were given; paths are absolute."""
        return self._files

    @property
    def exact(self) -> bool:
        """Whether all convolutions are direct."""
        return bool(self._options["exact"])

    @property
    def description(self) -> str:
        """What it was made of and how it runs, in some words."""
        blob, options = self.graph.blob, self._options
        shown = [f"{name}={options[name]!r}" for name in ("exact", "epsilon") if options[name]]
        shown += [f"precision={self.precision!r}"] if self.precision != "float32" else []
        return ", ".join(
            [f"{self.graph.name} with {self._weights_name}", f"{blob.w}x{blob.h}", f"threads={self.threads}", *shown]
        )

    @property
    def plan(self) -> Plan:
        """How a run on one image goes."""
        return self._pool.plan

    @property
    def threads(self) -> int:
        """Threads per run."""
        return self._threads

    @property
    def heads(self) -> tuple[Head, ...]:
        """Layers that boxes are decoded from, in cfg order."""
        return self.graph.heads

    def acquire(self, images: int = 1) -> State:
        """Buffers for a run on `images` images; give them back with `release`. Concurrent calls get different ones."""
        return self._pool.acquire(images)

    def release(self, state: State) -> None:
        """Return buffers for the next run; those that are of no use to anybody are not kept.

        Of those for several images only the last ones are, and of all as many as were used at once of late (see
        `Need`): a crowd of 40 threads would leave 4 GB for good of yolov4 at 608. Not to be called with those of a run
        that an exception ended: helpers may still be at work in them.
        """
        self._pool.release(state)

    def session(self, images: int = 1) -> Session:
        """What remembers one run for the next, for recurrent layers: of one stream, or of several side by side."""
        return Session(self, images)

    def forward(
        self, state: State, resizings: Sequence[FirstStep] = (), session: Session | None = None, first: int = 0
    ) -> None:
        """Run the network on what was written to ``state.blobs``, (H, W, C) each, and what `resizings` will write.

        After the runs before, of the streams of a session from `first` on; without one, as if there had been none.
        """
        if session is None:
            forget(state)
        else:
            session.put_into(state, first)
        state.resize_first(resizings)
        if state.plan.layout is None:
            execute(state)
        else:
            run_guarded(state, state.plan.layout, execute)
        state.resize_first(())  # pictures need not outlive the run
        if session is not None:
            session.take_from(state, first)

    @overload
    def run(self, blob: Any, taps: None = None, *, session: Session | None = None) -> list[Floats]: ...
    @overload
    def run(self, blob: Any, taps: Sequence[int], *, session: Session | None = None) -> dict[int, Floats]: ...
    def run(
        self, blob: Any, taps: Sequence[int] | None = None, *, session: Session | None = None
    ) -> list[Floats] | dict[int, Floats]:
        """Run the network on a prepared blob.

        Parameters
        ----------
        blob : ndarray, shape (C, H, W) or (N, C, H, W), float32, RGB in [0, 1]
            Of a network that reads no pictures (``inputs=`` in the cfg) also (C,) or (N, C).
        taps : sequence of int, optional
            Layers to return; negative ones count from the last.
        session : Session, optional
            Of this network: go on from the run before. Without one no run knows of another, and recurrent layers
            begin with zeros in each. `Session.run_sequence` runs a whole sequence.

        Returns
        -------
        list of ndarray
            Without `taps`: the output (C, H, W) of every head in cfg order, or of the last layer if there is none.
        dict of int to ndarray
            With `taps`: layer index, as given, → output (C, H, W).

        A batch adds a leading axis N to every array. Every layer has this one layout, which is Darknet's own, but for
        [region]: of that Darknet's memory is ``output.transpose(1, 2, 0).ravel()``, cell by cell.

        Raises
        ------
        OptionError
            If the blob's shape or dtype is not the network's, or a tap names no layer; if the session is another
            network's, follows another number of images, or is at work in another thread.
        """
        array = self.check_blob(blob)
        wanted = None if taps is None else self._check_taps(taps)
        if session is None:
            return self._run(array, wanted, None)
        session.check(self, 1 if array.ndim == 3 else len(array))
        with session.in_use():
            return self._run(array, wanted, session)

    def _run(
        self, array: Floats, taps: Sequence[int] | None, session: Session | None
    ) -> list[Floats] | dict[int, Floats]:
        if array.ndim == 3:
            if taps is None:
                return self._run_together(array[None], session)[0]
            return self._run_tapped(array, taps, session)
        if not len(array):  # as many results as ever, with no entry
            zeros = np.zeros(tuple(self.graph.blob), np.float32)
            if taps is None:
                return [output[None][:0] for output in self._run_together(zeros[None])[0]]
            return {tap: output[None][:0] for tap, output in self._run_tapped(zeros, taps).items()}
        if taps is None:
            firsts = range(0, len(array), MOST_TOGETHER)
            parts = [self._run_together(array[first : first + MOST_TOGETHER], session, first) for first in firsts]
            return [np.stack(column) for column in zip(*(outputs for part in parts for outputs in part), strict=True)]
        tapped = [self._run_tapped(one, taps, session, first) for first, one in enumerate(array)]
        return {tap: np.stack([one[tap] for one in tapped]) for tap in taps}

    def check_blob(self, blob: Any, *, batch: bool = True) -> Floats:
        """The blob as an array (C, H, W) or, where a `batch` is welcome, (N, C, H, W); without, N may be 1.

        Raises
        ------
        OptionError
            If it has not the network's shape and dtype.
        """
        expected = tuple(self.graph.blob)
        try:
            array: Floats = np.asarray(blob)
        except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors of another device
            raise OptionError(
                f"blob of type {type(blob).__name__} is no array ({error}): expected {expected}"
            ) from error
        shape = array.shape
        if expected[1:] == (1, 1) and 1 <= array.ndim <= 2:
            array = array[..., None, None]
        fits = array.ndim == 3 or (array.ndim == 4 and (batch or len(array) == 1))
        if not fits or array.shape[-3:] != expected or array.dtype != np.float32:
            several = f"({'N' if batch else '1'}, {expected[0]}, {expected[1]}, {expected[2]})"
            raise OptionError(
                f"blob of shape {shape} and dtype {array.dtype}: expected {expected} or {several}, float32 (C, H, W)"
            )
        return array if batch else array.reshape(expected)

    def _check_taps(self, taps: Any) -> tuple[int, ...]:
        count = len(self.graph.layers)
        try:
            wanted = tuple(as_integer("tap", tap) for tap in taps)
        except (OptionError, TypeError):
            raise OptionError(f"taps={short(taps)}: expected a list of layers, such as [0, -1]") from None
        for tap in wanted:
            if not -count <= tap < count:
                raise OptionError(f"tap {short(tap)}: expected a layer from {-count} to {count - 1}")
        return wanted

    def _run_together(self, blobs: Floats, session: Session | None = None, first: int = 0) -> list[list[Floats]]:
        """The outputs of each of some blobs (N, C, H, W), which are those of a session from `first` on."""
        state = self.acquire(len(blobs))
        for target, blob in zip(state.blobs, blobs, strict=True):
            write_pixels(blob, target)
        self.forward(state, (), session, first)
        layers = self.heads or (self.graph.output,)
        outputs = [[read_planes(state.output(layer.index, image)) for layer in layers] for image in range(len(blobs))]
        self.release(state)
        return outputs

    def _run_tapped(
        self, blob: Floats, taps: Sequence[int], session: Session | None = None, first: int = 0
    ) -> dict[int, Floats]:
        count = len(self.graph.layers)
        state = State(self._pool.tapped(frozenset(tap % count for tap in taps)))
        write_pixels(blob, state.blob)
        self.forward(state, (), session, first)
        return {tap: read_planes(state.output(tap % count)) for tap in taps}


def _open(weights: Any, graph: Graph) -> WeightsSource:
    if hasattr(weights, "arrays"):
        return weights  # type: ignore[no-any-return]
    return WeightsFile(as_path("weights", weights, "the path of a .weights file, or SeededWeights"), graph)
