"""The program that times two checkouts: what it refuses, what it prints, and a run of this one beside itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "benchmarks" / "checkouts.py"
CFG = """[net]
width=32
height=32
channels=3
[convolutional]
filters=8
size=3
pad=1
activation=leaky
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_no_checkout(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path}: holds no darknet_py" in done.stderr


def test_a_network_without_a_size() -> None:
    done = run(ROOT, "--network", "yolov4")
    assert done.returncode == 2
    assert "expected a name or a .cfg file, @ and the side of its input" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--cold", "--rounds", "1")])
def test_a_checkout_beside_itself(tmp_path: Path, options: tuple[str, ...]) -> None:
    cfg, file = tmp_path / "my.cfg", tmp_path / "rows.json"
    cfg.write_text(CFG)
    done = run(
        ROOT, "--network", f"{cfg}@64", "--precision", "float32", "--threads", "1", "--seconds", "0", "--json", file,
        *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text())["rows"]
    assert row["network"] == "my@64" and row["old"] > 0 and row["new"] > 0
    ratios = ("cpu", "memory") if options else ("minima", "medians", "paired")
    assert all(0.1 < row[name] < 10 for name in ratios)
    assert "my@64" in done.stdout
