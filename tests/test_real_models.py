"""Trained models on photographs: the boxes Darknet found, and the same average precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from conftest import SHARED
from numpy.typing import NDArray

from darknet_py import Detector

MODELS = SHARED / "models"
#: Left, top, right, bottom.
Box = tuple[float, float, float, float]
FEW = 16


class Found(NamedTuple):
    class_id: int
    confidence: float
    box: Box


def iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def matched(ours: list[Found], darknets: list[Found]) -> int:
    """How many boxes have a partner of the same class with IoU >= 0.9, each partner used once."""
    left = list(ours)
    count = 0
    for one in darknets:
        partners = [(iou(one.box, other.box), other) for other in left if other.class_id == one.class_id]
        best = max(partners, default=(0.0, None), key=lambda pair: pair[0])
        if best[0] >= 0.9 and best[1] is not None:
            left.remove(best[1])
            count += 1
    return count


def average_precision(hits: list[tuple[float, bool]], truths: int) -> float:
    """Area under the precision-recall curve made monotone; hits are (confidence, whether it is a true positive)."""
    ranked = [hit for _, hit in sorted(hits, key=lambda pair: -pair[0])]
    true_positives = np.cumsum(ranked)
    precision = true_positives / np.arange(1, len(ranked) + 1)
    area = previous = 0.0
    for i, count in enumerate(true_positives):
        area += (count / truths - previous) * precision[i:].max()
        previous = count / truths
    return float(area)


def ap50(found: dict[str, list[Found]], truth: dict[str, list[tuple[int, Box]]]) -> float:
    """Mean over the classes that occur; a true box counts for the first detection that overlaps it enough."""
    values = []
    for class_id in sorted({class_id for boxes in truth.values() for class_id, _ in boxes}):
        hits: list[tuple[float, bool]] = []
        truths = 0
        for image, boxes in truth.items():
            left = [box for given, box in boxes if given == class_id]
            truths += len(left)
            mine = [one for one in found[image] if one.class_id == class_id]
            for one in sorted(mine, key=lambda one: -one.confidence):
                overlap, index = max(((iou(one.box, box), i) for i, box in enumerate(left)), default=(0.0, -1))
                if overlap >= 0.5:
                    del left[index]
                hits.append((one.confidence, overlap >= 0.5))
        values.append(average_precision(hits, truths))
    return float(np.mean(values))


def read_truth(images: list[Path], names: tuple[str, ...]) -> dict[str, list[tuple[int, Box]]]:
    """The labels of the images in pixels, as classes of the model, matched by name; other classes are left out."""
    coco = (SHARED / "images" / "val64" / "coco.names").read_text().splitlines()
    truth = {}
    for image in images:
        height, width = cv2.imread(str(image)).shape[:2]
        rows = (SHARED / "images" / "val64" / "labels" / f"{image.stem}.txt").read_text().splitlines()
        boxes = []
        for label, *numbers in (row.split() for row in rows):
            x, y, w, h = map(float, numbers)
            if coco[int(label)] in names:
                box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
                boxes.append((names.index(coco[int(label)]), box))
        truth[image.name] = boxes
    return truth


class Model:
    """A model, what Darknet found with it, and a Detector."""

    def __init__(self, name: str, precision: str = "float32") -> None:
        folder = MODELS / name
        (cfg,), (weights,), (names,) = (list(folder.glob(f"*.{suffix}")) for suffix in ("cfg", "weights", "names"))
        self.reference: dict[str, Any] = json.loads((folder / "darknet-detections.json").read_text())
        self.detector = Detector(cfg, weights, names, threads=2, precision=precision)

    def darknets(self, image: Path) -> list[Found]:
        rows = self.reference["detections"][image.name]
        return [Found(class_id, confidence, (x1, y1, x2, y2)) for class_id, confidence, x1, y1, x2, y2 in rows]

    def ours(self, image: Path) -> list[Found]:
        found = self.detector.detect(image, thresh=self.reference["thresh"], nms=self.reference["nms"])
        rows: NDArray[np.float64] = found.xyxy.astype(np.float64)
        return [
            Found(int(c), float(p), tuple(box))
            for c, p, box in zip(found.class_id, found.confidence, rows, strict=True)
        ]


def compare(name: str, count: int | None) -> None:
    model = Model(name)
    photos = sorted((SHARED / "images" / "val64" / "images").glob("*.jpg"))[:count]
    classic = sorted((SHARED / "images" / "classic").glob("*.jpg"))[:count]
    ours = {image.name: model.ours(image) for image in (*photos, *classic)}
    darknets = {image.name: model.darknets(image) for image in (*photos, *classic)}
    paired = sum(matched(ours[image], darknets[image]) for image in ours)
    assert paired >= 0.99 * sum(map(len, darknets.values()))
    assert paired >= 0.99 * sum(map(len, ours.values()))
    truth = read_truth(photos, model.detector.names)
    assert ap50(ours, truth) == pytest.approx(ap50(darknets, truth), abs=0.002)


@pytest.mark.parametrize("name", ["yolov4-tiny-voc", "yolo-fastest-1.1"])
def test_boxes_on_some_photos(shared: Path, name: str) -> None:
    compare(name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV2-YOLO-Fastest-voc-v2",
        "yolo-fastest-1.1",
        "yolo-fastest-1.1-xl",
        "yololite-coco-trial6",
        "yolov4-tiny-voc",
    ],
)
def test_boxes_on_all_photos(shared: Path, name: str) -> None:
    compare(name, None)


def test_dog(shared: Path) -> None:
    found = Model("yolov4-tiny-voc").detector.detect(shared / "images" / "classic" / "dog.jpg")
    assert {"bicycle", "car", "dog"} <= set(found.class_names)


def test_average_precision_by_hand() -> None:
    """Ranks: true, false, true, of three true boxes: 1/3 at precision 1, 1/3 at 2/3."""
    assert average_precision([(0.9, True), (0.5, True), (0.7, False)], 3) == pytest.approx((1 + 2 / 3) / 3)
    square = (0.0, 0.0, 10.0, 10.0)
    truth = {"a": [(0, square)], "b": [(1, square)]}
    found = {"a": [Found(0, 0.9, square), Found(0, 0.8, square)], "b": [Found(0, 0.95, square)]}
    assert ap50(found, truth) == pytest.approx(0.25)  # class 0: a false hit first, then the true one; class 1: none


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.name for path in sorted(MODELS.glob("*")) if path.is_dir()])
def test_bfloat16_keeps_the_average_precision(shared: Path, name: str) -> None:
    images = sorted((shared / "images" / "val64" / "images").iterdir())
    figures = []
    for precision in ("float32", "bfloat16"):
        model = Model(name, precision)
        found = {image.name: model.ours(image) for image in images}
        figures.append(ap50(found, read_truth(images, model.detector.names)))
    assert abs(figures[0] - figures[1]) <= 0.003, figures
