"""Anchors that suit a data set: k-means on the sizes of its boxes, with 1 - IoU for the distance.

What Darknet's ``calc_anchors`` does and YOLOv4 calls "optimized anchors" (arXiv 2004.10934, section 4.3, row "OA" of
Table 4); the distance is from YOLO9000 (arXiv 1612.08242, section 2). ``python -m training.anchors`` prints the line
for the cfg.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import DarknetError, OptionError
from darknet_py.evaluation.anchors import Sizes, by_area, cluster_sizes, mean_best_iou
from training.datafile import ImageList, read_data
from training.evolve import Gene, evolve

__all__ = ["mean_best_iou", "optimise", "refine", "training_sizes"]

#: Sets of anchors tried in a generation of `refine`.
POPULATION = 20


def optimise(sizes: NDArray[np.floating], count: int, seed: int, *, generations: int = 0) -> Sizes:
    """Find the anchors that fit boxes best.

    Parameters
    ----------
    sizes : float array (n, 2)
        Widths and heights of boxes, positive, in pixels of the network's input.
    count : int
        How many anchors.
    seed : int
        Of the starting points.
    generations : int
        How long to `refine` the clusters' means; 0 leaves them.

    Returns
    -------
    float64 array (count, 2)
        By ascending area, as masks expect them.

    Raises
    ------
    OptionError
        Sizes that are no sizes, or fewer different ones than anchors.
    """
    sizes = np.asarray(sizes, np.float64).reshape(-1, 2)
    anchors = cluster_sizes(sizes, count, seed)
    if generations:
        anchors = refine(sizes, anchors, generations, seed)
    return by_area(anchors)


def refine(sizes: Sizes, anchors: Sizes, generations: int, seed: int) -> Sizes:
    """Raise `mean_best_iou` by a genetic search around given anchors.

    The mean of a cluster is not the size with the best mean IoU: the search goes for that itself. Arguments and result
    as of `optimise`; never worse than `anchors`.
    """
    low, high = np.minimum(sizes.min(0), anchors.min(0)), np.maximum(sizes.max(0), anchors.max(0))
    flat = anchors.ravel()
    # A tenth of room to either side, so that bounds differ even where all boxes are of one width.
    genes = [Gene(str(i), 0.9 * low[i % 2], 1.1 * high[i % 2], log=True) for i in range(flat.size)]

    def fitness(values: dict[str, float]) -> float:
        return mean_best_iou(sizes, np.reshape(list(values.values()), (-1, 2)))

    start = {gene.name: float(value) for gene, value in zip(genes, flat, strict=True)}
    result = evolve(genes, fitness, generations=generations, population=POPULATION, seed=seed, start=start)
    return by_area(np.reshape([result.best[gene.name] for gene in genes], (-1, 2)))


def training_sizes(data: str | Path, size: tuple[int, int]) -> Sizes:
    """Sizes of all true boxes of a data file's training list, read from the label files alone.

    Parameters
    ----------
    data : path
        Darknet's data file.
    size : (width, height)
        The network's input, pixels; pictures are stretched to it.

    Returns
    -------
    float64 array (n, 2)

    Raises
    ------
    OptionError
        The data file names no training list.
    DataError
        The data file, its list or a label file cannot be read.
    """
    file = read_data(data)
    if file.train is None:
        raise OptionError(f"{data}: no training list; expected a line such as 'train = train.txt'")
    images = ImageList(file.train, file.classes)
    boxes = np.concatenate([images.labels(index)[1] for index in range(len(images))])
    return boxes[:, 2:].astype(np.float64) * size


class _SizeType(click.ParamType):
    name = "WIDTHxHEIGHT"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = value.partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is no size; expected for example 416x416", param, ctx)
        return int(width), int(height)


@click.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", default=9, show_default=True, help="Number of anchors.")
@click.option("--size", type=_SizeType(), default="416x416", show_default=True, help="Input of the network.")
@click.option("--seed", default=0, show_default=True, help="Of the random starting points.")
@click.option("--generations", default=0, show_default=True, help="Generations of genetic refinement.")
def main(data: Path, count: int, size: tuple[int, int], seed: int, generations: int) -> None:
    """Print the anchors that fit the training boxes of DATA best, as a line for the cfg."""
    try:
        sizes = training_sizes(data, size)
        anchors = optimise(sizes, count, seed, generations=generations).round().clip(min=1)
    except DarknetError as error:
        raise click.ClickException(str(error)) from error
    click.echo("anchors = " + ",  ".join(f"{width:.0f},{height:.0f}" for width, height in anchors))
    click.echo(f"mean IoU of {len(sizes)} boxes: {mean_best_iou(sizes, anchors):.4f}")


if __name__ == "__main__":
    main()
