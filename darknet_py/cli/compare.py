"""``darknet-py dump`` and ``compare``: every layer's output in a file, and how far two sets of them are apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from darknet_py.arguments import PRECISIONS
from darknet_py.cli.options import SIZE, TEXT, THREADS, FilePath
from darknet_py.cli.warmup import announce_compiling
from darknet_py.comparison import Difference, Dump, compare_layers, prepare_blob, read_dump, write_dump
from darknet_py.files import check_writable
from darknet_py.graph import Graph, load_graph
from darknet_py.network import Network
from darknet_py.outputs.json_text import to_json
from darknet_py.shipped import resolve_cfg
from darknet_py.version import installed_version

__all__ = ["compare", "dump"]

_Layers = Mapping[int, NDArray[np.float32]]

#: Of a layer's largest magnitude, what may be between a run and another: how many threads there are changes nothing,
#: Winograd's algorithms round differently, bfloat16 has 8 bits (0.13 is the most in five trained models).
_THREADS, _FLOAT32, _BFLOAT16 = 0.0, 1e-3, 0.2

_Command = TypeVar("_Command", bound=Callable[..., Any])

_size_option = click.option(
    "--size", type=SIZE, metavar="WxH", help="Network input, such as 608x352, instead of the cfg's."
)


def _precision_option(text: str) -> Callable[[_Command], _Command]:
    return click.option("--precision", type=click.Choice(PRECISIONS), help=text)


@click.command()
@click.argument("cfg", type=TEXT)
@click.argument("weights", type=TEXT)
@click.argument("image", type=TEXT)
@click.option("--out", required=True, metavar="DUMP", type=FilePath(dir_okay=False, path_type=Path),
              help="The file to write, such as dog.npz.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Direct convolutions only.")
@click.option("--threads", type=THREADS, help="Threads.  [default: all physical cores]")
@_precision_option("Of what convolutions multiply.  [default: float32]")
@_size_option
def dump(
    cfg: str,
    weights: str,
    image: str,
    out: Path,
    exact: bool,
    threads: int | None,
    precision: str | None,
    size: tuple[int, int] | None,
) -> None:
    """Write the output of every layer of CFG with WEIGHTS on IMAGE to an .npz file.

    It holds `input` and `layer_0`, `layer_1`, ..., float32 of (C, H, W), for numpy.load and for `darknet-py compare
    --against`. IMAGE is prepared as `detect` (for a classifier, `classify`) does it; a file .npy is a blob (C, H, W),
    float32, ready to be used.

    \b
    Examples:
      darknet-py dump my.cfg my.weights dog.jpg --out dog.npz
      darknet-py compare my.cfg my.weights dog.jpg --against dog.npz
    """
    check_writable(out)
    graph = load_graph(resolve_cfg(cfg), size)
    blob = prepare_blob(graph, image)
    announce_compiling()
    options = {"exact": exact, "threads": threads, "precision": precision or "float32"}
    network = Network(graph, weights, **options)  # type: ignore[arg-type]
    layers = network.run(blob, taps=range(len(graph.layers)))
    about = f"darknet-py {installed_version()}: {network.description}, {image}"
    write_dump(out, Dump(layers, blob, about))
    click.echo(f"{out}: {len(layers)} layers, {out.stat().st_size / 1e6:.1f} MB")


@click.command()
@click.argument("cfg", type=TEXT)
@click.argument("weights", type=TEXT)
@click.argument("image", type=TEXT)
@click.option("--against", metavar="DUMP", type=TEXT, help="A file that `darknet-py dump` wrote, or another program.")
@click.option("--exact", is_flag=True, help="Direct convolutions only.")
@click.option("--threads", type=THREADS, help="So many threads.")
@_precision_option("Of what convolutions multiply.")
@_size_option
@click.option("--tolerance", type=click.FloatRange(0), metavar="X",
              help="Largest difference that counts as equal, relative to the layer's largest magnitude.  [default: "
              "0.001; 0 for --threads alone; 0.2 with bfloat16]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
@click.pass_context
def compare(
    ctx: click.Context,
    cfg: str,
    weights: str,
    image: str,
    against: str | None,
    exact: bool,
    threads: int | None,
    precision: str | None,
    size: tuple[int, int] | None,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Run CFG with WEIGHTS on IMAGE and compare every layer with another run.

    With --against, a run with the options given is compared with a dump. Without it, a run as everything is by default
    is compared with one with the options given, of which there must be one. Rows that say "fused" are the outputs of a
    run that nobody looks into, whose layers may be computed together. The last line is the verdict; exit code 0: equal
    within the tolerance, 1: not, or something could not be read, 2: wrong options.

    \b
    Examples:
      darknet-py compare my.cfg my.weights dog.jpg --exact
      darknet-py compare my.cfg my.weights dog.jpg --threads 1
      darknet-py compare my.cfg my.weights dog.jpg --against dog.npz
    """
    if against is None and not (exact or threads or precision):
        raise click.UsageError("nothing to compare with: give --against DUMP, --exact, --threads or --precision", ctx)
    graph = load_graph(resolve_cfg(cfg), size)
    blob = prepare_blob(graph, image)
    announce_compiling()
    given = {"exact": exact, "threads": threads, "precision": precision or "float32"}
    reference = None if against is None else read_dump(against)
    other = _Run(Network(graph, weights, **given), blob)  # type: ignore[arg-type]
    if reference is None:
        rows = _Run(Network(graph, weights), blob).rows(graph, other.layers, other.outputs)
    else:
        rows = other.rows(graph, reference.layers, reference.layers)
    if tolerance is None:
        alone = against is None and not exact and given["precision"] == "float32"
        tolerance = _BFLOAT16 if precision == "bfloat16" else _THREADS if alone else _FLOAT32
    notes = [] if reference is None else _notes(graph, reference, blob)
    verdict, equal = _verdict(rows, tolerance)
    if as_json:
        plain = [{name: getattr(row, name) for name in row.__dataclass_fields__} for row in rows]
        click.echo(
            to_json({"layers": plain, "notes": notes, "tolerance": tolerance, "equal": equal, "verdict": verdict})
        )
    else:
        click.echo("\n".join([_table(rows, tolerance), *notes, verdict]))
    if not equal:
        ctx.exit(1)


class _Run:
    """The outputs of all layers, and of the last ones as they are where no layer but them is asked for."""

    def __init__(self, network: Network, blob: NDArray[np.float32]) -> None:
        self.layers = network.run(blob, taps=range(len(network.graph.layers)))
        ends = network.heads or (network.graph.output,)
        self.outputs = dict(zip((layer.index for layer in ends), network.run(blob), strict=True))

    def rows(self, graph: Graph, layers: _Layers, outputs: _Layers) -> list[Difference]:
        """How far they are from those of a reference."""
        untapped = compare_layers(graph.layers, self.outputs, outputs)
        return [
            *compare_layers(graph.layers, self.layers, layers),
            *(dataclasses.replace(row, kind=f"{row.kind}, fused") for row in untapped),
        ]


def _notes(graph: Graph, reference: Dump, blob: NDArray[np.float32]) -> list[str]:
    """What else is to be known of a dump, before the verdict."""
    notes = []
    if reference.blob is not None and not np.array_equal(reference.blob, blob):
        same_shape = reference.blob.shape == blob.shape
        by = f"by up to {np.abs(reference.blob - blob).max():.1e}" if same_shape else f": {reference.blob.shape}"
        notes.append(f"the input differs {by}: the dump was made of another picture, or it was prepared otherwise")
    missing = [layer.index for layer in graph.layers if layer.index not in reference.layers]
    if missing:
        shown = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        notes.append(f"not in the dump, and not compared: layers {shown}")
    return notes


def _table(rows: Sequence[Difference], tolerance: float) -> str:
    lines = [f"{'layer':>5}  {'kind':<15}  {'w x h x c':<20}  {'largest':>10}  {'absolute':>10}  {'relative':>10}"]
    for row in rows:
        c, h, w = row.shape
        mark = "  <--" if row.relative > tolerance else ""
        figures = f"{row.largest:10.3g}  {row.absolute:10.2e}  {row.relative:10.2e}"
        lines.append(f"{row.index:5d}  {row.kind:<15}  {f'{w:4d} x{h:4d} x{c:5d}':<20}  {figures}{mark}")
    return "\n".join(lines)


def _verdict(rows: Sequence[Difference], tolerance: float) -> tuple[str, bool]:
    if not rows:
        return "DIFFERENT: no layer that both have", False
    worst = max(rows, key=lambda row: row.relative)
    if worst.relative == 0:
        return f"EQUAL: {len(rows)} outputs, to the bit", True
    said = (
        f"largest difference {worst.relative:.1e} of the layer's largest value, in layer {worst.index} [{worst.kind}]"
    )
    if worst.relative <= tolerance:
        return f"EQUAL within {tolerance:g}: {len(rows)} outputs, {said}", True
    first = next(row for row in rows if row.relative > tolerance)
    beyond = sum(row.relative > tolerance for row in rows)
    return (
        f"DIFFERENT: {beyond} of {len(rows)} outputs beyond {tolerance:g}, the first is layer {first.index} "
        f"[{first.kind}]; {said}"
    ), False
