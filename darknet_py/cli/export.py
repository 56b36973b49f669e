"""``darknet-py export``: the model as an ONNX file, for other runtimes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from darknet_py.arguments import short
from darknet_py.cli.model import choose_model, model_option
from darknet_py.cli.options import TEXT, FilePath, size_option
from darknet_py.files import check_writable
from darknet_py.graph import load_graph
from darknet_py.names import find_names
from darknet_py.onnx_export import export_onnx, write_onnx
from darknet_py.shipped import resolve_model
from darknet_py.weights import WeightsFile

__all__ = ["export"]


def _parse_batch(context: click.Context, parameter: click.Parameter, value: str) -> int | str:
    if value == "dynamic":
        return value
    if not re.fullmatch(r"\d{1,9}", value) or not 1 <= int(value) <= 1 << 16:
        raise click.BadParameter(f'{short(value)}: expected a number of pictures, or "dynamic"', context, parameter)
    return int(value)


@click.command()
@click.option("--onnx", "out", required=True, metavar="OUT", type=FilePath(dir_okay=False, path_type=Path),
              help="The file to write.")  # fmt: skip
@size_option
@click.option("--batch", metavar="N|dynamic", default="1", show_default=True, callback=_parse_batch,
              help="Pictures per run.")  # fmt: skip
@click.option("--decode/--raw", default=False, help="Outputs: boxes and the scores of their classes, or each head's "
              "map as Darknet leaves it.  [default: raw]")  # fmt: skip
@click.option(
    "--names", metavar="FILE", type=TEXT, help="Class names for the metadata.  [default: found beside the cfg]"
)
@click.option("--mish", type=click.Choice(["arithmetic", "operator"]), default="arithmetic", show_default=True,
              help="How Mish is written: ONNX Runtime is fastest with the first, others with the second.")  # fmt: skip
@model_option
@click.argument("cfg", required=False)
@click.argument("weights", required=False)
@click.pass_context
def export(
    ctx: click.Context,
    out: Path,
    size: tuple[int, int] | None,
    batch: int | str,
    decode: bool,
    names: str | None,
    mish: str,
    model: str | None,
    offline: bool,
    cfg: str | None,
    weights: str | None,
) -> None:
    """Write CFG and WEIGHTS as an ONNX model.

    CFG is a file or the name of a shipped model; the built-in model needs no WEIGHTS. The input of the model is
    (N, C, H, W), RGB in [0, 1]; thresholds and NMS are left to the program that runs it. Needs the package onnx:
    pip install "onnx>=1.17", or in a checkout pip install ".[onnx]".

    \b
    Examples:
      darknet-py export --onnx yolov4.onnx yolov4 yolov4.weights
      darknet-py export --onnx yolov4-tiny.onnx --model yolov4-tiny
      darknet-py export --onnx my.onnx --decode --size 608x352 --batch dynamic my.cfg my.weights
    """
    check_writable(out)
    chosen = choose_model(ctx, cfg, weights, model, offline)
    model_cfg, model_weights = (chosen.cfg, chosen.weights) if chosen.weights else resolve_model(chosen.cfg)
    graph = load_graph(model_cfg, size)
    listed = find_names(graph.file, graph.classes, names or chosen.names) if graph.classes else ()
    with WeightsFile(model_weights, graph) as source:
        exported = export_onnx(graph, source, decode=decode, batch=batch, names=listed, mish=mish)
    write_onnx(exported, out)
    outputs = ", ".join(f"{value.name} {_shape(value)}" for value in exported.graph.output)
    click.echo(f"{out}: {len(exported.graph.node)} nodes, blob {_shape(exported.graph.input[0])} → {outputs}")


def _shape(value: Any) -> str:
    return " x ".join(dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
