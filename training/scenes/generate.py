"""Write a Darknet data set of scenes: python -m training.scenes.generate OUT --count 12000."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from training.datafile import write_labels
from training.scenes.difficulty import EASY, HARD, Difficulty
from training.scenes.scene import render_scene
from training.scenes.symbols import CLASS_NAMES

__all__ = ["contact_sheet", "write_scenes"]

_BATCH = 16
_MAKING = "making.json"
_COLOURS = ((60, 60, 255), (60, 220, 60), (255, 120, 60), (40, 210, 255), (255, 60, 255), (220, 220, 40))


def _write_batch(folder: Path, seed: int, difficulty: Difficulty, first: int, last: int) -> int:
    """Render scenes `first` up to before `last` into the folder, but for those that are there; returns their number."""
    for index in range(first, last):
        image = folder / f"{index:06d}.jpg"
        if image.exists():
            continue
        scene = render_scene(seed, index, difficulty)
        write_labels(image, scene.sample)
        # Under its own name last and whole: a picture that is there was finished.
        part = image.with_suffix(".part")
        part.write_bytes(scene.jpeg)
        part.replace(image)
    return last - first


def write_scenes(out: Path, count: int, seed: int, workers: int, difficulty: Difficulty = HARD) -> Iterator[int]:
    """Write a data set and its codes.data; yields how many scenes each finished batch added or found.

    While it is being made the folder has a making.json; a set that was stopped goes on with the scenes that it lacks.

    Parameters
    ----------
    out : Path
        Made when missing. Images and labels go to out/train, their list to out/train.txt.
    count, seed : int
    workers : int
        Processes; the files do not depend on it.
    """
    folder = out / "train"
    folder.mkdir(parents=True, exist_ok=True)
    note = json.dumps(_description(count, seed, difficulty)) + "\n"
    (out / _MAKING).write_text(note, encoding="ascii")
    starts = range(0, count, _BATCH)
    ends = [min(start + _BATCH, count) for start in starts]
    write = partial(_write_batch, folder, seed, difficulty)
    if workers == 1:
        yield from map(write, starts, ends)
    else:
        # Spawned, not forked: OpenCV's threads do not survive a fork. One thread each: the processes share the cores.
        spawn = get_context("spawn")
        with ProcessPoolExecutor(workers, spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            yield from pool.map(write, starts, ends)
    (out / "train.txt").write_text("".join(f"train/{i:06d}.jpg\n" for i in range(count)), encoding="ascii")
    (out / "codes.names").write_text("".join(f"{name}\n" for name in CLASS_NAMES), encoding="ascii")
    (out / "codes.data").write_text(
        f"classes = {len(CLASS_NAMES)}\ntrain = train.txt\nnames = codes.names\nbackup = backup\n", encoding="ascii"
    )
    (out / "made.json").write_text(note, encoding="ascii")
    (out / _MAKING).unlink()


def contact_sheet(
    seed: int, count: int = 24, columns: int = 4, side: int = 480, difficulty: Difficulty = HARD
) -> NDArray[np.uint8]:
    """The first scenes of a seed with their boxes, in a grid of squares: uint8 BGR picture."""
    tiles = []
    for index in range(count):
        sample, jpeg = render_scene(seed, index, difficulty)
        image = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        for class_id, (x0, y0, x1, y1) in zip(sample.class_id, sample.xyxy, strict=True):
            corners = (math.floor(x0) - 1, math.floor(y0) - 1), (math.ceil(x1), math.ceil(y1))
            cv2.rectangle(image, *corners, _COLOURS[class_id], 1)
            cv2.putText(image, CLASS_NAMES[class_id], corners[0], cv2.FONT_HERSHEY_PLAIN, 0.9, _COLOURS[class_id], 1)
        scale = side / max(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        high, wide = side - image.shape[0], side - image.shape[1]
        tiles.append(cv2.copyMakeBorder(image, 0, high, 0, wide, cv2.BORDER_CONSTANT, value=(40, 40, 40)))
    tiles += [np.full((side, side, 3), 40, np.uint8)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def _description(count: int, seed: int, difficulty: Difficulty) -> dict[str, int]:
    """What a note says of a set; sets made before there were easy ones say nothing of it."""
    return {"count": count, "seed": seed} | ({"easy": 1} if difficulty == EASY else {})


def _noted(note: Path, description: dict[str, int]) -> bool:
    """Whether a note tells of this very set."""
    try:
        return bool(json.loads(note.read_text(encoding="utf-8")) == description)
    except (OSError, ValueError):
        return False


def _remove_set(out: Path) -> None:
    """Remove an earlier set's files, and nothing else; first of all the note that says it is complete."""
    (out / "made.json").unlink(missing_ok=True)
    (out / _MAKING).unlink(missing_ok=True)
    for ending in ("jpg", "txt", "part"):
        for path in (out / "train").glob(f"{'[0-9]' * 6}.{ending}"):
            path.unlink()


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--count", default=12_000, show_default=True, type=click.IntRange(1), help="Scenes.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--easy", is_flag=True, help="Plain codes, to begin with.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty, in place of its set.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Also draw the first 24 scenes here.")
def main(out: Path, count: int, seed: int, easy: bool, workers: int, force: bool, sheet: Path | None) -> None:
    """Write COUNT training scenes as a Darknet data set into the folder OUT."""
    difficulty = EASY if easy else HARD
    description = _description(count, seed, difficulty)
    if sheet is not None:
        cv2.imwrite(str(sheet), contact_sheet(seed, difficulty=difficulty))
    if not force and _noted(out / "made.json", description):
        click.echo(f"{out} already holds {count} scenes of seed {seed}; kept.")
        return
    if out.is_dir() and any(out.iterdir()) and (force or not _noted(out / _MAKING, description)):
        if not force:
            raise click.ClickException(
                f"{out} is not empty; name another folder or pass --force to replace the set in it."
            )
        _remove_set(out)
    with click.progressbar(length=count, label="Scenes") as bar:
        for done in write_scenes(out, count, seed, workers, difficulty):
            bar.update(done)
    click.echo(f"Wrote {count} scenes to {out}; data file {out / 'codes.data'}.")


if __name__ == "__main__":
    main()
