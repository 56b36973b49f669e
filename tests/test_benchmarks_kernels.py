"""The kernels' and scaling benchmarks: their arithmetic, and one tiny run of each from the command line."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from kernels import compare_results, list_cases  # noqa: E402
from scaling import judge, make_cfg  # noqa: E402
from turns import Timing, moved, take_turns  # noqa: E402

from darknet_py.cfg import parse_cfg  # noqa: E402
from darknet_py.graph import build_graph  # noqa: E402
from darknet_py.kernels.jit import LANES  # noqa: E402
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS  # noqa: E402
from darknet_py.kernels.vector.activate import ACTIVATIONS  # noqa: E402


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, encoding="utf-8")


def test_turns_are_interleaved() -> None:
    seen: list[str] = []
    timings = take_turns([lambda: seen.append("a"), lambda: seen.append("b")], rounds=2, turn=0)
    assert "".join(seen) == "aabbaabb"  # once uncounted, once counted
    assert [len(timing.seconds) for timing in timings] == [2, 2]


def test_spread_and_moves() -> None:
    timing = Timing((1.0, 1.1, 0.9))
    assert timing.median == 1
    assert timing.spread == pytest.approx(0.1)
    assert moved(1.0, 0.05, 1.2, 0.1)
    assert moved(1.0, 0.05, 0.8, 0.1)
    assert not moved(1.0, 0.1, 1.2, 0.11)
    assert not moved(1.0, 0, 1.01, 0)


def test_tables_name_every_algorithm_and_activation() -> None:
    cases = list_cases()
    assert len({(case.group, case.title) for case in cases}) == len(cases)
    assert {"direct", *ALGORITHMS} <= {case.algorithm for case in cases}
    assert set(ACTIVATIONS) == {case.name.split()[0] for case in cases if case.group == "activation"}
    assert {case.name.split()[0] for case in cases if case.group == "convolution"} >= {
        "1x1/1",
        "3x3/1",
        "3x3/2",
        "5x5/1",
    }


def test_kernels(tmp_path: Path) -> None:
    """A convolution by two algorithms beside its product, a pool, and a comparison with an altered earlier run."""
    file = tmp_path / "kernels.json"
    select = r"520x5x7 -> 100 (direct|F2)$|maxpool 3/2 131|sgemm 100x4680x35$|depthwise 3x3/1 131"
    arguments = ("--rounds", 2, "--turn", 0, "--select", select)
    done = run("kernels.py", *arguments, "--lanes", LANES, "--json", file)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    (width,) = results["widths"]
    rows: dict[str, Any] = {f"{row['group']} {row['algorithm']}".strip(): row for row in width["rows"]}
    assert width["lanes"] == LANES
    assert set(rows) == {"convolution direct", "convolution F2", "depthwise direct", "other", "sgemm"}
    assert [rows[name]["flops"] for name in ("convolution direct", "sgemm")] == pytest.approx([2 * 100 * 4680 * 35] * 2)
    assert rows["convolution F2"]["sgemm_gflops"] == rows["sgemm"]["gflops"]
    assert all(len(row["seconds"]) == 2 for row in rows.values())
    earlier = copy.deepcopy(results)
    assert compare_results(earlier, results).startswith("0 of 5 rows")
    earlier["widths"][0]["rows"][0]["median"] *= 100
    # Two turns on a busy machine may lie so far apart that even this is noise.
    earlier["widths"][0]["rows"][0]["spread"] = results["widths"][0]["rows"][0]["spread"] = 0.1
    assert "convolution 3x3/1 520x5x7 -> 100 direct" in compare_results(earlier, results)


def test_options_that_select_nothing() -> None:
    done = run("kernels.py", "--select", "no such kernel")
    assert done.returncode == 2
    assert "--select" in done.stderr


def test_flatness() -> None:
    rows = [{"threads": threads, "cost": cost} for threads, cost in ((1, 1.0), (2, 1.2), (4, 9.0))]
    assert judge("threads", rows, 1.3, cores=2)["flat"]
    assert not judge("threads", rows, 1.3, cores=4)["flat"]


def test_depth_adds_the_same_work_each_time() -> None:
    work = [build_graph(parse_cfg(make_cfg(64, depth))).bflops for depth in (1, 2, 3)]
    assert work[2] - work[1] == pytest.approx(work[1] - work[0])


def test_scaling(tmp_path: Path) -> None:
    file = tmp_path / "scaling.json"
    arguments = ("--threads", "1,2", "--batches", "1,2", "--sizes", "32,64", "--depths", "1,2", "--size", 32)
    timing = ("--depth", 1, "--rounds", 2, "--turn", 0, "--exact", "--json", file)
    done = run("scaling.py", *arguments, *timing, "--bound", 1e9)
    assert done.returncode == 0, done.stderr
    assert "stays within the bound" in done.stdout
    results = json.loads(file.read_text())
    assert {name: [row[name] for row in rows] for name, rows in results["axes"].items()} == {
        "threads": [1, 2], "batch": [1, 2], "size": [32, 64], "depth": [1, 2],
    }  # fmt: skip
    broken = run("scaling.py", *arguments, *timing, "--bound", 0.5)
    assert broken.returncode == 1
    assert "exceeds the bound" in broken.stdout
