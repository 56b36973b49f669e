"""The genetic search: finds known optima, repeats itself, goes on where it stopped, and says what it cannot do."""

import json
import math

import numpy as np
import pytest

from darknet_py.errors import OptionError
from training.evolve import Gene, evolve

RATE = Gene("learning_rate", 1e-5, 1e-1, log=True)
SHIFT = Gene("hue", -1.0, 3.0)
GENES = (RATE, SHIFT, Gene("momentum", 0.6, 0.98))
OPTIMUM = {"learning_rate": 2e-3, "hue": 0.1, "momentum": 0.9}


def bowl(values):
    """A quadratic with its maximum, 0, at OPTIMUM; the learning rate counts by its logarithm."""
    return -(
        math.log10(values["learning_rate"] / OPTIMUM["learning_rate"]) ** 2
        + (values["hue"] - OPTIMUM["hue"]) ** 2
        + 10 * (values["momentum"] - OPTIMUM["momentum"]) ** 2
    )


def search(fitness=bowl, generations=4, population=5, seed=3, **more):
    return evolve(GENES, fitness, generations=generations, population=population, seed=seed, **more)


@pytest.mark.parametrize("seed", range(5))
def test_finds_the_optimum_of_a_quadratic(seed):
    result = search(generations=60, population=10, seed=seed)
    assert result.fitness > -1e-4
    assert result.best["learning_rate"] == pytest.approx(OPTIMUM["learning_rate"], rel=0.03)
    assert result.best["hue"] == pytest.approx(OPTIMUM["hue"], abs=0.02)
    assert result.best["momentum"] == pytest.approx(OPTIMUM["momentum"], abs=0.005)


def test_finds_an_optimum_on_the_bound():
    result = evolve([RATE], lambda values: values["learning_rate"], generations=20, population=10, seed=0)
    assert result.best == {"learning_rate": 0.1}


def test_beats_random_sets_at_the_same_cost():
    rng = np.random.default_rng(0)
    evolved, drawn = [], []
    for seed in range(10):
        evolved.append(search(generations=20, population=10, seed=seed).fitness)
        drawn.append(max(bowl({gene.name: gene.value(rng.random()) for gene in GENES}) for _ in range(200)))
    assert np.median(evolved) > np.median(drawn) / 5  # both negative


def test_values_stay_in_their_ranges():
    for trial in search(generations=20, seed=9).trials:
        for gene in GENES:
            assert gene.low <= trial.values[gene.name] <= gene.high


def test_the_best_is_never_lost():
    result = search(generations=10)
    assert result.fitness == max(bowl(trial.values) for trial in result.trials)
    assert bowl(result.best) == result.fitness


def test_start_comes_first_and_the_middle_without_one():
    assert search(start=OPTIMUM).trials[0].values == OPTIMUM
    assert search(start=OPTIMUM).fitness == 0
    middle = search().trials[0].values
    assert middle == pytest.approx({"learning_rate": 1e-3, "hue": 1.0, "momentum": 0.79})


def test_deterministic():
    assert search() == search()
    assert search() != search(seed=4)


def test_fitness_that_is_not_finite_is_the_worst():
    def fragile(values):
        return math.nan if values["hue"] > 0.5 else math.inf if values["hue"] < 0 else bowl(values)

    result = search(fragile, generations=10)
    assert 0 <= result.best["hue"] <= 0.5
    assert {trial.fitness for trial in result.trials if trial.values["hue"] > 0.5} == {-math.inf}


@pytest.mark.parametrize("stop", [0, 1, 7, 19])
def test_resumed_ends_as_uninterrupted(tmp_path, stop):
    log, tried = tmp_path / "search.jsonl", []

    def interrupted(values):
        if len(tried) == stop:
            raise KeyboardInterrupt
        tried.append(values)
        return bowl(values)

    with pytest.raises(KeyboardInterrupt):
        search(interrupted, log=log)

    def counted(values):
        tried.append(values)
        return bowl(values)

    assert search(counted, log=log) == search()
    assert len(tried) == 20
    search(interrupted, log=log)  # all known: nothing is tried
    longer = search(generations=6, log=log)
    assert longer == search(generations=6) and len(longer.trials) == 30


def test_log_is_json_lines(tmp_path):
    log = tmp_path / "search.jsonl"
    result = search(lambda values: math.nan if values["hue"] > 1 else bowl(values), log=log)
    records = [json.loads(line, parse_constant=pytest.fail) for line in log.read_text().splitlines()]
    assert [record["values"] for record in records] == [trial.values for trial in result.trials]
    assert {record["fitness"] for record in records if record["values"]["hue"] > 1} == {None}
    assert [(r["generation"], r["member"]) for r in records] == [(g, m) for g in range(4) for m in range(5)]


def test_torn_last_line_is_tried_again(tmp_path):
    log = tmp_path / "search.jsonl"
    whole = search(log=log)
    text = log.read_bytes()
    log.write_bytes(text[:-30])
    assert search(log=log) == whole
    assert log.read_bytes() == text


def test_fitness_may_change_its_argument():
    def greedy(values):
        result = bowl(values)
        values.clear()
        return result

    assert search(greedy) == search()


@pytest.mark.parametrize("line", ["{}", "[1, 2]", "rubbish", '{"fitness": "x", "generation": 0, "member": 0}'])
def test_damaged_log(tmp_path, line):
    log = tmp_path / "search.jsonl"
    log.write_text(line + "\n")
    with pytest.raises(OptionError, match=r"search\.jsonl: line 1 is not a trial"):
        search(log=log)


def test_log_of_another_search(tmp_path):
    log = tmp_path / "search.jsonl"
    search(log=log)
    with pytest.raises(OptionError, match="line 2 is not of this search"):
        search(seed=4, log=log)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generations": 0}, "generations=0"),
        ({"population": 0}, "population=0"),
        ({"start": {"hue": 0.0}}, "start has hue; expected"),
        ({"start": OPTIMUM | {"hue": 4.0}}, "hue=4.0 is outside -1.0 to 3.0"),
    ],
)
def test_impossible_arguments(options, message):
    with pytest.raises(OptionError, match=message):
        search(**options)


def test_impossible_genes():
    with pytest.raises(OptionError, match="not below"):
        Gene("x", 1, 1)
    with pytest.raises(OptionError, match="logarithm"):
        Gene("x", 0, 1, log=True)
    for genes in ([], [SHIFT, SHIFT]):
        with pytest.raises(OptionError, match="expected at least one, each name once"):
            evolve(genes, bowl, generations=1, population=1, seed=0)
