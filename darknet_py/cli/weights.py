"""``darknet-py weights``: what a weights file holds, its first layers alone, the same with another header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from darknet_py.arguments import short
from darknet_py.cli.options import TEXT, Count, FilePath
from darknet_py.files import check_writable
from darknet_py.graph import Graph, load_graph
from darknet_py.outputs.json_text import to_json
from darknet_py.shipped import resolve_cfg
from darknet_py.weights import WeightsFile
from darknet_py.weights_loaded import load_weights
from darknet_py.weights_writer import save_weights

__all__ = ["weights"]

_MOST_LAYERS = 1_000_000
_SEEN = Count(0, (1 << 64) - 1)


class _Version(click.ParamType):  # type: ignore[type-arg]
    """``0.2.5`` → (0, 2, 5)."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = value.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            self.fail(f"{short(value)}: expected three numbers, such as 0.2.5", param, ctx)
        return tuple(map(int, parts))


_version_option = click.option(
    "--version", type=_Version(), metavar="X.Y.Z", help="Of the header: below 0.2 it has 16 bytes, else 20."
)


@click.group(no_args_is_help=False)
def weights() -> None:
    """Show, cut and convert weights files.

    \b
    Examples:
      darknet-py weights show yolov4 yolov4.weights
      darknet-py weights cut --layer 137 yolov4 yolov4.weights yolov4.conv.137
      darknet-py weights convert --version 0.2.5 my.cfg old.weights new.weights
    """


@weights.command()
@click.argument("cfg", type=TEXT)
@click.argument("file", metavar="WEIGHTS", type=TEXT)
@click.option("--layer", "upto", type=Count(1, _MOST_LAYERS), metavar="N",
              help="The file holds the first N layers alone, as NAME.conv.N does.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def show(cfg: str, file: str, upto: int | None, as_json: bool) -> None:
    """List the header of WEIGHTS and where the arrays of each layer of CFG lie in it, with what they hold.

    Positions are in bytes from the beginning of the file. Exit code 1 if the file does not fit the cfg; the error says
    which layers would explain that.
    """
    graph = load_graph(resolve_cfg(cfg))
    with WeightsFile(file, _has_layers(graph, upto), upto=upto) as source:
        rows = list(_rows(source))
        head: dict[str, Any] = {
            "file": str(source.path), "bytes": source.path.stat().st_size, "version": list(source.version),
            "seen": source.seen, "header_bytes": source.header_bytes,
            "layers": len(source.layers), "of_layers": len(graph.layers),
        }  # fmt: skip
    if as_json:
        click.echo(to_json({**head, "arrays": rows}))
        return
    version = ".".join(map(str, source.version))
    part = f"; layers 0 to {head['layers'] - 1} of {head['of_layers']}" if upto is not None else ""
    click.echo(
        f"{file}: {head['bytes']:,} bytes, version {version}, header of {source.header_bytes} bytes, {source.seen:,} "
        f"images seen in training{part}\n"
    )
    click.echo(
        "layer  kind             array      at            shape                  minimum     maximum        mean"
    )
    for row in rows:
        shape = " x ".join(map(str, row["shape"]))
        values = "".join(_number(row[name]) for name in ("minimum", "maximum", "mean"))
        odd = f"  {row['not_finite']:,} not finite" if row["not_finite"] else ""
        click.echo(
            f"{row['layer']:5d}  {row['kind']:<15}  {row['array']:<9}  {row['at']:<12}  {shape:<19}{values}{odd}"
        )


def _rows(source: WeightsFile) -> Iterator[dict[str, Any]]:
    at = source.header_bytes
    for layer in source.layers:
        found = source.arrays(layer) if layer.parameters else {}
        for name, shape in layer.parameters:
            values = found[name]
            finite = values[np.isfinite(values)].astype(np.float64)
            row: dict[str, Any] = {
                "layer": layer.index, "kind": layer.kind, "array": name, "at": at, "shape": list(shape),
                "not_finite": values.size - finite.size,
                "minimum": float(finite.min()) if finite.size else None,
                "maximum": float(finite.max()) if finite.size else None,
                "mean": float(finite.mean()) if finite.size else None,
            }  # fmt: skip
            yield row
            at += 4 * values.size
        del found
        source.release(layer)


def _number(value: float | None) -> str:
    return f"{'-':>12}" if value is None else f"{value:12.4g}"


def _has_layers(graph: Graph, upto: int | None) -> Graph:
    if upto is not None and upto > len(graph.layers):
        raise click.BadParameter(f"{upto}: {graph.file} has {len(graph.layers)} layers", param_hint="--layer")
    return graph


@weights.command()
@click.argument("cfg", type=TEXT)
@click.argument("source", metavar="WEIGHTS", type=TEXT)
@click.argument("out", metavar="OUT", type=FilePath(dir_okay=False, path_type=Path))
@click.option("--layer", "upto", type=Count(1, _MOST_LAYERS), metavar="N", required=True,
              help="How many layers to keep: 137 makes what is called yolov4.conv.137.")  # fmt: skip
@click.option("--seen", type=_SEEN, default=0, show_default=True, help="Training images that the header is to count.")
@_version_option
def cut(cfg: str, source: str, out: Path, upto: int, seen: int, version: tuple[int, int, int] | None) -> None:
    """Write the first N layers of WEIGHTS to OUT, for a training to start from, as `darknet partial` does.

    The header says version 0.2.5 unless --version is given, and that no image was seen.
    """
    graph = _has_layers(load_graph(resolve_cfg(cfg)), upto)
    check_writable(out)
    loaded = load_weights(graph, source)
    save_weights(out, loaded, upto=upto, version=version or (0, 2, 5), seen=seen)
    click.echo(f"{out}: layers 0 to {upto - 1} of {len(graph.layers)}, {out.stat().st_size:,} bytes")


@weights.command()
@click.argument("cfg", type=TEXT)
@click.argument("source", metavar="WEIGHTS", type=TEXT)
@click.argument("out", metavar="OUT", type=FilePath(dir_okay=False, path_type=Path))
@_version_option
@click.option("--seen", type=_SEEN, help="Training images that the header is to count.  [default: as it does]")
@click.option("--header", type=click.Choice(["16", "20"]), help="Bytes that the header of WEIGHTS has, whatever its "
              "version says.  [default: what fits]")  # fmt: skip
@click.option("--classes", type=Count(1, _MOST_LAYERS), metavar="N", help="Refused, with advice.")
def convert(
    cfg: str,
    source: str,
    out: Path,
    version: tuple[int, int, int] | None,
    seen: int | None,
    header: str | None,
    classes: int | None,
) -> None:
    """Write WEIGHTS with another header to OUT.

    By default the version becomes 0.2.5, which every program reads. Connected layers are transposed where the version
    asks for it. The numbers of the layers stay the same, to the bit.
    """
    graph = load_graph(resolve_cfg(cfg))
    if classes is not None:
        before = graph.heads[0].index - 1 if graph.heads else len(graph.layers) - 1
        raise click.BadParameter(
            f"{classes}: the numbers of a head mean its classes, so no file has them for others: cut the layers before "
            f"the heads off (darknet-py weights cut --layer {before}) and train from there",
            param_hint="--classes",
        )
    check_writable(out)
    loaded = load_weights(graph, source, header_bytes=None if header is None else int(header))
    save_weights(out, loaded, version=version or (0, 2, 5), seen=seen)
    shown = ".".join(map(str, version or (0, 2, 5)))
    click.echo(f"{out}: version {shown}, {out.stat().st_size:,} bytes")
