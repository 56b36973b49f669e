"""What a Detector, a Network and their calls take: options, numbers of NumPy, and errors for all else."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import TinyNetwork

from darknet_py import (
    CfgError,
    Detections,
    Detector,
    Network,
    OptionError,
    SeededWeights,
    WeightsError,
    load_graph,
    write_weights,
)
from darknet_py.image import load_image, to_blob
from darknet_py.shipped import shipped

NAMES = ["cat", "dog", "owl"]
WIDTH, HEIGHT = 44, 32


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A detector of three classes that finds a lot in noise, several classes a box."""
    tiny = TinyNetwork((3, HEIGHT, WIDTH), seed=1)
    tiny.add("convolutional", {"filters": 16, "size": 3, "pad": 1, "stride": 4, "activation": "linear"})
    tiny.add("yolo", {"classes": 3, "num": 2, "anchors": "9,12, 20,17", "mask": "0,1"})
    return tiny.write(tmp_path_factory.mktemp("options"))


@pytest.fixture(scope="module")
def detector(files: tuple[Path, Path]) -> Detector:
    return Detector(*files, NAMES, threads=1)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (57, 83, 3), np.uint8)


# Options of a call and of the constructor ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"classes": "dog"},
        {"classes": [2, "cat"]},
        {"agnostic": True},
        {"single_class": True},
        {"max_det": np.int32(3)},
        {"class_thresh": {"dog": 0.2, 2: 0.3}},
        {"classes": ["cat", "dog"], "agnostic": True, "single_class": True, "max_det": 2},
    ],
)
def test_every_way_takes_the_options(
    files: tuple[Path, Path], detector: Detector, picture: np.ndarray, options: dict[str, Any]
) -> None:
    found = detector.detect(picture, 0.1, **options)
    assert 0 < len(found) < len(detector.detect(picture, 0.1))
    assert detector.detect_batch([picture, picture], 0.1, **options) == [found, found]
    blob = to_blob(load_image(picture), WIDTH, HEIGHT).transpose(2, 0, 1)
    assert detector.detect_blob(blob, (83, 57), 0.1, **options) == found
    assert Detector(*files, NAMES, threads=1, **options).detect(picture, 0.1) == found


def test_what_the_options_mean(detector: Detector, picture: np.ndarray) -> None:
    everything = detector.detect(picture, 0.1)
    dogs = detector.detect(picture, 0.1, classes="dog")
    assert dogs == everything[everything.class_id == 1]
    some = detector.detect(picture, 0.3, class_thresh={"dog": 0.1, 2: 0.2})
    above = everything.confidence > np.array([0.3, 0.1, 0.2], np.float32)[everything.class_id]
    assert sorted(some) == sorted(everything[above])  # Darknet's order follows all that stood above a threshold
    assert {"cat", "dog", "owl"} == set(some.counts()) and sum(some.counts().values()) == len(some)
    most = detector.detect(picture, 0.1, max_det=4)
    assert sorted(most.confidence) == sorted(everything.confidence)[-4:]
    assert most == everything[everything.confidence >= most.confidence.min()]
    assert len({box.tobytes() for box in everything.xyxy}) < len(everything)
    alone = detector.detect(picture, 0.1, single_class=True)
    assert len({box.tobytes() for box in alone.xyxy}) == len(alone)
    across = detector.detect(picture, 0.1, agnostic=True)
    assert across == across.sorted() and len(across) < len(alone)


def test_a_call_overrides_the_constructor(files: tuple[Path, Path], detector: Detector, picture: np.ndarray) -> None:
    chosen = Detector(*files, NAMES, threads=1, classes="owl", agnostic=True, single_class=True, max_det=1)
    assert len(chosen.detect(picture, 0.1)) == 1
    found = chosen.detect(picture, 0.1, classes=NAMES, agnostic=False, single_class=False, max_det=10**6)
    assert found == detector.detect(picture, 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "cats"}, "no class is called 'cats': did you mean 'cat'"),
        ({"classes": 3}, r"3: expected a number from 0 \('cat'\) to 2 \('owl'\)"),
        ({"agnostic": "yes"}, "agnostic='yes': expected True or False"),
        ({"single_class": 2}, "single_class=2: expected True or False"),
        ({"max_det": 0}, "max_det=0: expected at least 1"),
        ({"max_det": 2.0}, "max_det=2.0: expected a whole number, not float"),
        ({"max_det": True}, "max_det=True: expected a whole number"),
        ({"class_thresh": {"cat": 1.5}}, "class_thresh of 'cat'=1.5: expected a number from 0 to 1"),
        ({"class_thresh": {"cats": 0.5}}, "no class is called 'cats': did you mean 'cat'"),
        ({"class_thresh": 0.5}, "expected thresholds by class"),
        ({"class_thresh": ["cat"]}, "expected thresholds by class"),
        ({"bgr": None}, "bgr=None: expected True or False"),
        ({"thresh": None}, "thresh=None: expected a number from 0 to 1"),
        ({"thresh": "0.5"}, "thresh='0.5': expected a number"),
        ({"thresh": [0.5]}, "thresh="),
        ({"thresh": float("nan")}, "thresh=nan"),
        ({"thresh": 1j}, "thresh="),
        ({"thresh": 10**400}, "thresh="),
        ({"thresh": True}, "thresh=True"),
        ({"nms": 1.5}, "nms=1.5: expected a number from 0 to 1"),
        ({"nms": -0.1}, "nms=-0.1"),
    ],
)
def test_options_that_are_wrong(detector: Detector, picture: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        detector.detect(picture, **options)
    with pytest.raises(OptionError, match=message):
        detector.detect_batch([picture], **options)
    if "bgr" not in options:
        with pytest.raises(OptionError, match=message):
            detector.detect_blob(np.zeros((3, HEIGHT, WIDTH), np.float32), (5, 5), **options)


@pytest.mark.parametrize("thresh", [np.float32(0.25), np.float64(0.25), Fraction(1, 4), np.array(0.25)])
def test_any_number_is_a_threshold(detector: Detector, picture: np.ndarray, thresh: Any) -> None:
    assert detector.detect(picture, thresh, np.float32(0.5)) == detector.detect(picture, 0.25, 0.5)
    assert detector.detect(picture, 0, 1) == detector.detect(picture, np.uint8(0), np.int64(1))


# The constructor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 32), [64, 32], np.array([64, 32]), (np.uint8(64), np.int64(32))])
def test_a_size_is_two_whole_numbers(files: tuple[Path, Path], size: Any) -> None:
    for graph in (load_graph(files[0], size), Detector(*files, NAMES, size=size).graph):
        assert tuple(graph.blob) == (3, 32, 64)
        assert {type(side) for side in graph.blob} == {int}


@pytest.mark.parametrize("size", [48, np.int16(48)])
def test_a_size_is_one_for_a_square(files: tuple[Path, Path], size: Any) -> None:
    assert tuple(load_graph(files[0], size).blob) == (3, 48, 48)
    assert tuple(Network(*files, size=size, threads=1).graph.blob) == (3, 48, 48)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "416x416"}, r"size='416x416': expected \(width, height\) in whole numbers"),
        ({"size": "41"}, "size='41'"),
        ({"size": (416.0, 416.0)}, "size=.*in whole numbers"),
        ({"size": (416,)}, "size="),
        ({"size": (416, 416, 3)}, "size="),
        ({"size": 416.0}, "size=416.0"),
        ({"size": True}, "size=True"),
        ({"size": {}}, "size="),
        ({"threads": 2.0}, "threads=2.0: expected a whole number, not float"),
        ({"threads": "2"}, "threads='2': expected a whole number, not str"),
        ({"threads": True}, "threads=True"),
        ({"threads": 0}, "threads=0: expected at least 1"),
        ({"exact": "no"}, "exact='no': expected True or False"),
        ({"precision": 16}, "precision=16: expected one of float32, bfloat16"),
        ({"precision": ["float32"]}, "precision="),
        ({"like": None}, "like=None: expected one of darknet, darknet.py, opencv"),
        ({"letterbox": "no"}, "letterbox='no'"),
        ({"letterbox": True, "like": "opencv"}, "which never letterboxes"),
        ({"names": 3}, "names of type int: expected the path of a .names file, or a list of str"),
        ({"names": [1, 2, 3]}, "names: the entry 0 is of type int"),
        ({"names": {0: "cat", 1: "dog", 2: "owl"}}, "names: the entry 0 is of type int"),
        ({"names": io.StringIO("cat\ndog\nowl\n")}, "names of type StringIO"),
        ({"classes": "cow"}, "no class is called 'cow'"),
        ({"max_det": -1}, "max_det=-1"),
    ],
)
def test_constructor_that_is_wrong(files: tuple[Path, Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Detector(*files, **({"names": NAMES} | options))


@pytest.mark.parametrize("epsilon", ["1e-6", -1e-6, None])
def test_epsilon(files: tuple[Path, Path], epsilon: Any) -> None:
    if epsilon is None:
        assert Network(*files, epsilon=np.float32(0.5), threads=1).run(np.zeros((3, HEIGHT, WIDTH), np.float32))
        return
    with pytest.raises(OptionError, match="epsilon="):
        Network(*files, epsilon=epsilon)


def test_files_that_are_none(files: tuple[Path, Path]) -> None:
    cfg, weights = files
    with pytest.raises(OptionError, match=r"weights of type BytesIO: expected the path of a .weights file"):
        Network(cfg, io.BytesIO(weights.read_bytes()))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"weights: \d+ bytes that are the contents of a file"):
        Detector(cfg, weights.read_bytes())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="weights of type NoneType"):
        Network(cfg, None)  # type: ignore[arg-type]
    for wrong in (5, {}, object()):
        for call in (Detector, load_graph, lambda it: Network(it, weights), lambda it: Detector(it, weights)):
            with pytest.raises(OptionError, match=f"cfg of type {type(wrong).__name__}: expected the path of a .cfg"):
                call(wrong)  # type: ignore[arg-type, no-untyped-call]
    with pytest.raises(OptionError, match="contents of a file"):
        load_graph(cfg.read_bytes())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="cfg="):
        load_graph("a\0b")
    with pytest.raises(WeightsError):
        Network(cfg, "")
    with pytest.raises(CfgError):
        Network("", weights)


def test_paths_may_be_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    cfg, weights = (str(file).encode() for file in files)
    names = tmp_path / "my.names"
    names.write_text("\n".join(NAMES))
    detector = Detector(cfg, weights, str(names).encode())  # type: ignore[arg-type]
    assert detector.names == tuple(NAMES)


def test_seed_of_weights(files: tuple[Path, Path]) -> None:
    graph = load_graph(files[0])
    for seed in ("1", -1, 0.5):
        with pytest.raises(OptionError, match="seed="):
            SeededWeights(graph, seed)  # type: ignore[arg-type]
    first, again = (SeededWeights(graph, seed).arrays(graph.layers[0]) for seed in (3, np.int64(3)))
    np.testing.assert_array_equal(first["weights"], again["weights"])


# Names of shipped models --------------------------------------------------------------------------------------


def test_the_name_of_a_shipped_model_goes_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    graph = load_graph("yolov4-tiny", (96, 64))
    assert graph == load_graph(shipped("yolov4-tiny.cfg"), (96, 64))  # type: ignore[arg-type]
    write_weights("my.weights", graph, SeededWeights(graph))
    detector = Detector("yolov4-tiny", "my.weights", size=(96, 64))
    assert detector.names[0] == "person" and len(detector.names) == 80
    blob = np.ones((3, 64, 96), np.float32)
    for cfg in ("yolov4-tiny", "yolov4-tiny.cfg"):
        outputs = Network(cfg, "my.weights", size=(96, 64)).run(blob)
        for found, expected in zip(outputs, detector.network.run(blob), strict=True):
            np.testing.assert_array_equal(found, expected)
    with pytest.raises(CfgError, match=r"yolo4: no such file, expected a .cfg file or the name of a shipped model"):
        Network("yolo4", "my.weights")


def test_a_file_comes_before_a_shipped_model(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("yolov4").mkdir()  # a folder of that name does not
    assert len(load_graph("yolov4").layers) > 100
    Path("yolov3").write_text(files[0].read_text())
    assert len(load_graph("yolov3").layers) == 2


# repr ---------------------------------------------------------------------------------------------------------


def test_repr_says_what_it_is(files: tuple[Path, Path]) -> None:
    cfg, weights = files
    made = f"{cfg.stem} with {weights.name}, 44x32"
    assert repr(Network(cfg, weights, threads=2)) == f"Network({made}, threads=2, 2 layers)"
    assert repr(Detector(cfg, weights, threads=1)) == f"Detector({made}, threads=1, 3 classes)"
    busy = Detector(cfg, weights, NAMES, threads=1, exact=True, letterbox=True, classes="owl", max_det=5)
    assert repr(busy) == f"Detector({made}, threads=1, exact=True, 3 classes, letterbox=True, classes=(2,), max_det=5)"
    graph = load_graph(cfg)
    assert "seeded weights" in repr(Network(graph, SeededWeights(graph), precision="bfloat16", threads=1))
    assert "like='opencv'" in repr(Detector(cfg, weights, like="opencv"))


def test_letterbox_may_be_set_later(files: tuple[Path, Path], picture: np.ndarray) -> None:
    detector = Detector(*files, NAMES, threads=1)
    plain = detector.detect(picture, 0.1)
    detector.letterbox = True
    assert detector.detect(picture, 0.1) == Detector(*files, NAMES, letterbox=True).detect(picture, 0.1) != plain
    with pytest.raises(OptionError, match="letterbox="):
        detector.letterbox = "no"  # type: ignore[assignment]
    with pytest.raises(OptionError, match="never letterboxes"):
        Detector(*files, like="opencv").letterbox = True


def test_numbers_of_numpy_in_formats() -> None:
    found = Detections.empty(np.int64(4), np.int64(5))  # type: ignore[arg-type]
    assert found.to_darknet_json("a.jpg", np.int64(3))["frame_id"] == 3  # type: ignore[arg-type]
    assert type(found.to_darknet_json("a.jpg", np.int64(3))["frame_id"]) is int  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="frame_id="):
        found.to_darknet_json("a.jpg", "3")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="image_id="):
        found.to_coco(1.5)  # type: ignore[arg-type]


def test_classes_that_are_not_to_be_shown_are_not(files: tuple[Path, Path]) -> None:
    picture = np.random.default_rng(4).integers(0, 256, (40, 60, 3), np.uint8)
    plain = Detector(*files)
    seen = plain.detect(picture, 0.01)
    hidden = int(seen.class_id[seen.confidence.argmax()])
    names = [f"dont_show {n}" if n == hidden else f"thing {n}" for n in range(len(plain.names))]
    found = Detector(*files, names=names).detect(picture, 0.01)
    assert len(found) == (seen.class_id != hidden).sum() and hidden not in found.class_id
    assert hidden not in Detector(*files, names=names).detect(picture, 0.01, single_class=True).class_id
    assert hidden in Detector(*files, names=names, like="darknet.py").detect(picture, 0.01).class_id
