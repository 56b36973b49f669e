"""[local], [crop], [lrn], [detection] and other layers of older Darknets against the naive ones."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import run
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Options, TinyNetwork, check
from PIL import Image
from test_layers import run_one

from darknet_py import CfgError, Detector, Network, SeededWeights, UnsupportedError, load_weights, save_weights
from darknet_py.activations import ACTIVATIONS, CHANNEL_ACTIVATIONS
from darknet_py.cfg import parse_cfg
from darknet_py.cli.warmup import load_kernels
from darknet_py.graph import Graph, build_graph
from darknet_py.layers import LAYERS, Head

#: Tails of vectors of 4, 8 and 16 lanes; maps that are no squares.
SHAPES = ((1, 5, 7), (3, 13, 9), (8, 1, 23), (17, 9, 4), (33, 6, 5), (40, 1, 1))


@pytest.mark.parametrize("first", [True, False], ids=["first", "behind"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["batchnorm", "l2norm", "logistic", "empty", "silence", "contrastive", "lrn"])
def test_layers_without_options(folder: Path, kind: str, shape: tuple[int, int, int], first: bool) -> None:
    run_one(folder, shape, kind, first=first)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *CHANNEL_ACTIVATIONS])
def test_every_activation_in_every_layer_that_has_one(folder: Path, name: str) -> None:
    if name == "stair":
        pytest.skip("its steps turn a rounding into a whole number")
    tiny = TinyNetwork((5, 6, 9), seed=3)
    tiny.add("activation", {"activation": name})
    tiny.add("local", {"filters": 19, "size": 3, "pad": 1, "activation": name})
    tiny.add("deconvolutional", {"filters": 5, "size": 2, "stride": 2, "activation": name})
    check(tiny, folder)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 60])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_local_response_normalization(folder: Path, shape: tuple[int, int, int], size: int) -> None:
    run_one(folder, shape, "normalization", {"size": size, "alpha": 0.03, "beta": 0.6, "kappa": 2})


@pytest.mark.parametrize("noadjust", [0, 1])
@pytest.mark.parametrize(("width", "height"), [(7, 5), (4, 3), (1, 1), (6, 5)])
def test_crop(folder: Path, width: int, height: int, noadjust: int) -> None:
    options = {"crop_width": width, "crop_height": height, "noadjust": noadjust, "flip": 1, "exposure": 2}
    for channels in (3, 17):
        run_one(folder, (channels, 5, 7), "crop", options)
        run_one(folder, (channels, 5, 7), "crop", options, first=False)


def test_crop_before_a_convolution(folder: Path) -> None:
    tiny = TinyNetwork((3, 20, 23), seed=1)
    tiny.add("crop", {"crop_width": 16, "crop_height": 14})
    tiny.add("convolutional", {"filters": 9, "size": 3, "pad": 1, "stride": 2, "activation": "leaky"})
    tiny.add("crop", {"crop_width": 5, "crop_height": 6})
    check(tiny, folder)


LOCALS: dict[str, tuple[tuple[int, int, int], Options]] = {
    "3x3": ((5, 6, 9), {"filters": 17, "size": 3, "pad": 1}),
    "3x3 stride 2": ((8, 9, 4), {"filters": 4, "size": 3, "pad": 1, "stride": 2}),
    "no padding": ((3, 5, 7), {"filters": 33, "size": 3, "stride": 2}),
    "1x1": ((40, 2, 3), {"filters": 1, "size": 1}),
    "even size": ((3, 6, 5), {"filters": 16, "size": 4}),
    "one position": ((17, 3, 3), {"filters": 40, "size": 3}),
    "a window of 5 and the literal padding of 1": ((3, 6, 9), {"filters": 8, "size": 5, "pad": 1}),
    "padding 2": ((3, 6, 9), {"filters": 8, "size": 3, "pad": 2}),
}


@pytest.mark.parametrize("first", [True, False], ids=["first", "behind"])
@pytest.mark.parametrize("case", LOCALS)
def test_local(folder: Path, case: str, first: bool) -> None:
    shape, options = LOCALS[case]
    run_one(folder, shape, "local", {"activation": "leaky", **options}, first=first)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_deconvolution(folder: Path, data: st.DataObject) -> None:
    channels, filters, height, width, size, stride = (
        data.draw(st.integers(1, most), name)
        for name, most in (("c", 20), ("filters", 35), ("h", 7), ("w", 9), ("size", 5), ("stride", 3))
    )
    padding = data.draw(st.integers(0, size - 1), "padding")
    if min((side - 1) * stride + size - 2 * padding for side in (height, width)) < 1:
        padding = 0
    options = {
        "filters": filters, "size": size, "stride": stride, "padding": padding,
        "batch_normalize": data.draw(st.integers(0, 1), "norm"), "activation": "leaky",
    }  # fmt: skip
    run_one(folder, (channels, height, width), "deconvolutional", options, first=data.draw(st.booleans(), "first"))


def test_implicit_layers_scale_and_shift(folder: Path) -> None:
    tiny = TinyNetwork((3, 6, 9), seed=2)
    tiny.add("convolutional", {"filters": 17, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("implicit", {"filters": 17, "mean": 1.0, "std": 0.02})
    tiny.add("scale_channels", {"from": 0, "activation": "mish"})
    tiny.add("convolutional", {"filters": 5, "size": 1, "activation": "linear"})
    tiny.add("avgpool")
    tiny.add("implicit", {"filters": 5, "atoms": 1})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("implicit", {"filters": 7, "atoms": 5})
    tiny.add("route", {"layers": "-1,-1"})
    check(tiny, folder)


@pytest.mark.parametrize("shape", [(31, 1, 1), (23, 5, 6)], ids=str)
def test_iseg(folder: Path, shape: tuple[int, int, int]) -> None:
    run_one(folder, shape, "iseg", {"classes": 7, "ids": shape[0] - 7})
    run_one(folder, shape, "iseg", {"classes": shape[0], "ids": 0}, first=False)


@pytest.mark.parametrize("softmax", [0, 1])
@pytest.mark.parametrize("shape", [(3 * 3 * 14, 1, 1), (14, 3, 3), (7, 2, 9)], ids=str)
def test_detection(folder: Path, shape: tuple[int, int, int], softmax: int) -> None:
    options = {"classes": 4, "coords": 4, "num": 2, "side": 3, "softmax": softmax}
    run_one(folder, shape, "detection", options)
    run_one(folder, shape, "detection", options, first=False)


def all_of_them() -> TinyNetwork:
    tiny = TinyNetwork((3, 11, 14), seed=5)
    tiny.add("crop", {"crop_width": 12, "crop_height": 10})
    tiny.add("convolutional", {"filters": 20, "size": 3, "pad": 1, "activation": "leaky"})
    for kind in ("batchnorm", "lrn", "l2norm", "empty"):
        tiny.add(kind)
    tiny.add("local", {"filters": 24, "size": 3, "pad": 1, "stride": 2, "activation": "ramp"})
    tiny.add("deconvolutional", {"filters": 9, "size": 3, "stride": 2, "pad": 1, "activation": "swish"})
    tiny.add("connected", {"output": 2 * 2 * 9, "activation": "linear"})
    tiny.add("implicit", {"filters": 6, "atoms": 6})
    tiny.add("detection", {"classes": 4, "coords": 4, "num": 1, "side": 2, "softmax": 1, "sqrt": 1})
    return tiny


def test_all_of_them_for_several_images_and_threads(folder: Path) -> None:
    tiny = all_of_them()
    check(tiny, folder)
    blobs = np.stack([tiny.blob, tiny.blob[:, ::-1] * 0.5, -tiny.blob])
    one, three = (Network(*tiny.write(folder), threads=threads) for threads in (1, 3))
    single = [one.run(blob)[0] for blob in blobs]
    for network in (one, three):
        assert np.array_equal(network.run(blobs)[0], np.stack(single))


def test_all_of_them_around_convolutions_in_bfloat16(folder: Path) -> None:
    """They read and write float32, whatever convolutions multiply; one before and one behind each."""
    tiny = TinyNetwork((3, 12, 10), seed=6)
    convolution = {"filters": 16, "size": 3, "pad": 1, "activation": "leaky"}
    for kind, options in (
        ("crop", {"crop_width": 8, "crop_height": 10}), ("batchnorm", {}), ("lrn", {}), ("activation", {}),
        ("local", {"filters": 16, "size": 3, "pad": 1}), ("empty", {}), ("l2norm", {}),
        ("deconvolutional", {"filters": 16, "size": 2, "stride": 2, "activation": "leaky"}),
    ):  # fmt: skip
        tiny.add("convolutional", convolution)
        tiny.add(kind, options)
    tiny.add("convolutional", convolution)
    network = Network(*tiny.write(folder), precision="bfloat16", threads=2)
    for taps in (range(len(tiny.outputs)), ()):
        found = network.run(tiny.blob, taps=taps)[len(tiny.outputs) - 1] if taps else network.run(tiny.blob)[0]
        scale = np.abs(tiny.outputs[-1]).max()
        assert 1e-6 * scale < np.abs(found - tiny.outputs[-1]).max() <= 0.05 * scale


def test_all_of_them_in_guard_mode(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_GUARD", "1")
    check(all_of_them(), folder)


def test_all_of_them_dumped_compared_saved_and_converted(folder: Path) -> None:
    cfg, weights = all_of_them().write(folder)
    saved, old, dumped = (folder / name for name in ("saved.weights", "old.weights", "dump.npz"))
    save_weights(saved, load_weights(cfg, weights))
    assert saved.read_bytes() == weights.read_bytes()
    picture = folder / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (11, 14, 3), dtype=np.uint8)).save(picture)
    assert run("dump", cfg, weights, picture, "--out", dumped).exit_code == 0
    for how in (("--against", dumped), ("--exact",), ("--threads", 2)):
        compared = run("compare", cfg, weights, picture, *how)
        assert compared.exit_code == 0, compared.output
    assert run("weights", "convert", cfg, weights, old, "--version", "0.1.0").exit_code == 0, folder
    assert saved.stat().st_size - old.stat().st_size == 4
    shown = run("weights", "show", cfg, weights)
    assert shown.exit_code == 0 and "local" in shown.output


def test_seeded_weights_of_a_local_layer_keep_values_near_1() -> None:
    graph = graph_of("[local]\nfilters=64\nsize=3\npad=1", 16)
    weights = SeededWeights(graph).arrays(graph.layers[0])["weights"]
    assert abs(weights.std() * np.sqrt(16 * 9) - np.sqrt(2)) < 0.02


# Graphs -----------------------------------------------------------------------------------------------------


def graph_of(section: str, c: int = 3, h: int = 12, w: int = 8) -> Graph:
    return build_graph(parse_cfg(f"[net]\nchannels={c}\nheight={h}\nwidth={w}\n{section}\n", "x.cfg"))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("[crop]\ncrop_height=13\ncrop_width=8", "crop_height=13 of an input of 8 x 12: expected at most 12"),
        ("[local]\nsize=9", "the output would be"),
        ("[local]\nactivation=nosuch", "activation=nosuch is not known"),
        ("[detection]\ncoords=4", "expected 7 x 7 cells x (1 box x (1 + 4) + 1 classes) = 294"),
        ("[detection]", "coords=1: expected 4"),
        ("[iseg]\nclasses=2", "gives 3 channels, expected 2 classes + 32 ids = 34"),
        ("[deconvolutional]\nsize=2\npadding=2", "padding=2 with size=2"),
        ("[normalization]\nsize=0", "size=0"),
    ],
)
def test_what_cannot_be_is_refused(section: str, expected: str) -> None:
    with pytest.raises(CfgError) as caught:
        graph_of(section)
    assert expected in str(caught.value)


@pytest.mark.parametrize("kind", ["local", "deconvolutional", "batchnorm", "implicit", "connected"])
def test_weights_that_are_not_in_the_file_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedError, match="dontload=1 is not supported"):
        graph_of(f"[{kind}]\ndontload=1")


@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.integers(1, 4), st.integers(1, 4))
def test_shapes_of_local_and_deconvolutional(c: int, h: int, w: int, size: int, stride: int) -> None:
    options = f"filters=5\nsize={size}\nstride={stride}\n"
    if size <= min(h, w):
        layer = graph_of(f"[local]\n{options}", c, h, w).layers[0]
        assert layer.shape == (5, (h - size) // stride + 1, (w - size) // stride + 1)
        count = layer.shape.h * layer.shape.w
        assert [p.shape for p in layer.parameters] == [layer.shape, (count, 5, c, size, size)]
    layer = graph_of(f"[deconvolutional]\n{options}", c, h, w).layers[0]
    assert layer.shape == (5, (h - 1) * stride + size, (w - 1) * stride + size)
    assert graph_of(f"[local]\npad=1\n{options}", c, h, w).layers[0].shape == (
        5,
        (h - 1) // stride + 1,
        (w - 1) // stride + 1,
    )


def test_a_letterboxed_detection_warns(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny = TinyNetwork((3, 6, 9), seed=4)
    tiny.add("connected", {"output": 2 * 2 * 7, "activation": "linear"})
    tiny.add("detection", {"classes": 2, "coords": 4, "num": 1, "side": 2})
    detector = Detector(*tiny.write(folder), ["a", "b"], threads=1)
    boxes = detector.detect_blob(tiny.blob, (640, 424), 0.0, 0.0)
    assert not caplog.records
    detector.letterbox = True
    assert "leave letterbox off" in caplog.text
    assert np.array_equal(detector.detect_blob(tiny.blob, (640, 424), 0.0, 0.0).xyxy, boxes.xyxy)


def test_detect_finds_what_the_detector_finds(folder: Path) -> None:
    """By the command line, which compiles what a head needs before it looks at a picture."""
    tiny = TinyNetwork((3, 6, 9), seed=4)
    tiny.add("connected", {"output": 2 * 2 * 7, "activation": "linear"})
    tiny.add("detection", {"classes": 2, "coords": 4, "num": 1, "side": 2})
    cfg, weights = tiny.write(folder)
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (12, 17, 3), np.uint8)).save(folder / "a.png")
    found = run("detect", "--cfg", cfg, "--weights", weights, "--thresh", 0.001, "--json", "-", folder / "a.png")
    assert found.exit_code == 0, found.stderr
    (record,) = json.loads(found.stdout)
    expected = Detector(cfg, weights, threads=1).detect(folder / "a.png", thresh=0.001)
    assert len(record["objects"]) == len(expected) > 0


@pytest.mark.parametrize("kind", sorted(kind for kind, layer in LAYERS.items() if issubclass(layer, Head)))
def test_every_kind_of_head_is_compiled_before_it_is_needed(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    load_kernels(SimpleNamespace(heads=[SimpleNamespace(kind=kind)]))  # type: ignore[arg-type]
    assert not caplog.messages
