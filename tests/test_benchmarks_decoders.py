"""The benchmark of the two JPEG decoders: a tiny run from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}
    command = [sys.executable, str(BENCHMARKS / "decoders.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, encoding="utf-8")


def test_decoders(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)
    for name, mode in (("colour.jpg", "RGB"), ("press.jpg", "CMYK")):
        Image.fromarray(pixels).convert(mode).save(tmp_path / name)
    results = tmp_path / "decoders.json"
    timing = ("--rounds", 1, "--turn", 0, "--json", results)
    done = run(tmp_path / "colour.jpg", tmp_path / "press.jpg", *timing)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 equal" in done.stdout
    written = json.loads(results.read_text())
    assert [(row["file"], row["size"], row["rgb"]["equal"]) for row in written["rows"]] == [
        ("colour.jpg", "41x30", True),
        ("press.jpg", "41x30", True),
    ]
    assert set(written["start"]) == {"opencv", "pillow"}
    (tmp_path / "text.jpg").write_text("not a picture")
    assert "text.jpg: OpenCV does not read it" in run(tmp_path / "text.jpg", *timing).stderr
