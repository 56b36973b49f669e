"""``darknet-py bench``: how fast a model runs here, and where the time goes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from darknet_py.arguments import short
from darknet_py.bench import LayerTime, Measurement, measure, measure_layers, measure_peak
from darknet_py.cli.model import choose_model, model_option
from darknet_py.cli.options import MOST_THREADS, SIZE, Count, precision_option
from darknet_py.graph import load_graph
from darknet_py.kernels.jit import LANES
from darknet_py.outputs.json_text import to_json
from darknet_py.threads import physical_cores
from darknet_py.weights import SeededWeights

__all__ = ["bench", "format_measurements"]

#: So that no slip of the finger takes days.
_MOST_RUNS = 10_000
_MOST_COUNTS = 16

_COLUMNS = (
    "model",
    "size",
    "threads",
    "prepare s",
    "load s",
    "first s",
    "median ms",
    "spread ms",
    "FPS",
    "GFLOP/s",
    "of peak",
)


def _parse_threads(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    if value is None:
        cores = physical_cores()
        return (1,) if cores == 1 else (1, cores)
    items = value.split(",")
    counts = [int(item) for item in items if re.fullmatch(r"\s*\d{1,9}\s*", item)]
    if len(counts) != len(items) or min(counts) < 1 or max(counts) > MOST_THREADS or len(counts) > _MOST_COUNTS:
        expected = f"expected up to {_MOST_COUNTS} thread counts from 1 to {MOST_THREADS}, such as 1,2"
        raise click.BadParameter(f"{short(value)}: {expected}", context, parameter)
    return tuple(counts)


@click.command()
@click.argument("cfg", required=False)
@click.argument("weights", required=False)
@model_option
@click.option("--size", type=SIZE, help="Network input, such as 416 or 608x352, instead of the cfg's.")
@click.option("--threads", callback=_parse_threads, help="Thread counts, such as 1,2. Default: 1 and all cores.")
@click.option("--repeat", default=10, show_default=True, type=Count(1, _MOST_RUNS), help="Timed runs.")
@precision_option
@click.option("--layers", is_flag=True, help="Also show time, GFLOP/s and algorithm of every layer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def bench(
    ctx: click.Context,
    cfg: str | None,
    weights: str | None,
    model: str | None,
    offline: bool,
    size: tuple[int, int] | None,
    threads: tuple[int, ...],
    repeat: int,
    precision: str,
    layers: bool,
    as_json: bool,
) -> None:
    """Time the forward pass of CFG: median after a warm-up, load and first run apart.

    CFG is a file or the name of a shipped model. Without WEIGHTS, seeded random ones are used: they cost the same
    time as real ones.

    \b
    Examples:
      darknet-py bench yolov4
      darknet-py bench --threads 1,2 --layers my.cfg my.weights
    """
    chosen = choose_model(ctx, cfg, weights, model, offline)
    graph = load_graph(chosen.cfg, size)
    source = SeededWeights(graph) if chosen.weights is None else str(chosen.weights)
    records: list[dict[str, Any]] = []
    rows: list[Measurement] = []
    for count in threads:
        peak = measure_peak(count)
        network, result = measure(graph, source, count, repeat, peak, precision=precision)
        timed = measure_layers(network, repeat) if layers else []
        rows.append(result)
        records.append({**result.as_dict(), "peak_gflops": peak, "layers": [asdict(layer) for layer in timed]})
        if timed and not as_json:
            click.echo(_layer_table(timed, count) + "\n")
    if as_json:
        click.echo(
            to_json(
                {"lanes": LANES, "precision": precision, "weights": str(chosen.weights or "seeded"), "runs": records}
            )
        )
        return
    peaks = ", ".join(f"{r['peak_gflops']:.0f} GFLOP/s on {r['threads']}" for r in records)
    kind = "given" if chosen.weights else "seeded random"
    click.echo(format_measurements(rows))
    click.echo(
        f"\n{graph.bflops:.1f} GFLOP per image, {kind} weights, {precision}, {LANES} float32 lanes; "
        f"measured float32 peak {peaks}"
    )


def format_measurements(rows: list[Measurement]) -> str:
    """A table of measurements for the terminal."""
    lines = [
        (
            row.model,
            row.size,
            str(row.threads),
            f"{row.prepare:.2f}",
            f"{row.load:.2f}",
            f"{row.first:.2f}",
            f"{row.median * 1e3:.2f}",
            f"{row.fastest * 1e3:.2f}-{row.slowest * 1e3:.2f}",
            f"{row.fps:.2f}",
            f"{row.gflops:.0f}",
            f"{row.peak_share:.0%}",
        )
        for row in rows
    ]
    return _table(_COLUMNS, lines)


def _layer_table(layers: list[LayerTime], threads: int) -> str:
    total = sum(layer.seconds for layer in layers)
    lines = [
        (
            str(layer.layer),
            layer.kind,
            layer.shape,
            f"{layer.seconds * 1e3:.3f}",
            f"{layer.seconds / total:.1%}",
            f"{layer.flops / layer.seconds / 1e9:.0f}" if layer.flops else "",
            layer.algorithm,
            ", ".join(f"{name} {seconds * 1e3:.2f}" for name, seconds in layer.alternatives.items()),
        )
        for layer in layers
    ]
    header = ("layer", "type", "output", "ms", "share", "GFLOP/s", "algorithm", "ms of each, measured alone")
    note = f"{total * 1e3:.2f} ms in all, threads: {threads}; layers computed with another one are not listed"
    return f"{_table(header, lines)}\n{note}"


def _table(header: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    rows = (header, *lines)
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
