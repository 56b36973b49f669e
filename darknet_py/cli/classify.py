"""``darknet-py classify``: pictures in; the likeliest classes of each as tables and JSON out."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import closing, nullcontext
from functools import partial

import click
import numpy as np
from numpy.typing import NDArray

from darknet_py.classifier import Classification, Classifier
from darknet_py.cli.inputs import gather_pictures
from darknet_py.cli.options import SIZE, TEXT, THREADS, Count, FilePath, precision_option
from darknet_py.cli.report import Report
from darknet_py.cli.stopping import check_stopped
from darknet_py.cli.warmup import announce_compiling, load_kernels
from darknet_py.errors import DarknetError
from darknet_py.outputs.json_array import JsonWriter
from darknet_py.pictures.load import load_image
from darknet_py.workers import Workers

__all__ = ["classify"]

#: More nobody reads, and few enough for every network.
_MOST = 1_000_000


@click.command()
@click.option("--cfg", metavar="FILE", type=TEXT, help="The .cfg file of a classifier.")
@click.option("--weights", metavar="FILE", type=TEXT, help="The .weights file that belongs to it.")
@click.option(
    "--labels",
    metavar="FILE",
    type=TEXT,
    help="Class names, one per line, or a .data file that points to them.  [default: found beside the cfg]",
)
@click.option("--top", default=5, show_default=True, type=Count(1, _MOST), help="How many classes to show.")
@click.option("--size", type=SIZE, metavar="WxH", help="Network input, such as 256x256, instead of the cfg's.")
@click.option("--threads", type=THREADS, help="Threads per picture.  [default: all physical cores]")
@click.option("--exact", is_flag=True, help="Direct convolutions only: slower, less memory, nearer to Darknet's bits.")
@precision_option
@click.option("--json", "json_file", metavar="FILE|-", type=FilePath(dir_okay=False, allow_dash=True),
              help="Write JSON to FILE, or to stdout (-) instead of the tables.")  # fmt: skip
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.pass_context
def classify(
    ctx: click.Context,
    cfg: str | None,
    weights: str | None,
    labels: str | None,
    top: int,
    size: tuple[int, int] | None,
    threads: int | None,
    exact: bool,
    precision: str,
    json_file: str | None,
    inputs: tuple[str, ...],
) -> None:
    """Say what pictures show, with a classifier.

    INPUT is a picture, a directory or a pattern such as "photos/*.jpg". As Darknet's `classifier predict` does it,
    the shorter side of a picture is resized to the width of the network and the middle of it is looked at; where the
    network has a tree of classes, confidences are multiplied from its root on. No classifier ships: give --cfg and
    --weights.

    Exit code 0: all well; 1: some inputs, or the model, could not be read; 2: wrong options.

    \b
    Examples:
      darknet-py classify --cfg darknet19.cfg --weights darknet19.weights dog.jpg
      darknet-py classify --cfg my.cfg --weights my.weights --labels my.names --top 3 photos/
      darknet-py classify --cfg my.cfg --weights my.weights --json - dog.jpg | jq .
    """
    if cfg is None or weights is None:
        missing = "--cfg" if cfg is None else "--weights"
        raise click.UsageError(f"Missing option '{missing}': no classifier ships; give --cfg and --weights", ctx)
    if json_file == "-" and sys.stdout is None:
        raise click.BadParameter("standard output is closed", ctx, param_hint="--json")
    pictures, wrong = gather_pictures(inputs)
    writer = None if json_file is None else JsonWriter(json_file, keep=True)
    report = Report(len(pictures), tables=json_file != "-")
    with writer or nullcontext():
        for name, cause in wrong:
            report.failed(name, cause)
        announce_compiling()
        classifier = Classifier(cfg, weights, labels, size=size, threads=threads, exact=exact, precision=precision)
        load_kernels(classifier.graph)
        _classify_all(classifier, pictures, top, writer, report)
        if writer is not None and not writer.count and report.failures and json_file != "-":
            ctx.exit(1)  # from within: a mistyped name does not replace the FILE of before by an empty one
    if report.failures:
        ctx.exit(1)


def _classify_all(
    classifier: Classifier, pictures: Sequence[str], top: int, writer: JsonWriter | None, report: Report
) -> None:
    readings = _read_ahead(pictures, classifier.graph.blob.c)
    with report, closing(readings):
        for number, (picture, reading) in enumerate(readings, 1):
            check_stopped()
            try:
                pixels = reading.result()
                start = time.perf_counter()
                found = classifier.classify(pixels, top, bgr=False)
                seconds = time.perf_counter() - start
            except DarknetError as error:
                report.failed(picture, str(error))
            except MemoryError:
                report.failed(picture, "not enough memory for this picture")
            else:
                if writer is not None:
                    writer.write(found.to_json(picture, number))
                report.table(format_classes(found, picture, seconds))
            report.step()


def _read_ahead(pictures: Sequence[str], channels: int) -> Generator[tuple[str, Future[NDArray[np.uint8]]], None, None]:
    """Each picture and its pixels to come, the next one being read while this one is looked at."""
    with Workers(1) as reader:
        coming: deque[tuple[str, Future[NDArray[np.uint8]]]] = deque()
        for picture in pictures:
            coming.append((picture, reader.submit(partial(load_image, channels=channels), picture)))
            if len(coming) > 1:
                yield coming.popleft()
        yield from coming


def format_classes(found: Classification, picture: str, seconds: float) -> str:
    """A heading and a line per class; no line end after the last."""
    lines = [f"{picture}: {seconds * 1e3:.1f} ms"]
    for guess in found:
        of = "" if guess.parent is None else f" ({guess.parent})"
        lines.append(f"  {guess.confidence:8.2%}  {guess.class_name}{of}")
    return "\n".join(lines)
