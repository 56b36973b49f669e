"""``darknet-py detect``: pictures in; tables, Darknet's JSON and annotated pictures out."""

from __future__ import annotations

import math
import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.detections import Detections
from darknet_py.cli.inputs import gather, targets_of
from darknet_py.cli.model import choose_model, model_option
from darknet_py.cli.options import SIZE, TEXT, THREADS, FilePath, make_writable, precision_option
from darknet_py.cli.report import Report, say
from darknet_py.cli.stopping import check_stopped
from darknet_py.cli.warmup import announce_compiling, load_kernels
from darknet_py.detector import Detector
from darknet_py.draw import annotate, save_image
from darknet_py.errors import DarknetError, OutputError, UnsupportedError
from darknet_py.files import check_writable
from darknet_py.find_cv2 import need_cv2
from darknet_py.models.registry import MODELS
from darknet_py.output import JsonWriter, format_table
from darknet_py.pictures.blob import LIKES
from darknet_py.pictures.load import load_image
from darknet_py.shipped import BUILT_IN
from darknet_py.workers import Workers

__all__ = ["detect"]

#: Named to who shows the built-in model a picture without codes.
_ORDINARY = MODELS["yolov4-tiny"]


@dataclass(frozen=True)
class _Options:
    """How to look at each picture, and where results go besides the terminal."""

    thresh: float
    nms: float
    writer: JsonWriter | None
    report: Report
    advice: _Advice | None


class _Advice:
    """What to do where the built-in model, which nobody asked for by name, finds nothing: said once."""

    def __init__(self) -> None:
        self._given = False

    def on(self, picture: str, report: Report) -> None:
        """A picture in which nothing was found."""
        if not self._given:
            report.note(
                "The built-in model looks for QR codes, barcodes, Data Matrix codes and ArUco markers, nothing else. "
                f"For people, cars, animals and other everyday objects: darknet-py detect --model {_ORDINARY.name} "
                f"{shlex.quote(picture)} (downloads {(_ORDINARY.weights.bytes or 0) / 1e6:.0f} MB, once)"
            )
        self._given = True


def _refuse_nan(context: click.Context, parameter: click.Parameter, value: float) -> float:
    # Every comparison with NaN is false, so that FloatRange lets it pass.
    if math.isnan(value):
        raise click.BadParameter("nan: expected a number from 0 to 1", context, parameter)
    return value


_FRACTION: dict[str, Any] = {"show_default": True, "type": click.FloatRange(0, 1), "callback": _refuse_nan}


@click.command()
@model_option
@click.option("--cfg", metavar="FILE", type=TEXT, help="The .cfg file, or the name of a shipped model (yolov4).  "
              f"[default: the built-in model, {BUILT_IN}]")  # fmt: skip
@click.option("--weights", metavar="FILE", type=TEXT, help="The .weights file that belongs to it.")
@click.option("--names", metavar="FILE", type=TEXT, help="Class names, one per line.  [default: found beside the cfg]")
@click.option("--thresh", default=0.25, **_FRACTION, help="Lowest confidence.")
@click.option("--nms", default=0.45, **_FRACTION, help="Largest overlap of boxes.")
@click.option("--letterbox/--no-letterbox", default=None, help="Keep the aspect ratio of pictures, or stretch them to "
              "the network's input.  [default: what the cfg says]")  # fmt: skip
@click.option("--size", type=SIZE, metavar="WxH", help="Network input, such as 608x352, instead of the cfg's.")
@click.option("--threads", type=THREADS, help="Threads per picture.  [default: all physical cores]")
@click.option("--like", default="darknet", show_default=True, type=click.Choice(LIKES),
              help="Whose resizing and NMS to follow: Darknet's program, its Python scripts, cv2.dnn.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Direct convolutions only: slower, less memory, nearer to Darknet's bits.")
@precision_option
@click.option("--json", "json_file", metavar="FILE|-", type=FilePath(dir_okay=False, allow_dash=True),
              help="Write Darknet's JSON to FILE, or to stdout (-) instead of the tables.")  # fmt: skip
@click.option("--out", metavar="DIR", type=FilePath(file_okay=False, path_type=Path),
              help="Write the pictures with their boxes drawn to DIR.")  # fmt: skip
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.pass_context
def detect(
    ctx: click.Context,
    model: str | None,
    offline: bool,
    cfg: str | None,
    weights: str | None,
    names: str | None,
    thresh: float,
    nms: float,
    letterbox: bool | None,
    size: tuple[int, int] | None,
    threads: int | None,
    like: str,
    exact: bool,
    precision: str,
    json_file: str | None,
    out: Path | None,
    inputs: tuple[str, ...],
) -> None:
    """Find objects in pictures.

    Without --model and --cfg, the built-in model finds QR codes, barcodes, Data Matrix codes and ArUco markers.

    INPUT is a picture, a directory (its pictures, by name, without those in its subdirectories) or a pattern such
    as "photos/*.jpg". Boxes are left, top, width and height in pixels of the picture; times leave out reading it.
    An input that cannot be read does not stop the others; where none can, --json leaves FILE as it is. In the JSON,
    frame_id counts the pictures from 1. Ended early, by Ctrl-C, SIGTERM or a full disk, FILE holds the pictures that
    were done.

    Exit code 0: all well; 1: some inputs, or the model, could not be read, or the disk is full; 2: wrong options; 130
    or 143: ended by Ctrl-C or SIGTERM.

    \b
    Examples:
      darknet-py detect parcel.jpg
      darknet-py detect --model yolov4-tiny dog.jpg
      darknet-py detect --cfg yolov4 --weights yolov4.weights dog.jpg
      darknet-py detect --cfg my.cfg --weights my.weights --names my.names --thresh 0.5 photos/
      darknet-py detect --cfg my.cfg --weights my.weights --json found.json --out drawn "photos/*.jpg"
      darknet-py detect --cfg my.cfg --weights my.weights --json - dog.jpg | jq .
    """
    if weights is not None and cfg is None and model is None:
        raise click.UsageError("--weights without --cfg: give the .cfg file they were trained with, or neither", ctx)
    if like != "darknet":
        need_cv2(f"--like {like}")  # for every picture alike
    if json_file == "-" and sys.stdout is None:
        raise click.BadParameter("standard output is closed", ctx, param_hint="--json")
    pictures, wrong = gather(inputs)
    if out is not None:
        make_writable(out, "--out")
    targets = list(targets_of(pictures, out))
    for target in targets:
        if target is not None and os.path.lexists(target):
            check_writable(target)
    writer = None if json_file is None else JsonWriter(json_file, keep=True)
    report = Report(len(pictures), tables=json_file != "-")
    try:
        # The writer is left before an exit code is set: an exception on its way through would make it drop the file.
        with writer or nullcontext():
            for name, cause in wrong:
                report.failed(name, cause)
            built_in = cfg is None and model is None
            source: tuple[Any, ...] = (None, None, names)
            if not built_in:
                chosen = choose_model(ctx, cfg, weights, model, offline)
                source = chosen.cfg, chosen.weights, names or chosen.names
            detector = _load(
                built_in,
                source,
                size=size,
                threads=threads,
                letterbox=letterbox,
                like=like,
                exact=exact,
                precision=precision,
            )
            options = _Options(thresh, nms, writer, report, _Advice() if built_in else None)
            _detect_all(detector, pictures, targets, options)
            if writer is not None and not writer.count and report.failures and json_file != "-":
                ctx.exit(1)  # from within: a mistyped name does not replace the FILE of before by an empty one
    except BaseException:
        if writer is not None and writer.kept:
            report.note(f"{json_file} holds the {writer.count} of {len(pictures)} pictures that were done")
        raise
    if report.failures:
        ctx.exit(1)


def _load(built_in: bool, source: tuple[Any, ...], **options: Any) -> Detector:
    """The detector, with its kernels, so that no picture's time includes them."""
    announce_compiling()
    detector = Detector(*source, **options)
    if built_in:
        say(
            f"Using the built-in model {BUILT_IN} ({', '.join(detector.names)}); give --model NAME, or --cfg and "
            "--weights, for another."
        )
    _check_channels(detector)
    load_kernels(detector.graph)
    return detector


def _detect_all(detector: Detector, pictures: Sequence[str], targets: Sequence[Path | None], options: _Options) -> None:
    readings = _read_ahead(pictures, detector.graph.blob.c)
    with options.report, closing(readings):
        for number, (reading, target) in enumerate(zip(readings, targets, strict=True), 1):
            check_stopped()
            _detect_one(detector, *reading, number, target, options)
            options.report.step()


def _read_ahead(pictures: Sequence[str], channels: int) -> Generator[tuple[str, Future[NDArray[np.uint8]]], None, None]:
    """Each picture and its pixels to come, the next one being read while this one is looked at."""
    with Workers(1) as reader:
        coming: deque[tuple[str, Future[NDArray[np.uint8]]]] = deque()
        for picture in pictures:
            coming.append((picture, reader.submit(partial(load_image, channels=channels), picture)))
            if len(coming) > 1:
                yield coming.popleft()
        yield from coming


def _detect_one(
    detector: Detector,
    picture: str,
    reading: Future[NDArray[np.uint8]],
    number: int,
    target: Path | None,
    options: _Options,
) -> None:
    """Everything for one picture; whatever is wrong with it becomes an error line."""
    try:
        pixels = reading.result()
        start = time.perf_counter()
        found = detector.detect(pixels, options.thresh, options.nms, bgr=False)
        seconds = time.perf_counter() - start
    except DarknetError as error:
        options.report.failed(picture, str(error))
        return
    except MemoryError:
        options.report.failed(picture, "not enough memory for this picture")
        return
    _show(found, picture, number, seconds, options)
    if target is not None:
        try:
            save_image(target, annotate(pixels, found, bgr=False), bgr=False)
        except OutputError:  # it would be the same for all that come
            raise
        except DarknetError as error:
            options.report.failed(picture, str(error))


def _show(found: Detections, picture: str, number: int, seconds: float, options: _Options) -> None:
    if options.writer is not None:  # first: a terminal that is closed loses nothing of it
        options.writer.write(found.to_darknet_json(picture, number))
    options.report.table(format_table(found, picture, seconds))
    if options.advice is not None and not len(found):
        options.advice.on(picture, options.report)


def _check_channels(detector: Detector) -> None:
    channels = detector.graph.blob.c
    if channels not in (1, 3):
        raise UnsupportedError(
            f"{detector.graph.file}: channels={channels}, but pictures have 1 or 3: "
            "prepare blobs for Detector.detect_blob in Python"
        )
