"""Outputs, names and boxes of ``darknet_py.opencv`` beside those recorded of OpenCV 4 (see ``opencv_nets.py``)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import opencv_nets
import pytest
import record_opencv
from conftest import SHARED
from numpy.typing import NDArray

from darknet_py.opencv import DetectionModel, readNetFromDarknet
from darknet_py.shipped import resolve_cfg, shipped_models

cv2 = pytest.importorskip("cv2")

NETS = (*opencv_nets.CFGS, *opencv_nets.FIXED)
#: Absolute; rows are fractions of the input and probabilities, some sizes a few times the input.
TOLERANCE = 1e-5
#: Of trained models: OpenCV's Winograd convolutions differ by 1e-5 from its own direct ones.
NOISE = 2e-5


@pytest.fixture(scope="module")
def recorded() -> dict[str, NDArray[Any]]:
    with np.load(Path(__file__).parent / "recordings" / "opencv4.npz") as file:
        return dict(file)


def words(values: NDArray[Any]) -> tuple[str, ...]:
    return tuple(values.tobytes().decode().split("\n"))


def read(cfg: Path) -> Any:
    return readNetFromDarknet(cfg, cfg.with_suffix(".weights"))


def check_structure(net: Any, name: str, recorded: dict[str, NDArray[Any]]) -> None:
    names = net.getLayerNames()
    assert names == words(recorded[f"{name}/names"])
    assert tuple(net.getLayer(net.getLayerId(one)).type for one in names) == words(recorded[f"{name}/types"])
    assert [int(i) for i in net.getUnconnectedOutLayers()] == recorded[f"{name}/out"].tolist()


def check_rows(ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
    if ours.ndim < 4:
        assert np.array_equal(ours == 0, theirs == 0)


@pytest.mark.parametrize("name", shipped_models())
def test_layers_have_opencvs_names(name: str, recorded: dict[str, NDArray[Any]]) -> None:
    check_structure(readNetFromDarknet(resolve_cfg(name)), name, recorded)


@pytest.mark.parametrize("name", NETS)
def test_outputs_are_opencvs(name: str, nets: Path, recorded: dict[str, NDArray[Any]]) -> None:
    net = read(nets / f"{name}.cfg")
    check_structure(net, name, recorded)
    for number, size in enumerate(opencv_nets.SIZES):
        if f"{name}/{number}/0" not in recorded:
            continue
        net.setInput(opencv_nets.blob(size))
        outputs = net.forward(net.getUnconnectedOutLayersNames())
        assert isinstance(outputs, tuple) and f"{name}/{number}/{len(outputs)}" not in recorded
        for which, output in enumerate(outputs):
            check_rows(output, recorded[f"{name}/{number}/{which}"])
        check_rows(net.forward(), recorded[f"{name}/{number}/{len(outputs) - 1}"])


@pytest.mark.parametrize("name", NETS)
def test_every_layer_can_be_asked_for(name: str, nets: Path, recorded: dict[str, NDArray[Any]]) -> None:
    net = read(nets / f"{name}.cfg")
    net.setInput(opencv_nets.blob(opencv_nets.SIZES[0]))
    for layer in net.getLayerNames():
        output = net.forward(layer)
        assert output.shape == tuple(recorded[f"{name}/shape/{layer}"]), layer
        sample = recorded[f"{name}/layer/{layer}"]
        np.testing.assert_allclose(output.ravel()[:: max(1, output.size // 20)], sample, rtol=1e-5, atol=1e-5)
    several = net.forward([net.getLayerNames()[0], net.getLayerNames()[-1]])
    assert [one.shape for one in several] == [
        tuple(recorded[f"{name}/shape/{layer}"]) for layer in (net.getLayerNames()[0], net.getLayerNames()[-1])
    ]


def test_a_batch_longer_than_what_is_computed_at_once(nets: Path) -> None:
    net = read(nets / "yolo.cfg")
    many = opencv_nets.blob((32, 48, 11))
    net.setInput(many)
    together = net.forward(net.getUnconnectedOutLayersNames())
    for n, one in enumerate(many):
        net.setInput(one[None])
        for whole, single in zip(together, net.forward(net.getUnconnectedOutLayersNames()), strict=True):
            assert np.array_equal(whole[n], single)


@pytest.mark.parametrize("number", range(len(record_opencv.DETECTIONS)))
def test_detection_model_finds_opencvs_boxes(number: int, nets: Path, recorded: dict[str, NDArray[Any]]) -> None:
    confidence, overlap, across = record_opencv.DETECTIONS[number]
    cfg = nets / "built-in.cfg"
    model = DetectionModel(cfg.with_suffix(".weights"), cfg)
    assert model.setInputParams(1 / 255, (416, 416), (0, 0, 0), True, False) is model
    assert model.setNmsAcrossClasses(across) is model and model.getNmsAcrossClasses() is across
    leaving = 0
    for picture in sorted(nets.glob("*.jpg")):
        image = record_opencv.cropped(cv2.imread(str(picture)))
        class_ids, confidences, boxes = model.detect(image, confidence, overlap)
        theirs = {
            what: recorded[f"detect/{picture.stem}/{number}/{what}"] for what in ("class_id", "confidence", "boxes")
        }
        assert np.array_equal(class_ids, theirs["class_id"]) and class_ids.dtype == np.int32
        assert np.array_equal(boxes, theirs["boxes"]) and boxes.dtype == np.int32
        np.testing.assert_allclose(confidences, theirs["confidence"], atol=TOLERANCE)
        height, width = image.shape[:2]
        leaving += int(((boxes[:, :2] == 0).any(1) | (boxes[:, :2] + boxes[:, 2:] == (width, height)).any(1)).sum())
    assert leaving or overlap  # some boxes are cut at the border of their picture


# Live, in an environment with OpenCV 4 of its own --------------------------------------------------------------


@pytest.fixture(scope="module")
def opencv4(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with the last OpenCV that reads Darknet; skipped where none can be installed."""
    folder = tmp_path_factory.mktemp("opencv4") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "opencv-python-headless<5"], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"OpenCV 4 cannot be installed here: {installed.stderr.strip()[-200:]}")
    return python


@pytest.mark.slow
def test_the_recordings_are_what_opencv_gives(
    opencv4: str, nets: Path, tmp_path: Path, recorded: dict[str, NDArray[Any]]
) -> None:
    script = Path(__file__).with_name("record_opencv.py")
    subprocess.run([opencv4, str(script), str(nets), str(tmp_path / "now.npz")], check=True)
    with np.load(tmp_path / "now.npz") as now:
        assert set(now) == set(recorded)
        for key in set(now) - {"version"}:
            np.testing.assert_allclose(now[key], recorded[key], rtol=1e-5, atol=1e-5, err_msg=key)


#: Run under OpenCV 4 and here: a trained model's rows and boxes for photographs, to a file.
_PHOTOGRAPHS = """
import pickle, sys
import cv2
cfg, weights, out, *pictures = sys.argv[1:]
found = []
net = cv2.dnn.readNetFromDarknet(cfg, weights)
model = cv2.dnn_DetectionModel(weights, cfg)
model.setInputParams(1 / 255, (416, 416), (0, 0, 0), True, False)
for picture in pictures:
    image = cv2.imread(picture)
    net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, (320, 256), swapRB=True, crop=False))
    outputs = net.forward([net.getLayerNames()[i - 1] for i in net.getUnconnectedOutLayers()])
    found.append((outputs, model.detect(image, 0.2, 0.4), model.detect(image, 0.05, 0.0)))
with open(out, "wb") as file:
    pickle.dump(found, file)
"""


@pytest.mark.slow
@pytest.mark.parametrize("weights", sorted((SHARED / "models").glob("*/*.weights")), ids=lambda file: file.parent.name)
def test_real_models_on_photographs(weights: Path, opencv4: str, shared: Path, tmp_path: Path) -> None:
    import pickle

    cfg = next(weights.parent.glob("*.cfg"))
    pictures = sorted(str(file) for file in (shared / "images/val64/images").glob("*.jpg"))
    script = tmp_path / "script.py"
    script.write_text(_PHOTOGRAPHS)
    for python, name in (([opencv4], "theirs"), ([sys.executable, "-m", "darknet_py.opencv"], "ours")):
        subprocess.run([*python, script, cfg, weights, tmp_path / name, *pictures], check=True)
    theirs, ours = (pickle.loads((tmp_path / name).read_bytes()) for name in ("theirs", "ours"))
    for (outputs, *models), (own_outputs, *own_models) in zip(theirs, ours, strict=True):
        for own_rows, rows in zip(own_outputs, outputs, strict=True):
            found = (rows[:, 5:] > 0).any(axis=1)
            np.testing.assert_allclose(own_rows[found], rows[found], rtol=NOISE, atol=NOISE)
            # Sizes are exp() of what a saturated picture makes large; no box is ever made of these.
            np.testing.assert_allclose(own_rows[~found], rows[~found], rtol=1e-4, atol=NOISE)
        for own, other in zip(own_models, models, strict=True):
            assert np.array_equal(own[0], other[0]) and np.array_equal(own[2], other[2])
            np.testing.assert_allclose(own[1], other[1], atol=NOISE)
