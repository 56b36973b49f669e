"""Classifiers: Darknet's crop of a picture, the likeliest classes, trees of classes, and the command."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path

import naive_image
import numpy as np
import pytest
from command_line import CFG, error_lines, run, weights_bytes
from networks import TinyNetwork
from PIL import Image

from darknet_py import CfgError, Classifier, ImageError, OptionError, UnsupportedError

#: Nodes and their parents: two roots, kinds of the first, kinds of one of these.
TREE = "plant -1\nanimal -1\ncat 1\ndog 1\nowl 1\npug 3\nbeagle 3\n"
NODES = [line.split()[0] for line in TREE.splitlines()]


def network(folder: Path, classes: int = 7, tree: bool = True, size: tuple[int, int] = (6, 10)) -> tuple[Path, Path]:
    """A classifier of that input (width, height); with `tree` its classes are a tree's."""
    (folder / "seven.tree").write_text(TREE)
    tiny = TinyNetwork((3, size[1], size[0]))
    tiny.add("convolutional", {"filters": classes, "size": 3, "activation": "leaky"})
    tiny.add("avgpool", {})
    tiny.add("softmax", {})
    cfg, weights = tiny.write(folder)
    if tree:
        cfg.write_text(cfg.read_text().replace("[softmax]", "[softmax]\ntree=seven.tree"))
    return cfg, weights


@pytest.fixture(scope="module")
def files(folder: Path) -> tuple[Path, Path]:
    return network(folder)


@pytest.fixture(scope="module")
def classifier(files: tuple[Path, Path]) -> Classifier:
    return Classifier(*files, NODES, threads=1)


def photo(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cropped(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The blob (H, W, C): resized so that the shorter side has `width`, and of that the middle, edges repeated."""
    h, w = pixels.shape[:2]
    new_w, new_h = (width, h * width // w) if w < h else (w * width // h, width)
    image = naive_image.unit_floats(pixels)
    image = image if (new_w, new_h) == (w, h) else naive_image.resize_image(image, new_w, new_h)
    left, top = int((new_w - width) / 2), int((new_h - height) / 2)
    columns = [min(max(x + left, 0), new_w - 1) for x in range(width)]
    rows = [min(max(y + top, 0), new_h - 1) for y in range(height)]
    return image[rows][:, columns]


@pytest.mark.parametrize(
    "shape",
    [
        (13, 9),  # broad
        (9, 13),  # tall
        (6, 6),  # of the network's width: no resizing, and too low for it
        (40, 7),  # very broad
        (7, 40),  # very tall
        (1, 1),  # every pixel is an edge
        (6, 10),  # of the network's size
        (301, 200),  # reduced
    ],
)
def test_the_middle_of_a_picture_is_looked_at(classifier: Classifier, shape: tuple[int, int]) -> None:
    pixels = photo(*shape)
    blob = np.ascontiguousarray(cropped(pixels, 6, 10).transpose(2, 0, 1), np.float32)
    (expected,) = classifier.network.run(blob)
    found = classifier.classify(pixels, top=7, bgr=False)
    by_blob = classifier.classify_blob(blob, top=7)
    np.testing.assert_allclose(found.probabilities, by_blob.probabilities, rtol=1e-5)
    values = expected.ravel()
    for node, parent in ((2, 1), (3, 1), (4, 1), (5, 3), (6, 3)):  # of the root's kinds first
        values[node] *= values[parent]
    np.testing.assert_allclose(by_blob.probabilities, values, rtol=1e-6)


def test_guesses_come_by_confidence_with_their_parents(classifier: Classifier) -> None:
    found = classifier.classify(photo(20, 30), top=4)
    assert len(found) == 4 and (np.diff(found.confidence) <= 0).all()
    for guess in found:
        assert guess.class_name == NODES[guess.class_id]
        assert guess.confidence == pytest.approx(float(found.probabilities[guess.class_id]))
        parent = int(TREE.splitlines()[guess.class_id].split()[1])
        assert guess.parent == (None if parent < 0 else NODES[parent])
    assert len(classifier.classify(photo(20, 30), top=100)) == 7
    record = found.to_json("a.jpg", 3)
    assert (record["frame_id"], record["filename"]) == (3, "a.jpg")
    assert [one["class_id"] for one in record["classes"]] == found.class_id.tolist()
    assert all(("parent" in one) == (NODES.index(one["name"]) > 1) for one in record["classes"])


def test_a_batch_is_as_its_pictures_alone(classifier: Classifier, tmp_path: Path) -> None:
    pictures = [photo(20 + n, 33 - n, n) for n in range(10)]
    together = classifier.classify_batch(iter(pictures), top=3)
    for one, pixels in zip(together, pictures, strict=True):
        np.testing.assert_array_equal(one.probabilities, classifier.classify(pixels, 3).probabilities)  # type: ignore[union-attr]
    missing = tmp_path / "none.jpg"
    found = classifier.classify_batch([pictures[0], missing, pictures[1]], errors="return")
    assert isinstance(found[1], ImageError) and len(found) == 3
    with pytest.raises(ImageError, match=r"image 1 of the batch: .*none\.jpg"):
        classifier.classify_batch([pictures[0], missing])
    assert classifier.classify_batch([]) == []


def test_copies_and_pickles(classifier: Classifier) -> None:
    picture = photo(9, 9)
    expected = classifier.classify(picture).probabilities
    for twin in (pickle.loads(pickle.dumps(classifier)), copy.copy(classifier)):
        np.testing.assert_array_equal(twin.classify(picture).probabilities, expected)
        assert twin.labels == tuple(NODES)
    assert repr(classifier).startswith("Classifier(") and "7 classes" in repr(classifier)


def test_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg, weights = network(tmp_path, tree=False)
    assert Classifier(cfg, weights).labels[:2] == ("class 0", "class 1")
    # As ImageNet's list of 21842 names serves networks of the first 1000.
    longer = tmp_path / "long.list"
    longer.write_text("".join(f"name {n}\n" for n in range(30)))
    data = tmp_path / "my.data"
    data.write_text("classes=7\nlabels=long.list\n")
    with caplog.at_level(logging.WARNING):
        for labels in (longer, data):
            assert Classifier(cfg, weights, labels).labels == tuple(f"name {n}" for n in range(7))
    assert not caplog.records
    assert Classifier(cfg, weights).labels[6] == "name 6"  # of the .data beside the cfg
    with pytest.raises(CfgError, match="2 names, expected 7, the number of the network's outputs"):
        Classifier(cfg, weights, ["a", "b"])


def test_what_is_no_classifier(tmp_path: Path) -> None:
    head = tmp_path / "head.cfg"
    head.write_text(CFG)
    (tmp_path / "head.weights").write_bytes(weights_bytes())
    with pytest.raises(UnsupportedError, match=r"a detection head, \[yolo\]: use Detector, darknet-py detect"):
        Classifier(head, tmp_path / "head.weights")
    tiny = TinyNetwork((3, 8, 9))
    tiny.add("convolutional", {"filters": 4, "size": 3, "activation": "leaky"})
    with pytest.raises(UnsupportedError, match=r"ends in 7 x 6 x 4 values, not in one per class.*use Network"):
        Classifier(*tiny.write(tmp_path))


@pytest.mark.parametrize("top", [0, -1, 1.5, "3", None])
def test_wrong_options(classifier: Classifier, top: object) -> None:
    with pytest.raises(OptionError, match="top="):
        classifier.classify(photo(5, 5), top)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="one picture: use"):
        classifier.classify_batch("a.jpg")


def test_the_command(files: tuple[Path, Path], tmp_path: Path, classifier: Classifier) -> None:
    labels = tmp_path / "my.names"
    labels.write_text("\n".join(NODES) + "\n")
    for n in range(2):
        Image.fromarray(photo(24, 17, n)).save(tmp_path / f"{n}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    model = ("classify", "--cfg", files[0], "--weights", files[1], "--labels", labels, "--threads", "1")
    result = run(*model, "--top", "2", tmp_path / "0.png")
    best = next(iter(classifier.classify(tmp_path / "0.png")))
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and len(lines) == 3
    assert lines[0].startswith(f"{tmp_path / '0.png'}: ") and lines[0].endswith(" ms")
    assert best.class_name in lines[1] and f"{best.confidence:.2%}" in lines[1]
    out = tmp_path / "out.json"
    result = run(*model, "--json", out, tmp_path)
    assert result.exit_code == 1 and len(error_lines(result)) == 1 and "2.png" in error_lines(result)[0]
    records = json.loads(out.read_text())
    assert [Path(record["filename"]).name for record in records] == ["0.png", "1.png"]
    assert all(len(record["classes"]) == 5 for record in records)
    assert records[0]["classes"][0]["name"] == best.class_name
    assert run("classify", tmp_path).exit_code == 2
    assert "no classifier ships" in run("classify", "--cfg", files[0], tmp_path).stderr
