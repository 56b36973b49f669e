"""The drawing of a training's log."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[bench]'")

from training.curve import main, smoothed


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    rows: list[dict[str, float]] = []
    for n in range(9, 200, 10):
        parts = {"box": 30 / (n + 1), "objectness": 90 / (n + 1), "classes": 9 / (n + 1)}
        rows.append({"iteration": n, "rate": 0.01 * (1 - n / 200), **parts, "loss": sum(parts.values())})
        if n % 50 == 49:
            rows.append({"iteration": n, "AP50": n / 200, "AP75": n / 300, "AP": n / 400, "AP50 qr": 0.5})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"iteration": 209, "bo')
    return path


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from([1, 3, 9]))
def test_running_median(values: list[float], window: int) -> None:
    half = window // 2
    wanted = [statistics.median(values[max(0, n - half) : n + half + 1]) for n in range(len(values))]
    assert smoothed(values, window).tolist() == pytest.approx(wanted)


def test_curve(log: Path, tmp_path: Path) -> None:
    vector, pixels = tmp_path / "a.svg", tmp_path / "a.png"
    result = CliRunner().invoke(main, [str(log), "--out", str(vector), "--out", str(pixels)])
    assert result.exit_code == 0, result.output
    image = cv2.imread(str(pixels))
    assert image is not None and image.shape[:2] == (960, 960)
    assert len({tuple(pixel) for pixel in image[::4, ::4].reshape(-1, 3).tolist()}) > 20
    # Text is drawn as outlines; matplotlib leaves what it says as a comment.
    drawn = vector.read_text()
    assert all(f"<!-- {word} -->" in drawn for word in ("objectness", "learning rate", "AP75", "iteration"))
    again = tmp_path / "b.svg"
    CliRunner().invoke(main, [str(log), "--out", str(again)])
    assert again.read_bytes() == vector.read_bytes()


@pytest.mark.parametrize(("name", "said"), [("missing/a.svg", "missing"), ("a.foo", "foo")])
def test_pictures_that_cannot_be_written(log: Path, tmp_path: Path, name: str, said: str) -> None:
    result = CliRunner().invoke(main, [str(log), "--out", str(tmp_path / name)])
    assert result.exit_code == 1 and said in result.output and isinstance(result.exception, SystemExit)


def test_a_log_without_losses_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"iteration": 9, "AP": 0.5}\n')
    result = CliRunner().invoke(main, [str(log), "--out", str(tmp_path / "a.svg")])
    assert result.exit_code == 1 and "no row with a loss" in result.output
