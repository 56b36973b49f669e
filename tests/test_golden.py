"""Every layer and every box of real Darknet on the networks of the reference data, weights generated on the spot."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import naive
import numpy as np
import pytest
from conftest import SHARED
from networks import assert_close
from numpy.typing import NDArray

from darknet_py import CfgError, Detections, Detector, Network
from darknet_py.boxes.decode import decode
from darknet_py.graph import load_graph
from darknet_py.layers import Recurrent
from darknet_py.pictures.geometry import Geometry

GOLDEN = SHARED / "golden"
IMAGE_SIZE = (640, 424)
THRESH, NMS = 0.25, 0.45
#: Of the layer's largest magnitude, computed directly and by the algorithms that are chosen without being asked.
EXACT, DEFAULT = 1e-4, 1e-3
SLOW_BYTES = 30_000_000

#: Cases that Darknet itself cannot run: what is said of them.
REFUSED = {"synth_conv_lstm_bottleneck": "bottleneck=1 with output=12 and 8 input channels"}

#: Layers whose activation Darknet leaves at zero outside convolutions; here they work, and naive layers say how.
ZERO_IN_DARKNET = {"synth_act_connected": (6, 8, 10), "synth_act_shortcut": (11, 13, 15, 17)}

SHAPELESS = ("softmax", "cost", "contrastive", "detection")

#: These two have tests of their own.
APART = ("synth_syntax", "cspx-p7-mish")

#: Darknet changes the classes of a tree head while it decodes, and the second decoding (letterbox) started from that.
DECODED_TWICE = ("yolo9000", "synth_region_tree")

Golden = dict[str, NDArray[Any]]


def read_meta(name: str) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((GOLDEN / name / "meta.json").read_text())
    return meta


def cases() -> list[Any]:
    names = sorted(file.parent.name for file in GOLDEN.glob("*/golden.npz"))
    names = [name for name in names if name not in REFUSED and name not in APART]
    if not names:
        return [pytest.param("", marks=pytest.mark.skip("no golden data beside the project"))]
    large = {name for name in names if read_meta(name)["weights_bytes"] >= SLOW_BYTES}
    return [pytest.param(name, marks=[pytest.mark.slow] if name in large else []) for name in names]


@pytest.fixture(scope="session")
def generator(shared: Path) -> ModuleType:
    """The reference's own generator of weights and inputs."""
    spec = importlib.util.spec_from_file_location("gen_weights", shared / "tools" / "gen_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Case:
    """A golden network with its weights on disk while the test runs; only its first `count` layers if given."""

    def __init__(self, name: str, generator: ModuleType, directory: Path, count: int | None = None) -> None:
        self.name, self.cfg, self.meta = name, GOLDEN / name / "net.cfg", read_meta(name)
        self.weights, self._generator = directory / f"{name}.weights", generator
        if count is not None:
            sections = self.cfg.read_text().split("\n[")
            self.cfg = directory / f"{name}.cfg"
            self.cfg.write_text("\n[".join(sections[: 1 + count]))
            self.meta["layers"] = self.meta["layers"][:count]
        generator.from_meta(self.meta, str(self.cfg), str(self.weights))
        if count is None:
            assert hashlib.md5(np.memmap(self.weights, np.uint8)).hexdigest() == self.meta["weights_md5"]
        self.has_heads = count is None and "nms_kind" in self.meta
        net = self.meta["net"]
        #: Of a network that reads no pictures: channels of one pixel.
        self.flat = not net["c"]
        self.blob = self.input(self.meta["input_seed"])
        assert hashlib.md5(self.blob.tobytes()).hexdigest() == self.meta["input_md5"]
        with np.load(GOLDEN / name / "golden.npz") as file:
            self.golden: Golden = {key: file[key] for key in file.files}

    def input(self, seed: int) -> NDArray[np.float32]:
        net = self.meta["net"]
        if self.flat:
            return np.asarray(self._generator.make_flat_input(seed, net["inputs"]).reshape(-1, 1, 1))
        return np.asarray(self._generator.make_input(seed, net["c"], net["h"], net["w"]))


@pytest.fixture
def case(request: pytest.FixtureRequest, generator: ModuleType, tmp_path: Path) -> Any:
    made = Case(request.param, generator, tmp_path)
    yield made
    made.weights.unlink()  # pytest keeps its folders, and all weights together are 10 GB


def difference(golden: Golden, index: int, flat: NDArray[np.float32]) -> float:
    """Largest difference from all that is stored of a layer of Darknet's, relative to the largest magnitude."""
    assert flat.size == golden["outputs"][index]
    scale = max(float(np.abs(flat).max()), 1e-30)
    picked = np.random.RandomState(1234 + index).randint(0, flat.size, 64)
    stored = [(flat[picked], golden["samples"][index])]
    if f"full_{index}" in golden:
        stored.append((flat, golden[f"full_{index}"]))
    if f"part_{index}" in golden:
        picked = np.random.RandomState(99 + index).randint(0, flat.size, 16384)
        stored.append((flat[picked], golden[f"part_{index}"]))
    exact = flat.astype(np.float64)
    mean, deviation, norm = golden["stats"][index]
    size = np.sqrt(flat.size)  # turns the L2 norm into a root mean square
    stored.append((np.array([exact.mean(), exact.std(), np.linalg.norm(exact) / size]), [mean, deviation, norm / size]))
    return max(float(np.abs(ours - darknets).max()) / scale for ours, darknets in stored)


def check_layers(case: Case, network: Network, tolerance: float = EXACT) -> dict[int, NDArray[np.float32]]:
    """Compare shape and values of every layer; the layers."""
    layers = case.meta["layers"]
    found = network.run(case.blob, taps=range(len(layers)))
    for index, kind, shape, size in layers:
        # Darknet gives these no shape: theirs is their input's; nor gru, which is a vector.
        expected = found[index - 1].shape if kind in SHAPELESS else tuple(shape)
        expected = (size, 1, 1) if kind == "gru" else expected
        assert found[index].shape == expected, f"layer {index} [{kind}]"
        if index in ZERO_IN_DARKNET.get(case.name, ()):
            assert not case.golden["samples"][index].any()
            continue
        # [region] is stored cell after cell.
        flat = (found[index].transpose(1, 2, 0) if kind == "region" else found[index]).ravel()
        worst = difference(case.golden, index, flat)
        assert worst <= tolerance, f"layer {index} [{kind}]: {worst:.1e} of the largest magnitude"
    return found


def check_outputs(network: Network, case: Case, found: dict[int, NDArray[np.float32]]) -> None:
    """Without taps layers are fused: the heads must stay what they were."""
    layers = network.heads or (network.graph.output,)
    for layer, output in zip(layers, network.run(case.blob), strict=True):
        assert_close(output, found[layer.index].astype(np.float64))


def expected_boxes(rows: NDArray[Any], in_pixels: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(classes, confidences, corners in pixels) of golden rows: index, x, y, w, h, objectness, class, prob."""
    x, y, w, h = rows[:, 1:5].T.astype(np.float64)
    width, height = (1, 1) if in_pixels else IMAGE_SIZE
    corners = np.stack([(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height], axis=1)
    return rows[:, 6].astype(int), rows[:, 7], corners


def assert_same_boxes(found: Detections, rows: NDArray[Any], in_pixels: bool = False) -> None:
    """One to one: same class, corners within half a pixel, confidence within 1e-3; order is free."""
    classes, confidences, corners = expected_boxes(rows, in_pixels)
    left = np.ones(len(found), bool)
    missing = []
    for class_id, confidence, corner in zip(classes, confidences, corners, strict=True):
        near = left & (found.class_id == class_id) & (np.abs(found.confidence - confidence) <= 1e-3)
        apart = np.where(near, np.abs(found.xyxy - corner).max(axis=1), np.inf)
        if len(apart) and apart.min() <= 0.5:
            left[apart.argmin()] = False
        elif abs(confidence - THRESH) > 2e-4:
            missing.append((class_id, confidence, corner))
    assert not missing, f"{len(missing)} of {len(rows)} boxes not found, such as {missing[0]}"
    extra = found[left & (np.abs(found.confidence - THRESH) > 2e-4)]
    assert not len(extra), f"{len(extra)} boxes that Darknet has not, such as {next(iter(extra))}"


def load(case: Case, exact: bool = True) -> tuple[Network, Detector | None]:
    if not case.has_heads:
        return Network(case.cfg, case.weights, threads=2, exact=exact), None
    names = [f"class {i}" for i in range(case.meta["classes"])]
    detector = Detector(case.cfg, case.weights, names, threads=2, exact=exact)
    return detector.network, detector


@pytest.mark.parametrize("case", cases(), indirect=True)
def test_every_layer_and_box(case: Case) -> None:
    check_all(case, exact=True)
    check_all(case, exact=False)


def check_all(case: Case, exact: bool) -> None:
    network, detector = load(case, exact)
    found = check_layers(case, network, EXACT if exact else DEFAULT)
    check_outputs(network, case, found)
    for index in ZERO_IN_DARKNET.get(case.name, ()):
        check_activated(case, network, found, index)
    if detector is not None:
        in_pixels = network.heads[-1].kind == "detection"
        detector.letterbox = False
        boxes = detector.detect_blob(case.blob, IMAGE_SIZE, THRESH, NMS)
        assert_same_boxes(boxes, case.golden["dets"], in_pixels)
        if case.name not in DECODED_TWICE:
            detector.letterbox = True
            boxes = detector.detect_blob(case.blob, IMAGE_SIZE, THRESH, NMS)
            assert_same_boxes(boxes, case.golden["dets_letter"], in_pixels)


def check_activated(case: Case, network: Network, found: dict[int, NDArray[np.float32]], index: int) -> None:
    """A layer that Darknet leaves at zero, from its inputs as found (which were compared with Darknet's)."""
    layer: Any = network.graph.layers[index]
    before = found[index - 1].astype(np.float64)
    if case.name == "synth_act_shortcut":
        y = naive.shortcut(before, [found[0].astype(np.float64)])
    else:
        convolution, connected = 4 * 6 + 6 * 3 * 9, 20 + 20 * 576  # floats before the first and per connected layer
        values = np.fromfile(case.weights, "<f4", offset=20)[convolution + (index // 2 - 1) * connected :][:connected]
        y = naive.connected(before, values[20:].reshape(20, 576).astype(np.float64)) + values[:20].reshape(20, 1, 1)
    assert_close(found[index], naive.activate(y, layer.activation), f"layer {index}")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(shared: Path, name: str) -> None:
    with pytest.raises(CfgError) as caught:
        load_graph(shared / "golden" / name / "net.cfg")
    assert REFUSED[name] in str(caught.value)


@pytest.mark.parametrize("case", ["synth_syntax"], indirect=True)
def test_odd_syntax(case: Case, tmp_path: Path) -> None:
    """Darknet reads two unknown activations of this cfg as relu: here one is an error, of the other a remark is cut."""
    text = case.cfg.read_text()
    (tmp_path / "net.cfg").write_text(text)
    with pytest.raises(CfgError, match="activation=nosuchact is not known"):
        load_graph(tmp_path / "net.cfg")
    text = text.replace("nosuchact", "relu")
    (tmp_path / "net.cfg").write_text(text)
    assert any("leaky#comment is read as leaky" in warning for warning in load_graph(tmp_path / "net.cfg").warnings)
    (tmp_path / "net.cfg").write_text(text.replace("leaky#comment", "relu"))
    network = Network(tmp_path / "net.cfg", case.weights, threads=2, exact=True)
    check_outputs(network, case, check_layers(case, network))


def sequences() -> list[Any]:
    """Cases with what Darknet gives for four inputs, one after the other."""
    names = []
    for name in (case.values[0] for case in cases() if case.values[0]):
        with np.load(GOLDEN / name / "golden.npz") as file:
            names += [name] if "sequence" in file.files else []
    return [pytest.param(name, marks=[pytest.mark.slow] * (read_meta(name)["weights_bytes"] > 1e6)) for name in names]


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "default"])
@pytest.mark.parametrize("case", sequences(), indirect=True)
def test_a_sequence(case: Case, exact: bool) -> None:
    network, _ = load(case, exact)
    session = network.session()
    seed, expected = case.meta["input_seed"], case.golden["sequence"]
    found = session.run_sequence([case.input(seed + n) for n in range(4)], taps=[network.graph.output.index])
    found[0] = found.pop(network.graph.output.index).reshape(4, -1)
    scale = np.abs(expected).max()
    assert np.abs(found[0] - expected).max() <= (EXACT if exact else DEFAULT) * scale
    assert scale > 0
    # Without a session nothing is remembered.
    again = network.run(case.input(seed + 3), taps=[network.graph.output.index])
    if network.graph.of_type(Recurrent):
        assert np.abs(again[network.graph.output.index].ravel() - expected[3]).max() > 1e-3 * scale


@pytest.mark.slow
@pytest.mark.parametrize("case", ["cspx-p7-mish"], indirect=True)
def test_masks_beyond_num(case: Case) -> None:
    """Darknet reads anchors of the last head out of bounds: its sizes, and what they suppress, are undefined."""
    network, _ = load(case)
    found = check_layers(case, network)
    check_outputs(network, case, found)
    heads = [(layer, found[layer.index].transpose(1, 2, 0)) for layer in network.heads[:-1]]
    _, net_h, net_w = network.graph.blob
    geometry = Geometry(*IMAGE_SIZE, net_w, net_h, letterbox=False)
    candidates = decode(heads, geometry, THRESH)
    rows = case.golden["dets_prenms"]
    names = [str(i) for i in range(case.meta["classes"])]
    before_last = rows[rows[:, 0] < len(candidates.cxcywh)]
    assert_same_boxes(Detections.from_candidates(candidates, names, geometry), before_last)
