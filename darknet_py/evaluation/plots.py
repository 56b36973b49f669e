"""Curves of precision by recall, and which class was taken for which, as SVG or PNG. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import UnsupportedError
from darknet_py.evaluation.report import Evaluation
from darknet_py.evaluation.truths import Found, Truth, overlaps

__all__ = ["confusion_matrix", "draw_plots", "need_matplotlib"]

#: Classes that have a line of their own, those of the most objects.
_MOST_LINES = 12


def need_matplotlib() -> Any:
    """Its class Figure.

    Raises
    ------
    UnsupportedError
        It is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            f"plots need matplotlib ({error}): pip install 'darknet-numba[eval]', or pip install matplotlib"
        ) from error
    return Figure


def confusion_matrix(
    found: Sequence[Found], truth: Sequence[Truth], classes: int, *, iou: float = 0.5, confidence: float = 0.25
) -> NDArray[np.int64]:
    """(classes + 1, classes + 1): true class by class found; the last row is of nothing, the last column of missed.

    Pairs are made whatever the class, those that overlap most first.
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for ours, true in zip(found, truth, strict=True):
        mine, wanted = np.flatnonzero(ours.confidence > confidence), np.flatnonzero(true.counts)
        shares = overlaps(ours.xywh[mine], true.xywh[wanted])
        free_of, free = np.ones(len(mine), bool), np.ones(len(wanted), bool)
        pairs = np.argwhere(shares > iou)
        for i, j in pairs[np.argsort(-shares[tuple(pairs.T)], kind="stable")]:
            if free_of[i] and free[j]:
                free_of[i] = free[j] = False
                matrix[true.class_id[wanted[j]], ours.class_id[mine[i]]] += 1
        matrix[classes, :classes] += np.bincount(ours.class_id[mine[free_of]], minlength=classes)
        matrix[:classes, classes] += np.bincount(true.class_id[wanted[free]], minlength=classes)
    return matrix


def draw_plots(folder: Path, kind: str, evaluation: Evaluation, matrix: NDArray[np.int64]) -> list[Path]:
    """Write both into a folder; gives their paths."""
    targets = [folder / f"precision-recall.{kind}", folder / f"confusion.{kind}"]
    for target, figure in zip(targets, (_curves(evaluation), _confusion(matrix, evaluation.names)), strict=True):
        figure.savefig(target, format=kind, dpi=120, bbox_inches="tight")
    return targets


def _curves(evaluation: Evaluation) -> Any:
    figure = need_matplotlib()(figsize=(8, 6))
    axes = figure.subplots()
    recalls = np.linspace(0, 1, 101)
    coco, darknet = evaluation.coco, evaluation.darknet
    of = [k for k in coco.classes if darknet.classes[k].truths]
    of.sort(key=lambda k: -darknet.classes[k].truths)
    rows = {k: coco.precision[0, :, coco.classes.index(k), 0] for k in of}
    for n, k in enumerate(of[:_MOST_LINES]):
        dashes = "-" if n < 10 else "--"  # there are ten colours
        axes.plot(recalls, rows[k], dashes, linewidth=1, label=f"{evaluation.names[k]} {rows[k].mean():.3f}")
    if rows:
        mean = np.mean(list(rows.values()), axis=0)
        axes.plot(recalls, mean, color="black", linewidth=2.5, label=f"mean of {len(of)} classes {mean.mean():.3f}")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, title="AP50", frameon=False)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision by recall at IoU 0.5")
    axes.grid(alpha=0.3)
    return figure


def _confusion(matrix: NDArray[np.int64], names: Sequence[str]) -> Any:
    kept = [k for k in range(len(names)) if matrix[k].any() or matrix[:, k].any()] + [len(names)]
    part = matrix[np.ix_(kept, kept)]
    labels = [*(names[k] for k in kept[:-1])]
    side = max(4.0, 0.32 * len(kept) + 2)
    figure = need_matplotlib()(figsize=(side, side))
    axes = figure.subplots()
    axes.imshow(part / np.maximum(part.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(part):
        dark = part[i, j] > 0.5 * part[i].sum()
        axes.text(j, i, str(part[i, j]), ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_xticks(range(len(kept)), [*labels, "missed"], rotation=90, fontsize=8)
    axes.set_yticks(range(len(kept)), [*labels, "nothing"], fontsize=8)
    axes.set(xlabel="found", ylabel="true", title="What was taken for what")
    return figure
