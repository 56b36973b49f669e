"""Make the weights of cfg/yolov4-codes.cfg, from nothing: ``python -m training.codes FOLDER``.

Generates easy scenes, the training scenes, the validation scenes (for the curve in the log) and the held-out set,
trains the cfg on the easy scenes to FOLDER/first/yolov4-codes.weights, from those on all scenes to
FOLDER/training/yolov4-codes.weights, and once more, from a lower rate, to FOLDER/last/yolov4-codes.weights; writes
these with calibrated confidences to FOLDER/yolov4-codes.weights, the course of all lessons to yolov4-codes.jsonl
beside it, and what the weights come to on the held-out set and the validation scenes to heldout.json and
validation.json. Every step keeps what is already there, so the same command goes on after a stop. The lessons took 3.8
hours on two cores, some of it beside other work.

The held-out pictures have the first four classes alone; PDF417 and Aztec are measured on the validation scenes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from darknet_py.errors import DarknetError
from training.calibrate import calibrate
from training.cfgtext import set_options
from training.datafile import ImageList, read_data
from training.evaluate import evaluate, known
from training.train import read_log

ROOT = Path(__file__).resolve().parents[1]
CFG = ROOT / "cfg" / "yolov4-codes.cfg"
NAMES = ROOT / "cfg" / "codes.names"

SCENES, EASY_SCENES, VALIDATION, HELDOUT = 20_000, 4000, 300, 400
#: Iterations on the easy scenes alone.
FIRST = 1500
#: Iterations of the last lesson, and its rate. It took 70 minutes, and the validation scenes from an AP of .488 to
#: .535, the held-out pictures from .624 to .660.
LAST, LAST_RATE = 4500, 0.0015
#: Their folders, in order.
LESSONS = ("first", "training", "last")
#: Distortions that Darknet's cfg has no words for. A mosaic of pictures at their full size would cut most codes.
#: No perspective here and no angle in the cfg: the scenes are seen from all sides already, and an upright box around a
#: turned box is looser than one around the code. With both, boxes came out 5 to 10 % too large (AP 0.465; 0.507 after
#: 300 iterations without).
#: A quarter of mosaics, not half, as codes that fill their picture are cut in them: 14 % of the boxes that the network
#: sees are longer than 0.7 of its input (25 % in the scenes); with half and resize=1.5 in the cfg 8 %.
AUGMENT = ("--mosaic-share", "0.25", "--mosaic-zoom", "0.5", "--contrast", "1.3", "--grey", "0.1")

#: Added to the logits of objectness and classes after the training, by what
#: ``training.photos.measure --every 3 --rest`` prints of two thirds of the photographs, in a frame and as a whole: of
#: the boxes between 0.25 and 0.35 1 of 58 were right before, between 0.45 and 0.55 3 of 21, between 0.65 and 0.75 15 of
#: 24; now 3 of 30, 12 of 20 and 30 of 36. Above 0.25 526 of 528 right boxes stay, and 60 of 136 false ones, none of 4
#: on pictures of falsepositives. With -0.9 it is 525 and 42.
CALIBRATION = -0.7

#: Threads that spin while they wait starve the one that makes the next batch, and each other on a busy machine. Memory
#: that was given back to the system would be cleared page by page in the next iteration (glibc reads the last three).
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "20000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Processes that generate scenes.")
@click.option("--save-every", default=200, show_default=True, type=click.IntRange(1),
              help="Iterations between checkpoints.")  # fmt: skip
def main(folder: Path, workers: int, save_every: int) -> None:
    """Generate, train and measure in FOLDER (about 0.8 GB)."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    scenes, easy, valid, heldout = (folder / name for name in ("scenes", "easy", "validation", "heldout"))
    _generate("scenes", scenes, SCENES, 0, workers)
    _generate("scenes", easy, EASY_SCENES, 2, workers, "--easy")
    _generate("scenes", valid, VALIDATION, 1, workers)
    data, trained = _taught(folder, scenes, easy, valid, ("--save-every", str(save_every), *AUGMENT))
    weights = folder / trained.name
    _generate("heldout", heldout, HELDOUT, 1, workers)
    try:
        calibrate(CFG, trained, weights, CALIBRATION)
        names = read_data(data).names
        for name, listed in (("heldout", heldout / "heldout.txt"), ("validation", valid / "train.txt")):
            figures = known(evaluate(CFG, weights, ImageList(listed, len(names)), names))
            (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
            click.echo("\n".join([name, *(f"{figure:20} {value:.4f}" for figure, value in figures.items())]))
    except DarknetError as error:
        raise click.ClickException(str(error)) from error
    weights.with_suffix(".jsonl").write_text(_whole_log([folder / name / "log.jsonl" for name in LESSONS]))
    click.echo(f"weights: {weights}")


def _taught(folder: Path, scenes: Path, easy: Path, valid: Path, options: tuple[str, ...]) -> tuple[Path, Path]:
    """All lessons, the first on the easy scenes; returns the data file of the others and the weights of the last."""
    plain = _data_file(folder / "easy.data", [easy], valid)
    data = _data_file(folder / "codes.data", [scenes, easy], valid)
    first, main_part, last = (folder / name for name in LESSONS)
    weights = _lesson(first, plain, {"max_batches": str(FIRST)}, options)
    weights = _lesson(main_part, data, {}, (*options, "--weights", str(weights)))
    again = {"max_batches": str(LAST), "learning_rate": str(LAST_RATE)}
    return data, _lesson(last, data, again, (*options, "--weights", str(weights)))


def _lesson(out: Path, data: Path, changes: dict[str, str], options: tuple[str, ...]) -> Path:
    """A training of the cfg with other options in [net]; returns its weights."""
    out.mkdir(exist_ok=True)
    cfg = out / CFG.name
    cfg.write_text(set_options(CFG.read_text(), "net", changes))
    _run("training.train", str(cfg), str(data), "--out", str(out), *options)
    return out / f"{CFG.stem}.weights"


def _whole_log(logs: Sequence[Path]) -> str:
    """The logs of trainings one after the other as that of one."""
    rows: list[dict[str, Any]] = []
    for log in logs:
        before = rows[-1] if rows else {"iteration": -1, "seconds": 0.0}
        for row in read_log(log):
            iteration, seconds = row["iteration"] + before["iteration"] + 1, row["seconds"] + before["seconds"]
            rows.append(row | {"iteration": iteration, "seconds": round(seconds, 1)})
    return "".join(json.dumps(row) + "\n" for row in rows)


def _data_file(path: Path, scenes: Sequence[Path], valid: Path) -> Path:
    """A Darknet data file of all the scenes in some folders."""
    pictures = path.with_suffix(".txt")
    pictures.write_text("".join(f"{one}\n" for folder in scenes for one in ImageList(folder / "train.txt").paths))
    path.write_text(f"classes = 6\ntrain = {pictures}\nvalid = {valid / 'train.txt'}\nnames = {NAMES}\n")
    return path


def _generate(kind: str, out: Path, count: int, seed: int, workers: int, *options: str) -> None:
    module = f"training.{kind}.generate"
    # Scenes go on where they stopped; held-out pictures left half done are made again.
    kept = any((out / name).is_file() for name in ("made.json", "making.json"))
    force = () if kept else ("--force",)
    _run(module, str(out), "--count", str(count), "--seed", str(seed), "--workers", str(workers), *options, *force)


def _run(module: str, *arguments: str) -> None:
    """A step in a process of its own, from the checkout's root; its failure ends this program."""
    environment = ENVIRONMENT | os.environ
    command = [sys.executable, "-m", module, *arguments]
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
