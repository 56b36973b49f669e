"""Small objects in large pictures: `Detector.detect_tiled` beside SAHI and supervision's slicer, with one detector.

    python benchmarks/tiles.py CFG WEIGHTS FOLDER [--pictures 12] [--sets 3] [--tile 416] [--write]

Needs ``pip install sahi supervision``. FOLDER has ``images/`` and ``labels/`` (YOLO's), of the model's classes. From
them pictures of 4000x3000 are composed, thirty photographs each, scaled down and set apart on grey, always the same
ones. All ways see the same pixels in tiles of the same size and overlap, on one thread, and take turns picture by
picture; times are of CPU. Further sets of as many pictures show how much of a difference is chance, and detect_tiled on
SAHI's tiles how much of it is where tiles lie. --write puts the tables into docs/tiles.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from blocks import with_block
from numpy.typing import NDArray

from darknet_py import Detections, Detector
from darknet_py.evaluation.coco import coco_figures
from darknet_py.evaluation.label_files import label_path, read_labels
from darknet_py.evaluation.truths import Found, Truth
from darknet_py.tiling.grid import Tile

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tiles.md"
RESULTS = ROOT / "benchmarks" / "results" / "tiles.json"

WIDTH, HEIGHT, COLUMNS, ROWS = 4000, 3000, 6, 5
OVERLAP = 0.2
#: Of every way; APs are of all thresholds above it.
THRESH = 0.05
#: Shorter sides of true boxes, in pixels of the composed picture, that nobody is asked to find.
SMALLEST = 8

Pixels = NDArray[np.uint8]
Way = Callable[[Pixels], Detections]


def compose(paths: list[Path], rng: np.random.Generator) -> tuple[Pixels, Truth]:
    """Thirty photographs on grey, each 240 to 440 pixels wide and somewhere in its cell, and what is in them."""
    picture = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
    classes, boxes = [], []
    cell_w, cell_h = WIDTH // COLUMNS, HEIGHT // ROWS
    for cell, chosen in enumerate(rng.choice(len(paths), COLUMNS * ROWS, replace=False)):
        photo = cv2.imread(str(paths[chosen]))
        scale = min(rng.integers(240, 441) / photo.shape[1], (cell_h - 20) / photo.shape[0])
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        left = cell % COLUMNS * cell_w + int(rng.integers(0, cell_w - width))
        top = cell // COLUMNS * cell_h + int(rng.integers(0, cell_h - height))
        picture[top : top + height, left : left + width] = small
        class_id, centred = read_labels(label_path(paths[chosen]))
        size = centred[:, 2:] * (width, height)
        boxes.append(np.hstack([centred[:, :2] * (width, height) - size / 2 + (left, top), size]))
        classes.append(class_id)
    xywh = np.concatenate(boxes)
    return picture, Truth(np.concatenate(classes), xywh, difficult=xywh[:, 2:].min(axis=1) < SMALLEST)


def sahi_way(detector: Detector, tile: int) -> Way:
    """SAHI's get_sliced_prediction as it comes, but for the size of slices."""
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction

    class Darknet(DetectionModel):
        def load_model(self) -> None:
            self.model = detector

        def perform_inference(self, image: Pixels) -> None:
            self._original_predictions = detector.detect(image, THRESH, bgr=False)

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = ((0, 0),), full_shape_list: Any = None
        ) -> None:
            # One picture's, or a list with one's.
            shift, shape = (_first(given) for given in (shift_amount_list, full_shape_list))
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(
                        bbox=list(one.xyxy),
                        category_id=one.class_id,
                        category_name=one.class_name,
                        score=one.confidence,
                        shift_amount=shift,
                        full_shape=shape,
                    )
                    for one in self._original_predictions.clipped()
                    if one.xyxy[2] > one.xyxy[0] and one.xyxy[3] > one.xyxy[1]
                ]
            ]

    model = Darknet(confidence_threshold=THRESH, device="cpu")

    def detect(image: Pixels) -> Detections:
        found = get_sliced_prediction(
            image[..., ::-1].copy(),
            model,
            slice_height=tile,
            slice_width=tile,
            overlap_height_ratio=OVERLAP,
            overlap_width_ratio=OVERLAP,
            verbose=0,
        ).object_prediction_list
        return _detections(
            [one.bbox.to_xyxy() for one in found],
            [one.score.value for one in found],
            [one.category.id for one in found],
            detector,
        )

    return detect


def tiled_way(detector: Detector, tile: int) -> Way:
    """`detect_tiled`."""
    return lambda image: detector.detect_tiled(image, THRESH, tiles=tile, overlap=OVERLAP)


def same_tiles_way(detector: Detector, tile: int) -> Way:
    """`detect_tiled` on the tiles that SAHI lays."""
    from sahi.slicing import get_slice_bboxes

    ratios = {"overlap_height_ratio": OVERLAP, "overlap_width_ratio": OVERLAP}

    def laid(width: int, height: int, *_: Any) -> list[Tile]:
        return [Tile(*box) for box in get_slice_bboxes(height, width, tile, tile, **ratios)]

    def detect(image: Pixels) -> Detections:
        with patch("darknet_py.tiling.search.tiles_of", laid):
            return tiled_way(detector, tile)(image)

    return detect


def _first(given: Any) -> Any:
    return given[0] if given and not isinstance(given[0], int | float) else given


def supervision_way(detector: Detector, tile: int) -> Way:
    """supervision's InferenceSlicer as it comes, but for the size of slices and their overlap."""
    import supervision as sv

    slicer = sv.InferenceSlicer(
        callback=lambda image: detector.detect(image, THRESH).to_supervision(),
        slice_wh=(tile, tile),
        overlap_wh=(round(OVERLAP * tile), round(OVERLAP * tile)),
    )

    def detect(image: Pixels) -> Detections:
        found = slicer(image)
        return _detections(found.xyxy, found.confidence, found.class_id, detector)

    return detect


def _detections(xyxy: Any, confidence: Any, class_id: Any, detector: Detector) -> Detections:
    numbers = np.asarray(class_id, np.int64)
    return Detections(
        np.asarray(xyxy, np.float32).reshape(-1, 4),
        np.asarray(confidence, np.float32),
        numbers,
        np.array([detector.names[number] for number in numbers], np.str_),
        WIDTH,
        HEIGHT,
        np.asarray(confidence, np.float32),
    )


def compare(ways: dict[str, Way], paths: list[Path], pictures: int, sets: int) -> dict[str, Any]:
    """Figures of each way: of the first set of pictures, and APs of each set and of all."""
    truths: list[list[Truth]] = []
    found: dict[str, list[list[Found]]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(sets):
        rng = np.random.default_rng(20 + number)
        composed = [compose(paths, rng) for _ in range(pictures)]
        truths.append([truth for _, truth in composed])
        for name, results in _looked(ways, [picture for picture, _ in composed]).items():
            found[name].append([Found.of(result) for result, _ in results])
            seconds[name] += [taken for _, taken in results]
        print(f"{number + 1} of {sets} sets", flush=True)
    table = {name: _row(found[name], truths, seconds[name][:pictures]) for name in ways}
    return {"objects": sum(int(one.counts.sum()) for one in truths[0]), "ways": table}


def _looked(ways: dict[str, Way], pictures: Sequence[Pixels]) -> dict[str, list[tuple[Detections, float]]]:
    """What each way finds in each picture, and the seconds of CPU it takes."""
    looked: dict[str, list[tuple[Detections, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way(pictures[0][:1000, :1000])  # what is compiled or imported on first use is no speed
    for picture in pictures:
        for name, way in ways.items():
            begun = time.process_time()
            result = way(picture)
            looked[name].append((result, time.process_time() - begun))
    return looked


def _row(found: Sequence[list[Found]], truths: Sequence[list[Truth]], seconds: list[float]) -> dict[str, Any]:
    figures = [coco_figures(ours, true).summary() for ours, true in zip(found, truths, strict=True)]
    every = coco_figures([one for ours in found for one in ours], [one for true in truths for one in true]).summary()
    return {
        **{measure: figures[0][measure] for measure in ("AP", "AP50", "APs", "AR100")},
        "boxes": float(np.mean([len(one.class_id) for one in found[0]])),
        "seconds": float(np.median(seconds)),
        "sets": [[one["AP"], one["APs"]] for one in [*figures, every]],
    }


def text(results: dict[str, Any]) -> str:
    """The page's tables."""
    sets = len(next(iter(results["ways"].values()))["sets"]) - 1
    lines = [
        f"{results['pictures']} pictures of {WIDTH}x{HEIGHT} with {results['objects']} objects, "
        f"{results['model']} at {results['tile']}x{results['tile']}, tiles of that size with an overlap of {OVERLAP}, "
        f"one thread, threshold {THRESH}; SAHI {results['versions']['sahi']} and supervision "
        f"{results['versions']['supervision']} as they come:",
        "",
        "| | AP50 | AP | AP of small objects | recall (AR) | boxes a picture | CPU seconds a picture |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in results["ways"].items():
        cells = [f"{one[key]:.3f}" for key in ("AP50", "AP", "APs", "AR100")]
        lines.append(f"| {name} | {' | '.join(cells)} | {one['boxes']:.0f} | {one['seconds']:.2f} |")
    lines += [
        "",
        f"AP, and AP of small objects, of these and of {sets - 1} further sets of as many pictures:",
        "",
        f"| | {' | '.join(f'set {number + 1}' for number in range(sets))} | all |",
        "|---|" + "---|" * (sets + 1),
    ]
    for name, one in results["ways"].items():
        lines.append(f"| {name} | {' | '.join(f'{every:.3f}, {small:.3f}' for every, small in one['sets'])} |")
    return "\n".join(lines)


def main() -> None:
    from importlib.metadata import version

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--tile", type=int, default=416)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    detector = Detector(given.cfg, given.weights, size=given.tile, threads=1)
    ways: dict[str, Way] = {
        "without tiles": lambda image: detector.detect(image, THRESH),
        "`detect_tiled`": tiled_way(detector, given.tile),
        "`detect_tiled` on SAHI's tiles": same_tiles_way(detector, given.tile),
        "SAHI": sahi_way(detector, given.tile),
        "supervision's InferenceSlicer": supervision_way(detector, given.tile),
    }
    paths = sorted((given.folder / "images").iterdir())
    results = {
        "model": Path(given.cfg).stem,
        "tile": given.tile,
        "pictures": given.pictures,
        "versions": {name: version(name) for name in ("sahi", "supervision")},
        **compare(ways, paths, given.pictures, given.sets),
    }
    print(text(results))
    if given.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(with_block(PAGE.read_text(), "tiles", text(results)))


if __name__ == "__main__":
    main()
