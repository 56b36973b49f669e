"""Detectors and Networks sent to other processes, and copied: by files and options, loaded again at the other end."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import TinyNetwork

from darknet_py import Detections, Detector, Network, SeededWeights, WeightsError, load_graph

NAMES = ("cat", "dog", "owl")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Paths relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    tiny = TinyNetwork((3, 32, 44), seed=1)
    tiny.add("convolutional", {"filters": 16, "size": 3, "pad": 1, "stride": 4, "activation": "linear"})
    tiny.add("yolo", {"classes": 3, "num": 2, "anchors": "9,12, 20,17", "mask": "0,1", "nms_kind": "greedynms"})
    cfg, weights = tiny.write(tmp_path)
    return Path(cfg.name), Path(weights.name)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (57, 83, 3), np.uint8)


def through_pickle(it: Any) -> Any:
    return pickle.loads(pickle.dumps(it))


WAYS = [through_pickle, copy.deepcopy, copy.copy]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"names": NAMES, "size": (64, 48), "threads": 1, "letterbox": True, "exact": True},
        {"like": "opencv", "classes": [2, 0], "agnostic": True, "single_class": True, "max_det": np.int64(4)},
        {"precision": "bfloat16", "size": 48, "like": "darknet.py"},
        {"class_thresh": {"class 1": 0.1, 0: 0.9}},
    ],
)
def test_a_detector_finds_the_same(
    files: tuple[Path, Path], picture: np.ndarray, way: Any, options: dict[str, Any]
) -> None:
    detector = Detector(*files, **options)
    again = way(detector)
    assert again is not detector and again.network is not detector.network
    assert repr(again) == repr(detector) and again.names == detector.names
    found = detector.detect(picture, 0.1)
    assert len(found) and again.detect(picture, 0.1) == found


def test_it_travels_light_and_from_any_directory(
    files: tuple[Path, Path], picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.names").write_text("\n".join(NAMES))
    detector, network = Detector(*files, Path("my.names")), Network(*files)
    sent = pickle.dumps(detector)
    assert len(sent) < 1000
    monkeypatch.chdir("/")
    assert pickle.loads(sent).detect(picture, 0.1) == detector.detect(picture, 0.1)
    assert pickle.loads(pickle.dumps(network)).graph.file == str(tmp_path / files[0])
    (tmp_path / files[1]).unlink()
    with pytest.raises(WeightsError, match="No such file"):
        pickle.loads(sent)


def test_what_was_set_later_travels(files: tuple[Path, Path], picture: np.ndarray) -> None:
    detector = Detector(*files)
    detector.letterbox = True
    assert through_pickle(detector).letterbox


@pytest.mark.parametrize("way", WAYS)
def test_a_network_and_its_options(files: tuple[Path, Path], way: Any) -> None:
    blob = np.random.default_rng(1).random((3, 48, 64), np.float32)
    network = Network(*files, size=(64, 48), threads=1, exact=True, epsilon=1e-3, precision="bfloat16")
    again = way(network)
    assert repr(again) == repr(network)
    np.testing.assert_array_equal(again.run(blob)[0], network.run(blob)[0])


@pytest.mark.parametrize("way", WAYS)
def test_graphs_and_seeds_travel_themselves(files: tuple[Path, Path], picture: np.ndarray, way: Any) -> None:
    graph = load_graph(files[0], (64, 48))
    detector = Detector(graph, SeededWeights(graph, 7), NAMES)
    files[0].unlink()
    again = way(detector)
    assert again.graph == graph
    assert again.detect(picture, 0.1) == detector.detect(picture, 0.1)


@pytest.mark.parametrize("name", ["yolov4-csp", "yolov7", "yolov2", "yolov3-spp"])
def test_every_layer_of_a_graph_can_be_pickled(name: str) -> None:
    graph = load_graph(name)
    assert through_pickle(graph) == graph


def test_names_of_shipped_models_stay_names(built_in: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    """So that they are found wherever the package lies on the other machine."""
    assert Detector().__reduce__()[1][:2] == (None, None)
    weights = built_in.parents[1] / "weights" / f"{built_in.stem}.weights"
    shutil.copy(weights, tmp_path / "my.weights")
    arguments = Detector(built_in.stem, "my.weights").__reduce__()[1]
    assert arguments[:2] == (built_in.stem, str(tmp_path / "my.weights"))


def test_a_subclass_stays_one(files: tuple[Path, Path]) -> None:
    assert type(through_pickle(Doorbell(*files))) is Doorbell


class Doorbell(Detector):
    """As an application may have it."""


def test_worker_processes_load_for_themselves(files: tuple[Path, Path], picture: np.ndarray) -> None:
    detector = Detector(*files, NAMES, threads=1, max_det=5)
    expected = detector.detect(picture, 0.1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found, names = pool.apply(ask, (detector, picture))
    assert found == expected and len(found) == 5
    assert names == NAMES


def ask(detector: Detector, picture: np.ndarray) -> tuple[Detections, tuple[str, ...]]:
    return detector.detect(picture, 0.1), detector.names
