"""The ablation study: variants of the cfg, the choice of what helped, the table, and a miniature of it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from darknet_py.cfg import parse_cfg  # noqa: E402
from darknet_py.errors import OptionError  # noqa: E402
from darknet_py.graph import Graph, build_graph  # noqa: E402
from training import ablation  # noqa: E402
from training.ablation import Results, useful_together  # noqa: E402
from training.ablation import main as ablation_command  # noqa: E402
from training.ablation_report import format_seeds, format_table, write_report  # noqa: E402
from training.cfgtext import insert_layer, set_options  # noqa: E402
from training.cmbn import CmBN  # noqa: E402
from training.codes import CFG, ROOT  # noqa: E402
from training.dropblock import DropBlock  # noqa: E402
from training.freebies import FREEBIES, GENES, Recipe, Variant, single_variants, variant_cfg  # noqa: E402
from training.network import DarknetModule, cross_normalized  # noqa: E402
from training.options import read_options  # noqa: E402
from training.schedule import learning_rate  # noqa: E402

ANCHORS = (8.0, 9.0, 20.0, 10.0, 10.0, 21.0, 30.0, 31.0, 50.0, 20.0, 20.0, 55.0, 60.0, 61.0, 90.0, 40.0, 100.0, 110.0)
MIDDLE = {gene.name: gene.value(0.5) for gene in GENES}
RECIPE = Recipe(iterations=100, size=64, batch=8, anchors=ANCHORS, genes=MIDDLE)
CFGS = ROOT / "cfg"
SHIPPED = [CFG, *(CFGS / f"{name}.cfg" for name in ("yolov4", "yolov3-spp", "yolov4-tiny", "yolov7-tiny"))]
SMALL = """
[net]
width=96
height=64
channels=3
learning_rate=0.005
momentum=0.9
decay=0.0005
ema_alpha=0.5
resize_step=32
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=mish
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=mish
[convolutional]
filters=63
size=1
stride=1
activation=linear
[yolo]
mask=0,1,2,3,4,5,6,7,8
anchors=8,8, 9,9, 10,10, 11,11, 12,12, 13,13, 14,14, 15,15, 16,16
classes=2
num=9
scale_x_y=2.0
iou_loss=ciou
jitter=.1
"""


def structure(graph: Graph) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(layer.kind, tuple(layer.shape), layer.inputs) for layer in graph.layers]


def test_options_are_set_removed_and_added_and_nothing_else_changes() -> None:
    text = "# a\n[net]\nwidth = 8 \nsteps=1\nwidth=9\n\n# b\n[yolo]\nmask=0\n[yolo]\n# c\n"
    changed = set_options(text, "net", {"width": "16", "steps": None, "hue": ".1"})
    assert changed == "# a\n[net]\nwidth=16\nhue=.1\n\n# b\n[yolo]\nmask=0\n[yolo]\n# c\n"
    assert set_options(text, "yolo", {"mask": "1"}) == text.replace("mask=0\n[yolo]", "mask=1\n[yolo]\nmask=1")
    assert set_options(text, "yolo", {"mask": "1"}, only_present=True) == text.replace("mask=0", "mask=1")
    with pytest.raises(OptionError, match="no \\[region\\]"):
        set_options(text, "region", {"mask": "1"})


@given(st.data())
def test_an_inserted_layer_leaves_references_at_the_same_layers(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SHIPPED)).read_text()
    before = structure(build_graph(parse_cfg(text)))
    places = [n for n, (kind, _, _) in enumerate(before[1:]) if kind != "route"]
    after = data.draw(st.sampled_from(places))
    found = structure(build_graph(parse_cfg(insert_layer(text, after, "[dropout]\nprobability=.1"))))

    def moved(index: int) -> int:
        return index + (index > after)

    assert found[after + 1] == ("dropout", before[after][1], (after,))
    follower = before[after + 1]
    assert found[after + 2] == (*follower[:2], (after + 1, *(moved(n) for n in follower[2][1:])))
    rest = [(kind, shape, tuple(moved(n) for n in inputs)) for kind, shape, inputs in before]
    assert found[: after + 1] + found[after + 3 :] == rest[: after + 1] + rest[after + 2 :]


def test_layers_are_inserted_by_absolute_numbers_too_and_remarks_are_no_numbers() -> None:
    text = "[net]\n[maxpool]\n[maxpool]\n# a square\n[maxpool]\n[route]\nlayers = -1, 0,1 # of 1\n"
    wanted = "[net]\n[maxpool]\n\n[dropout]\n[maxpool]\n# a square\n[maxpool]\n[route]\nlayers = -1, 0,2 # of 1\n"
    assert insert_layer(text, 0, "[dropout]\n") == wanted
    with pytest.raises(OptionError, match="nothing would read"):
        insert_layer(text, 2, "[dropout]")
    for place in (-1, 3):
        with pytest.raises(OptionError, match="expected 0 to 2"):
            insert_layer(text, place, "[dropout]")


@pytest.mark.parametrize("variant", single_variants(), ids=lambda variant: variant.name)
def test_every_variant_can_be_trained(variant: Variant) -> None:
    sections = parse_cfg(variant_cfg(CFG.read_text(), variant, RECIPE))
    graph = build_graph(sections)
    options, losses = read_options(sections)
    module = DarknetModule(graph, cmbn=cross_normalized(sections))
    assert (options.size, options.batch, options.max_batches, options.burn_in) == ((64, 64), 8, 100, 5)
    assert {loss.iou_loss for loss in losses} == {variant.loss.lower()}
    marks = {
        "S": losses[0].scale_x_y == 2,
        "M": options.augment.mosaic > 0,
        "IT": losses[0].iou_thresh < 1,
        "GA": options.learning_rate == pytest.approx(MIDDLE["learning_rate"]),
        "LS": losses[0].label_smooth_eps > 0,
        "CBN": any(isinstance(part, CmBN) for part in module.modules()),
        "CA": options.policy == "sgdr",
        "DM": options.random > 1,
        "OA": losses[0].anchors == ANCHORS,
        "PD": options.augment.saturation > 1,
        "CM": options.augment.cutmix > 0,
        "SAT": options.adversarial_lr > 0,
        "DB": any(isinstance(part, DropBlock) for part in module.modules()),
        "BN4": options.mini_batch == 2 and not any(isinstance(part, CmBN) for part in module.modules()),
    }
    assert [mark for mark in FREEBIES if marks[mark]] == [mark for mark in FREEBIES if mark in variant.freebies]
    # No warning: every option is one that somebody reads.
    assert not graph.warnings


def test_the_baseline_takes_steps_and_cocos_anchors() -> None:
    options, losses = read_options(parse_cfg(variant_cfg(CFG.read_text(), Variant("baseline", ()), RECIPE)))
    full = read_options(parse_cfg(CFG.read_text()))[0]
    assert options.learning_rate == pytest.approx(full.learning_rate * options.batch / full.batch)
    assert options.ema_alpha == pytest.approx(0.8)  # over a twentieth of 100 iterations
    rates = [learning_rate(options, n) / options.learning_rate for n in (4, 50, 79, 80, 90)]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.01])
    # cfg/yolov3.cfg holds the same anchors for its 416 pixels.
    coco = read_anchors(CFGS / "yolov3.cfg")
    assert losses[0].anchors == tuple(max(1, round(side * 64 / 416)) for side in coco)


def read_anchors(cfg: Path) -> tuple[float, ...]:
    return next(s.numbers("anchors") for s in parse_cfg(cfg.read_text()) if s.kind == "yolo") or ()


def test_searched_gains_scale_the_weight_of_the_chosen_loss() -> None:
    genes = MIDDLE | {"box_gain": 3.0, "cls_normalizer": 0.5}
    recipe = Recipe(iterations=100, size=64, batch=8, anchors=ANCHORS, genes=genes)
    for loss, weight in (("MSE", 0.75), ("CIoU", 0.07)):
        head = read_options(parse_cfg(variant_cfg(CFG.read_text(), Variant("x", ("GA",), loss), recipe)))[1][0]
        assert head.iou_normalizer == pytest.approx(3 * weight) and head.cls_normalizer == 0.5
    unsearched = Recipe(iterations=100, size=64, batch=8, anchors=ANCHORS)
    with pytest.raises(OptionError, match="--evolve"):
        variant_cfg(CFG.read_text(), Variant("GA", ("GA",)), unsearched)


def test_dropblock_stands_behind_the_two_deepest_stages_of_the_backbone() -> None:
    graph = build_graph(parse_cfg(variant_cfg(CFG.read_text(), Variant("DB", ("DB",)), RECIPE)))
    dropouts = [layer for layer in graph.layers if layer.kind == "dropout"]
    # A stage ends with the [convolutional] behind its joining [route]; the next begins with a stride, or is the SPP.
    assert [64 // layer.shape.w for layer in dropouts] == [16, 32]
    for layer in dropouts:
        kinds = [graph.layers[layer.index + n].kind for n in (-2, -1, 1)]
        assert kinds == ["route", "convolutional", "convolutional"]
        assert len(graph.layers[layer.index - 2].inputs) == 2
    follower = graph.layers[dropouts[0].index + 1]
    assert follower.shape.w == dropouts[0].shape.w // 2


def row(name: str, held: float, valid: float | None = None, **more: Any) -> dict[str, Any]:
    variant = next((v for v in single_variants() if v.name == name), Variant(name, ("S", "M")))
    figures = {"AP": held, "AP50": held + 0.2, "AP75": held + 0.1}
    validation = {key: value - held + (held if valid is None else valid) for key, value in figures.items()}
    plain = {"name": name, "freebies": list(variant.freebies), "loss": variant.loss, "seed": 0, "cfg": "0"}
    return plain | {"heldout": figures, "validation": validation, "seconds": 60.0} | more


def test_table() -> None:
    rows = [row("together", 0.5), row("CIoU", 0.4), row("M", 0.3), row("S", 0.2), row("S", 0.3, seed=1)]
    rows += [row("baseline", 0.25), row("SAT", 0, heldout=None, failed="the loss is nan")]
    assert format_table(rows).splitlines() == [
        "| S | M | PD | SAT | loss | AP | AP50 | AP75 |",
        "| :-: | :-: | :-: | :-: | --- | --: | --: | --: |",
        "|  |  | ✓ |  | MSE | 25.0% | 45.0% | 35.0% |",
        "| ✓ |  | ✓ |  | MSE | 25.0% ± 5.0 | 45.0% ± 5.0 | 35.0% ± 5.0 |",
        "|  | ✓ | ✓ |  | MSE | 30.0% | 50.0% | 40.0% |",
        "|  |  | ✓ | ✓ | MSE | failed | failed | failed |",
        "|  |  | ✓ |  | CIoU | 40.0% | 60.0% | 50.0% |",
        "| ✓ | ✓ |  |  | MSE | 50.0% | 70.0% | 60.0% |",
    ]


def test_lines_of_several_seeds_are_compared_seed_by_seed() -> None:
    rows = [row("baseline", 0.25), row("baseline", 0.2, seed=1), row("S", 0.24), row("S", 0.23, seed=1), row("M", 0.3)]
    assert format_seeds(rows).splitlines() == [
        "| line | seed 0 | seed 1 | more than the baseline |",
        "| --- | --: | --: | --: |",
        "| baseline | 25.0% | 20.0% |  |",
        "| S | 24.0% | 23.0% | +1.0 (-1.0 to +3.0) |",
    ]
    assert not format_seeds([row("baseline", 0.25), row("S", 0.3)]) and not format_seeds(rows[:2])


def test_what_helped_on_the_validation_scenes_is_united() -> None:
    rows = [
        row("baseline", 0.3, 0.5),
        row("S", 0.2, 0.6),
        row("M", 0.9, 0.4),  # the held-out pictures have no say
        row("OA", 0.3, 0.4),
        row("OA", 0.3, 0.8, seed=1),
        row("BN4", 0.3, 0.9),
        row("GIoU", 0.3, 0.7),
        row("CIoU", 0.3, 0.6),
        row("SAT", 0, heldout=None, validation=None, failed="the loss is nan"),
    ]
    assert useful_together(rows) == Variant("together", ("S", "OA", "PD"), "GIoU")
    assert useful_together([*rows, row("no PD", 0.3, 0.6)]).freebies == ("S", "OA")
    with pytest.raises(OptionError, match="baseline"):
        useful_together(rows[1:])


def test_results_are_kept_only_for_the_same_settings(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = Results(path, {"size": 64}, resume=False)
    results.add(row("S", 0.2, seed=1, cfg="old"))
    for cfg in ("old", "new"):
        results.add(row("S", 0.2, cfg=cfg))
    with pytest.raises(OptionError, match="--resume"):
        Results(path, {"size": 64}, resume=False)
    with pytest.raises(OptionError, match="another size"):
        Results(path, {"size": 96}, resume=True)
    again = Results(path, {"size": 64}, resume=True)
    assert again.rows == results.rows and len(again.rows) == 1
    assert again.find(Variant("S", ("S",)), 0, "new") and not again.find(Variant("S", ("S",)), 0, "old")
    path.write_text("[")
    with pytest.raises(OptionError, match="remove it to measure anew"):
        Results(path, {"size": 64}, resume=True)


def test_report_has_the_table_the_legend_and_the_reasons(tmp_path: Path) -> None:
    settings = {"iterations": 600, "size": 256, "batch": 16}
    rows = [row("baseline", 0.25), row("SAT", 0, heldout=None, failed="the loss is nan")]
    results = {"settings": settings, "left_out": {"GA": "no search"}, "rows": rows}
    write_report(results, tmp_path)
    page = (tmp_path / "docs" / "ablation.md").read_text(encoding="utf-8")
    assert format_table(rows) in page and "GA is left out: no search." in page and "seed 0 failed: the loss" in page
    assert "600 iterations of 16 pictures" in page and "one seed each, 2 minutes" in page
    assert all(f"| {mark} | {freebie.title} |" in page for mark, freebie in FREEBIES.items())
    assert json.loads((tmp_path / "training" / "results" / "ablation.json").read_text()) == results


@pytest.fixture
def codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as training.codes makes it, of twelve pictures with a red or a wider green rectangle."""
    rng = np.random.default_rng(0)
    (tmp_path / "heldout").mkdir()
    names = []
    for n in range(12):
        image = rng.integers(0, 60, (64, 96, 3), np.uint8)
        w, h = 12 + 3 * n, 10 + 2 * n
        x, y = int(rng.integers(0, 96 - w)), int(rng.integers(0, 64 - h))
        image[y : y + h, x : x + w] = ((20, 20, 230), (20, 230, 20))[n % 2]
        cv2.imwrite(str(tmp_path / f"{n}.png"), image)
        (tmp_path / f"{n}.txt").write_text(f"{n % 2} {(x + w / 2) / 96} {(y + h / 2) / 64} {w / 96} {h / 64}\n")
        names.append(str(tmp_path / f"{n}.png"))
    for path in (tmp_path / "train.txt", tmp_path / "heldout" / "heldout.txt"):
        path.write_text("\n".join(names) + "\n")
    (tmp_path / "easy.data").write_text("classes=2\ntrain=train.txt\nvalid=train.txt\n")
    (tmp_path / "small.cfg").write_text(SMALL)
    monkeypatch.setattr(ablation, "CFG", tmp_path / "small.cfg")
    return tmp_path


def run(folder: Path, *more: str) -> str:
    command = [str(folder), "--iterations", "2", "--size", "64", "--batch", "4", "--threads", "1", *more]
    result = CliRunner().invoke(ablation_command, command)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_miniature_of_the_study(codes: Path) -> None:
    """Two rows, then one more and their union, without measuring the first two again."""
    output = run(codes, "--only", "baseline, S")
    path = codes / "ablation" / "results.json"
    first = json.loads(path.read_text())["rows"]
    assert [found["name"] for found in first] == ["baseline", "S"]
    assert format_table(first) in output
    assert all(0 <= value <= 1 for found in first for value in found["heldout"].values())

    output = run(codes, "--only", "baseline,S,GA,CBN,together", "--resume", "--write", str(codes))
    results = json.loads(path.read_text())
    assert results["rows"][:2] == first and [found["name"] for found in results["rows"][2:]] == ["CBN", "together"]
    assert "--evolve" in results["left_out"]["GA"] and results["left_out"]["M"] == "it was not measured"
    assert not {"baseline", "S", "CBN"} & results["left_out"].keys()
    run(codes, "--only", "IT", "--resume")  # what was united before knew nothing of it
    assert [found["name"] for found in json.loads(path.read_text())["rows"]] == ["baseline", "S", "CBN", "IT"]
    assert (codes / "docs" / "ablation.md").exists()


def test_a_row_that_was_stopped_goes_on(codes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.study.evaluate", stop)
        command = [str(codes), "--iterations", "2", "--size", "64", "--batch", "4", "--only", "S"]
        assert CliRunner().invoke(ablation_command, command).exit_code == 1
    (weights,) = (codes / "ablation").glob("S-0-*/variant.weights")
    trained = weights.stat().st_mtime_ns
    run(codes, "--only", "S", "--resume")
    assert len(json.loads((codes / "ablation" / "results.json").read_text())["rows"]) == 1
    assert weights.stat().st_mtime_ns == trained


def test_a_genetic_search_gives_the_row_ga(codes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.study.GENERATIONS", 1)
    monkeypatch.setattr("training.study.POPULATION", 2)
    run(codes, "--only", "GA", "--evolve")
    trials = [json.loads(line) for line in (codes / "ablation" / "genes-2-64-4.jsonl").read_text().splitlines()]
    best = max(trials, key=lambda trial: trial["fitness"])["values"]
    cfg = next((codes / "ablation").glob("GA-0-*/variant.cfg"))
    assert read_options(parse_cfg(cfg.read_text()))[0].learning_rate == pytest.approx(best["learning_rate"], rel=1e-5)
    # Later runs find the search done.
    assert "GA" not in json.loads((codes / "ablation" / "results.json").read_text())["left_out"]
    run(codes, "--only", "GA", "--resume")
    assert not list((codes / "ablation").glob("tmp*"))


def test_an_unknown_row_is_named(codes: Path) -> None:
    result = CliRunner().invoke(ablation_command, [str(codes), "--only", "S,XYZ"])
    assert result.exit_code == 2 and "XYZ" in result.output and "together" in result.output


def test_what_is_missing_is_a_line_not_a_traceback(codes: Path) -> None:
    (codes / "easy.data").write_text("classes=2\ntrain=train.txt\n")
    result = CliRunner().invoke(ablation_command, [str(codes), "--only", "S"])
    assert result.exit_code == 1 and "valid = valid.txt" in result.output and "Traceback" not in result.output
