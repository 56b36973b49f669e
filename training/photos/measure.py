"""How good a model of codes is on real photographs: ``python -m training.photos.measure FOLDER TRUTH.json``.

FOLDER and TRUTH.json are those of ``training.photos.truth``. Writes the figures to a file, of which
``benchmarks/readme.py`` makes the tables. Measures any model (``--cfg``, ``--weights``), of these classes or of more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from darknet_py import Detections, Detector
from darknet_py.codes import read_found
from darknet_py.evaluation.darknet import darknet_figures
from darknet_py.evaluation.report import evaluate_boxes
from darknet_py.evaluation.truths import Found, Truth, overlaps
from training.photos.reads import alike

__all__ = ["Figures", "main"]

#: Lowest confidence that the average precision sees, and that of everything else.
_LOWEST, _SHOWN = 0.01, 0.25
#: Confidences between which it is counted how many boxes are right.
_STEPS = (0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 1.0)
#: A code fills the picture if its box has so much of a side.
_FILLS = 0.8
_RIGHT = 0.5

#: Ways to look: the name in the table, looks, and the size of tiles as a share of the picture's sides.
_WAYS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("whole", ("whole",), None),
    ("frame", ("frame",), None),
    ("double", ("double",), None),
    ("frame, whole", ("frame", "whole"), None),
    ("whole, double", ("whole", "double"), None),
    ("frame, whole, double", ("frame", "whole", "double"), None),
    ("whole, tiles", ("whole",), 0.6),
    ("frame, whole, tiles", ("frame", "whole"), 0.6),
)

#: Folders in which boxes of other kinds than these are false.
_OTHERS = {"falsepositives": (), "pdf417": ("pdf417",), "aztec": ("aztec",), "maxicode": ("maxicode",)}


@dataclass
class Figures:
    """What is counted over pictures, one after the other."""

    names: tuple[str, ...]
    found: list[Found] = field(default_factory=list)
    truth: list[Truth] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, one: dict[str, Any], detections: Detections) -> None:
        """A picture with its truth and what was found in it."""
        seen = Found.of(detections)
        group = _group(one)
        others = next((name for name in _OTHERS if group.startswith(name)), None)
        if others is not None:
            shown = [self.names[k] for k in seen.class_id[seen.confidence > _SHOWN]]
            self.counts[f"pictures {others}"] += 1
            self.counts[f"false {others}"] += sum(name not in _OTHERS[others] for name in shown)
        codes = [code for code in one["codes"] if code["kind"] in self.names]
        xyxy = np.array([code["xyxy"] for code in codes], float).reshape(-1, 4)
        xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
        self._count(one, [code["kind"] for code in codes], xywh, seen)
        if one["whole"] and one["photograph"] and codes:
            self.found.append(seen)
            self.truth.append(Truth(np.array([self.names.index(code["kind"]) for code in codes]), xywh))

    def _count(self, one: dict[str, Any], kinds: Sequence[str], xywh: NDArray[np.float64], seen: Found) -> None:
        right = overlaps(seen.xywh, xywh) >= _RIGHT
        right[seen.confidence <= _SHOWN] = False
        for k, kind in enumerate(kinds):
            if one["photograph"] and max(xywh[k, 2] / one["width"], xywh[k, 3] / one["height"]) >= _FILLS:
                self.counts["filling"] += 1
                self.counts["filling found"] += bool((right[:, k] & (seen.class_id == self.names.index(kind))).any())
            located = np.flatnonzero(right[:, k])
            if kind == "datamatrix" and len(located):
                best = located[seen.confidence[located].argmax()]
                self.counts["datamatrix located"] += 1
                self.counts["datamatrix as qr"] += self.names[seen.class_id[best]] == "qr"

    def row(self) -> dict[str, Any]:
        """All figures by name."""
        result = evaluate_boxes(self.found, self.truth, self.names)
        objects = [one.truths for one in result.darknet.classes]
        return {
            "AP50": {n: result.coco.of_class(k)["AP50"] for k, n in enumerate(self.names) if objects[k]},
            "objects": {n: objects[k] for k, n in enumerate(self.names) if objects[k]},
            "right": self._right(),
            "filling": [self.counts["filling found"], self.counts["filling"]],
            "datamatrix as qr": [self.counts["datamatrix as qr"], self.counts["datamatrix located"]],
            "false": {n: [self.counts[f"false {n}"], self.counts[f"pictures {n}"]] for n in _OTHERS},
        }

    def _right(self) -> dict[str, list[int]]:
        """Of boxes between two confidences, how many are right and how many there are; in photographs of codes."""
        above = []
        for step in _STEPS:
            classes = darknet_figures(self.found, self.truth, len(self.names), confidence=step).classes
            above.append((sum(one.right for one in classes), sum(one.right + one.wrong for one in classes)))
        pairs = zip(_STEPS, _STEPS[1:], above, above[1:], strict=False)
        return {f"{low}-{high}": [more[0] - less[0], more[1] - less[1]] for low, high, more, less in pairs}


def _group(one: dict[str, Any]) -> str:
    return Path(one["picture"]).parent.name if one["picture"].startswith("zxing") else "jsqr"


def read_figures(pictures: Sequence[tuple[dict[str, Any], NDArray[np.uint8]]], detector: Detector) -> dict[str, Any]:
    """Texts read right and wrong by zxing-cpp in the picture as it is, and by ``darknet-py codes``."""
    import zxingcpp

    def alone(image: NDArray[np.uint8]) -> set[tuple[str, str]]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        read = zxingcpp.read_barcodes(grey, text_mode=zxingcpp.TextMode.Plain)
        return {(str(one.format), one.text) for one in read if one.text}

    def codes(image: NDArray[np.uint8]) -> set[tuple[str, str]]:
        read = read_found(image, detector.detect(image, bgr=False))
        return {(one.kind, one.text) for one in read if one.text is not None}

    ways = {"zxing-cpp alone": alone, "darknet-py codes": codes}
    counts: Counter[str] = Counter()
    for one, image in pictures:
        known = [code["text"] for code in one["codes"]] + ([] if one["text"] is None else [one["text"]])
        counts["pictures"] += one["text"] is not None
        for name, way in ways.items():
            read = way(image)
            wrong = [(kind, text) for kind, text in read if not any(alike(kind, text, right) for right in known)]
            counts[f"{name} wrong"] += len(wrong)
            counts[f"{name} right"] += one["text"] is not None and any(alike(*each, one["text"]) for each in read)
            if wrong:
                click.echo(f"{one['picture']}: {name} {sorted(wrong)}, expected {one['text']!r}", err=True)
    return dict(counts)


def look(detector: Detector, image: NDArray[np.uint8], share: float | None) -> Detections:
    """What a detector finds in a picture, in tiles of that share of its sides as well."""
    if share is None:
        return detector.detect(image, _LOWEST, bgr=False)
    height, width = image.shape[:2]
    size = max(1, round(share * width)), max(1, round(share * height))
    return detector.detect_tiled(image, _LOWEST, bgr=False, tiles=size, overlap=0.3)


def part_of(known: Sequence[dict[str, Any]], every: int, *, rest: bool) -> list[dict[str, Any]]:
    """Each so-many-th picture, or all the others."""
    return [one for k, one in enumerate(known) if (k % every == 0) is not rest]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("truth", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--cfg", help="Another model than the built-in one.")
@click.option("--weights")
@click.option("--every", default=1, show_default=True, type=click.IntRange(1), help="Each so-many-th picture only.")
@click.option("--rest", is_flag=True, help="All but those of --every: to choose looks by, and not report.")
@click.option("--way", "chosen", multiple=True, type=click.Choice([name for name, _, _ in _WAYS]), help="Not all ways.")
@click.option("--threads", type=click.IntRange(1))
@click.option("--json", "report", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(
    folder: Path,
    truth: Path,
    cfg: str | None,
    weights: str | None,
    every: int,
    rest: bool,
    chosen: tuple[str, ...],
    threads: int | None,
    report: Path,
) -> None:
    """Measure a model of codes on the photographs in FOLDER."""
    known = [one for one in json.loads(truth.read_text("utf-8")) if "error" not in one]
    # Sets of DataBar codes were drawn by programs for the most part.
    known = part_of([one for one in known if not _group(one).startswith("rss")], every, rest=rest)
    if not known:
        raise click.UsageError("no picture is left; --rest needs an --every above 1")
    pictures = []
    for one in known:
        image = cv2.imread(str(folder / one["picture"]))
        if image is not None:
            pictures.append((one, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))
    rows = {}
    for name, looks, share in _WAYS:
        if chosen and name not in chosen:
            continue
        detector = Detector(cfg, weights, looks=looks, threads=threads)
        figures = Figures(detector.names)
        for one, image in pictures:
            figures.add(one, look(detector, image, share))
        rows[name] = figures.row()
        click.echo(f"{name}: {rows[name]}", err=True)
    reads = read_figures(pictures, Detector(cfg, weights, threads=threads))
    report.write_text(json.dumps({"every": every, "rest": rest, "looks": rows, "reads": reads}, indent=1) + "\n")


if __name__ == "__main__":
    main()
