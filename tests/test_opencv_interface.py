"""``darknet_py.opencv`` as scripts meet it: arguments of every version, answers, errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import opencv_nets
import pytest

from darknet_py import OptionError, UnsupportedError, WeightsError
from darknet_py.opencv import (
    ClassificationModel,
    DetectionModel,
    Net,
    NMSBoxes,
    patch,
    readNet,
    readNetFromDarknet,
    restore,
)
from darknet_py.weights import WeightsFile

cv2 = pytest.importorskip("cv2")

SIZE = opencv_nets.SIZES[0]


@pytest.fixture
def net(nets: Path) -> Net:
    return readNetFromDarknet(str(nets / "yolo.cfg"), str(nets / "yolo.weights"))


@pytest.fixture
def patched() -> Iterator[None]:
    patch()
    yield
    restore()


# Reading ------------------------------------------------------------------------------------------------------


def test_buffers_paths_and_names_read_the_same(nets: Path) -> None:
    cfg, weights = nets / "yolo.cfg", nets / "yolo.weights"
    raw = cfg.read_bytes(), weights.read_bytes()
    arrays = tuple(np.frombuffer(data, np.uint8) for data in raw)
    every = [
        readNetFromDarknet(cfg, weights),
        readNetFromDarknet(*raw),
        readNetFromDarknet(*arrays),
        readNet(str(cfg), str(weights), "Darknet"),
        readNet(weights, cfg),
        readNet("darknet", raw[1], raw[0]),
        readNet("Darknet", arrays[1], arrays[0]),
        readNet(framework="darknet", bufferModel=arrays[1], bufferConfig=arrays[0]),
        readNetFromDarknet(bufferCfg=list(raw[0]), bufferModel=arrays[1]),
    ]
    results = []
    for one in every:
        one.setInput(opencv_nets.blob(SIZE))
        results.append(one.forward(one.getUnconnectedOutLayersNames()))
    for result in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_without_weights_only_the_structure_can_be_asked_for(nets: Path) -> None:
    net = readNetFromDarknet(nets / "yolo.cfg")
    assert net.getUnconnectedOutLayersNames() == ("yolo_10", "yolo_16") and not net.empty()
    net.setInput(opencv_nets.blob(SIZE))
    with pytest.raises(OptionError, match="read without weights"):
        net.forward()


def test_errors_are_opencvs_and_ours(nets: Path, net: Net) -> None:
    cut = (nets / "yolo.weights").read_bytes()[:-4]
    for call, kind, message in (
        (lambda: readNetFromDarknet("none.cfg", "none.weights"), Exception, "none.cfg"),
        (lambda: readNetFromDarknet(nets / "yolo.cfg", cut), WeightsError, "4 bytes too few"),
        (lambda: readNetFromDarknet(3), Exception, "cfg of type int"),
        (lambda: readNet(str(nets / "yolo.weights")), OptionError, "without its .cfg"),
        (lambda: net.forward(), OptionError, "before setInput"),
        (lambda: net.setInput(np.zeros((48, 32, 3), np.float32)), OptionError, "blobFromImage"),
        (lambda: net.setInput(np.zeros((1, 1, 48, 32), np.float32)), OptionError, r"\(N, 3, height, width\)"),
        (lambda: net.setInput(opencv_nets.blob(SIZE), "im_info"), OptionError, "im_info"),
        (lambda: net.getLayer(999), OptionError, "0 to"),
        (lambda: net.forwardAsync(), UnsupportedError, "thread"),
    ):
        with pytest.raises(cv2.error, match=message) as caught:
            call()
        assert isinstance(caught.value, kind)
    net.setInput(opencv_nets.blob(SIZE))
    with pytest.raises(cv2.error, match="'yolo_99'"):
        net.forward("yolo_99")
    with pytest.raises(AttributeError, match="quantize"):
        net.quantize()


# Runs ---------------------------------------------------------------------------------------------------------


def test_forward_takes_its_names_in_every_form(net: Net) -> None:
    net.setInput(opencv_nets.blob(SIZE))
    names = net.getUnconnectedOutLayersNames()
    first, last = net.forward(names)
    assert np.array_equal(net.forward(), last) and np.array_equal(net.forward(outputName=names[0]), first)
    for wanted in (list(names), np.array(names), names):
        assert np.array_equal(net.forward(wanted)[1], last)
    assert np.array_equal(net.forward(outBlobNames=names)[0], first)
    assert np.array_equal(net.forwardAndRetrieve(names)[1][0], last)
    assert net.forward([names[0]])[0].shape == first.shape and np.array_equal(net.forward([])[0], last)


def test_outputs_stay_when_the_net_runs_again(net: Net) -> None:
    net.setInput(opencv_nets.blob(SIZE))
    before = net.forward()
    kept = before.copy()
    net.setInput(1 - opencv_nets.blob(SIZE))
    after = net.forward()
    assert np.array_equal(before, kept) and not np.array_equal(before, after)


def test_the_input_may_be_scaled_and_of_other_types(net: Net) -> None:
    pixels = (255 * opencv_nets.blob(SIZE)).astype(np.uint8)
    net.setInput(pixels.astype(np.float32) / np.float32(255))
    expected = net.forward()
    for blob, scale, mean in (
        (pixels, 1 / 255, ()),
        (pixels.astype(np.float64), 1 / 255, (0, 0, 0)),
        (cv2.UMat(np.ascontiguousarray(pixels.astype(np.float32))), 1 / 255, 0),
    ):
        net.setInput(blob, "", scale, mean)
        np.testing.assert_allclose(net.forward(), expected, atol=1e-5)
    shifted = pixels.astype(np.float32)
    shifted[:, 0] += 10
    net.setInput(shifted, scalefactor=1 / 255, mean=10.0)  # a number is the first channel's, as cv2 makes a Scalar
    np.testing.assert_allclose(net.forward(), expected, atol=1e-5)


def test_sizes_that_the_layers_do_not_fit_are_refused(net: Net) -> None:
    net.setInput(np.zeros((1, 3, 44, 36), np.float32))
    with pytest.raises(cv2.error, match="both must be multiples of 8"):
        net.forward()


def test_a_few_sizes_are_kept(net: Net) -> None:
    for side in (32, 64, 96, 128, 160, 32):
        net.setInput(np.zeros((1, 3, side, side), np.float32))
        assert net.forward().shape == (3 * (side // 4) ** 2, 8)
    assert len(net._runs._networks) <= 4


def test_times_are_of_the_last_run(net: Net) -> None:
    assert net.getPerfProfile()[0] == 0
    net.setInput(opencv_nets.blob(SIZE))
    net.forward()
    ticks, layers = net.getPerfProfile()
    assert 0 < ticks / cv2.getTickFrequency() < 5
    assert layers.shape == (len(net.getLayerNames()),) and abs(layers.sum() - ticks) <= 1


def test_questions_about_the_net(net: Net) -> None:
    assert net.getLayer(0).outputNameToIndex("im_info") == -1
    last = net.getLayer(net.getLayerId(net.getLayerNames()[-1]))
    assert last.type == "Region" and last.name == "yolo_16" and net.getLayer("yolo_16").name == last.name
    assert net.getLayerId("none") == -1 and net.getLayerId("_input") == 0
    assert net.getLayer(0).outputNameToIndex("data") == 0 and net.getLayersCount("__NetInputLayer__") == 1
    assert net.getLayersCount("Region") == 2 and "Convolution" in net.getLayerTypes()
    shape = (1, 3, 48, 32)
    assert net.getFLOPS(shape) == round(net.graph.bflops * 1e9) == net.getFLOPS([shape])
    assert sum(net.getFLOPS(i, shape) for i in range(1, len(net.getLayerNames()) + 1)) == pytest.approx(
        net.getFLOPS(shape), abs=len(net.graph.layers)
    )
    weights, blobs = net.getMemoryConsumption((2, 3, 48, 32))
    assert weights == 4 * net.graph.parameter_count and blobs == 2 * net.getMemoryConsumption(shape)[1]
    assert "yolo" in net.dump()


def test_times_of_a_net_that_ends_in_a_cost(nets: Path) -> None:
    net = readNetFromDarknet(nets / "connected.cfg", nets / "connected.weights")
    net.setInput(opencv_nets.blob(SIZE))
    net.forward()
    ticks, layers = net.getPerfProfile()
    assert ticks > 0 and abs(layers.sum() - ticks) <= 1 and layers[-2] > 0


def test_parameters_are_those_of_the_file(nets: Path, net: Net) -> None:
    opened = WeightsFile(nets / "yolo.weights", net.graph)
    first = opened.arrays(net.graph.layers[0])
    assert np.array_equal(net.getLayer("conv_0").blobs[0], first["weights"]) and len(net.getLayer(1).blobs) == 1
    expected = [first[name] for name in ("mean", "variance", "scales", "biases")]
    assert all(np.array_equal(a, b) for a, b in zip(net.getLayer("bn_0").blobs, expected, strict=True))
    assert np.array_equal(net.getParam("bn_0", 3), first["biases"])
    assert len(net.getLayer("conv_9").blobs) == 2 and net.getLayer("pool_7").blobs == ()
    assert net.getLayer("yolo_10").blobs[0].tolist() == [[25, 14, 30, 40, 50, 28]]
    with pytest.raises(cv2.error, match="1 parameters"):
        net.getParam("conv_0", 1)


def test_backends_are_accepted_and_said_once(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.enableFusion(True)
    net.enableWinograd(False)
    assert not caplog.records
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_CUDA)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)
    assert [record.message for record in caplog.records] == [
        f"backend {cv2.dnn.DNN_BACKEND_CUDA} was asked for; darknet-py computes on the CPU"
    ]


# Indices ------------------------------------------------------------------------------------------------------


def test_output_numbers_answer_old_and_new_scripts(net: Net) -> None:
    out, names = net.getUnconnectedOutLayers(), net.getLayerNames()
    expected = ["yolo_10", "yolo_16"]
    assert [names[i - 1] for i in out] == expected
    assert [names[i[0] - 1] for i in out] == expected
    assert [names[i - 1] for i in out.flatten()] == expected
    assert [names[out[k][0] - 1] for k in range(len(out))] == expected == [names[out[k] - 1] for k in range(2)]
    assert out.shape == (2,) and out.dtype == np.int32 and list(out[:, 0]) == list(out) == out.tolist()
    assert all(isinstance(i, int) and i.item() == i for i in out)


def test_suppressed_indices_answer_old_and_new_scripts() -> None:
    boxes, scores = [[0, 0, 10, 10], [1, 1, 10, 10], [50, 50, 5, 5]], [0.8, 0.9, 0.7]
    kept = NMSBoxes(boxes, scores, 0.5, 0.4)
    assert [scores[i] for i in kept] == [scores[i[0]] for i in kept] == [0.9, 0.7]
    assert kept.flatten().tolist() == [1, 2] and 1 in kept and 0 not in kept and len(kept) == 2
    assert (kept == np.array([1, 2])).all() and kept.reshape(-1, 1).shape == (2, 1)
    assert NMSBoxes(boxes, scores, 0.95, 0.4) == () == NMSBoxes([], [], 0.5, 0.4)
    assert NMSBoxes(bboxes=boxes, scores=scores, score_threshold=0.5, nms_threshold=0.4).tolist() == [1, 2]


# Models -------------------------------------------------------------------------------------------------------


def test_setters_chain_and_take_every_form(nets: Path) -> None:
    model = DetectionModel(nets / "yolo.cfg", nets / "yolo.weights")
    image = (255 * np.random.default_rng(0).random((50, 70, 3))).astype(np.uint8)
    model.setInputParams(scale=1 / 255, size=(32, 48), mean=(1, 2, 3), swapRB=True, crop=False)
    expected = model.detect(image, 0.3, 0.4)
    for size in ((32, 48), [[32, 48]], [(32, 48)]):
        model.setInputSize(*size) if isinstance(size, tuple) else model.setInputSize(size[0])
        again = model.setInputScale(1 / 255).setInputMean((1, 2, 3)).setInputSwapRB(True).setInputCrop(False)
        again.setPreferableBackend(0).setPreferableTarget(0).enableWinograd(True)
        assert all(np.array_equal(a, b) for a, b in zip(again.detect(image, 0.3, 0.4), expected, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(model.detect(cv2.UMat(image), 0.3, 0.4), expected, strict=True))
    assert model.detect(image, 1.1, 0.4) == ((), (), ())
    assert len(model.setInputSize(64).predict(image)) == 2
    with pytest.raises(cv2.error, match=r"such as \(416, 416\)"):
        model.setInputSize("416x416")


def test_a_detection_model_suppresses_itself_what_the_region_would(nets: Path) -> None:
    net = readNetFromDarknet(nets / "region.cfg", nets / "region.weights")
    net.setInput(opencv_nets.blob(SIZE))
    inside = (net.forward()[:, 5:] > 0).sum()
    DetectionModel(net)  # OpenCV's turns it off in the net that it is given, too
    assert (net.forward()[:, 5:] > 0).sum() > inside


def test_classification(nets: Path) -> None:
    model = ClassificationModel(nets / "classifier.weights", nets / "classifier.cfg")
    image = (255 * np.random.default_rng(1).random((48, 32, 3))).astype(np.uint8)
    index, confidence = model.setInputParams(1 / 255, (32, 48), swapRB=True).classify(image)
    values = model.predict(image)[0].ravel()
    assert index == values.argmax() and confidence == pytest.approx(values.max())
    softer = model.setEnableSoftmaxPostProcessing(True).classify(image)
    assert model.getEnableSoftmaxPostProcessing() and softer[0] == index and softer[1] < confidence
    with pytest.raises(cv2.error, match="no detection head"):
        DetectionModel(nets / "classifier.cfg", nets / "classifier.weights").detect(image)
    with pytest.raises(cv2.error, match="2 outputs"):
        ClassificationModel(nets / "yolo.cfg", nets / "yolo.weights").classify(image)


@pytest.mark.usefixtures("patched")
def test_models_of_other_frameworks_are_opencvs() -> None:
    kind: Any = cv2.dnn_DetectionModel
    with pytest.raises((cv2.error, SystemError)):
        kind("gone.onnx")
