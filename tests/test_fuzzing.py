"""The fuzz targets on their seeds and on some damage, random networks, and what fuzzing found so far."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz import targets
from fuzz.coverage_guided import _occurs_again
from fuzz.limits import LIMITS
from fuzz.names import NAMES
from fuzz.network_runs import Difference, compare
from fuzz.seeds import cfg_of, seeds_of
from fuzz.targets import TARGETS, Beyond, watched
from hypothesis import given, settings
from hypothesis import strategies as st

from darknet_py import ImageError, Network
from darknet_py.image import load_image
from darknet_py.pictures.geometry import Geometry

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LIMITS.items():
        monkeypatch.setenv(name, value)


def test_the_names_are_those_of_the_targets() -> None:
    assert list(TARGETS) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_on_damaged_seeds(name: str) -> None:
    dice = np.random.default_rng(len(name))
    for seed in seeds_of(name)[:8]:
        watched(TARGETS[name], seed)
        for _ in range(6):
            data = bytearray(seed)
            for at in dice.integers(0, len(data), int(dice.integers(1, 4))):
                data[at] = dice.integers(0, 256)
            watched(TARGETS[name], bytes(data[: int(dice.integers(len(data) // 2, len(data) + 1))]))


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=3, max_size=60))
def test_cfgs_that_bytes_choose(data: bytes) -> None:
    assert cfg_of(data).startswith("[net]")
    watched(TARGETS["structured"], data)


@pytest.mark.parametrize("guard", ["1", "large"])
def test_random_networks(monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    monkeypatch.setenv("DARKNET_PY_GUARD", guard)
    for seed in (*range(30), 2047741):  # the last: in bfloat16, at 4 lanes, 0.003 for 0 before normalize_channels
        compare(seed)


def test_a_wrong_value_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Network, blob: np.ndarray, **options: object) -> object:
        found = plain(self, blob, **options)  # type: ignore[call-overload]
        for output in found.values() if isinstance(found, dict) else found:
            output.ravel()[np.abs(output).argmax()] *= 1.3
        return found

    plain = Network.run
    monkeypatch.setattr(Network, "run", run)
    for seed in range(4):
        with pytest.raises(Difference, match=f"seed {seed}, layer"):
            compare(seed)


def test_what_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "SECONDS", 0.01)
    with pytest.raises(Beyond, match="s of computing"):
        watched(lambda data: np.sort(np.random.default_rng(0).random(1 << 20)).sum() and None, b"")
    with pytest.raises(ZeroDivisionError):
        watched(lambda data: print(1 / 0), b"")  # noqa: T201
    watched(lambda data: load_image(data) and None, b"no picture")


def test_time_and_memory_are_confirmed_in_a_new_process() -> None:
    assert not _occurs_again("tree", b"a -1")
    assert _occurs_again("no such target", b"")


def test_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz"), "tree", "--executions", "300", "--folder", str(tmp_path)],
        env=os.environ | {"FUZZ_ENGINE": "blind"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "tree: 300 executions, nothing found"
    assert (tmp_path / "tree" / "counts.json").is_file()


# Found -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1 << 63, (1 << 64) - 1])
def test_a_directory_of_a_bigtiff_beyond_any_file(at: int) -> None:
    with pytest.raises(ImageError, match="directory of tags lies beyond its end"):
        load_image(b"II+\0\x08\0\0\0" + at.to_bytes(8, "little") + bytes(64))


def test_a_box_whose_centre_is_near_infinite() -> None:
    boxes = Geometry(640, 48, 96, 64, letterbox=True).to_image([[3e38, -3e38, 1, 1]])
    assert np.isinf(boxes[0, :2]).any() and np.isfinite(boxes[0, 2:]).all()
