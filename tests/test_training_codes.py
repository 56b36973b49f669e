"""``python -m training.codes``: what it has generated, and what is learnt from what; nothing is trained here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")
sys.path.insert(0, str(Path(__file__).parents[1]))

from darknet_py.cfg import read_cfg
from training import codes


def test_easy_scenes_are_learnt_first_and_then_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, ...]] = []

    def run(module: str, *arguments: str) -> None:
        steps.append((module, *arguments))
        if module == "training.scenes.generate":
            out = Path(arguments[0])
            out.mkdir()
            (out / "train.txt").write_text(f"train/{out.name}.jpg\n")
        elif module == "training.train":
            Path(arguments[arguments.index("--out") + 1]).mkdir(exist_ok=True)

    monkeypatch.setattr(codes, "_run", run)
    monkeypatch.setattr(codes, "ImageList", lambda path, *_: type("List", (), {"paths": (path.parent / "a.jpg",)}))
    monkeypatch.setattr(codes, "evaluate", lambda *_: {"AP": 0.5, "AP50 aztec": float("nan")})
    result = CliRunner().invoke(codes.main, [str(tmp_path)])
    assert result.exit_code == 0, result.output

    easy = next(step for step in steps if step[1] == str(tmp_path / "easy"))
    assert "--easy" in easy and sum("--easy" in step for step in steps) == 1
    first, second = (step for step in steps if step[0] == "training.train")
    assert "--weights" not in first and read_cfg(Path(first[1]))[0].integer("max_batches", 0) == codes.FIRST
    assert (second[1], second[second.index("--weights") + 1]) == (
        str(codes.CFG),
        str(tmp_path / "first" / "yolov4-codes.weights"),
    )
    listed = [Path(step[2]).with_suffix(".txt").read_text().split() for step in (first, second)]
    assert listed == [[str(tmp_path / name / "a.jpg") for name in names] for names in (["easy"], ["scenes", "easy"])]
    assert json.loads((tmp_path / "training" / "heldout.json").read_text()) == {"AP": 0.5}
