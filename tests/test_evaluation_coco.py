"""COCO's figures: equal to those of pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from scenes import make_scenes

from darknet_py.evaluation.coco import coco_figures
from darknet_py.evaluation.truths import Found, Truth

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def by_pycocotools(found: Sequence[Found], truth: Sequence[Truth]) -> tuple[list[float], np.ndarray]:
    """The twelve figures, and precision by IoU, recall, class and area."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    from pycocotools.cocoeval import COCOeval

    boxes = [
        (i, one.class_id[n], one.xywh[n], one.crowd[n]) for i, one in enumerate(truth) for n in range(len(one.xywh))
    ]
    truths = coco.COCO()
    truths.dataset = {
        "images": [{"id": i} for i in range(len(truth))],
        "categories": [{"id": k} for k in range(4)],
        "annotations": [
            {
                "id": n,
                "image_id": i,
                "category_id": int(k),
                "bbox": box.tolist(),
                "area": float(box[2] * box[3]),
                "iscrowd": int(crowd),
            }
            for n, (i, k, box, crowd) in enumerate(boxes, 1)
        ],
    }
    results = [
        {"image_id": i, "category_id": int(k), "bbox": box.tolist(), "score": float(score)}
        for i, one in enumerate(found)
        for k, score, box in zip(one.class_id, one.confidence, one.xywh, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truths.createIndex()
        run = COCOeval(truths, truths.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats.tolist(), run.eval["precision"][..., -1]


@pytest.mark.parametrize("seed", range(6))
def test_all_figures_are_those_of_pycocotools(seed):
    found, truth = make_scenes(seed)
    expected, precision = by_pycocotools(found, truth)
    figures = coco_figures(found, truth)
    assert list(figures.summary()) == NAMES
    assert list(figures.summary().values()) == pytest.approx(expected, abs=1e-9)
    assert figures.precision == pytest.approx(precision[:, :, list(figures.classes)], abs=1e-9)


def test_more_detections_than_count():
    boxes = np.array([[10.0 * i, 0, 8, 8] for i in range(130)])
    truth = [Truth(np.zeros(130), boxes)]
    found = [Found(np.zeros(130), np.linspace(1, 0.1, 130), boxes)]
    expected, _ = by_pycocotools(found, truth)
    assert list(coco_figures(found, truth).summary().values()) == pytest.approx(expected, abs=1e-9)
    assert coco_figures(found, truth).summary()["AR100"] == pytest.approx(100 / 130)


def test_by_hand():
    truth = [Truth([0, 0, 1], [[0, 0, 10, 10], [20, 0, 10, 10], [50, 50, 10, 10]])]
    # The second lies at IoU 9/11 of its object; the third finds the first once more.
    found = [Found([0, 0, 0], [0.9, 0.8, 0.7], [[0, 0, 10, 10], [21, 0, 10, 10], [0, 0, 10, 9]])]
    figures = coco_figures(found, truth)
    assert figures.of_class(0)["AP50"] == figures.of_class(0)["AP75"] == pytest.approx(1)
    assert figures.of_class(0)["AP"] == pytest.approx((7 + 3 * 51 / 101) / 10)
    assert figures.of_class(1) == dict.fromkeys(["AP", "AP50", "AP75", "AR100"], 0.0)
    assert figures.of_class(2)["AP"] == -1
    assert figures.summary()["AP50"] == pytest.approx(0.5)
    assert coco_figures([], []).summary() == dict.fromkeys(NAMES, -1.0)
