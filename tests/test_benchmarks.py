"""The benchmarks' own arithmetic, and one small comparison from the command line to its files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from command_line import CFG

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import verified  # noqa: E402
from agreement import activate_heads, box_difference, largest_difference, pick_reference  # noqa: E402
from average_precision import Boxes, average_precisions  # noqa: E402
from compare import update  # noqa: E402
from prepare import prepare  # noqa: E402
from report import format_markdown, format_table  # noqa: E402

from darknet_py import Detector, Network  # noqa: E402
from darknet_py.cfg import parse_cfg  # noqa: E402
from darknet_py.graph import build_graph, load_graph  # noqa: E402
from darknet_py.shipped import resolve_model, shipped_pictures  # noqa: E402
from darknet_py.weights import expected_bytes  # noqa: E402


def boxes(*rows: tuple[int, float, tuple[float, float, float, float]]) -> Boxes:
    class_id, confidence, xyxy = zip(*rows, strict=True) if rows else ((), (), ())
    return Boxes(np.array(class_id, int), np.array(confidence, float), np.array(xyxy, float).reshape(-1, 4))


SQUARE, MOST_OF_IT = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 6.0)


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([boxes()], [boxes((0, 1, SQUARE))], (0, 0, 0)),  # nothing found
        ([boxes((0, 0.9, SQUARE))], [boxes((0, 1, SQUARE))], (1, 1, 1)),
        ([boxes((1, 0.9, SQUARE))], [boxes((0, 1, SQUARE))], (0, 0, 0)),  # another class; 1 does not occur in truth
        ([boxes((0, 0.9, MOST_OF_IT))], [boxes((0, 1, SQUARE))], (1, 0, 0.3)),  # IoU .6: at .50, .55 and .60 only
        ([boxes((0, 0.9, SQUARE), (0, 0.8, SQUARE))], [boxes((0, 1, SQUARE))], (1, 1, 1)),  # a late false one
        ([boxes((0, 0.8, SQUARE), (0, 0.9, MOST_OF_IT))], [boxes((0, 1, SQUARE))], (1, 0.5, 0.65)),  # an early one
        ([boxes((0, 0.9, SQUARE)), boxes()], [boxes((0, 1, SQUARE)), boxes((0, 1, SQUARE))], (51 / 101,) * 3),
    ],
)
def test_average_precision(found: list[Boxes], truth: list[Boxes], expected: tuple[float, ...]) -> None:
    assert tuple(average_precisions(found, truth).values()) == pytest.approx(expected)


def test_average_precision_is_the_mean_over_classes() -> None:
    truth = [boxes((0, 1, SQUARE), (3, 1, SQUARE))]
    assert average_precisions([boxes((0, 0.5, SQUARE))], truth)["AP50"] == pytest.approx(0.5)


def test_reference_is_the_one_others_are_nearest_to() -> None:
    values = {"a": 1.0, "b": 1.001, "c": 1.002, "wrong": 3.0}
    outputs = {name: [np.full((2, 3), value)] for name, value in values.items()}
    assert pick_reference(outputs) in ("b", "c")
    assert largest_difference(outputs["wrong"], outputs["a"]) == pytest.approx(2)
    assert largest_difference([], outputs["a"]) == float("inf")
    assert largest_difference([np.zeros(5)], outputs["a"]) == float("inf")
    assert largest_difference([np.full((2, 3), np.nan)], outputs["a"]) == float("inf")


@pytest.mark.parametrize("options", ["scale_x_y=1.2", "new_coords=1", "kind=region", "kind=region softmax=1"])
def test_heads_are_activated_as_naive_ones(options: str) -> None:
    fields = dict(part.split("=") for part in options.split())
    kind = fields.pop("kind", "yolo")
    text = "\n".join(f"{key}={value}" for key, value in fields.items())
    cfg = f"[net]\nwidth=5\nheight=7\nchannels=3\n[convolutional]\nfilters=16\n[{kind}]\nnum=2\nclasses=3\n{text}\n"
    graph = build_graph(parse_cfg(cfg))
    x = np.random.default_rng(0).standard_normal((1, 16, 7, 5))
    (found,) = activate_heads(graph, [x])
    if kind == "region":
        expected = naive.region(x[0], 3, softmax_classes="softmax" in fields).transpose(1, 2, 0)
    else:
        expected = naive.yolo(x[0], 3, float(fields.get("scale_x_y", 1)), "new_coords" in fields)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.cfg"
    path.write_text(CFG)
    return path


def test_seeded_files(cfg: Path, tmp_path: Path) -> None:
    model = prepare(f"{cfg}@64x40", {}, tmp_path / "work", formats=("weights", "program"))
    assert (model.size, model.weights, model.graph.blob) == ("64x40", "seeded", (3, 40, 64))
    assert Path(model.files["weights"]).stat().st_size == expected_bytes(model.graph)
    assert load_graph(model.files["cfg_at_size"]).blob == model.graph.blob
    assert np.load(model.files["blob"]).shape == (1, 3, 40, 64)
    assert "--darknet" in model.missing["program"]


def test_boxes_of_a_program_are_compared(cfg: Path, tmp_path: Path) -> None:
    model = prepare(str(cfg), {}, tmp_path / "work", formats=("weights",))
    blob = np.load(model.files["blob"])
    outputs = [head[None] for head in Network(model.graph, model.files["weights"], threads=1).run(blob[0])]
    found = Detector(model.graph, model.files["weights"], threads=1).detect_blob(blob[0], (32, 24))
    rows = np.rint(np.column_stack([100 * found.confidence, found.xywh])).tolist()
    assert len(rows) > 3
    assert box_difference(model.graph, rows, outputs) == 0
    moved = [[*row[:1], row[1] + 7, *row[2:]] for row in rows[:1]]
    assert box_difference(model.graph, moved + rows[1:], outputs) == pytest.approx(1 / len(rows))
    assert box_difference(model.graph, rows[1:], outputs) == pytest.approx(1 / len(rows))


FAKE_DARKNET = """#!{python}
# Prints like AlexeyAB's program.
import sys
sys.path.insert(0, {root!r})
from darknet_py import Detector
detector = Detector(*sys.argv[4:6], threads=1)
while True:
    print("Enter Image Path: ", end="", flush=True)
    file = sys.stdin.readline().strip()
    if not file:
        break
    found = detector.detect(file)
    print(f"{{file}}: Predicted in 12.500000 milli-seconds.")
    for p, (x, y, w, h) in zip(found.confidence, found.xywh):
        corner = f"left_x: {{x:4.0f}}   top_y: {{y:4.0f}}"
        print(f"thing: {{100 * p:.0f}}%\\t({{corner}}   width: {{w:4.0f}}   height: {{h:4.0f}})")
"""


@pytest.mark.skipif(os.name == "nt", reason="the stand-in program is a script that starts with its interpreter")
def test_comparison(cfg: Path, tmp_path: Path) -> None:
    """Two variants of this runtime, a program that prints boxes, and a runtime that is not installed."""
    program = tmp_path / "darknet"
    program.write_text(FAKE_DARKNET.format(python=sys.executable, root=str(BENCHMARKS.parent)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    out = tmp_path / "results"
    command = [sys.executable, BENCHMARKS / "compare.py", cfg, "--threads", "1", "--rounds", "2", "--turn", "0.01"]
    command += ["--runtimes", "darknet-py,darknet-py-exact,darknet,openvino", "--darknet", program, "--out", out]
    command += ["--python", f"openvino={tmp_path / 'nowhere'}"]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment(), timeout=240
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "compare.json").read_text())
    rows: dict[str, Any] = {row["runtime"]: row for row in results["rows"]}
    assert [rows[name]["status"] for name in ("darknet-py", "darknet-py-exact", "darknet")] == ["ok"] * 3
    assert rows["darknet"]["median"] == 0.0125
    assert rows["openvino"]["status"] == "skipped"
    assert len(rows["darknet-py"]["seconds"]) >= 2
    assert "left out" in done.stdout
    assert format_table(results["rows"]) in done.stdout
    assert format_markdown(results) == (out / "compare.md").read_text()


@pytest.mark.parametrize("second", ["@320", "nowhere.cfg", "yolov4-tiny@wide"])
def test_models_are_looked_up_before_any_is_measured(cfg: Path, tmp_path: Path, second: str) -> None:
    command = [sys.executable, BENCHMARKS / "compare.py", cfg, second, "--out", tmp_path / "results"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment())
    assert done.returncode == 2
    assert f"error: {second}: " in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_model_measured_again_replaces_its_rows() -> None:
    def results(*rows: tuple[str, int, float], peak: float) -> dict[str, Any]:
        models = [*dict.fromkeys(name for name, _, _ in rows)]
        found = [{"model": name, "size": "8x8", "threads": count, "median": time} for name, count, time in rows]
        return {"machine": "M", "settings": {"rounds": 3, "models": models}, "peaks": {"1": peak}, "rows": found}

    before = results(("a", 1, 1.0), ("a", 2, 0.6), ("b", 1, 9.0), peak=5.0)
    now = results(("a", 1, 1.5), ("c", 1, 7.0), peak=4.0) | {"peaks": {1: 4.0}}
    both = update(before, now)
    assert [(row["model"], row["threads"], row["median"]) for row in both["rows"]] == [
        ("a", 1, 1.5), ("a", 2, 0.6), ("b", 1, 9.0), ("c", 1, 7.0),
    ]  # fmt: skip
    assert both["settings"]["models"] == ["a", "b", "c"]
    assert both["peaks"] == {1: 5.0}


def test_there_must_be_something_to_update(cfg: Path, tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARKS / "compare.py", cfg, "--out", tmp_path, "--update"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment())
    assert done.returncode == 2
    assert "to update" in done.stderr and "Traceback" not in done.stderr


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}


def test_what_a_detector_takes_beside_its_network(tmp_path: Path) -> None:
    model = [str(path) for path in resolve_model()]
    found = tmp_path / "found.json"
    picture = str(shipped_pictures()[0])
    script, few = str(BENCHMARKS / "detect.py"), ["--rounds", "1", "--batch", "2", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, script, *model, picture, *few, "--json", str(found)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 2
    (row,) = json.loads(found.read_text())["rows"]
    assert row["threads"] == 1
    assert row["rest"] > -1 and min(row["detect"], row["forward"], row["batch"], row["start"]) > 0
    failed = subprocess.run(
        [sys.executable, script, *model, str(tmp_path / "none.jpg"), *few], capture_output=True, text=True
    )
    assert failed.returncode == 1 and "none.jpg: no such file" in failed.stderr and "Traceback" not in failed.stderr


def test_the_page_of_verified_networks_is_up_to_date() -> None:
    results = Path(verified.__file__).parent / "results" / "parity.json"
    rows = json.loads(results.read_text())
    written = results.parents[2] / "docs" / "verified.md"
    assert written.read_text(encoding="utf-8") == verified.page(rows)
    for row in rows:
        assert ("exact" in row) + ("refused" in row) + ("darknet" in row) == 1, row["network"]
        assert "exact" not in row or (row["default"] < 1e-3 and row["bflops"] >= 0)
