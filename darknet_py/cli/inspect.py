"""``darknet-py inspect``: what a cfg describes and whether its weights fit, without running anything."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darknet_py.arguments import PRECISIONS
from darknet_py.cli.model import choose_model, model_option
from darknet_py.cli.options import THREADS, precision_option, size_option
from darknet_py.cli.stopping import time_limit
from darknet_py.errors import CfgError, WeightsError
from darknet_py.graph import Graph, load_graph
from darknet_py.limits import Limits, variable_of
from darknet_py.outputs.json_text import to_json
from darknet_py.summary import Summary, format_table, summarize

if TYPE_CHECKING:
    from darknet_py.plan.listing import StepRow

__all__ = ["format_summary", "inspect"]


@click.command()
@click.argument("cfg", required=False)
@click.argument("weights", required=False)
@model_option
@size_option
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
@click.option("--plan", "with_plan", is_flag=True, help="Show the steps of a run on this machine as well: operations, "
              "tasks, scratch and where values lie. Compiles and measures what a run would.")  # fmt: skip
@click.option("--threads", type=THREADS, help="With --plan: threads of the run.  [default: all physical cores]")
@precision_option
@click.pass_context
def inspect(
    ctx: click.Context,
    cfg: str | None,
    weights: str | None,
    model: str | None,
    offline: bool,
    size: tuple[int, int] | None,
    as_json: bool,
    with_plan: bool,
    threads: int | None,
    precision: str,
) -> None:
    """Show the layers of CFG, and whether WEIGHTS fit.

    CFG is a file or the name of a shipped model. The table is Darknet's: width x height x channels, billions of
    operations. Exit code 1 if the weights do not fit; the table is printed all the same.

    \b
    Examples:
      darknet-py inspect yolov4
      darknet-py inspect my.cfg my_final.weights
      darknet-py inspect my.cfg --size 608x352 --json
      darknet-py inspect --model yolo-fastest-1.1
      darknet-py inspect yolov4-tiny --plan
    """
    if not with_plan and (threads is not None or precision != PRECISIONS[0]):
        raise click.UsageError("--threads and --precision say how a plan is made: give --plan as well", ctx)
    chosen = choose_model(ctx, cfg, weights, model, offline)
    limits = Limits.from_environment()
    try:
        with time_limit(limits.inspect_seconds):
            graph = load_graph(chosen.cfg, size, limits=limits)
            summary = summarize(graph, chosen.weights)
    except TimeoutError as error:
        raise CfgError(
            f"{chosen.cfg}: not done after {limits.inspect_seconds} s: if it is worth the wait, allow more with the "
            f"environment variable {variable_of('inspect_seconds')}"
        ) from error
    fits = summary.weights is None or summary.weights.error is None
    steps = _steps(graph, chosen.weights, threads, precision) if with_plan and fits else None
    if as_json:
        click.echo(to_json(summary.as_dict() | ({} if steps is None else {"plan": [asdict(step) for step in steps]})))
    else:
        click.echo(format_summary(summary))
    if steps is not None and not as_json:
        from darknet_py.plan.listing import format_steps

        click.echo(f"\n{format_steps(steps)}")
    if summary.weights is not None and summary.weights.error is not None:
        raise WeightsError(summary.weights.error)


def _steps(graph: Graph, weights: str | Path | None, threads: int | None, precision: str) -> list[StepRow]:
    """What a run does; with stand-ins where no weights are given, which make the same steps."""
    from darknet_py.network import Network
    from darknet_py.plan.listing import list_steps
    from darknet_py.weights import SeededWeights

    source = SeededWeights(graph) if weights is None else weights
    return list_steps(Network(graph, source, threads=threads, precision=precision).plan)


def format_summary(summary: Summary) -> str:
    """The layer table and below it everything else, one fact per line; no line end after the last."""
    blob, letter_box = summary.input, "letterboxed" if summary.letter_box else "stretched"
    pictures = f"pictures {letter_box} (letter_box={int(summary.letter_box)})" if blob.c in (1, 3, 4) else "no pictures"
    facts = [
        ("model", summary.file),
        ("input", f"{blob.w} x {blob.h} x {blob.c}, {pictures}"),
        ("layers", str(len(summary.layers))),
        ("parameters", f"{summary.parameters:,}"),
        ("Total BFLOPS", f"{summary.bflops:.3f}"),
        *_weights_facts(summary),
        *_head_facts(summary),
        ("memory", _memory(summary)),
    ]
    width = max(len(name) for name, _ in facts)
    return "\n".join([format_table(summary.layers), "", *(f"{name:<{width}}  {text}" for name, text in facts)])


def _memory(summary: Summary) -> str:
    packed, limit = summary.packed_bytes / 1e6, summary.packed_bytes_limit / 1e6
    weights = f"{packed:.1f} MB"
    if limit > packed:
        weights = f"{packed:.1f} MB, with the fastest algorithms up to {limit:.1f} MB,"
    return f"about {weights} for weights + {summary.arena_bytes / 1e6:.1f} MB for activations"


def _weights_facts(summary: Summary) -> list[tuple[str, str]]:
    found = summary.weights
    if found is None:
        return [("weights file", f"{summary.expected_bytes:,} bytes expected")]
    expected = f"{found.expected_bytes:,} bytes expected"
    size = "unreadable" if found.bytes is None else f"{found.bytes:,} bytes"
    facts = [("weights file", f"{found.file}: {size}, {expected}{', which fits' if found.error is None else ''}")]
    if found.version is not None:
        facts.append(("header", f"version {'.'.join(map(str, found.version))}, {found.seen:,} images seen in training"))
    return facts


def _head_facts(summary: Summary) -> list[tuple[str, str]]:
    if not summary.heads:
        return [("heads", "none: a classifier or feature extractor, for Network")]
    facts = [("classes", str(max(head.classes for head in summary.heads)))]
    for head in summary.heads:
        anchors = "  ".join(f"{width:g}x{height:g}" for width, height in head.anchors)
        unit = "cells" if head.kind == "region" else "pixels"
        cells = f"{head.grid[0]} x {head.grid[1]}"
        sizes = f", anchors in {unit} {anchors}" if head.anchors else ""
        facts.append((f"head {head.index}", f"{head.kind} {cells}{sizes}"))
    return [*facts, ("NMS", f"{summary.nms_kind}: {summary.nms_meaning}")]
