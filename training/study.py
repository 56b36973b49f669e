"""Short trainings of a cfg's variants, each measured on held-out and on validation pictures."""

from __future__ import annotations

import dataclasses
import hashlib
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from darknet_py.cfg import parse_cfg
from darknet_py.errors import OptionError
from training.datafile import ImageList, read_data
from training.evaluate import evaluate, known
from training.evolve import evolve
from training.freebies import GENES, Recipe, Variant, single_variants, variant_cfg
from training.train import read_log, train
from training.trainer import Trainer, TrainingError

__all__ = ["Row", "Study", "digest_of"]

#: The one distortion without a word in Darknet's cfg that matters here: see `training.codes`.
AUGMENT = {"mosaic_zoom": 0.5}
SAVE_EVERY = 200
#: The genetic search: trials of a quarter of the budget each.
GENERATIONS, POPULATION, TRIAL_SHARE = 3, 4, 4

#: ``name``, ``freebies``, ``loss``, ``seed``, ``cfg`` (a digest), ``heldout`` and ``validation`` (figures of
#: `training.evaluate.evaluate`), ``seconds`` of training; where the training failed, None for the figures and
#: ``failed``, which says why.
Row = dict[str, Any]


class Study:
    """Variants of a cfg, trained and measured on one data set.

    Parameters
    ----------
    base : str
        Text of the cfg.
    data : Path
        Darknet's data file, with training and validation lists.
    heldout : Path
        List of the pictures to measure on.
    folder : Path
        For trainings; exists.
    recipe : Recipe

    Raises
    ------
    DarknetError
        The data cannot be read, or there is no validation list.
    """

    def __init__(self, base: str, data: Path, heldout: Path, folder: Path, recipe: Recipe) -> None:
        self.base = base
        self.recipe = recipe
        self._folder = folder
        self._data = read_data(data)
        if self._data.valid is None:
            raise OptionError(f"{data}: no validation list; expected a line such as 'valid = valid.txt'")
        classes = len(self._data.names)
        self._lists = {"heldout": ImageList(heldout, classes), "validation": ImageList(self._data.valid, classes)}

    def cfg(self, variant: Variant) -> str:
        """The variant's cfg."""
        return variant_cfg(self.base, variant, self.recipe)

    def measure(self, variant: Variant, seed: int) -> Row:
        """Train a variant, or go on with its training, and measure it; a row as `Results` keeps them."""
        text = self.cfg(variant)
        row: Row = {
            "name": variant.name,
            "freebies": list(variant.freebies),
            "loss": variant.loss,
            "seed": seed,
            "cfg": digest_of(text),
            "heldout": None,
            "validation": None,
        }
        folder = self._folder / f"{variant.name.replace(' ', '-')}-{seed}-{row['cfg']}"
        try:
            weights = self._trained(text, folder, seed, variant.name)
        except TrainingError as error:
            return row | {"failed": str(error)}
        for name, images in self._lists.items():
            row[name] = _rounded(evaluate(folder / "variant.cfg", weights, images, self._data.names))
        log = read_log(folder / "log.jsonl")
        return row | {"seconds": log[-1]["seconds"] if log else 0.0}

    def search(self, log: Path, seed: int) -> dict[str, float]:
        """Hyper-parameters with the best AP50 on the validation scenes after a quarter of the budget.

        Parameters
        ----------
        log : Path
            Where trials are kept; a search that was stopped goes on.
        seed : int
            Of the search and the trainings.

        Returns
        -------
        dict
            A value for each of `GENES`.
        """
        found = evolve(
            GENES,
            partial(self._fitness, seed),
            generations=GENERATIONS,
            population=POPULATION,
            seed=seed,
            start=self._start(),
            log=log,
        )
        return found.best

    def _fitness(self, seed: int, genes: dict[str, float]) -> float:
        """What a short training with these hyper-parameters comes to."""
        iterations = max(1, self.recipe.iterations // TRIAL_SHARE)
        recipe = dataclasses.replace(self.recipe, iterations=iterations, genes=genes)
        text = variant_cfg(self.base, _variant("GA"), recipe)
        with TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            try:
                weights = self._trained(text, folder, seed, "trial of GA")
            except TrainingError:
                return -float("inf")
            return evaluate(folder / "variant.cfg", weights, self._lists["validation"], self._data.names)["AP50"]

    def _start(self) -> dict[str, float]:
        """The genes as the baseline has them."""
        sections = parse_cfg(self.cfg(_variant("baseline")))
        net = sections[0]
        own = {name: net.number(name, 0) for name in ("learning_rate", "decay")}
        own = {gene.name: min(max(own[gene.name], gene.low), gene.high) for gene in GENES if gene.name in own}
        return own | {"box_gain": 1.0, "obj_normalizer": 1.0, "cls_normalizer": 1.0}

    def _trained(self, text: str, folder: Path, seed: int, label: str) -> Path:
        """Train a cfg to its end in a folder; returns the weights."""
        folder.mkdir(exist_ok=True)
        cfg = folder / "variant.cfg"
        cfg.write_text(text)
        trainer = Trainer(cfg, seed)
        if (folder / "checkpoint.pt").exists():
            trainer.resume(folder / "checkpoint.pt")
        left = trainer.options.max_batches - trainer.iteration
        running = train(trainer, self._data, folder, AUGMENT, SAVE_EVERY, evaluate_every=0)
        with click.progressbar(running, length=left, label=f"{label:12}") as bar:
            for _ in bar:
                pass
        return folder / "variant.weights"


def digest_of(text: str) -> str:
    """A short name for a cfg's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _variant(name: str) -> Variant:
    return next(variant for variant in single_variants() if variant.name == name)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in known(figures).items()}
