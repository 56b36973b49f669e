"""Train a Darknet cfg: ``python -m training.train CFG DATA --out FOLDER``.

FOLDER gets ``NAME.weights`` (the moving average, a Darknet file), ``checkpoint.pt`` (where the training stands: the
same command goes on from there) and ``log.jsonl`` (a line for every ten iterations and every evaluation).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import cv2
import torch

from darknet_py.cli.options import THREADS
from darknet_py.errors import DarknetError, OptionError
from darknet_py.graph import load_graph
from darknet_py.threads import physical_cores
from darknet_py.weights import WeightsFile
from training.augment.pipeline import Pipeline
from training.datafile import DataFile, ImageList, read_data
from training.evaluate import evaluate
from training.trainer import Progress, Trainer

__all__ = ["Log", "read_log", "train"]

LOG_EVERY = 10


class Log:
    """Lines of JSON, appended; those of iterations that will be done again are dropped first.

    Parameters
    ----------
    path : Path
    iteration : int
        Where the training goes on.
    """

    def __init__(self, path: Path, iteration: int) -> None:
        self._path = path
        kept = [row for row in read_log(path) if row["iteration"] < iteration]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self._start = time.monotonic() - (kept[-1]["seconds"] if kept else 0.0)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row, with the seconds that all sessions of this training took so far."""
        row = row | {"seconds": round(time.monotonic() - self._start, 1)}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log, but for a last line cut short."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def train(
    trainer: Trainer, data: DataFile, folder: Path, augment: dict[str, Any], save_every: int, evaluate_every: int
) -> Iterator[Progress]:
    """Train to the end, saving on the way; yields after every iteration.

    Parameters
    ----------
    trainer : Trainer
        At the start, or resumed.
    data : DataFile
    folder : Path
        For weights, checkpoint and log; exists.
    augment : dict
        Fields of `AugmentOptions` that Darknet's cfg has no word for.
    save_every, evaluate_every : int
        Iterations; 0 evaluates never.

    Raises
    ------
    DarknetError
        A picture or label that cannot be read, or a loss that is no longer a number.
    """
    name = Path(trainer.graph.file).stem
    images = _training_list(trainer, data)
    valid = ImageList(data.valid, len(data.names)) if data.valid and evaluate_every else None
    pipeline = Pipeline(images, dataclasses.replace(trainer.options.augment, **augment), trainer.seed)
    log = Log(folder / "log.jsonl", trainer.iteration)
    with closing(pipeline.stream(trainer.schedule(), trainer.options.batch)) as batches:
        for batch in batches:
            progress = trainer.step(*batch)
            done = trainer.iteration
            if done % LOG_EVERY == 0:
                log.add(_rounded(progress._asdict() | {"loss": progress.loss}))
            saving = done % save_every == 0 or done == trainer.options.max_batches
            evaluating = valid is not None and done % evaluate_every == 0
            if saving or evaluating:
                trainer.write(folder / f"{name}.weights")
            if valid is not None and evaluating:
                figures = evaluate(Path(trainer.graph.file), folder / f"{name}.weights", valid, data.names)
                log.add({"iteration": progress.iteration} | _rounded(figures))
            if saving:  # last: whoever finds a checkpoint relies on all that came before it
                trainer.save(folder / "checkpoint.pt")
            yield progress


def _training_list(trainer: Trainer, data: DataFile) -> ImageList:
    """The pictures to train on, of the classes that the cfg has."""
    if data.train is None:
        raise OptionError("the data file names no training list; expected a line such as 'train = train.txt'")
    for head in trainer.graph.heads:
        if head.classes != len(data.names):
            raise OptionError(
                f"{head.where}: classes={head.classes}, but the data file has {len(data.names)}: "
                "change one of them (and filters= before the [yolo] with it)"
            )
    return ImageList(data.train, len(data.names))


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in row.items()}


@contextmanager
def _reported() -> Iterator[None]:
    """Errors of the project as a line on the terminal."""
    try:
        yield
    except DarknetError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.argument("cfg", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the results.")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Start from these.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=physical_cores(), show_default=True, type=THREADS)
@click.option("--save-every", default=200, show_default=True, type=click.IntRange(1),
              help="Iterations between checkpoints.")  # fmt: skip
@click.option("--evaluate-every", default=1000, show_default=True, type=click.IntRange(0),
              help="Iterations between evaluations; 0: never.")  # fmt: skip
@click.option("--perspective", default=0.0, show_default=True, help="Strength of perspective in augmentation.")
@click.option("--contrast", default=1.0, show_default=True, help="Most contrast in augmentation.")
@click.option("--grey", default=0.0, show_default=True, help="Share of pictures without colour.")
@click.option("--mosaic-share", type=click.FloatRange(0, 1), help="Share of mosaics in place of the cfg's.")
@click.option("--mosaic-zoom", default=1.0, show_default=True, help="Least size of pictures in a mosaic.")
def main(
    cfg: Path,
    data: Path,
    out: Path,
    weights: Path | None,
    seed: int,
    threads: int,
    save_every: int,
    evaluate_every: int,
    mosaic_share: float | None,
    **augment: Any,
) -> None:
    """Train CFG on the pictures of DATA, a Darknet data file."""
    if mosaic_share is not None:
        augment["mosaic"] = mosaic_share
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    with _reported():
        start = WeightsFile(weights, load_graph(cfg)) if weights else None
        trainer = Trainer(cfg, seed, start)
        if (out / "checkpoint.pt").exists():
            trainer.resume(out / "checkpoint.pt")
            click.echo(f"going on from iteration {trainer.iteration} of {trainer.options.max_batches}")
        left = trainer.options.max_batches - trainer.iteration
        if not left:
            click.echo("already trained: name another --out for other data, options or --weights")
            return
        running = train(trainer, read_data(data), out, augment, save_every, evaluate_every)
        with click.progressbar(running, length=left, label="training", item_show_func=_shown) as bar:
            for _ in bar:
                pass
    click.echo(f"{out / cfg.stem}.weights: {trainer.seen} pictures seen")


def _shown(progress: Progress | None) -> str:
    return f"loss {progress.loss:.3f}  IoU {progress.mean_iou:.3f}" if progress else ""


if __name__ == "__main__":
    main()
