"""``darknet-py warmup``: compile what a model needs ahead of its first picture."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from typing import Any

import click
import numpy as np

from darknet_py.cfg import parse_cfg
from darknet_py.cli.model import choose_model, model_option
from darknet_py.cli.options import THREADS, precision_option, size_option
from darknet_py.detector import Detector
from darknet_py.graph import Graph, build_graph, load_graph
from darknet_py.kernels.call import kernel_address
from darknet_py.kernels.jit import cache_directory, cache_layers
from darknet_py.kernels.ops import OPERATIONS
from darknet_py.layers import Layer
from darknet_py.network import Network
from darknet_py.pictures.blob import to_blob
from darknet_py.shipped import resolve_cfg, shipped_models
from darknet_py.threads import physical_cores
from darknet_py.tuning import forget_timings
from darknet_py.weights import SeededWeights

__all__ = ["announce_compiling", "load_kernels", "warm_all", "warmup"]

#: A network of one cell and one anchor, with the head that is to be compiled.
_STAND_IN = """
[net]
width=32
height=32
channels=3
[convolutional]
filters={filters}
size=3
pad=1
stride=32
batch_normalize=1
[{kind}]
classes=2
{options}
"""

#: Channels and options of such a head, where they are not those of a [yolo].
_STAND_IN_HEADS = {"Gaussian_yolo": (11, "anchors=8,8"), "detection": (7, "coords=4\nside=1")}


@click.command()
@click.argument("cfg", required=False)
@model_option
@size_option
@click.option("--threads", type=THREADS, help="Threads of the trial run.  [default: all physical cores]")
@precision_option
@click.option("--again", is_flag=True, help="Measure algorithms anew: earlier, the machine may have been busy.")
@click.option("--all", "every", is_flag=True, help="All models that ship; several processes compile side by side.")
@click.pass_context
def warmup(
    ctx: click.Context,
    cfg: str | None,
    model: str | None,
    offline: bool,
    size: tuple[int, int] | None,
    threads: int | None,
    precision: str,
    again: bool,
    every: bool,
) -> None:
    """Compile all that CFG needs and keep it in the cache.

    Also finds out which algorithms are fastest for it on this machine. Afterwards the first picture takes as long as
    any other: run this once when installing, or while building a container image. DARKNET_PY_CACHE_DIR chooses where
    the cache is.

    \b
    Examples:
      darknet-py warmup yolov4
      darknet-py warmup --model yolo-fastest-1.1
      darknet-py warmup --all
      DARKNET_PY_CACHE_DIR=/opt/darknet-cache darknet-py warmup my.cfg
    """
    if every:
        if cfg is not None or model is not None or size is not None or threads is not None:
            raise click.UsageError("--all takes every model as it is: give no CFG, --model, --size or --threads", ctx)
        warm_all(precision, again)
        return
    chosen = choose_model(ctx, cfg, None, model, offline)
    announce_compiling()
    graph = load_graph(chosen.cfg, size)
    if again:
        forget_timings(graph, precision)
    before = _cached_kernels()
    start = time.perf_counter()
    load_kernels(graph)
    trial = _Trial(graph, threads, precision)
    trial.run()
    first = time.perf_counter() - start
    between = _cached_kernels()
    start = time.perf_counter()
    trial.run()
    second = time.perf_counter() - start
    new, late = len(between - before), len(_cached_kernels() - between)
    _echo_cache()
    click.echo(f"first call   {first:.2f} s, {new} kernels compiled" + ("" if new else " (all were in the cache)"))
    click.echo(f"second call  {second:.2f} s, {late or 'nothing'} compiled")


class _Trial:
    """The model itself on random weights, fed with a blob, and with pictures of its own size and of another."""

    def __init__(self, graph: Graph, threads: int | None, precision: str) -> None:
        _, height, width = graph.blob
        random = np.random.default_rng(0)
        shapes = ((height, width, 3), (height // 2 + 1, width // 2 + 1, 3))
        self._pictures = [random.integers(0, 256, shape, np.uint8) for shape in shapes]
        weights = _ReadOnlyWeights(graph)
        has_pictures = graph.heads and graph.blob.c in (1, 3)
        self._detector = Detector(graph, weights, threads=threads, precision=precision) if has_pictures else None
        self._network = (
            self._detector.network if self._detector else Network(graph, weights, threads=threads, precision=precision)
        )

    def run(self) -> None:
        self._network.run(np.zeros(self._network.graph.blob, np.float32))
        if self._detector is not None:
            for picture in self._pictures:
                self._detector.detect(picture)


def load_kernels(graph: Graph) -> None:
    """Compile, or load from the cache, what runs beside a network's own steps for heads like those of `graph`.

    The steps' kernels are compiled when a network is loaded. A stand-in of one cell does for the rest, the executor,
    decoding and suppression: so no picture's time includes it, and none costs a trial run of the real network.
    """
    for kind in sorted({head.kind for head in graph.heads} or {"yolo"}):
        detector = _stand_in(kind)
        for side in (32, 8):
            detector.detect(np.full((side, side, 3), 127, np.uint8), thresh=0)
    image = np.zeros((8, 8, 3), np.uint8)
    to_blob(image, 16, 32, letterbox=True)


def _stand_in(kind: str) -> Detector:
    """A network of one cell with a head of this kind."""
    filters, options = _STAND_IN_HEADS.get(kind, (7, "anchors=8,8"))
    graph = build_graph(parse_cfg(_STAND_IN.format(kind=kind, filters=filters, options=options), "stand-in"))
    return Detector(graph, _ReadOnlyWeights(graph), names=("one", "two"), threads=1)


class _ReadOnlyWeights(SeededWeights):
    """As a weights file gives them: arrays that cannot be written to are another type to Numba."""

    def arrays(self, layer: Layer) -> dict[str, Any]:
        found = super().arrays(layer)
        for array in found.values():
            array.flags.writeable = False
        return found


def warm_all(precision: str, again: bool = False) -> None:
    """Compile every kernel, in as many processes as there are cores, then measure for the models that ship.

    One after the other: what is measured beside other work is wrong.
    """
    announce_compiling()
    before, start = _cached_kernels(), time.perf_counter()
    _compile_side_by_side(OPERATIONS)
    for operation in OPERATIONS.values():
        kernel_address(operation.kernel)
    # What turns blobs and outputs of `Network.run` about is no step, and pictures do without.
    _stand_in("yolo").network.run(np.zeros((3, 32, 32), np.float32))
    click.echo(f"kernels      {time.perf_counter() - start:.2f} s")
    for name in shipped_models():
        start = time.perf_counter()
        graph = load_graph(resolve_cfg(name))
        if again:
            forget_timings(graph, precision)
        load_kernels(graph)
        Network(graph, _ReadOnlyWeights(graph), precision=precision)
        click.echo(f"{name:<12} {time.perf_counter() - start:.2f} s")
    _echo_cache()
    click.echo(f"compiled     {len(_cached_kernels() - before) or 'nothing'}")


def _compile_side_by_side(names: Iterable[str]) -> None:
    """Fill the cache by other processes; where there can be none, this one compiles what it needs as ever."""
    # Imported here, for other commands do not need them (a dozen modules).
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    layer, count = cache_layers().writable, physical_cores()
    if layer is None or count < 2 or getattr(sys, "frozen", False):  # another process of a frozen program is that
        return
    try:
        with ProcessPoolExecutor(count, get_context("spawn"), _be_quiet) as pool:
            list(pool.map(_compile, names))
    except (ImportError, OSError, RuntimeError, BrokenProcessPool) as error:
        logging.getLogger(__name__).info("no processes side by side (%s)", error)


def _compile(name: str) -> None:
    kernel_address(OPERATIONS[name].kernel)


def _be_quiet() -> None:
    """What there is to say about the cache, the process says that the others work for."""
    logging.getLogger("darknet_py").addHandler(logging.NullHandler())


def _echo_cache() -> None:
    kept = cache_layers().writable
    where = str(kept.folder) if kept else f"{cache_directory() or 'none'} (nothing can be kept there)"
    click.echo(f"cache        {where}")


def announce_compiling() -> None:
    """Say on stderr that the kernels are not compiled yet: the next step takes long, once.

    Where they cannot be kept, a warning says so when the first one is compiled.
    """
    kept = cache_layers().writable
    if kept is not None and not _cached_kernels():
        click.echo(f"compiling kernels for this machine (once; cached in {kept.folder})...", err=True)


def _cached_kernels() -> set[str]:
    return {file.name for layer in cache_layers().readable for file in layer.folder.glob("*.nbc")}
