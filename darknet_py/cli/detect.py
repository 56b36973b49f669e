"""``darknet-py detect``: pictures in; tables, Darknet's JSON and annotated pictures out."""

from __future__ import annotations

import os
import shlex
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from darknet_py.cli.choices import Choices, choice_options
from darknet_py.cli.inputs import gather, targets_of
from darknet_py.cli.model import choose_model, model_option
from darknet_py.cli.options import SIZE, TEXT, THREADS, FilePath, make_writable, precision_option
from darknet_py.cli.outputs import Targets, output_options
from darknet_py.cli.report import Report, say
from darknet_py.cli.stopping import check_stopped
from darknet_py.cli.tables import format_table
from darknet_py.cli.totals import Totals
from darknet_py.cli.warmup import announce_compiling, load_kernels
from darknet_py.detector import Detector
from darknet_py.draw import annotate, save_image
from darknet_py.errors import DarknetError, ImageError, OutputError, UnsupportedError
from darknet_py.files import check_writable
from darknet_py.find_cv2 import need_cv2
from darknet_py.models.registry import MODELS
from darknet_py.outputs import Outputs, Record, Stems
from darknet_py.outputs.run_settings import describe_run
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

    wanted: dict[str, Any]
    outputs: Outputs
    report: Report
    totals: Totals
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


@click.command()
@model_option
@click.option("--cfg", metavar="FILE", type=TEXT, help="The .cfg file, or the name of a shipped model (yolov4).  "
              f"[default: the built-in model, {BUILT_IN}]")  # fmt: skip
@click.option("--weights", metavar="FILE", type=TEXT, help="The .weights file that belongs to it.")
@click.option("--names", metavar="FILE", type=TEXT, help="Class names, one per line.  [default: found beside the cfg]")
@choice_options
@click.option("--letterbox/--no-letterbox", default=None, help="Keep the aspect ratio of pictures, or stretch them to "
              "the network's input.  [default: what the cfg says]")  # fmt: skip
@click.option("--size", type=SIZE, metavar="WxH", help="Network input, such as 608x352, instead of the cfg's.")
@click.option("--threads", type=THREADS, help="Threads per picture.  [default: all physical cores]")
@click.option("--like", default="darknet", show_default=True, type=click.Choice(LIKES),
              help="Whose resizing and NMS to follow: Darknet's program, its Python scripts, cv2.dnn.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Direct convolutions only: slower, less memory, nearer to Darknet's bits.")
@precision_option
@click.option("--out", metavar="DIR", type=FilePath(file_okay=False, path_type=Path),
              help="Write the pictures with their boxes drawn to DIR.")  # fmt: skip
@output_options
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.pass_context
def detect(
    ctx: click.Context,
    model: str | None,
    offline: bool,
    cfg: str | None,
    weights: str | None,
    names: str | None,
    choices: Choices,
    letterbox: bool | None,
    size: tuple[int, int] | None,
    threads: int | None,
    like: str,
    exact: bool,
    precision: str,
    out: Path | None,
    targets: Targets,
    inputs: tuple[str, ...],
) -> None:
    """Find objects in pictures.

    Without --model and --cfg, the built-in model finds QR codes, barcodes, Data Matrix codes and ArUco markers.

    INPUT is a picture, a directory (its pictures, by name, without those in its subdirectories) or a pattern such
    as "photos/*.jpg". Boxes are left, top, width and height in pixels of the picture; times leave out reading it,
    loading and compiling. An input that cannot be read does not stop the others; where none can, files stay as they
    are, but for an error record in that of --jsonl. In Darknet's JSON, frame_id counts the pictures from 1.

    Ended early, by Ctrl-C, SIGTERM or a full disk, files hold the pictures that were done, and the same command with
    --jsonl FILE --resume goes on from there. What each file holds: docs/outputs.md.

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
      darknet-py detect --model yolov4-tiny --classes person,car --jsonl found.jsonl --resume photos/
      darknet-py detect --model yolov4-tiny --save-txt --save-crop --save-dir labelled photos/
    """
    if weights is not None and cfg is None and model is None:
        raise click.UsageError("--weights without --cfg: give the .cfg file they were trained with, or neither", ctx)
    if like != "darknet":
        need_cv2(f"--like {like}")  # for every picture alike
    targets.check(ctx)
    pictures, wrong = gather(inputs)
    if out is not None:
        make_writable(out, "--out")
    drawn = list(targets_of(pictures, out))
    for target in drawn:
        if target is not None and os.path.lexists(target):
            check_writable(target)
    outputs, chosen = targets.outputs(out)
    report, totals = Report(len(pictures), tables=not targets.on_stdout), Totals()
    try:
        # The outputs are left before an exit code is set: an exception on its way through would make them drop files.
        with outputs:
            for name, cause in wrong:
                report.failed(name, cause)
            built_in = cfg is None and model is None
            source: tuple[Any, ...] = (None, None, names)
            if not built_in:
                found = choose_model(ctx, cfg, weights, model, offline)
                source = found.cfg, found.weights, names or found.names
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
            wanted = choices.options(detector.names)
            outputs.begin(describe_run(detector, detector.selection(**wanted)))
            options = _Options(wanted, outputs, report, totals, _Advice() if built_in else None)
            _detect_all(detector, pictures, drawn, options)
            for number, (name, cause) in enumerate(wrong, len(pictures) + 1):
                if not outputs.done(name):
                    outputs.write(Record.failed(name, number, ImageError(cause)))
            if not outputs.count and report.failures and not targets.on_stdout:
                ctx.exit(1)  # from within: a mistyped name does not replace the FILE of before by an empty one
    except BaseException:
        if outputs.kept:
            verb = "holds" if len(outputs.kept) == 1 else "hold"
            report.note(
                f"{', '.join(outputs.kept)} {verb} the {outputs.count} of {len(pictures)} pictures that were done"
            )
        raise
    report.table(totals.text())
    if chosen is not None:
        report.note(f"Label files and crops are in {chosen}")
    if report.failures or outputs.failures:
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


def _detect_all(detector: Detector, pictures: Sequence[str], drawn: Sequence[Path | None], options: _Options) -> None:
    outputs, stems = options.outputs, Stems()
    if outputs.resumed:
        failed = f", {outputs.failures} of them in vain" if outputs.failures else ""
        options.report.note(f"{outputs.resumed} of the pictures were done before{failed}")
    numbered = [
        (number, picture, stem, target)
        for number, (picture, target) in enumerate(zip(pictures, drawn, strict=True), 1)
        if (stem := stems.of(picture)) and not outputs.done(picture)
    ]
    if len(numbered) > 1:
        _warm_up(detector, options.wanted)
    readings = _read_ahead([picture for _, picture, _, _ in numbered], detector.graph.blob.c)
    with options.report, closing(readings):
        for reading, (number, picture, stem, target) in zip(readings, numbered, strict=True):
            check_stopped()
            record = _detect_one(detector, picture, reading, number, stem, options)
            _show(record, target, options)
            options.report.step()


def _warm_up(detector: Detector, wanted: dict[str, Any]) -> None:
    """Have the memory of a run touched, which made the first picture take up to 1.4 times as long as the others."""
    blob = detector.graph.blob
    detector.detect_blob(np.zeros(blob, np.float32), (blob.w, blob.h), **wanted)


_Reading: TypeAlias = "Future[tuple[NDArray[np.uint8], float]]"


def _read_ahead(pictures: Sequence[str], channels: int) -> Generator[_Reading, None, None]:
    """The pixels of each picture to come, with the seconds it took, the next being read while one is looked at."""
    with Workers(1) as reader:
        coming: deque[_Reading] = deque()
        for picture in pictures:
            coming.append(reader.submit(partial(_read, channels=channels), picture))
            if len(coming) > 1:
                yield coming.popleft()
        yield from coming


def _read(picture: str, channels: int) -> tuple[NDArray[np.uint8], float]:
    start = time.perf_counter()
    return load_image(picture, channels=channels), time.perf_counter() - start


def _detect_one(
    detector: Detector, picture: str, reading: _Reading, number: int, stem: str, options: _Options
) -> Record:
    """The record of one picture, also if something is wrong with it."""
    try:
        pixels, seconds = reading.result()
        start = time.perf_counter()
        found = detector.detect(pixels, **options.wanted, bgr=False)
        timings = {"read": seconds, "detect": time.perf_counter() - start}
    except DarknetError as error:
        return Record.failed(picture, number, error, stem=stem)
    except MemoryError:
        return Record.failed(picture, number, ImageError("not enough memory for this picture"), stem=stem)
    return Record(picture, number, found, timings=timings, stem=stem, pixels=pixels)


def _show(record: Record, target: Path | None, options: _Options) -> None:
    """Write what came of a picture to wherever it shall go."""
    found, pixels = record.detections, record.pixels
    if found is not None and pixels is not None and target is not None:
        try:
            save_image(target, annotate(np.ascontiguousarray(pixels[..., :3]), found, bgr=False), bgr=False)
        except OutputError:  # it would be the same for all that come
            raise
        except DarknetError as error:
            options.report.failed(record.name, str(error))
    options.outputs.write(record)  # before the terminal: one that is closed loses nothing of it
    options.totals.add(record)
    if found is None:
        options.report.failed(record.name, record.error.message if record.error else "")
        return
    options.report.table(format_table(found, record.name, record.timings["detect"]))
    if options.advice is not None and not len(found):
        options.advice.on(record.name, options.report)


def _check_channels(detector: Detector) -> None:
    channels = detector.graph.blob.c
    if channels not in (1, 3, 4):
        raise UnsupportedError(
            f"{detector.graph.file}: channels={channels}, but pictures have 1, 3 or 4: "
            "prepare blobs for Detector.detect_blob in Python"
        )
