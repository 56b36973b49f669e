"""What OpenCV 4 gives of the networks in a folder, recorded: ``python record_opencv.py FOLDER OUT.npz``.

Runs with NumPy and ``opencv-python<5`` alone. `opencv_nets.py` writes the folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

#: Of DetectionModel: lowest confidence, largest overlap, across classes.
DETECTIONS = ((0.25, 0.4, False), (0.05, 0.0, False), (0.1, 0.3, True))


def main(folder: Path, out: Path) -> None:
    found: dict[str, Any] = {"version": text([cv2.__version__])}
    blobs = [np.load(file) for file in sorted(folder.glob("blob-*.npy"))]
    for cfg in sorted(folder.glob("*.cfg")):
        if cfg.stem != "built-in":
            record_outputs(cfg, blobs, found)
    for cfg in sorted(folder.glob("shipped/*.cfg")):
        record_names(cfg, found)
    if (folder / "built-in.cfg").is_file():
        record_detections(folder / "built-in.cfg", sorted(folder.glob("*.jpg")), found)
    np.savez_compressed(out, **found)


def cropped(image: Any) -> Any:
    """A part of a picture whose border cuts codes in two: boxes leave it."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[height // 5 : -height // 5, width // 3 : -width // 9])


def text(words: Any) -> Any:
    return np.frombuffer("\n".join(words).encode(), np.uint8)


def read(cfg: Path) -> Any:
    return cv2.dnn.readNetFromDarknet(str(cfg), str(cfg.with_suffix(".weights")))


def record_names(cfg: Path, found: dict[str, Any]) -> None:
    net = read(cfg)
    names = net.getLayerNames()
    found[f"{cfg.stem}/names"] = text(names)
    found[f"{cfg.stem}/types"] = text([net.getLayer(net.getLayerId(name)).type for name in names])
    found[f"{cfg.stem}/out"] = net.getUnconnectedOutLayers()


def record_outputs(cfg: Path, blobs: list[Any], found: dict[str, Any]) -> None:
    """All outputs for every blob that the net takes; for the first one what every layer gives, too."""
    record_names(cfg, found)
    for number, blob in enumerate(blobs):
        net = read(cfg)
        net.setInput(blob)
        try:
            outputs = net.forward(net.getUnconnectedOutLayersNames())
        except cv2.error:
            continue  # fully connected: one size only
        for which, output in enumerate(outputs):
            found[f"{cfg.stem}/{number}/{which}"] = output
    for name in read(cfg).getLayerNames():
        net = read(cfg)  # OpenCV fails where layers that it fused are asked for one after the other
        net.enableFusion(False)
        net.setInput(blobs[0])
        output = net.forward(name)
        found[f"{cfg.stem}/shape/{name}"] = np.array(output.shape)
        found[f"{cfg.stem}/layer/{name}"] = output.ravel()[:: max(1, output.size // 20)]


def record_detections(cfg: Path, pictures: list[Path], found: dict[str, Any]) -> None:
    for number, (confidence, overlap, across) in enumerate(DETECTIONS):
        model = cv2.dnn_DetectionModel(str(cfg), str(cfg.with_suffix(".weights")))
        model.setInputParams(1 / 255, (416, 416), (0, 0, 0), True, False)
        model.setNmsAcrossClasses(across)
        for picture in pictures:
            class_ids, confidences, boxes = model.detect(cropped(cv2.imread(str(picture))), confidence, overlap)
            for what, value in (("class_id", class_ids), ("confidence", confidences), ("boxes", boxes)):
                found[f"detect/{picture.stem}/{number}/{what}"] = np.asarray(value)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
