"""What an evaluation says: tables, figures as plain values, and why Darknet's mean and COCO's differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darknet_py.evaluation.coco import CocoFigures, coco_figures
from darknet_py.evaluation.darknet import DarknetFigures, darknet_figures
from darknet_py.evaluation.truths import Found, Truth

__all__ = ["Evaluation", "evaluate_boxes"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures of a detector on labelled pictures, by the names of its classes."""

    names: tuple[str, ...]
    pictures: int
    darknet: DarknetFigures
    coco: CocoFigures
    #: Darknet's mean with COCO's 101 recalls, over the classes that have objects.
    at_101: float

    def to_json(self) -> dict[str, Any]:
        """As plain values; figures of classes without objects are null."""
        total, darknet = self.darknet.total, self.darknet
        return {
            "pictures": self.pictures,
            "darknet": {
                "map": darknet.mean_ap,
                "iou": darknet.iou,
                "points": darknet.points,
                "confidence": darknet.confidence,
                "true_positives": total.right,
                "false_positives": total.wrong,
                "false_negatives": total.truths - total.right,
                "precision": total.precision,
                "recall": total.recall,
                "f1": total.f1,
                "mean_iou": total.mean_iou,
            },
            "coco": {name: None if value < 0 else value for name, value in self.coco.summary().items()},
            "why": self.why(),
            "classes": [
                {
                    "name": name,
                    "objects": one.truths,
                    "true_positives": one.right,
                    "false_positives": one.wrong,
                    "precision": one.precision,
                    "recall": one.recall,
                    "f1": one.f1,
                    "darknet_ap": one.ap,
                    **{key: None if value < 0 else value for key, value in self.coco.of_class(k).items()},
                }
                for k, (name, one) in enumerate(zip(self.names, darknet.classes, strict=True))
            ],
        }

    def table(self) -> str:
        """Rows for the classes that occur, the totals, and both means."""
        width = max([5, *(len(name) for name in self.names)])
        lines = [f"{'class':{width}}  objects     TP     FP  precision  recall     F1     AP   AP50   COCO AP"]
        for k, (name, one) in enumerate(zip(self.names, self.darknet.classes, strict=True)):
            if one.truths or one.right or one.wrong:
                coco = self.coco.of_class(k)
                figures = [f"{coco[key]:.3f}" if coco[key] >= 0 else "–" for key in ("AP50", "AP")]
                lines.append(_row(f"{name:{width}}", one) + f"  {figures[0]:>5}   {figures[1]:>7}")
        summary, darknet = self.coco.summary(), self.darknet
        how = f"{darknet.points} recalls" if darknet.points else "area under the curve"
        lines += [
            _row(f"{'all':{width}}", darknet.total),
            "",
            f"Darknet: mAP@{darknet.iou:.2f} = {darknet.mean_ap:.6f} ({how}); TP, FP, precision, recall and F1 at "
            f"confidence {darknet.confidence:.2f}, average IoU {darknet.total.mean_iou:.2%}",
            "COCO: "
            + ", ".join(f"{name} " + (f"{value:.3f}" if value >= 0 else "–") for name, value in summary.items()),
            self.why(),
        ]
        return "\n".join(lines)

    def why(self) -> str:
        """One line that takes Darknet's mean to COCO's, step by step."""
        classes, darknet = self.darknet.classes, self.darknet
        empty = sum(one.truths == 0 for one in classes)
        present = [one.ap for one in classes if one.truths]
        without = float(np.mean(present)) if present else 0.0
        steps = [f"Darknet's mAP@{darknet.iou:.2f} {darknet.mean_ap:.3f}"]
        if empty:
            lost = f"the {empty} of {len(classes)} classes that have no objects here"
            steps.append(f"without {lost}, which Darknet counts as 0: {without:.3f}")
        if darknet.points != 101:
            steps.append(f"at COCO's 101 recalls: {self.at_101:.3f}")
        summary = self.coco.summary()
        matching = "where a detection takes the best object that is left, not the best whether taken or not"
        steps.append(f"with COCO's matching, {matching}, and 100 of a class in a picture: AP50 {summary['AP50']:.3f}")
        steps.append(f"and COCO's AP is the mean over IoU .50 to .95: {summary['AP']:.3f}")
        return "Why the two differ: " + "; ".join(steps) + "."


def _row(name: str, one: Any) -> str:
    return (
        f"{name}  {one.truths:7d}  {one.right:5d}  {one.wrong:5d}  {one.precision:9.3f}  {one.recall:6.3f}  "
        f"{one.f1:5.3f}  {one.ap:5.3f}"
    )


def evaluate_boxes(
    found: Sequence[Found],
    truth: Sequence[Truth],
    names: Sequence[str],
    *,
    iou: float = 0.5,
    points: int = 0,
    confidence: float = 0.25,
) -> Evaluation:
    """All figures of what was found in pictures beside their truth; classes are the model's."""
    darknet = darknet_figures(found, truth, len(names), iou=iou, points=points, confidence=confidence)
    at_101 = darknet_figures(found, truth, len(names), iou=iou, points=101)
    present = [one.ap for one in at_101.classes if one.truths]
    return Evaluation(
        tuple(names), len(found), darknet, coco_figures(found, truth), float(np.mean(present)) if present else 0.0
    )
