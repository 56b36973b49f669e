"""Draw a training: ``python -m training.curve LOG --out docs/training.svg`` from the log.jsonl of training.train.

Needs matplotlib, which the extras ``[train]`` and ``[bench]`` have.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import OptionError
from training.train import read_log

__all__ = ["draw_curve", "smoothed"]

#: Log rows that a point of the loss curves is the median of: single batches scatter too far to see the course.
WINDOW = 9
_PARTS = {"box": "box", "objectness": "objectness", "classes": "classes", "loss": "sum"}
_PRECISIONS = ("AP50", "AP75", "AP")


def smoothed(values: Sequence[float], window: int = WINDOW) -> NDArray[np.float64]:
    """Running medians.

    Parameters
    ----------
    values : sequence of float (n,)
    window : int
        Values to take the median of, odd; fewer at the ends.

    Returns
    -------
    float64 array (n,)
    """
    half = window // 2
    return np.array([np.median(values[max(0, n - half) : n + half + 1]) for n in range(len(values))], np.float64)


def draw_curve(rows: Sequence[dict[str, Any]], files: Sequence[Path]) -> None:
    """Loss parts, learning rate and average precision over the iterations, one above the other.

    Parameters
    ----------
    rows : sequence of dict
        As `training.train.read_log` gives them: with ``loss`` and its parts, or with ``AP``.
    files : sequence of Path
        To write, each in the format of its ending; the same rows give the same file.

    Raises
    ------
    OptionError
        There is no row of a loss.
    """
    steps = [row for row in rows if "loss" in row]
    if not steps:
        raise OptionError("the log has no row with a loss; expected the log.jsonl of training.train")
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "darknet-py"
    from matplotlib import pyplot as plt

    figure, (losses, rates, precisions) = plt.subplots(
        3, 1, sharex=True, figsize=(8, 8), height_ratios=(3, 1, 3), layout="constrained"
    )
    at = [row["iteration"] for row in steps]
    for key, label in _PARTS.items():
        losses.plot(at, smoothed([row[key] for row in steps]), label=label, linewidth=1.8 if key == "loss" else 1.2)
    losses.set_yscale("log")
    losses.set_ylabel("loss per picture")
    losses.legend(loc="upper right", frameon=False)
    rates.plot(at, [row["rate"] for row in steps], color="tab:gray")
    rates.set_ylabel("learning rate")
    measured = [row for row in rows if "AP" in row]
    for key in _PRECISIONS:
        values = [100 * row[key] for row in measured]
        precisions.plot([row["iteration"] for row in measured], values, marker="o", markersize=3, label=key)
    precisions.set_ylabel("average precision, %")
    precisions.set_xlabel("iteration")
    precisions.set_ylim(0, 100)
    precisions.legend(loc="lower right", frameon=False)
    for axis in (losses, rates, precisions):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    for file in files:
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=120)
    plt.close(figure)


@click.command()
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    "files",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="Picture to write (.svg, .png); may be given several times.",
)
def main(log: Path, files: tuple[Path, ...]) -> None:
    """Draw losses, learning rate and AP of the training that wrote LOG."""
    try:
        draw_curve(read_log(log), files)
    except ImportError as error:
        raise click.ClickException(f"{error}: pip install matplotlib") from error
    except OptionError as error:
        raise click.ClickException(f"{log}: {error}") from error
    except (OSError, ValueError) as error:  # no such folder, or no format of matplotlib's
        raise click.ClickException(str(error)) from error
    for file in files:
        click.echo(str(file))


if __name__ == "__main__":
    main()
