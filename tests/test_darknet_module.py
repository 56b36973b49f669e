"""`darknet_py.darknet` as scripts call it: from a picture to what they print, against naive code."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any, NamedTuple

import naive_boxes
import numpy as np
import pytest
from networks import TinyNetwork
from PIL import Image

from darknet_py import CfgError, Detector, ImageError, OptionError, UnsupportedError, WeightsError, darknet

NAMES = ("cat", "traffic light", "猫")
WIDTH, HEIGHT = 64, 40
ANCHORS = "9,8, 14,21"


class Loaded(NamedTuple):
    """A network with random weights, its files, and what a picture of its size must give by naive code."""

    folder: Path
    cfg: Path
    weights: Path
    network: Any
    pixels: np.ndarray
    boxes: list[dict[str, Any]]

    @property
    def data(self) -> Path:
        return self.folder / "model.data"

    def image(self) -> Any:
        image = darknet.make_image(WIDTH, HEIGHT, 3)
        darknet.copy_image_from_bytes(image, self.pixels.tobytes())
        return image


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("module")
    tiny = TinyNetwork((3, HEIGHT, WIDTH), seed=5)
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    tiny.blob = (pixels / 255.0).astype(np.float32).transpose(2, 0, 1)
    tiny.add("convolutional", {"filters": 6, "size": 8, "stride": 8, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 16, "size": 1, "activation": "linear"})
    head = tiny.add("yolo", {"classes": 3, "num": 2, "anchors": ANCHORS, "nms_kind": "greedynms"})
    cfg, weights = tiny.write(folder)
    (folder / "model.data").write_text("classes = 3\nnames = names/my.names\n")
    (folder / "names").mkdir()
    (folder / "names" / "my.names").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    anchors = [float(number) for number in ANCHORS.split(",")]
    boxes = naive_boxes.yolo_boxes(head.transpose(1, 2, 0), anchors, (0, 1), 3, (WIDTH, HEIGHT), 0.05)
    network = darknet.load_net_custom(str(cfg).encode(), str(weights).encode(), 0, 1)
    return Loaded(folder, cfg, weights, network, pixels, boxes)


def expected(boxes: list[dict[str, Any]], nms: float, width: int, height: int) -> list[tuple[int, float, np.ndarray]]:
    """(class, probability, box in pixels) in the order in which Darknet's remove_negatives meets them."""
    kept = naive_boxes.suppress(boxes, nms) if nms else boxes
    scale = np.array((width, height) * 2)
    return [
        (k, prob, np.array([box[key] for key in "xywh"]) * scale)
        for box in kept
        for k, prob in enumerate(box["probs"])
        if prob > 0
    ]


def assert_same(found: list[tuple[Any, float, Any]], wanted: list[tuple[int, float, np.ndarray]], names: Any) -> None:
    assert [name for name, _, _ in found] == [names[k] for k, _, _ in wanted]
    np.testing.assert_allclose([float(prob) for _, prob, _ in found], [prob for _, prob, _ in wanted], rtol=1e-4)
    np.testing.assert_allclose([box for _, _, box in found], [box for _, _, box in wanted], rtol=1e-4, atol=1e-4)


# Networks and names ---------------------------------------------------------------------------------------------


def test_load_network_gives_network_names_and_colours(loaded: Loaded) -> None:
    random.seed(3)
    network, names, colors = darknet.load_network(str(loaded.cfg), str(loaded.data), str(loaded.weights), batch_size=2)
    assert names == list(NAMES)
    random.seed(3)
    assert colors == {name: tuple(random.randint(0, 255) for _ in range(3)) for name in NAMES}
    assert (darknet.network_width(network), darknet.network_height(network)) == (WIDTH, HEIGHT)
    assert darknet.lib.network_width(network) == WIDTH


def test_what_load_network_gives_is_a_network_too(loaded: Loaded) -> None:
    everything = darknet.load_network(loaded.cfg, loaded.data, loaded.weights)  # as hank-ai's module is called
    assert darknet.network_dimensions(everything) == (WIDTH, HEIGHT, 3)
    assert darknet.detect_image(everything, NAMES, loaded.image()) == darknet.detect_image(
        loaded.network, NAMES, loaded.image()
    )


def test_metadata_is_what_c_gives(loaded: Loaded) -> None:
    meta = darknet.load_meta(str(loaded.data).encode())
    assert [meta.names[i] for i in range(meta.classes)] == [name.encode() for name in NAMES]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes=3\n", r"no line names=\.\.\."),
        ("names=gone.names\n", r"the list of names is not there; expected one of .*gone\.names"),
        ("classes=4\nnames=names/my.names\n", r"my\.names: 3 names, but .*odd\.data says classes=4"),
        ("classes=many\nnames=names/my.names\n", r"classes=many: expected a number"),
    ],
)
def test_data_files_that_are_none(loaded: Loaded, text: str, message: str) -> None:
    odd = loaded.folder / "odd.data"
    odd.write_text(text)
    with pytest.raises(CfgError, match=message):
        darknet.load_network(loaded.cfg, odd, loaded.weights)


def test_classes_default_to_all_names_and_may_be_fewer(loaded: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    few = loaded.folder / "few.data"
    few.write_text("names=names/my.names\n")
    assert darknet.load_meta(few).classes == 3
    few.write_text("classes=2\nnames=names/my.names\n")
    with caplog.at_level(logging.WARNING):
        assert darknet.load_network(loaded.cfg, few, loaded.weights).class_names == list(NAMES[:2])
    assert "2 class names for a network of 3 classes" in caplog.text


def test_files_that_are_not_there(loaded: Loaded) -> None:
    with pytest.raises(CfgError, match=r"gone\.cfg"):
        darknet.load_net(b"gone.cfg", str(loaded.weights).encode(), 0)
    with pytest.raises(WeightsError, match=r"gone\.weights"):
        darknet.load_net(loaded.cfg, b"gone.weights", 0)
    with pytest.raises(CfgError, match=r"gone\.data"):
        darknet.load_meta(b"gone.data")
    with pytest.raises(OptionError, match="no weights given"):
        darknet.load_net(loaded.cfg, b"", 0)
    with pytest.raises(OptionError, match="batch size 0"):
        darknet.load_net_custom(loaded.cfg, loaded.weights, 0, 0)
    with pytest.raises(OptionError, match="path of type int"):
        darknet.load_net(7, loaded.weights)
    with pytest.raises(OptionError, match="network of type str"):
        darknet.network_width("yolov4.cfg")


def test_a_freed_network_says_so(loaded: Loaded) -> None:
    network = darknet.load_net(loaded.cfg, loaded.weights, 0)
    assert darknet.free_network_ptr(network) is None
    with pytest.raises(OptionError, match=r"this network was freed .*load it again"):
        darknet.detect_image(network, NAMES, loaded.image())


# Detecting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nms", [0.45, 0])
def test_detect_image_gives_percent_text_in_pixels_of_the_network(loaded: Loaded, nms: float) -> None:
    wanted = expected(loaded.boxes, nms, WIDTH, HEIGHT)
    found = darknet.detect_image(loaded.network, NAMES, loaded.image(), thresh=0.05, nms=nms)
    assert [percent for _, percent, _ in found] == sorted(str(round(float(percent), 2)) for _, percent, _ in found)
    # By text, as the module has it: 9.87 comes after 85.0. Both lie in what is found here.
    assert any(float(percent) < 10 for _, percent, _ in found) and any(float(percent) > 10 for _, percent, _ in found)
    by_text = sorted(wanted, key=lambda one: str(round(float(np.float32(one[1])) * 100, 2)))
    assert [name for name, _, _ in found] == [NAMES[k] for k, _, _ in by_text]
    for (_, percent, box), (_, prob, wanted_box) in zip(found, by_text, strict=True):
        assert isinstance(percent, str) and abs(float(percent) - 100 * prob) <= 0.0051 + 0.01 * prob
        np.testing.assert_allclose(box, wanted_box, rtol=1e-4, atol=1e-4)


def test_detect_image_is_the_detector_like_darknet_py(loaded: Loaded, tmp_path: Path) -> None:
    photo = np.random.default_rng(2).integers(0, 256, (77, 130, 3), np.uint8)
    detector = Detector(loaded.cfg, loaded.weights, names=NAMES, like="darknet.py")
    detections = detector.detect(photo, 0.1, bgr=False)
    assert len(detections) > 3
    Image.fromarray(photo).save(tmp_path / "photo.png")
    meta = darknet.load_meta(loaded.data)
    found = darknet.detect(loaded.network, meta, str(tmp_path / "photo.png").encode(), 0.1)
    best = detections[np.argsort(-detections.confidence, kind="stable")]
    assert [name for name, _, _ in found] == [str(name).encode() for name in best.class_names]
    assert [prob for _, prob, _ in found] == best.confidence.tolist()
    np.testing.assert_allclose([box for _, _, box in found], best.cxcywh, rtol=1e-5, atol=1e-3)
    library = darknet.detect(loaded.network, meta, tmp_path / "photo.png", 0.1, like="darknet")
    assert library == darknet.detect(loaded.network, meta, darknet.load_image(tmp_path / "photo.png"), 0.1) != found


def test_metadata_in_place_of_names_gives_what_older_versions_gave(loaded: Loaded) -> None:
    meta = darknet.load_meta(loaded.data)
    found = darknet.detect_image(loaded.network, meta, loaded.image(), 0.05)
    wanted = sorted(expected(loaded.boxes, 0.45, WIDTH, HEIGHT), key=lambda one: -one[1])
    assert_same(found, wanted, [name.encode() for name in NAMES])
    assert all(isinstance(prob, float) for _, prob, _ in found)


def test_fewer_names_than_classes_report_fewer(loaded: Loaded) -> None:
    found = darknet.detect_image(loaded.network, ["cat"], loaded.image(), 0.05)
    every = darknet.detect_image(loaded.network, NAMES, loaded.image(), 0.05)
    assert found and sorted(one for one in every if one[0] == "cat") == sorted(found)


def test_skipped_classes_are_not_reported(loaded: Loaded) -> None:
    network = darknet.load_net(loaded.cfg, loaded.weights)
    every = darknet.detect_image(network, NAMES, loaded.image(), 0.05)
    darknet.add_skipped_class(network, 0)
    found = darknet.detect_image(network, NAMES, loaded.image(), 0.05)
    assert len(found) < len(every) and "cat" not in {name for name, _, _ in found}
    darknet.del_skipped_class(network, 0)
    assert darknet.detect_image(network, NAMES, loaded.image(), 0.05) == every
    darknet.add_skipped_class(network, 1)
    darknet.clear_skipped_classes(network)
    assert darknet.detect_image(network, NAMES, loaded.image(), 0.05) == every


def test_wrong_arguments_are_named(loaded: Loaded, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"image of type ndarray: expected an IMAGE"):
        darknet.detect_image(loaded.network, NAMES, loaded.pixels)
    with pytest.raises(OptionError, match=r"image of 64 x 40 x 1: this network takes 64 x 40 x 3"):
        darknet.detect_image(loaded.network, NAMES, darknet.make_image(WIDTH, HEIGHT, 1))
    with pytest.raises(OptionError, match=r"thresh=2"):
        darknet.detect_image(loaded.network, NAMES, loaded.image(), thresh=2)
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        darknet.detect(loaded.network, NAMES, b"gone.jpg")
    (tmp_path / "no.jpg").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"no\.jpg: not an image"):
        darknet.detect(loaded.network, NAMES, tmp_path / "no.jpg")


@pytest.mark.parametrize("name", ["network_predict_batch", "free_batch_detections"])
def test_batches_name_what_to_use(loaded: Loaded, name: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"{name}: .*detect_batch"):
        getattr(darknet, name)(loaded.network, loaded.image(), 2, WIDTH, HEIGHT, 0.5, 0.5, None, 0, 0)


def test_perform_detect_loads_once(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("netMain", "metaMain", "altNames"):
        monkeypatch.setattr(darknet, name, None)
    Image.fromarray(loaded.pixels).save(loaded.folder / "photo.png")
    paths = {"configPath": str(loaded.cfg), "weightPath": str(loaded.weights), "metaPath": str(loaded.data)}
    assert darknet.performDetect(initOnly=True, **paths) is None
    network = darknet.netMain
    found = darknet.performDetect(str(loaded.folder / "photo.png"), 0.1, showImage=False, **paths)
    assert darknet.netMain is network and darknet.altNames == list(NAMES)
    assert found == darknet.detect(loaded.network, NAMES, loaded.folder / "photo.png", 0.1) != []
    shown = darknet.performDetect(str(loaded.folder / "photo.png"), 0.1, **paths)
    assert shown["detections"] == found and shown["caption"].startswith(f"{found[0][0]}: ")
    assert shown["image"].shape == loaded.pixels.shape and (shown["image"] != loaded.pixels).any()
    with pytest.raises(ValueError, match=r"invalid image path .*gone\.jpg"):
        darknet.performDetect("gone.jpg", **paths)
    with pytest.raises(ValueError, match="thresh=1"):
        darknet.performDetect(thresh=1, **paths)
