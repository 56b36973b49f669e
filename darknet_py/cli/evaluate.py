"""``darknet-py evaluate``: how good a model is on labelled pictures, by Darknet's measure and by COCO's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from darknet_py.cli.loading import DetectorFiles, open_detector
from darknet_py.cli.model import model_option
from darknet_py.cli.options import (
    FRACTION,
    TEXT,
    THREADS,
    FilePath,
    looks_option,
    make_writable,
    precision_option,
    size_option,
)
from darknet_py.cli.report import Report, say
from darknet_py.cli.stopping import check_stopped
from darknet_py.cli.warmup import load_kernels

__all__ = ["evaluate"]

#: Pictures given to the detector at a time.
_CHUNK = 16


@click.command()
@model_option
@click.option("--cfg", metavar="FILE", type=TEXT, help="The .cfg file, or the name of a shipped model (yolov4).")
@click.option("--weights", metavar="FILE", type=TEXT, help="The .weights file that belongs to it.")
@click.option("--names", metavar="FILE", type=TEXT, help="The model's class names.  [default: found beside the cfg]")
@click.option("--images", metavar="DIR", type=FilePath(exists=True, file_okay=False, path_type=Path),
              help="Pictures of COCO's annotations.  [default: looked for beside them]")  # fmt: skip
@click.option("--iou", default=0.5, **FRACTION, help="Overlap above which a detection is right, for Darknet's mAP.")
@click.option("--points", default="0", show_default=True, type=click.Choice(["0", "11", "101"]),
              help="Recalls of Darknet's mAP; 0 is the area under the curve.")  # fmt: skip
@click.option("--confidence", default=0.25, **FRACTION, help="Lowest confidence for precision, recall and F1.")
@click.option("--thresh", default=0.005, **FRACTION, help="Lowest confidence that is looked at.")
@click.option("--nms", default=0.45, **FRACTION, help="Largest overlap of boxes.")
@click.option("--letterbox/--no-letterbox", default=None, help="Keep the aspect ratio.  [default: what the cfg says]")
@size_option
@click.option("--threads", type=THREADS, help="Threads per picture.  [default: all physical cores]")
@precision_option
@looks_option
@click.option("--json", "json_file", metavar="FILE", type=FilePath(dir_okay=False, path_type=Path),
              help="Write all figures to FILE.")  # fmt: skip
@click.option("--plots", metavar="DIR", type=FilePath(file_okay=False, path_type=Path),
              help="Write precision-recall curves and the confusion matrix to DIR; needs matplotlib.")  # fmt: skip
@click.option("--plot-format", default="svg", show_default=True, type=click.Choice(["svg", "png"]))
@click.option("--detections", metavar="FILE", type=FilePath(dir_okay=False),
              help="Write what was found to FILE as JSON lines.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on where the FILE of --detections ends.")
@click.argument("data", type=FilePath(exists=True, path_type=Path))
@click.pass_context
def evaluate(ctx: click.Context, /, data: Path, **given: Any) -> None:
    """Measure a model on labelled pictures: Darknet's mAP, COCO's AP, precision, recall and F1 of each class.

    DATA is a folder (images/ and labels/ with YOLO's .txt, and a .names file if the labels have other classes than the
    model), a Darknet .data file (its valid= list) or COCO's annotations (.json). Classes are matched by name.

    Exit code 0: all well; 1: some pictures, or DATA or the model, could not be read; 2: wrong options; 130 or 143:
    ended by Ctrl-C or SIGTERM.

    \b
    Examples:
      darknet-py evaluate --cfg my.cfg --weights my.weights my.data
      darknet-py evaluate --model yolov4-tiny --images val2017 instances_val2017.json
      darknet-py evaluate --cfg my.cfg --weights my.weights --plots plots --json figures.json photos/
      darknet-py evaluate --cfg my.cfg --weights my.weights --detections found.jsonl --resume my.data
    """
    from darknet_py.evaluation.datasets import match_classes, open_dataset
    from darknet_py.evaluation.plots import confusion_matrix, draw_plots, need_matplotlib
    from darknet_py.evaluation.report import evaluate_boxes
    from darknet_py.files import check_writable, write_whole

    if given["resume"] and given["detections"] is None:
        raise click.UsageError("--resume goes on from a file of --detections, which is not given", ctx)
    if given["plots"] is not None:
        make_writable(given["plots"], "--plots")
        need_matplotlib()  # takes a second or more
    if given["json_file"] is not None:
        check_writable(given["json_file"])
    dataset = open_dataset(data, images=given["images"])
    detector = _load(ctx, given)
    classes, unknown = match_classes(dataset.names, detector.names)
    if unknown:
        shown = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        say(f"Note: the model does not know {len(unknown)} classes of the labels, which do not count: {shown}")
    report = Report(len(dataset.pictures), tables=True)
    taker = _search(detector, dataset.pictures, classes, report, given)
    found, truth = taker.found, taker.truth
    beyond = [k for k in sorted(taker.without_class) if k >= len(dataset.names or detector.names)]
    if beyond:
        last = len(dataset.names or detector.names) - 1
        shown = ", ".join(map(str, beyond[:10]))
        say(f"Note: labels of classes beyond {last}, which have no name, do not count: {shown}")
    if not found:
        ctx.exit(1)
    options = {"iou": given["iou"], "confidence": given["confidence"]}
    result = evaluate_boxes(found, truth, detector.names, points=int(given["points"]), **options)
    click.echo(result.table())
    if given["json_file"] is not None:
        write_whole(given["json_file"], (json.dumps(result.to_json(), indent=1) + "\n").encode())
    if given["plots"] is not None:
        matrix = confusion_matrix(found, truth, len(detector.names), **options)
        for path in draw_plots(given["plots"], given["plot_format"], result, matrix):
            say(f"{path} written")
    if report.failures:
        ctx.exit(1)


def _load(ctx: click.Context, given: dict[str, Any]) -> Any:
    files = DetectorFiles(*(given[name] for name in DetectorFiles.__dataclass_fields__))
    files.check(ctx)
    options = {name: given[name] for name in ("size", "threads", "letterbox", "precision", "looks")}
    detector = open_detector(files.find(ctx), **options)
    load_kernels(detector.graph)
    return detector


def _search(
    detector: Any, pictures: Sequence[Any], classes: dict[int, int], report: Report, given: dict[str, Any]
) -> _Taker:
    """What was found in each picture that could be read, and its truth, in the model's classes."""
    from darknet_py.outputs import Outputs
    from darknet_py.outputs.json_lines import JsonLines
    from darknet_py.outputs.run_settings import describe_run

    taker = _Taker({str(picture.path): picture for picture in pictures}, classes, report)
    journal = None if given["detections"] is None else JsonLines(given["detections"], resume=given["resume"])
    with report, Outputs([taker], journal) as outputs:
        outputs.begin(describe_run(detector, detector.selection(given["thresh"], given["nms"])))
        left = [(i, picture) for i, picture in enumerate(pictures, 1) if not outputs.done(str(picture.path))]
        for first in range(0, len(left), _CHUNK):
            check_stopped()
            _search_some(detector, left[first : first + _CHUNK], outputs, given)
    return taker


def _search_some(detector: Any, some: Sequence[tuple[int, Any]], outputs: Any, given: dict[str, Any]) -> None:
    from darknet_py.errors import DarknetError
    from darknet_py.outputs import Record

    results = detector.detect_batch(
        [picture.path for _, picture in some], given["thresh"], given["nms"], errors="return"
    )
    for (index, picture), result in zip(some, results, strict=True):
        name = str(picture.path)
        if isinstance(result, DarknetError):
            outputs.write(Record.failed(name, index, result.__cause__ or result))
        else:
            outputs.write(Record(name, index, result))


class _Taker:
    """Keeps what is found beside its truth: the output that the figures are made of."""

    needs_pixels = False
    kept = ""

    def __init__(self, pictures: dict[str, Any], classes: dict[int, int], report: Report) -> None:
        self._pictures, self._classes, self._report = pictures, classes, report
        self.found: list[Any] = []
        self.truth: list[Any] = []
        self.without_class: set[int] = set()

    def __enter__(self) -> _Taker:
        return self

    def __exit__(self, *of_the_block: object) -> None:
        pass

    def begin(self, run: Any) -> None:
        pass

    def write(self, record: Any) -> None:
        from darknet_py.errors import DarknetError
        from darknet_py.evaluation.truths import Found

        self._report.step()
        if record.detections is None:
            self._report.failed(record.name, record.error.message)
            return
        picture = self._pictures.get(record.name)
        if picture is None:  # of a run that is resumed, on other pictures
            return
        try:
            truth = picture.truth(*record.size)
        except DarknetError as error:
            self._report.failed(record.name, str(error))
            return
        self.found.append(Found.of(record.detections))
        self.truth.append(truth.of_classes(self._classes))
        self.without_class |= set(truth.class_id.tolist()).difference(self._classes)
