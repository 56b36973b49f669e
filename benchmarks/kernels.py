"""Kernels one by one: GFLOP/s over tables of shapes, beside the machine's peak and NumPy's sgemm.

Usage: ``python benchmarks/kernels.py [--threads 1] [--lanes 16,8,4] [--select REGEX] [--json FILE] [--baseline FILE]``

Each row is a network of one layer, seeded weights, computed by one algorithm; its forward pass is timed, so its
weights are in a cache that inside a large network they would have left. ``sgemm`` is NumPy's product of the matrices
that the convolution amounts to, laid out ready: without gathering the image, adding biases or activating. GFLOP/s
counts the work of the direct algorithm, so Winograd rows may exceed the peak of fused multiply-adds.

All rows of a vector width take turns (see `turns`); ± is half the range of the turns. ``--baseline`` names an earlier
``--json`` file and lists the rows whose medians differ by more than both ranges together; NumPy's rows among them
mean that the machine changed, not the kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from machine import describe_machine
from turns import Timing, moved, take_turns

from darknet_py.bench import measure_peak
from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.kernels.vector.activate import ACTIVATIONS
from darknet_py.layers import Convolutional
from darknet_py.network import Network
from darknet_py.plan.algorithms import DIRECT, fits
from darknet_py.weights import SeededWeights

#: (size, stride, (channels, height, width), filters): layers of YOLO backbones, then other windows, then tails in
#: channels, filters, rows and pixels at once.
_CONVOLUTIONS = (
    (3, 1, (3, 416, 416), 32),
    (3, 1, (32, 208, 208), 64),
    (3, 1, (64, 104, 104), 128),
    (3, 1, (128, 52, 52), 256),
    (3, 1, (256, 26, 26), 512),
    (3, 1, (512, 13, 13), 512),
    (3, 2, (32, 416, 416), 64),
    (3, 2, (128, 104, 104), 256),
    (3, 2, (256, 52, 52), 512),
    (1, 1, (64, 208, 208), 32),
    (1, 1, (256, 52, 52), 128),
    (1, 1, (512, 26, 26), 256),
    (1, 1, (1024, 13, 13), 512),
    (1, 1, (512, 26, 26), 255),
    (1, 2, (256, 52, 52), 512),
    (5, 1, (64, 52, 52), 64),
    (5, 2, (64, 104, 104), 64),
    (7, 2, (3, 224, 224), 64),
    (3, 1, (17, 103, 101), 33),
    (3, 1, (130, 27, 43), 72),
    (3, 1, (520, 5, 7), 100),
    (3, 2, (33, 75, 101), 41),
    (1, 1, (129, 27, 43), 71),
    (5, 1, (13, 31, 29), 19),
)
#: (size, stride, shape): groups of one channel each.
_DEPTHWISE = (
    (3, 1, (32, 112, 112)),
    (3, 2, (96, 112, 112)),
    (3, 1, (576, 14, 14)),
    (5, 1, (240, 28, 28)),
    (5, 2, (240, 28, 28)),
    (3, 1, (131, 27, 29)),
)
_MAXPOOLS = (
    (2, 2, (64, 208, 208)),
    (3, 2, (64, 112, 112)),
    (2, 1, (512, 13, 13)),
    (5, 1, (512, 13, 13)),
    (9, 1, (512, 13, 13)),
    (13, 1, (512, 13, 13)),
    (3, 2, (131, 27, 29)),
)
_YOLO = "[yolo]\nmask=0,1,2\nnum=3\nclasses=80\nanchors=10,14, 23,27, 37,58"
#: Layers without a window: (name, section, shape).
_OTHERS = (
    ("upsample /2", "[upsample]\nstride=2", (128, 26, 26)),
    ("avgpool", "[avgpool]", (1024, 13, 13)),
    ("local_avgpool 2/2", "[local_avgpool]\nsize=2\nstride=2", (64, 112, 112)),
    ("reorg /2", "[reorg]\nstride=2", (64, 26, 26)),
    ("softmax", "[softmax]", (1000, 1, 1)),
    ("yolo", _YOLO, (255, 52, 52)),
)
#: Little work per value and many values: what an activation costs shows.
_ACTIVATED = ((8, 104, 104), 64)

#: For NumPy: each BLAS has its own name for it.
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_PAUSE = 0.25

Row = dict[str, Any]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """One row of a table before it is measured; `gemm` is (M, K, N) of the equal product of matrices."""

    group: str
    name: str
    algorithm: str
    graph: Graph | None = None
    gemm: tuple[int, int, int] | None = None

    @property
    def title(self) -> str:
        return f"{self.name} {self.algorithm}".strip()


def list_cases() -> list[Case]:
    """Every row of every table, each convolution once per algorithm that can compute it."""
    cases: list[Case] = []
    for size, stride, shape, filters in _CONVOLUTIONS:
        cases += _convolution("convolution", "", size, stride, shape, filters, 1, "leaky")
    for size, stride, shape in _DEPTHWISE:
        cases += _convolution("depthwise", "", size, stride, shape, shape[0], shape[0], "leaky")
    shape, filters = _ACTIVATED
    for activation in ACTIVATIONS:
        cases += _convolution("activation", f"{activation} ", 1, 1, shape, filters, 1, activation)
    for size, stride, shape in _MAXPOOLS:
        section = f"[maxpool]\nsize={size}\nstride={stride}"
        cases.append(Case("other", f"maxpool {size}/{stride} {_text(shape)}", "", _graph(section, shape)))
    cases += [Case("other", f"{name} {_text(shape)}", "", _graph(text, shape)) for name, text, shape in _OTHERS]
    products = dict.fromkeys(case.gemm for case in cases if case.group == "convolution" and case.gemm)
    return cases + [Case("sgemm", "x".join(map(str, gemm)), "", None, gemm) for gemm in products]


def _convolution(
    group: str, prefix: str, size: int, stride: int, shape: Shape, filters: int, groups: int, activation: str
) -> list[Case]:
    section = f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
    graph = _graph(f"{section}groups={groups}\nactivation={activation}", shape)
    layer = graph.layers[0]
    assert isinstance(layer, Convolutional)
    name = f"{prefix}{size}x{size}/{stride} {_text(shape)} -> {filters}"
    gemm = (filters, shape[0] * size * size, layer.shape.h * layer.shape.w) if groups == 1 else None
    names = [DIRECT, *(algorithm for algorithm in ALGORITHMS if fits(layer, algorithm))]
    return [Case(group, name, algorithm, graph, gemm) for algorithm in names]


def _graph(section: str, shape: Shape) -> Graph:
    c, h, w = shape
    return build_graph(parse_cfg(f"[net]\nchannels={c}\nheight={h}\nwidth={w}\n{section}\n"))


def _text(shape: Shape) -> str:
    return "x".join(str(extent) for extent in shape)


# Measuring ----------------------------------------------------------------------------------------------------


def measure_cases(cases: Sequence[Case], threads: int, rounds: int, turn: float) -> dict[str, Any]:
    """Rows of all cases on this process's vector width, and the peak they are compared with."""
    peak = measure_peak(threads)
    products = [case.gemm for case in cases if case.graph is None and case.gemm]
    pool = np.random.default_rng(0).random(max((m * k + k * n for m, k, n in products), default=0), np.float32)
    ready: list[tuple[Case, Callable[[], object]]] = []
    for case in cases:
        action = _prepare_product(case, pool) if case.graph is None else _prepare_network(case, threads)
        if action is not None:
            ready.append((case, action))
    timings = take_turns([action for _, action in ready], rounds, turn, _PAUSE if threads > 1 else 0)
    peak = max(peak, measure_peak(threads))
    rows = [_describe(case, timing, peak) for (case, _), timing in zip(ready, timings, strict=True)]
    sgemm = {row["name"]: row["gflops"] for row in rows if row["group"] == "sgemm"}
    for (case, _), row in zip(ready, rows, strict=True):
        row["sgemm_gflops"] = sgemm.get("x".join(map(str, case.gemm))) if case.gemm and case.graph else None
    return {"lanes": LANES, "peak": peak, "rows": rows}


def _prepare_network(case: Case, threads: int) -> Callable[[], object] | None:
    """A run of the case's layer; None if it is too small for its algorithm, which the runtime then leaves alone."""
    assert case.graph is not None
    with mock.patch.dict(os.environ, {"DARKNET_PY_CONVOLUTION": case.algorithm or DIRECT}):
        network = Network(case.graph, SeededWeights(case.graph), threads=threads)
    if case.algorithm and network.algorithms.get(0, DIRECT) != case.algorithm:
        return None
    state = network.acquire()
    state.blob[:] = np.random.default_rng(0).standard_normal(state.blob.shape, np.float32)
    return lambda: network.forward(state)


def _prepare_product(case: Case, pool: np.ndarray) -> Callable[[], object]:
    assert case.gemm is not None
    m, k, n = case.gemm
    a, b = pool[: m * k].reshape(m, k), pool[m * k : m * k + k * n].reshape(k, n)
    out = np.empty((m, n), np.float32)
    return lambda: np.matmul(a, b, out=out)


def _describe(case: Case, timing: Timing, peak: float) -> Row:
    flops: float | None = None
    moves = 0
    if case.graph is None and case.gemm:
        m, k, n = case.gemm
        flops, moves = 2.0 * m * k * n, 4 * (m * k + k * n + m * n)
    elif case.graph is not None:
        layer = case.graph.layers[0]
        flops = layer.bflops * 1e9 if isinstance(layer, Convolutional) else None
        moves = 4 * int(np.prod(case.graph.blob) + np.prod(layer.shape) + case.graph.parameter_count)
    gflops = flops / timing.median / 1e9 if flops else None
    return {
        "group": case.group, "name": case.name, "algorithm": case.algorithm, "seconds": timing.seconds,
        "median": timing.median, "spread": timing.spread, "flops": flops, "gflops": gflops,
        "peak_share": gflops / peak if gflops else None, "gbytes_per_second": moves / timing.median / 1e9,
    }  # fmt: skip


# Reporting ----------------------------------------------------------------------------------------------------


def format_results(widths: Sequence[dict[str, Any]]) -> str:
    """For the terminal: a table per vector width and group of kernels."""
    lines: list[str] = []
    for width in widths:
        lines += ["", f"{width['lanes']} lanes, peak {width['peak']:.1f} GFLOP/s"]
        for group, rows in groupby(width["rows"], key=lambda row: row["group"]):
            columns = f"{'ms':>9} {'±':>6} {'GFLOP/s':>8} {'of peak':>8} {'of sgemm':>8} {'GB/s':>7}"
            lines += ["", f"{group:<32} {'':<9} {columns}"]
            lines += [_format_row(row) for row in rows]
    return "\n".join(lines[1:])


def _format_row(row: Row) -> str:
    gflops = f"{row['gflops']:.1f}" if row["gflops"] else ""
    share = f"{row['peak_share']:.0%}" if row["peak_share"] else ""
    sgemm = f"{row['gflops'] / row['sgemm_gflops']:.2f}" if row["gflops"] and row["sgemm_gflops"] else ""
    return (
        f"{row['name']:<32} {row['algorithm']:<9} {row['median'] * 1e3:>9.4f} {row['spread']:>6.1%} {gflops:>8} "
        f"{share:>8} {sgemm:>8} {row['gbytes_per_second']:>7.1f}"
    )


def compare_results(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What moved beyond its noise since an earlier run, the largest moves first."""
    known = {
        (w["lanes"], row["group"], row["name"], row["algorithm"]): row for w in before["widths"] for row in w["rows"]
    }
    changes: list[tuple[float, str]] = []
    compared = 0
    for width in now["widths"]:
        for row in width["rows"]:
            old = known.get((width["lanes"], row["group"], row["name"], row["algorithm"]))
            if old is None:
                continue
            compared += 1
            if moved(old["median"], old["spread"], row["median"], row["spread"]):
                ratio = row["median"] / old["median"]
                name = f"{row['group']} {row['name']} {row['algorithm']}".strip()
                text = f"{old['median'] * 1e3:.4f} -> {row['median'] * 1e3:.4f} ms ({ratio - 1:+.1%}, "
                noise = f"noise {old['spread'] + row['spread']:.1%})"
                changes.append((abs(np.log(ratio)), f"{width['lanes']:>2} lanes  {name:<50} {text}{noise}"))
    lines = [f"{len(changes)} of {compared} rows moved beyond their noise since the baseline"]
    for key in ("cpu", "python", "packages"):
        if before["machine"].get(key) != now["machine"].get(key):
            lines.append(f"warning: the baseline's {key} is {before['machine'].get(key)}")
    if before["settings"]["threads"] != now["settings"]["threads"]:
        lines.append(f"warning: the baseline ran on {before['settings']['threads']} threads")
    return "\n".join([*lines, *(line for _, line in sorted(changes, reverse=True))])


# Processes ----------------------------------------------------------------------------------------------------


def _measure_width(lanes: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own: the vector width and NumPy's threads are read when modules are imported."""
    environment = {**os.environ, **dict.fromkeys(_BLAS_THREADS, str(options.threads))}
    if lanes:
        environment["DARKNET_PY_LANES"] = lanes
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, __file__, "--worker", str(file), "--select", options.select]
        for name in ("threads", "rounds", "turn"):
            command += [f"--{name}", str(getattr(options, name))]
        subprocess.run(command, env=environment, check=True)
        found: dict[str, Any] = json.loads(file.read_text())
    return found


def main() -> None:
    """Measure every vector width asked for, print the tables, write and compare JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lanes", default="", help="vector widths such as 16,8,4; the CPU's own by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=0.03, help="seconds that each row runs in each round")
    parser.add_argument("--select", default="", help="only rows whose name and algorithm match this expression")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--baseline", type=Path, help="an earlier JSON file to compare with")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = [case for case in list_cases() if re.search(options.select, f"{case.group} {case.title}")]
    if not cases:
        parser.error(f"--select {options.select}: no row matches")
    widths = options.lanes.split(",")
    if not set(widths) <= {"", "16", "8", "4"}:
        parser.error(f"--lanes {options.lanes}: expected some of 16,8,4")
    if options.worker:
        found = measure_cases(cases, options.threads, options.rounds, options.turn)
        options.worker.write_text(json.dumps(found))
        return
    before = json.loads(options.baseline.read_text()) if options.baseline else None
    machine = describe_machine()
    measured = [_measure_width(lanes, options) for lanes in widths]
    settings = {name: getattr(options, name) for name in ("threads", "rounds", "turn", "select")}
    results = {"machine": machine, "settings": settings, "widths": measured}
    print(format_results(measured))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if before:
        print("\n" + compare_results(before, results))


if __name__ == "__main__":
    main()
