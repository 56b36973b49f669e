"""The results of `training.ablation`: a table of the shape of YOLOv4's Table 4, and a page of the documentation."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.freebies import FREEBIES, LOSSES, single_variants

__all__ = ["format_page", "format_seeds", "format_table", "write_report"]

_METRICS = ("AP", "AP50", "AP75")

#: What S is here, as it seemed to lose nearly everything once.
_ABOUT_S = (
    "S is `scale_x_y=2` with the logistic in the head, squared error and COCO's anchors. Its gradient is "
    "Darknet's delta (a test compares them): the error of the stretched output, handed to the logit as it is, so "
    "that a step moves a centre twice as far; nothing else differs. In an earlier table, of one seed a line and "
    "trained by SGD, it ended at a tenth of the baseline's AP, LS at a quarter, and no fault was found. Both are lines "
    "with several seeds here, each beside the baseline that began with the same numbers and saw the same pictures, so "
    "that it can be told whether that was more than chance near the floor."
)


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a column of check marks per freebie that occurs, the box loss, and AP, AP50 and AP75 in percent.

    Parameters
    ----------
    rows : sequence of mapping
        ``name``, ``freebies``, ``loss`` and ``heldout`` (fractions, or None where the training failed), as
        `training.study.Study.measure` makes them. Those of one name become one line: the mean over the seeds, with
        half the distance between the best and the worst.

    Returns
    -------
    str
        Lines in the order of `training.freebies.single_variants`, then others.
    """
    order = [variant.name for variant in single_variants()]
    names = sorted(
        dict.fromkeys(row["name"] for row in rows),
        key=lambda name: order.index(name) if name in order else len(order),
    )
    used = {mark for row in rows for mark in row["freebies"]}
    marks = [mark for mark in FREEBIES if mark in used]
    header = [*marks, "loss", *_METRICS]
    rule = [*(":-:" for _ in marks), "---", *("--:" for _ in _METRICS)]
    lines = [header, rule]
    for name in names:
        same = [row for row in rows if row["name"] == name]
        ticks = ["✓" if mark in same[0]["freebies"] else "" for mark in marks]
        lines.append([*ticks, same[0]["loss"], *(_cell(same, metric) for metric in _METRICS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    values = [100 * row["heldout"][metric] for row in rows if row["heldout"]]
    if len(values) < len(rows):
        return "failed"
    if len(values) == 1:
        return f"{values[0]:.1f}%"
    return f"{statistics.fmean(values):.1f}% ± {(max(values) - min(values)) / 2:.1f}"


def format_seeds(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: AP in percent by seed, of lines with several, and how much more it is than the baseline's.

    Parameters
    ----------
    rows : sequence of mapping
        As in `format_table`.

    Returns
    -------
    str
        Empty if no line but the baseline has several seeds.
    """
    values = {(row["name"], row["seed"]): 100 * row["heldout"]["AP"] for row in rows if row["heldout"]}
    seeds = sorted({seed for name, seed in values if name == "baseline"})
    names = dict.fromkeys(row["name"] for row in rows)
    whole = [name for name in names if all((name, seed) in values for seed in seeds)]
    if len(seeds) < 2 or len(whole) < 2:
        return ""
    lines = [
        ["line", *(f"seed {seed}" for seed in seeds), "more than the baseline"],
        ["---", *["--:"] * (len(seeds) + 1)],
    ]
    for name in whole:
        more = [values[name, seed] - values["baseline", seed] for seed in seeds]
        told = "" if name == "baseline" else f"{statistics.fmean(more):+.1f} ({min(more):+.1f} to {max(more):+.1f})"
        lines.append([name, *(f"{values[name, seed]:.1f}%" for seed in seeds), told])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_page(results: Mapping[str, Any]) -> str:
    """The page of the documentation.

    Parameters
    ----------
    results : mapping
        What `training.ablation` keeps in results.json.

    Returns
    -------
    str
        Markdown.
    """
    settings, rows = results["settings"], results["rows"]
    seeds = max((sum(row["name"] == name for row in rows) for name in {row["name"] for row in rows}), default=0)
    minutes = sum(row.get("seconds", 0.0) for row in rows) / 60
    losses = ", ".join(f"{title} `iou_normalizer={normalizer:g}`" for title, (_, normalizer) in LOSSES.items())
    by_seed = format_seeds(rows)
    notes = [f"- {name} is left out: {reason}." for name, reason in results["left_out"].items()]
    notes += [f"- {row['name']} with seed {row['seed']} failed: {row['failed']}." for row in rows if row.get("failed")]
    lines = [
        "# What each freebie is worth on the codes",
        "",
        "Written by `python -m training.ablation FOLDER --resume --write .`; the counterpart of Table 4 of the YOLOv4 "
        "paper (arXiv 2004.10934) on this project's task.",
        "",
        f"Each line is a training of `cfg/yolov4-codes.cfg` at {settings['size']} × {settings['size']} pixels, "
        f"{settings['iterations']} iterations of {settings['batch']} pictures, on the plain generated scenes of the "
        "first lesson; "
        f"{'one seed' if seeds == 1 else f'up to {seeds} seeds (mean ± half the spread)'} each, "
        f"{minutes:.0f} minutes of training in all. AP is that of the held-out pictures. The first line is the "
        "baseline, the next ones add one thing to it (or take PD away), and the last unites everything that alone "
        "raised the AP of the harder *validation* scenes, so that the held-out pictures had no say in the choice.",
        "",
        format_table(rows),
        "",
        *(*notes, "") * bool(notes),
        "Such short trainings say what helps at their own length: what slows learning down to generalise better, as "
        "DropBlock, SAT and label smoothing do, can pay only in longer ones. Lines that are closer "
        "to each other than trainings with different seeds do not differ.",
        "",
        *(by_seed and ["Seed by seed, of the lines that have several:", "", by_seed, ""]),
        _ABOUT_S,
        "",
        f"The box losses stand for themselves, with the weights they are published with: {losses}.",
        "",
        "| column | freebie | option of the cfg | section of the paper |",
        "|---|---|---|---|",
        *(
            f"| {mark} | {freebie.title} | `{freebie.options}` | {freebie.section} |"
            for mark, freebie in FREEBIES.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def write_report(results: Mapping[str, Any], root: Path) -> None:
    """Write docs/ablation.md and training/results/ablation.json.

    Parameters
    ----------
    results : mapping
        What `training.ablation` keeps in results.json.
    root : Path
        The checkout.
    """
    page, figures = root / "docs" / "ablation.md", root / "training" / "results" / "ablation.json"
    for path, text in ((page, format_page(results)), (figures, json.dumps(results, indent=1) + "\n")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
