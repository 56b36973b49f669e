"""Average precision of trained weights on a list of labelled pictures, by the runtime that will use them.

Usage: ``python -m training.evaluate CFG WEIGHTS DATA [--list FILE]``
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np

from benchmarks.average_precision import Boxes, average_precisions
from darknet_py import Detector
from darknet_py.errors import DarknetError
from training.datafile import ImageList, read_data

__all__ = ["evaluate", "known"]

#: Low, as average precision wants the whole curve.
THRESH, NMS = 0.005, 0.45


def evaluate(cfg: Path, weights: Path, images: ImageList, names: tuple[str, ...]) -> dict[str, float]:
    """AP50, AP75 and AP (mean over IoU .50 to .95) over all classes, and ``AP50 NAME`` of each class.

    Parameters
    ----------
    cfg, weights : Path
    images : ImageList
    names : tuple of str
        The classes.
    """
    detector = Detector(cfg, weights, names=names)
    found, truth = [], []
    for index in range(len(images)):
        sample = images.sample(index)
        boxes = detector.detect(sample.image, thresh=THRESH, nms=NMS)
        found.append(Boxes(boxes.class_id, boxes.confidence, boxes.xyxy))
        truth.append(Boxes(sample.class_id, np.ones(len(sample.xyxy)), sample.xyxy))
    figures = average_precisions(found, truth)
    for class_id, name in enumerate(names):
        figures[f"AP50 {name}"] = average_precisions(_only(found, class_id), _only(truth, class_id))["AP50"]
    return figures


def known(figures: dict[str, float]) -> dict[str, float]:
    """Without those of classes that the pictures do not show, boxes of which count for nothing: JSON has no NaN."""
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def _only(images: list[Boxes], class_id: int) -> list[Boxes]:
    return [Boxes(*(part[boxes.class_id == class_id] for part in boxes)) for boxes in images]


@click.command()
@click.argument("cfg", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "listed", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: valid=")
def main(cfg: Path, weights: Path, data: Path, listed: Path | None) -> None:
    """Print the average precision of WEIGHTS on the pictures that DATA calls valid."""
    try:
        file = read_data(data)
        chosen = listed or file.valid
        if chosen is None:
            raise click.UsageError(f"{data} has no valid=; give --list")
        figures = evaluate(cfg, weights, ImageList(chosen, len(file.names)), file.names)
    except DarknetError as error:
        raise click.ClickException(str(error)) from error
    for name, value in figures.items():
        click.echo(f"{name:20} {value:.4f}")


if __name__ == "__main__":
    main()
