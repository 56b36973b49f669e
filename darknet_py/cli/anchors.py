"""``darknet-py anchors``: the line for a cfg that suits labelled boxes."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from darknet_py.cli.options import SIZE, Count, FilePath

__all__ = ["anchors"]


@click.command()
@click.option("--clusters", default=9, show_default=True, type=Count(1, 1000), help="How many anchors.")
@click.option("--size", default="416x416", show_default=True, type=SIZE, metavar="WxH", help="Input of the network.")
@click.option("--seed", default=0, show_default=True, type=Count(0, 2**31), help="Of the random starting points.")
@click.argument("data", type=FilePath(exists=True, path_type=Path))
def anchors(data: Path, clusters: int, size: tuple[int, int], seed: int) -> None:
    """Find the anchors that fit the boxes of DATA.

    k-means with 1 - IoU for the distance, as Darknet's calc_anchors, the best of eight starts. DATA is a Darknet .data
    file (its train= list), or a folder of pictures with YOLO labels.

    Exit code 0: all well; 1: DATA cannot be read; 2: wrong options.

    \b
    Examples:
      darknet-py anchors my.data
      darknet-py anchors --clusters 6 --size 608x352 photos/
    """
    from darknet_py.errors import CfgError
    from darknet_py.evaluation.anchors import find_anchors, mean_best_iou
    from darknet_py.evaluation.datasets import open_dataset

    if data.suffix.lower() == ".json":
        raise click.BadParameter(f"{data}: expected a .data file or a folder of YOLO labels", param_hint="DATA")
    if min(size) < 1:
        raise click.BadParameter(f"{size[0]}x{size[1]}: expected at least 1x1", param_hint="--size")
    truths = [picture.truth(*size) for picture in open_dataset(data, split="train").pictures]
    sizes = np.concatenate([truth.xywh[:, 2:] for truth in truths])
    if not len(sizes):
        raise CfgError(f"{data}: no labels, expected a .txt with 'class cx cy w h' for each picture")
    found = find_anchors(sizes, clusters, seed)
    shown = "{:.0f},{:.0f}" if size[0] > 32 else "{:.4f},{:.4f}"  # as calc_anchors, for [region]
    click.echo("anchors = " + ", ".join(shown.format(*one) for one in found))
    counts = np.bincount(np.concatenate([truth.class_id for truth in truths]))
    click.echo("counters_per_class = " + ", ".join(map(str, counts)))
    click.echo(f"average IoU of {len(sizes)} boxes: {mean_best_iou(sizes, found):.2%}")
