"""Darknet's mean average precision: against slow loops written from what ``detector map`` does, and against itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scenes import make_scenes

from darknet_py import Detector
from darknet_py.evaluation.darknet import darknet_figures
from darknet_py.evaluation.truths import Found, Truth

CLASSES = 4

#: What AlexeyAB's ``darknet detector map`` printed for yolo-fastest-1.1-xl on val64 (as BMP, so that decoders do not
#: differ), by (-points, -iou_thresh). Compiled with -O2: -Ofast, its Makefile's, takes point * (1 / 10) for point / 10,
#: which a recall of exactly 0.3 does not reach, and printed 0.344998 and 0.156992 for 11 points.
PRINTED = {
    (0, 0.5): 0.337202,
    (0, 0.75): 0.148348,
    (11, 0.5): 0.345791,
    (11, 0.75): 0.157844,
    (101, 0.5): 0.338359,
    (101, 0.75): 0.149473,
}


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = across * down if across > 0 and down > 0 else 0.0
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def naive(found: Sequence[Found], truth: Sequence[Truth], least: float, points: int, thresh: float):
    """(average precision, right, wrong) of each class, as validate_detector_map goes about it."""
    listed, counts = [], [[0, 0] for _ in range(CLASSES)]
    totals = [0] * CLASSES
    for picture, (ours, true) in enumerate(zip(found, truth, strict=True)):
        hard = true.crowd | true.difficult
        for k, easy in zip(true.class_id, ~hard, strict=True):
            totals[k] += easy
        before = []
        for k, score, box in zip(ours.class_id, ours.confidence, ours.xywh, strict=True):
            best, at = 0.0, None
            for j in range(len(true.class_id)):
                overlap = iou(box, true.xywh[j])
                if not hard[j] and true.class_id[j] == k and overlap > least and overlap > best:
                    best, at = overlap, (picture, j)
            near = [iou(box, true.xywh[j]) for j in range(len(hard)) if hard[j] and true.class_id[j] == k]
            if at is not None or not any(overlap > least for overlap in near):
                listed.append((score, k, at))
            if score > thresh:
                counts[k][not (at is not None and at not in before)] += 1
            before.append(at)
    listed.sort(key=lambda row: -row[0])
    results = []
    for k in range(CLASSES):
        taken, curve, right = set(), [(0.0, 0.0)], 0
        for n, (_, _, at) in enumerate([row for row in listed if row[1] == k], 1):
            right += at is not None and at not in taken
            taken.add(at)
            curve.append((right / totals[k] if totals[k] else 0.0, right / n))
        if points:
            wanted = [i / (points - 1) for i in range(points)]
            value = sum(max((p for r, p in curve if r >= w), default=0.0) for w in wanted) / points
        else:
            value = sum((curve[i][0] - curve[i - 1][0]) * max(p for _, p in curve[i:]) for i in range(1, len(curve)))
        results.append((value, *counts[k]))
    return results


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("points", [0, 11, 101])
def test_against_slow_loops(seed, points):
    found, truth = make_scenes(seed, pictures=15)
    figures = darknet_figures(found, truth, CLASSES, iou=0.5, points=points, confidence=0.4)
    expected = naive(found, truth, 0.5, points, 0.4)
    assert [one.ap for one in figures.classes] == pytest.approx([row[0] for row in expected])
    assert [(one.right, one.wrong) for one in figures.classes] == [row[1:] for row in expected]
    assert figures.mean_ap == pytest.approx(sum(row[0] for row in expected) / CLASSES)


def test_what_is_particular_to_darknet():
    near = [[0, 0, 10, 10], [0, 0, 10, 9]]
    truth = [Truth([0, 0], [[0, 0, 10, 10], [0, 2, 10, 10]])]
    # Both overlap the first object most: the second is wrong, though the other object is free.
    figures = darknet_figures([Found([0, 0], [0.9, 0.8], near)], truth, 2)
    assert (figures.classes[0].right, figures.classes[0].wrong) == (1, 1)
    assert figures.classes[0].ap == pytest.approx(0.5)
    assert figures.mean_ap == pytest.approx(0.25)  # the class without objects counts
    # Of those of one object the first listed is right, and none if that is below the threshold.
    figures = darknet_figures([Found([0, 0], [0.1, 0.8], near)], truth, 1)
    assert (figures.total.right, figures.total.wrong) == (0, 1)
    assert figures.total.precision == figures.total.recall == figures.total.f1 == 0


def test_nothing_at_all():
    figures = darknet_figures([Found([], [], [])], [Truth([], [])], 3)
    assert figures.mean_ap == 0 and figures.total.truths == 0 and figures.total.f1 == 0
    assert darknet_figures([], [], 0).mean_ap == 0


@pytest.mark.slow
def test_it_is_what_darknet_prints(shared: Path, tmp_path: Path):
    model = shared / "models" / "yolo-fastest-1.1-xl" / "yolo-fastest-1.1-xl"
    detector = Detector(f"{model}.cfg", f"{model}.weights", names=shared / "images" / "val64" / "coco.names")
    found, truth = [], []
    for path in sorted((shared / "images" / "val64" / "images").iterdir()):
        detections = detector.detect(path, 0.005)
        found.append(Found.of(detections))
        labels = path.parent.parent / "labels" / f"{path.stem}.txt"
        rows = np.array([line.split() for line in labels.read_text().splitlines()] if labels.exists() else [], float)
        boxes = rows.reshape(-1, 5)[:, 1:] * ((detections.image_width, detections.image_height) * 2)
        boxes[:, :2] -= boxes[:, 2:] / 2
        truth.append(Truth(rows.reshape(-1, 5)[:, 0], boxes))
    for (points, least), printed in PRINTED.items():
        assert darknet_figures(found, truth, 80, iou=least, points=points).mean_ap == pytest.approx(printed, abs=1e-6)
