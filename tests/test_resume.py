"""Killed at any moment and resumed, a run over many pictures leaves what one without a stop would have left."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills of another kind")

ROOT = Path(__file__).parents[1]
FILES = {"--jsonl": "a.jsonl", "--json": "a.json", "--csv": "a.csv", "--counts": "counts.csv", "--coco": "coco.json"}

#: Runs what follows it, and says the peak of its memory in kilobytes.
MEASURE = "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; " \
    "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"  # fmt: skip


def command(model: Model, folder: Path, pictures: Sequence[Path], *options: object) -> list[str]:
    files = [text for option, name in FILES.items() for text in (option, str(folder / name))]
    folders = ["--save-conf", "--save-crop", "--save-dir", str(folder)]
    given = ["--cfg", model.cfg, "--weights", model.weights, "--threads", "1", *files, *folders, *options, *pictures]
    return [sys.executable, "-m", "darknet_py", "detect", *map(str, given)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def make_pictures(model: Model, count: int, bad: int, seed: int) -> list[Path]:
    chance = random.Random(seed)
    pictures = [
        model.picture(
            f"photos/{number:04}.png", *chance.sample([(x, y) for x in range(4) for y in range(3)], number % 4)
        )
        for number in range(count)
    ]
    for picture in chance.sample(pictures, bad):
        whole = picture.read_bytes()
        picture.write_bytes(chance.choice([b"", b"no picture", whole[: len(whole) // 2], whole[:20]]))
    return pictures


def kill_at_random(arguments: list[str], folder: Path, chance: random.Random, most: int) -> bool:
    """Kill the run once its JSON lines are longer by a random number of bytes; whether it was still at work."""
    lines = folder / FILES["--jsonl"]
    at = (lines.stat().st_size if lines.exists() else 0) + chance.randrange(most)
    running = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    deadline = time.monotonic() + 300
    while running.poll() is None and time.monotonic() < deadline:
        if lines.exists() and lines.stat().st_size > at:
            break
        time.sleep(0.0005)
    running.kill()
    return running.wait() < 0


def results(folder: Path) -> dict[str, Any]:
    """All that a run left, but for its times."""
    left: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    records = [json.loads(line) for line in left.pop("a.jsonl").splitlines()]
    return left | {"records": [{**record, "timings": sorted(record["timings"])} for record in records]}


def check(model: Model, folder: Path, count: int, bad: int, kills: int, seed: int) -> None:
    pictures = make_pictures(model, count, bad, seed)
    whole, parts = folder / "whole", folder / "parts"
    done = subprocess.run(command(model, whole, pictures), capture_output=True, text=True, env=environment())
    assert done.returncode == 1 and done.stderr.count("Error: ") == bad
    expected = results(whole)
    records = expected["records"]
    assert [record["index"] for record in records] == list(range(1, count + 1))
    assert sum(record["error"] is not None for record in records) == bad
    assert len(json.loads((whole / "a.json").read_text())) == count - bad
    chance = random.Random(seed)
    most = 2 * (whole / "a.jsonl").stat().st_size // (kills + 2)
    killed = 0
    for _ in range(kills):
        killed += kill_at_random(command(model, parts, pictures, "--resume"), parts, chance, most)
        left = (parts / "a.jsonl").read_bytes()[:-1]
        for line in left.split(b"\n")[:-1]:
            json.loads(line)
        if chance.random() < 0.5:  # as a kill in the middle of a line, or a disk that was full, leaves it
            (parts / "a.jsonl").write_bytes(left[: -chance.randrange(1, 200)])
    assert killed >= kills // 2
    done = subprocess.run(
        command(model, parts, pictures, "--resume"), capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 1
    found = results(parts)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == value, name


def test_killed_and_resumed(model: Model, tmp_path: Path) -> None:
    check(model, tmp_path, 40, 3, kills=1, seed=1)


@pytest.mark.slow
def test_a_thousand_pictures_killed_ten_times(model: Model, tmp_path: Path) -> None:
    check(model, tmp_path, 1000, 20, kills=10, seed=2)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures(model: Model, tmp_path: Path) -> None:
    pictures = make_pictures(model, 1000, 20, seed=3)
    peaks = []
    for count in (100, 1000):
        arguments = command(model, tmp_path / str(count), pictures[:count])
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, env=environment()
        )
        code, peak = done.stdout.split()[-2:]
        assert code == "1"
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 10_000, peaks


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "model").mkdir()
    return Model(tmp_path / "model")
