"""``python -m training.codes``: what it has generated, and what is learnt from what; nothing is trained here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")
sys.path.insert(0, str(Path(__file__).parents[1]))

from networks import TinyNetwork

from darknet_py import Network
from darknet_py.cfg import read_cfg
from training import calibrate, codes


def test_easy_scenes_are_learnt_first_and_then_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, ...]] = []

    def run(module: str, *arguments: str) -> None:
        steps.append((module, *arguments))
        if module == "training.scenes.generate":
            out = Path(arguments[0])
            out.mkdir()
            (out / "train.txt").write_text(f"train/{out.name}.jpg\n")
        elif module == "training.train":
            log = Path(arguments[arguments.index("--out") + 1]) / "log.jsonl"
            log.write_text("".join(json.dumps({"iteration": n, "seconds": n + 0.5}) + "\n" for n in (1, 3)))

    monkeypatch.setattr(codes, "_run", run)
    monkeypatch.setattr(codes, "ImageList", lambda path, *_: type("List", (), {"paths": (path.parent / "a.jpg",)}))
    files: list[tuple[Path, ...]] = []
    monkeypatch.setattr(codes, "calibrate", lambda cfg, weights, out, logits: files.append((weights, out)))
    monkeypatch.setattr(
        codes, "evaluate", lambda cfg, weights, *_: files.append((weights,)) or {"AP": 0.5, "AP50 aztec": float("nan")}
    )
    result = CliRunner().invoke(codes.main, [str(tmp_path)])
    assert result.exit_code == 0, result.output

    easy = next(step for step in steps if step[1] == str(tmp_path / "easy"))
    assert "--easy" in easy and sum("--easy" in step for step in steps) == 1
    first, second, last = (step for step in steps if step[0] == "training.train")
    nets = [read_cfg(Path(step[1]))[0] for step in (first, second, last)]
    assert [net.integer("max_batches", 0) for net in nets] == [codes.FIRST, 8000, codes.LAST]
    assert nets[2].number("learning_rate", 0) < nets[0].number("learning_rate", 0) == nets[1].number("learning_rate", 0)
    assert "--weights" not in first
    for step, before in ((second, "first"), (last, "training")):
        assert step[step.index("--weights") + 1] == str(tmp_path / before / "yolov4-codes.weights")
    listed = [Path(step[2]).with_suffix(".txt").read_text().split() for step in (first, second, last)]
    everything = [str(tmp_path / name / "a.jpg") for name in ("scenes", "easy")]
    assert listed == [everything[1:], everything, everything]
    rows = [json.loads(line) for line in (tmp_path / "yolov4-codes.jsonl").read_text().splitlines()]
    assert [(row["iteration"], row["seconds"]) for row in rows] == [
        (1, 1.5), (3, 3.5), (5, 5.0), (7, 7.0), (9, 8.5), (11, 10.5),
    ]  # fmt: skip
    assert all(json.loads((tmp_path / f"{name}.json").read_text()) == {"AP": 0.5} for name in ("heldout", "validation"))
    made = tmp_path / "yolov4-codes.weights"
    assert files == [(tmp_path / "last" / "yolov4-codes.weights", made), (made,), (made,)]


@pytest.mark.parametrize("logits", [-0.9, 1.5])
def test_calibration_moves_what_a_head_is_sure_of_and_nothing_else(tmp_path: Path, logits: float) -> None:
    tiny = TinyNetwork((3, 64, 96))
    tiny.add("convolutional", {"filters": 8, "size": 3, "stride": 32, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 14, "size": 1, "activation": "linear"})
    tiny.add("yolo", {"mask": "0,1", "anchors": "10,20, 30,10", "num": 2, "classes": 2})
    cfg, weights = tiny.write(tmp_path)
    out = tmp_path / "out.weights"
    result = CliRunner().invoke(calibrate.main, [str(cfg), str(weights), str(out), "--logits", str(logits)])
    assert result.exit_code == 0, result.output

    blob = np.random.default_rng(3).random((3, 64, 96), np.float32)
    before, after = (Network(cfg, file).run(blob, taps=[1]) for file in (weights, out))
    moved = (after[1] - before[1]).reshape(2, 7, 2, 3)
    assert np.allclose(moved[:, 4:], logits, atol=1e-5) and np.allclose(moved[:, :4], 0, atol=1e-6)


def test_calibration_of_a_head_without_a_convolution_before_it_says_where(tmp_path: Path) -> None:
    tiny = TinyNetwork((7, 32, 32))
    tiny.add("yolo", {"mask": "0", "anchors": "10,20", "num": 1, "classes": 2})
    cfg, weights = tiny.write(tmp_path)
    result = CliRunner().invoke(calibrate.main, [str(cfg), str(weights), str(tmp_path / "out"), "--logits", "1"])
    assert result.exit_code == 1 and "layer 0: [yolo]" in result.output and not (tmp_path / "out").exists()
