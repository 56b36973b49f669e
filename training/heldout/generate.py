"""Write the held-out set, or the demo pictures: ``python -m training.heldout.generate OUT``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from training.datafile import write_labels
from training.heldout.demo import DEMOS, draw_demo
from training.heldout.scene import make_scene
from training.heldout.symbols import CLASSES
from training.sample import Sample

__all__ = ["contact_sheet", "generate", "write_set"]

_COLOURS = ((40, 40, 255), (40, 200, 40), (255, 120, 40), (255, 40, 255))
_DONE = "made.json"


def _write_scene(folder: Path, seed: int, index: int) -> list[int]:
    """Write one picture with its labels; returns the symbols a class."""
    # One process a core draws; OpenCV's own threads would only stand in each other's way.
    cv2.setNumThreads(1)
    scene = make_scene(seed, index)
    path = folder / f"{index:06d}.jpg"
    path.write_bytes(scene.jpeg)
    sample = scene.sample()
    write_labels(path, sample)
    return np.bincount(sample.class_id, minlength=len(CLASSES)).tolist()


def _jobs(folder: Path, count: int, seed: int, workers: int) -> Iterator[list[int]]:
    arguments = [folder] * count, [seed] * count, range(count)
    if workers == 1:
        yield from map(_write_scene, *arguments)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_write_scene, *arguments, chunksize=4)


def write_set(out: Path, count: int, seed: int, workers: int = 1) -> list[int]:
    """Write a data set in Darknet's layout.

    Parameters
    ----------
    out : Path
        Gets heldout/000000.jpg, heldout/000000.txt, ..., heldout.txt, codes.names, codes.data and made.json.
    count : int
        How many pictures.
    seed : int
    workers : int
        Processes; the pictures do not depend on it.

    Returns
    -------
    list of int
        How many symbols there are of each class.
    """
    pictures = out / "heldout"
    pictures.mkdir(parents=True, exist_ok=True)
    totals = np.zeros(len(CLASSES), int)
    with click.progressbar(_jobs(pictures, count, seed, workers), length=count, label="Pictures") as done:
        for counts in done:
            totals += counts
    (out / "heldout.txt").write_text("".join(f"heldout/{index:06d}.jpg\n" for index in range(count)))
    (out / "codes.names").write_text("".join(f"{name}\n" for name in CLASSES))
    (out / "codes.data").write_text(
        f"classes = {len(CLASSES)}\nvalid = heldout.txt\nnames = codes.names\nbackup = backup\n"
    )
    (out / _DONE).write_text(json.dumps(_made(count, seed) | {"symbols": totals.tolist()}) + "\n")
    return totals.tolist()


def _made(count: int, seed: int) -> dict[str, int]:
    return {"count": count, "seed": seed}


def _complete(out: Path, count: int, seed: int) -> bool:
    """Whether a folder already holds just this set."""
    try:
        made = json.loads((out / _DONE).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(made, dict) and made.items() >= _made(count, seed).items()


def _thumbnail(sample: Sample, side: int) -> NDArray[np.uint8]:
    """A picture shrunk into a square, with its boxes."""
    height, width = sample.image.shape[:2]
    factor = side / max(height, width)
    small = cv2.resize(sample.image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    for class_id, box in zip(sample.class_id, np.rint(sample.xyxy * factor).astype(int).tolist(), strict=True):
        cv2.rectangle(small, tuple(box[:2]), tuple(box[2:]), _COLOURS[class_id], 1)
    square = np.full((side, side, 3), 30, np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return square


def contact_sheet(seed: int, count: int, columns: int = 5, side: int = 380) -> NDArray[np.uint8]:
    """The first pictures of a set with their boxes, as one picture of `columns` squares of `side` pixels a row."""
    squares = [_thumbnail(make_scene(seed, index).sample(), side) for index in range(count)]
    squares += [np.full_like(squares[0], 30)] * (-count % columns)
    return np.vstack([np.hstack(squares[at : at + columns]) for at in range(0, len(squares), columns)])


def _write_demos(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in DEMOS:
        path = folder / f"{name}.jpg"
        path.write_bytes(draw_demo(name))
        click.echo(f"{path}: {path.stat().st_size / 1000:.0f} kB")


@click.command()
@click.argument("out", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--count", default=400, show_default=True, type=click.IntRange(min=1), help="Pictures.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Which set.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--force", is_flag=True, help="Write to OUT though it is not empty; its heldout/ is replaced.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a contact sheet of 30 pictures.")
@click.option("--demo", type=click.Path(file_okay=False, path_type=Path), help="Write the demo pictures to a folder.")
def generate(
    out: Path | None, count: int, seed: int, workers: int, force: bool, sheet: Path | None, demo: Path | None
) -> None:
    """Write the held-out set of COUNT pictures to OUT, in Darknet's layout."""
    if out is None and sheet is None and demo is None:
        raise click.UsageError("Nothing to write: name a folder OUT, or use --sheet or --demo.")
    if demo is not None:
        _write_demos(demo)
    if sheet is not None:
        cv2.imwrite(str(sheet), contact_sheet(seed, min(count, 30)))
        click.echo(f"{sheet}: contact sheet of seed {seed}")
    if out is None:
        return
    if _complete(out, count, seed) and not force:
        click.echo(f"{out} already holds this set.")
        return
    if out.is_dir() and any(out.iterdir()):
        if not force:
            raise click.ClickException(f"{out} is not empty: name another folder, or use --force.")
        shutil.rmtree(out / "heldout", ignore_errors=True)
    totals = write_set(out, count, seed, workers)
    click.echo(f"{out}: {count} pictures, " + ", ".join(f"{n} {c}" for n, c in zip(totals, CLASSES, strict=True)))


if __name__ == "__main__":
    generate()
