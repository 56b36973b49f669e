"""A genetic search for hyper-parameters: mutate the best sets found so far, try the children, keep all results.

YOLOv4 selects its hyper-parameters so, training on the first tenth of the time periods only (arXiv 2004.10934, sections
3.3 and 4.3, row "GA" of Table 4). Nothing here knows what is searched: a fitness is any function of a dict of numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darknet_py.errors import OptionError

__all__ = ["Gene", "Result", "Trial", "evolve"]

#: A child's parents are drawn among this many of the best trials so far.
PARENTS = 5
#: How likely each gene of a child mutates; at least one always does.
MUTATION_PROBABILITY = 0.8
#: The largest standard deviation of a mutation, as a share of the gene's range, and how far below it a child's may be.
#: Drawing the step anew for each child, evenly in its logarithm, serves a coarse search and fine tuning at once.
LARGEST_STEP = 0.2
STEP_RANGE = 1e-3


@dataclass(frozen=True)
class Gene:
    """One number to search.

    Parameters
    ----------
    name : str
    low, high : float
        Bounds, both allowed.
    log : bool
        Differences count by ratio: a mutation is then a log-normal gain, for learning rates and the like. Needs
        ``low > 0``.

    Raises
    ------
    OptionError
        The bounds leave nothing to search, or no logarithm.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise OptionError(f"gene {self.name}: low={self.low} is not below high={self.high}")
        if self.log and self.low <= 0:
            raise OptionError(f"gene {self.name}: low={self.low} has no logarithm; give a positive bound or log=False")

    def value(self, share: float) -> float:
        """The value at a share of the range, 0 to 1, outside of which it is clipped."""
        share = min(max(share, 0.0), 1.0)
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def share(self, value: float) -> float:
        """Where a value lies in the range, 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Trial:
    """One set of values that was tried.

    Attributes
    ----------
    generation, member : int
    values : dict of str to float
    fitness : float
        What `fitness` returned; -inf where that was not finite.
    """

    generation: int
    member: int
    values: dict[str, float]
    fitness: float


@dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes
    ----------
    best : dict of str to float
    fitness : float
        Of `best`.
    trials : tuple of Trial
        All of them, in order.
    """

    best: dict[str, float]
    fitness: float
    trials: tuple[Trial, ...]


def evolve(
    genes: Sequence[Gene],
    fitness: Callable[[dict[str, float]], float],
    *,
    generations: int,
    population: int,
    seed: int,
    start: dict[str, float] | None = None,
    log: str | Path | None = None,
) -> Result:
    """Search the values with the largest fitness.

    The first generation is `start` and random sets; each child of a later one takes every gene from either of two
    parents, drawn among the best trials so far with weights that fall with their rank, and mutates.

    Parameters
    ----------
    genes : sequence of Gene
    fitness : callable
        The larger, the better. What is not finite, as of a training run that diverged, is the worst there is.
    generations, population : int
        How many generations of how many members.
    seed : int
    start : dict of str to float, optional
        A set to try first, a value for each gene; without it the middle of all ranges.
    log : path, optional
        A file of JSON lines that each trial is appended to. Trials it holds already are taken from it instead of being
        tried again, so a search that was interrupted goes on where it stopped, to the same end.

    Returns
    -------
    Result

    Raises
    ------
    OptionError
        Impossible arguments, or a `log` of another search.
    """
    _check(genes, generations, population, start)
    known = _read(Path(log)) if log is not None else []
    trials: list[Trial] = []
    for generation in range(generations):
        elders = sorted(trials, key=lambda trial: -trial.fitness)[:PARENTS]
        for member in range(population):
            # A generator of its own for each child: what a resumed search draws does not depend on what came before.
            rng = np.random.default_rng([seed, generation, member])
            if generation:
                values = _child(genes, elders, rng)
            elif member:
                values = {gene.name: gene.value(rng.random()) for gene in genes}
            else:
                values = {gene.name: start[gene.name] if start else gene.value(0.5) for gene in genes}
            if len(trials) < len(known):
                trial = known[len(trials)]
                if trial.values != values:
                    raise OptionError(
                        f"{log}: line {len(trials) + 1} is not of this search: it had other genes, "
                        "another seed, population or start; give another log or remove it"
                    )
            else:
                trial = Trial(generation, member, values, _number(fitness(dict(values))))
                if log is not None:
                    _append(Path(log), trial)
            trials.append(trial)
    best = max(trials, key=lambda trial: trial.fitness)
    return Result(dict(best.values), best.fitness, tuple(trials))


def _check(genes: Sequence[Gene], generations: int, population: int, start: dict[str, float] | None) -> None:
    names = [gene.name for gene in genes]
    if not names or len(set(names)) < len(names):
        raise OptionError(f"genes {', '.join(names) or '(none)'}: expected at least one, each name once")
    if generations < 1 or population < 1:
        raise OptionError(f"generations={generations}, population={population}: expected at least 1 of each")
    if start is None:
        return
    if set(start) != set(names):
        raise OptionError(f"start has {', '.join(sorted(start))}; expected a value for each of {', '.join(names)}")
    for gene in genes:
        if not gene.low <= start[gene.name] <= gene.high:
            raise OptionError(f"start: {gene.name}={start[gene.name]} is outside {gene.low} to {gene.high}")


def _child(genes: Sequence[Gene], elders: Sequence[Trial], rng: np.random.Generator) -> dict[str, float]:
    """Values of a mutated cross of two of the elders, who stand best first."""
    weights = 1.0 / np.arange(1, len(elders) + 1)
    parents = rng.choice(len(elders), 2, p=weights / weights.sum())
    origin = rng.choice(parents, len(genes))
    step = LARGEST_STEP * STEP_RANGE ** rng.random()
    mutates = rng.random(len(genes)) < MUTATION_PROBABILITY
    mutates[rng.integers(len(genes))] = True
    values = {}
    for gene, parent, mutate, normal in zip(genes, origin, mutates, rng.standard_normal(len(genes)), strict=True):
        value = elders[parent].values[gene.name]
        values[gene.name] = gene.value(gene.share(value) + step * float(normal)) if mutate else value
    return values


def _number(fitness: float) -> float:
    """The fitness to rank by: JSON has no number for what is not finite."""
    return float(fitness) if math.isfinite(fitness) else -math.inf


def _append(path: Path, trial: Trial) -> None:
    fitness = trial.fitness if math.isfinite(trial.fitness) else None
    record = {"generation": trial.generation, "member": trial.member, "fitness": fitness, "values": trial.values}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _read(path: Path) -> list[Trial]:
    """The trials a log holds. A last line without its end, of a search that was killed writing it, is cut off."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        path.write_bytes(whole)
    return [_parse(path, number, line) for number, line in enumerate(whole.decode("utf-8").splitlines(), 1)]


def _parse(path: Path, number: int, line: str) -> Trial:
    try:
        record: dict[str, Any] = json.loads(line)
        fitness = -math.inf if record["fitness"] is None else float(record["fitness"])
        return Trial(record["generation"], record["member"], record["values"], fitness)
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(
            f"{path}: line {number} is not a trial ({error}); expected the JSON lines a search writes"
        ) from error
