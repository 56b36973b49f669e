"""What each freebie is worth on the codes: a table of the shape of YOLOv4's Table 4 (arXiv 2004.10934, section 4.3).

``python -m training.ablation FOLDER``, where FOLDER is that of ``python -m training.codes FOLDER``. Every freebie alone
on a baseline without any, then all together that helped: short trainings of cfg/yolov4-codes.cfg on the easy scenes (so
few iterations on the others teach too little to tell one line from another), measured on the held-out pictures.
Whatever is *chosen* on the way (hyper-parameters, which freebies the last row unites) is chosen by the validation
scenes, so that no choice has seen the held-out pictures.

FOLDER/ablation/results.json gets a row at a time; with ``--resume`` rows that are there are kept, and a training that
was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import torch

from darknet_py.cli.options import THREADS
from darknet_py.errors import DarknetError, OptionError
from darknet_py.threads import physical_cores
from training.ablation_report import format_table, write_report
from training.anchors import optimise, training_sizes
from training.codes import CFG
from training.freebies import COCO_ANCHORS, FREEBIES, LOSSES, Recipe, Variant, single_variants
from training.study import Row, Study, digest_of

__all__ = ["Results", "useful_together"]

TOGETHER = "together"


class Results:
    """Measured rows, kept in a JSON file.

    Parameters
    ----------
    path : Path
    settings : dict
        What all rows must have in common.
    resume : bool
        Go on with the rows of the file.

    Attributes
    ----------
    rows : list of dict
        As of `Study.measure`.

    Raises
    ------
    OptionError
        The file is there though `resume` is False, is damaged, or has other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool) -> None:
        self._path = path
        self.settings = settings
        self.rows: list[Row] = []
        if not path.exists():
            return
        if not resume:
            raise OptionError(
                f"{path} has rows already: --resume keeps them; remove it to measure anew, {path.parent} to train anew"
            )
        try:
            found = json.loads(path.read_text())
            self.rows, known = found["rows"], found["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise OptionError(
                f"{path}: no results of an ablation ({error!r}); remove it to measure anew what is trained"
            ) from error
        changed = [key for key in settings if known.get(key) != settings[key]]
        if changed:
            raise OptionError(
                f"{path} was measured with another {', '.join(changed)}: give the same, or remove {path.parent}, "
                "with the trainings in it, to train anew"
            )

    def find(self, variant: Variant, seed: int, digest: str) -> Row | None:
        """The row of a variant, if it was measured with a cfg of this digest."""
        same = (row for row in self.rows if (row["name"], row["seed"], row["cfg"]) == (variant.name, seed, digest))
        return next(same, None)

    def add(self, row: Row) -> None:
        """Append a row and write the file, whole or not at all.

        What the variant had with another cfg is dropped, and what united the rows there were.
        """
        others = [old for old in self.rows if old["name"] not in (row["name"], TOGETHER)]
        seeds = [old for old in self.rows if (old["name"], old["cfg"]) == (row["name"], row["cfg"])]
        self.rows = [*others, *(old for old in seeds if old["seed"] != row["seed"]), row]
        self.save()

    def save(self) -> None:
        """Write the file."""
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        os.replace(part, self._path)

    def as_dict(self) -> dict[str, Any]:
        """What the file holds; ``left_out`` says of each variant alone that has no row why."""
        measured = {row["name"] for row in self.rows}
        missing = (variant.name for variant in single_variants() if variant.name not in measured)
        reasons = {"GA": "no hyper-parameters were searched; run with --evolve"}
        left_out = {name: reasons.get(name, "it was not measured") for name in missing}
        return {"settings": self.settings, "left_out": left_out, "rows": self.rows}


def useful_together(rows: Sequence[Row]) -> Variant:
    """All freebies that alone had a better AP than the baseline on the validation scenes, with the best box loss.

    Parameters
    ----------
    rows : sequence of dict
        As in `Results`; their means over seeds are compared. A failed training counts as AP 0.

    Returns
    -------
    Variant

    Raises
    ------
    OptionError
        The baseline was not measured.
    """
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["name"], []).append(row["validation"]["AP"] if row["validation"] else 0.0)
    mean = {name: statistics.fmean(found) for name, found in values.items()}
    if "baseline" not in mean:
        raise OptionError(f"{TOGETHER}: the baseline was not measured; run it first, with --only baseline")
    baseline = mean["baseline"]
    without_colours = mean.get("no PD", 0.0) > baseline
    chosen = [mark for mark in FREEBIES if mark != "BN4" and mean.get(mark, 0.0) > baseline]
    if not without_colours:
        chosen.append("PD")
    loss = max(LOSSES, key=lambda name: baseline if name == "MSE" else mean.get(name, 0.0))
    return Variant(TOGETHER, tuple(mark for mark in FREEBIES if mark in chosen), loss)


def _chosen(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Names of rows from ``--only``; all of them without it."""
    names = (*(variant.name for variant in single_variants()), TOGETHER)
    wanted = tuple(part.strip() for part in value.split(",")) if value else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise click.BadParameter(f"no row {', '.join(unknown)}; expected some of {', '.join(names)}")
    return tuple(name for name in names if name in wanted)


def _prepared(folder: Path, iterations: int, size: int, batch: int, evolving: bool) -> Study:
    """The study of FOLDER, with the anchors of its data and, if there is or shall be a search, its result."""
    data, out = folder / "easy.data", folder / "ablation"
    out.mkdir(exist_ok=True)
    sizes = training_sizes(data, (size, size))
    anchors = optimise(sizes, len(COCO_ANCHORS) // 2, seed=0).round().clip(min=1)
    recipe = Recipe(iterations=iterations, size=size, batch=batch, anchors=tuple(anchors.ravel().tolist()))
    study = Study(CFG.read_text(), data, folder / "heldout" / "heldout.txt", out, recipe)
    log = out / f"genes-{iterations}-{size}-{batch}.jsonl"
    if evolving or log.exists():
        study.recipe = dataclasses.replace(recipe, genes=study.search(log, seed=0))
    return study


def _measure(study: Study, results: Results, names: Sequence[str], seeds: int) -> None:
    """Measure what is not there yet; the last variant depends on the rows of those before."""
    for name in names:
        if name == "GA" and study.recipe.genes is None:
            continue
        singles = {variant.name: variant for variant in single_variants()}
        variant = useful_together(results.rows) if name == TOGETHER else singles[name]
        digest = digest_of(study.cfg(variant))
        for seed in range(seeds):
            if not results.find(variant, seed, digest):
                results.add(study.measure(variant, seed))
    results.save()


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--iterations", default=1200, show_default=True, type=click.IntRange(min=1), help="Of each training.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(min=32), help="Side of the input, pixels.")
@click.option("--batch", default=4, show_default=True, type=click.IntRange(min=1), help="Pictures per iteration.")
@click.option("--only", callback=_chosen, metavar="S,M,...", help="Rows to measure instead of all.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(min=1), help="Trainings per row.")
@click.option("--evolve", is_flag=True, help="Search the hyper-parameters of row GA.")
@click.option("--resume", is_flag=True, help="Keep the rows that are there.")
@click.option("--threads", default=physical_cores(), show_default=True, type=THREADS)
@click.option(
    "--write",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Checkout to write docs/ablation.md and training/results/ablation.json to.",
)
def main(
    folder: Path,
    iterations: int,
    size: int,
    batch: int,
    only: tuple[str, ...],
    seeds: int,
    evolve: bool,
    resume: bool,
    threads: int,
    write: Path | None,
) -> None:
    """Measure what each freebie is worth; FOLDER is that of training.codes."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    settings = {"iterations": iterations, "size": size, "batch": batch, "base": digest_of(CFG.read_text())}
    try:
        results = Results(folder / "ablation" / "results.json", settings, resume)
        _measure(_prepared(folder.resolve(), iterations, size, batch, evolve), results, only, seeds)
    except DarknetError as error:
        raise click.ClickException(str(error)) from error
    if write:
        write_report(results.as_dict(), write)
    click.echo(format_table(results.rows))


if __name__ == "__main__":
    main()
