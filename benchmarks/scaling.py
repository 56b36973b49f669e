"""What a GFLOP costs as networks, inputs, batches and thread counts grow: it should stay the same.

Usage: ``python benchmarks/scaling.py [--threads 1,2] [--sizes 256,416,608,832,1024] [--bound 1.5] [--json FILE]``

The network is a stem down to an eighth of the input and `depth` residual blocks of 1x1 and 3x3 convolutions, with
seeded weights. The stem's few channels make it dearer than the blocks, so that cost falls a little with depth. One
thing varies at a time, the others stay at the first value of ``--threads``, a batch of 1, ``--size`` and ``--depth``.
A cost is core-milliseconds (threads × time) per GFLOP of direct convolutions, over the whole of `Network.run`, copies
of the batch in and out included; of the fastest turn, since what else runs on a machine only ever adds.

Along each line of points, the dearest may cost at most ``--bound`` times the cheapest. Anything that grows faster
than the work - with the layers, the pixels or the images - breaks that, as does a thread that waits. The exit status
is 1 if a bound is broken. Thread counts above the physical cores are measured but not judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from turns import Timing, take_turns

from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph
from darknet_py.network import Network
from darknet_py.threads import physical_cores
from darknet_py.weights import SeededWeights

_PAUSE = 0.1
_STEM = ((16, 2), (32, 2), (128, 2))

Row = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One measured configuration."""

    threads: int
    batch: int
    size: int
    depth: int


def make_cfg(size: int, depth: int) -> str:
    """A network of `depth` residual blocks at an input of `size` squared."""
    sections = [f"[net]\nwidth={size}\nheight={size}\nchannels=3"]
    sections += [_convolution(filters, 3, stride) for filters, stride in _STEM]
    for _ in range(depth):
        sections += [_convolution(64, 1), _convolution(128, 3), "[shortcut]\nfrom=-3\nactivation=linear"]
    sections.append("[convolutional]\nfilters=18\nsize=1\nactivation=linear")
    sections.append("[yolo]\nmask=0,1,2\nnum=3\nclasses=1\nanchors=10,14, 23,27, 37,58")
    return "\n".join(sections) + "\n"


def _convolution(filters: int, size: int, stride: int = 1) -> str:
    options = f"filters={filters}\nsize={size}\nstride={stride}\npad=1\nactivation=leaky"
    return f"[convolutional]\nbatch_normalize=1\n{options}"


def list_axes(options: argparse.Namespace) -> dict[str, list[Point]]:
    """The lines of points: name of what varies → points in growing order."""
    base = Point(options.threads[0], 1, options.size, options.depth)
    values = {"threads": options.threads, "batch": options.batches, "size": options.sizes, "depth": options.depths}
    return {name: [replace(base, **{name: value}) for value in sorted(set(row))] for name, row in values.items()}


def measure_points(points: Sequence[Point], rounds: int, turn: float, exact: bool) -> dict[Point, tuple[Graph, Timing]]:
    """Time every point, all taking turns."""
    networks: dict[tuple[int, int, int], Network] = {}
    actions = []
    for point in points:
        key = (point.threads, point.size, point.depth)
        if key not in networks:
            graph = build_graph(parse_cfg(make_cfg(point.size, point.depth)))
            networks[key] = Network(graph, SeededWeights(graph), threads=point.threads, exact=exact)
        blob = np.random.default_rng(0).random((point.batch, *networks[key].graph.blob), np.float32)
        actions.append(lambda network=networks[key], blob=blob: network.run(blob))
    timings = take_turns(actions, rounds, turn, _PAUSE)
    graphs = [networks[point.threads, point.size, point.depth].graph for point in points]
    return dict(zip(points, zip(graphs, timings, strict=True), strict=True))


def describe_point(point: Point, graph: Graph, timing: Timing) -> Row:
    """A row of the results."""
    gflop = graph.bflops * point.batch
    return {
        **asdict(point), "layers": len(graph.layers), "gflop": gflop, "seconds": timing.seconds,
        "median": timing.median, "spread": timing.spread, "gflops": gflop / timing.median,
        "cost": 1e3 * point.threads * min(timing.seconds) / gflop,
    }  # fmt: skip


def judge(name: str, rows: Sequence[Row], bound: float, cores: int) -> Row:
    """How flat one line is: the dearest point's cost over the cheapest one's, against the bound."""
    judged = [row for row in rows if row["threads"] <= cores] or list(rows)
    costs = [row["cost"] for row in judged]
    ratio = max(costs) / min(costs)
    return {"axis": name, "ratio": ratio, "bound": bound, "flat": ratio <= bound, "points": len(judged)}


def format_axis(name: str, rows: Sequence[Row], verdict: Row) -> str:
    """A table of one line and the verdict under it."""
    lines = [f"{name:>8} {'GFLOP':>8} {'ms':>10} {'±':>6} {'GFLOP/s':>8} {'core-ms/GFLOP':>14}"]
    for row in rows:
        lines.append(
            f"{row[name]:>8} {row['gflop']:>8.2f} {row['median'] * 1e3:>10.3f} {row['spread']:>6.1%} "
            f"{row['gflops']:>8.1f} {row['cost']:>14.3f}"
        )
    word = "flat" if verdict["flat"] else "NOT FLAT"
    lines.append(
        f"{word}: the dearest of {verdict['points']} costs {verdict['ratio']:.2f} times the cheapest, "
        f"bound {verdict['bound']:.2f}"
    )
    return "\n".join(lines)


def _integers(text: str) -> list[int]:
    values = [int(part) for part in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected positive whole numbers")
    return values


def main() -> int:
    """Measure all lines, print them with their verdicts; 1 if one is not flat."""
    cores = physical_cores()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=_integers, default=list(range(1, cores + 1)))
    parser.add_argument("--batches", type=_integers, default=[1, 2, 4, 8])
    parser.add_argument("--sizes", type=_integers, default=[256, 416, 608, 832, 1024])
    parser.add_argument("--depths", type=_integers, default=[4, 8, 16, 32])
    parser.add_argument("--size", type=int, default=416, help="input size where another thing varies")
    parser.add_argument("--depth", type=int, default=8, help="residual blocks where another thing varies")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=0.3, help="seconds that each point runs in each round")
    parser.add_argument("--exact", action="store_true", help="direct convolutions only")
    parser.add_argument("--bound", type=float, default=1.5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine = describe_machine()
    axes = list_axes(options)
    points = list(dict.fromkeys(point for line in axes.values() for point in line))
    found = measure_points(points, options.rounds, options.turn, options.exact)
    lines = {name: [describe_point(point, *found[point]) for point in line] for name, line in axes.items()}
    verdicts = {name: judge(name, rows, options.bound, cores) for name, rows in lines.items()}
    print("\n\n".join(format_axis(name, rows, verdicts[name]) for name, rows in lines.items()))
    flat = all(verdict["flat"] for verdict in verdicts.values())
    bound = f"the bound of {options.bound:.2f}"
    broken = ", ".join(name for name, verdict in verdicts.items() if not verdict["flat"])
    print(f"\nCost per GFLOP {f'stays within {bound}' if flat else f'exceeds {bound} along: {broken}'}")
    if not flat and (machine["load_before"] or 0) > 0.5:
        print(f"The machine was busy before this run (load {machine['load_before']:.1f}): repeat it on an idle one.")
    if options.json:
        settings = {name: getattr(options, name) for name in ("size", "depth", "rounds", "turn", "exact", "bound")}
        results = {"machine": machine, "settings": settings, "axes": lines, "verdicts": verdicts}
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
