"""Winograd algorithms, which large convolutions take unless `exact` is asked for, against the naive layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from networks import Floats, TinyNetwork

from darknet_py import Network, OptionError, tuning
from darknet_py.cache.places import Layer, Layers
from darknet_py.graph import load_graph
from darknet_py.shipped import resolve_cfg

#: Allowed difference relative to the layer's largest magnitude.
TOLERANCES = {
    "F2": 1e-5,
    "F4": 5e-5,
    "F6": 1e-4,
    "S2": 1e-5,
    "S4": 2e-5,
    "F4-lean": 5e-5,
    "F6-lean": 1e-4,
    "S4-lean": 2e-5,
}
STRIDES = dict.fromkeys(("S2", "S4", "S4-lean"), 2)

#: (channels, filters, height, width): tails in channels, filters, tiles; each with enough work not to be left direct.
SHAPES = (
    (8, 17, 103, 101),
    (13, 33, 60, 58),
    (33, 40, 26, 43),
    (64, 32, 19, 37),
    (130, 72, 13, 13),
    (520, 100, 5, 7),
    (16, 96, 1, 931),
)


def relative(found: Floats, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def pinned(tiny: TinyNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> Network:
    monkeypatch.setenv("DARKNET_PY_CONVOLUTION", names)
    return Network(*tiny.write(folder), threads=2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scheme", TOLERANCES)
def test_convolution(folder: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, shape: tuple[int, ...]) -> None:
    channels, filters, height, width = shape
    stride = STRIDES.get(scheme, 1)
    size = (channels, height * stride, width * stride - stride // 2)
    tiny = TinyNetwork(size, seed=filters)
    options = {"filters": filters, "size": 3, "pad": 1, "stride": stride, "activation": "leaky", "batch_normalize": 1}
    tiny.add("convolutional", options)
    network = pinned(tiny, folder, monkeypatch, scheme)
    assert network.algorithms == {0: scheme}
    assert relative(network.run(tiny.blob)[0], tiny.outputs[0]) <= TOLERANCES[scheme]
    exact = Network(*tiny.write(folder), threads=1, exact=True)
    assert exact.algorithms == {}
    assert relative(exact.run(tiny.blob)[0], tiny.outputs[0]) <= 1e-5


@pytest.mark.parametrize("padding", [0, 2, 5])
@pytest.mark.parametrize("scheme", TOLERANCES)
def test_padding(folder: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, padding: int) -> None:
    tiny = TinyNetwork((9, 75, 97))
    stride = STRIDES.get(scheme, 1)
    options = {"filters": 88, "size": 3, "padding": padding, "stride": stride, "activation": "linear"}
    tiny.add("convolutional", options)
    network = pinned(tiny, folder, monkeypatch, scheme)
    assert network.algorithms == {0: scheme}
    assert relative(network.run(tiny.blob)[0], tiny.outputs[0]) <= TOLERANCES[scheme]


def block() -> TinyNetwork:
    """Slices of joint buffers in and out, a fused shortcut, a normalisation over channels, a stride."""
    tiny = TinyNetwork((3, 30, 46), seed=2)
    tiny.add("convolutional", {"filters": 40, "activation": "mish"})
    tiny.add("route", {"layers": 0, "groups": 2, "group_id": 1})
    tiny.add("convolutional", {"filters": 72, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 72, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("shortcut", {"from": -2, "activation": "leaky"})
    tiny.add("route", {"layers": "-1,0"})
    tiny.add("convolutional", {"filters": 65, "size": 3, "pad": 1, "stride": 2, "activation": "linear"})
    tiny.add("route", {"layers": -2})
    options = {"filters": 9, "size": 3, "pad": 1, "activation": "normalize_channels_softmax"}
    tiny.add("convolutional", {**options, "filters": 21})
    tiny.add("convolutional", {"filters": 14, "activation": "linear"})
    return tiny


@pytest.mark.parametrize("names", ["F2,S2", "F4,S4", "F6,S2", "F4-lean,S4-lean", "F6-lean,S2", "direct"])
def test_in_company(folder: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    tiny = block()
    network = pinned(tiny, folder, monkeypatch, names)
    scheme = names.split(",")[0]
    chosen = {2: scheme, 3: scheme, 6: names.split(",")[-1], 8: scheme}
    assert network.algorithms == ({} if scheme == "direct" else chosen)
    tolerance = TOLERANCES.get(scheme, 1e-5)
    for taps in (range(10), [3], [4], [2, 8]):
        for index, found in network.run(tiny.blob, taps=taps).items():
            assert relative(found, tiny.outputs[index]) <= tolerance, f"layer {index} with taps {list(taps)}"
    assert relative(network.run(tiny.blob)[0], tiny.outputs[-1]) <= tolerance


@pytest.mark.parametrize("names", ["F4,S2", "F6", "F4-lean,S4-lean", "F6-lean", "direct"])
def test_threads_do_not_change_a_bit(folder: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    tiny = block()
    expected = pinned(tiny, folder, monkeypatch, names).run(tiny.blob)[0]
    for threads in (1, 3):
        network = Network(*tiny.write(folder), threads=threads)
        for _ in range(5):
            np.testing.assert_array_equal(network.run(tiny.blob)[0], expected)


def test_shared_weights_are_used_directly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sharer may have another stride or dilation, for which transformed weights would be wrong."""
    tiny = TinyNetwork((36, 40, 44))
    for options in ({}, {"share_index": 0, "stride": 2}, {"share_index": 0}, {"share_index": 0, "dilation": 2}):
        tiny.add("convolutional", {"filters": 36, "size": 3, "pad": 1, "activation": "linear", **options})
    network = pinned(tiny, folder, monkeypatch, "F4,S2")
    for index, found in network.run(tiny.blob, taps=range(4)).items():
        assert relative(found, tiny.outputs[index]) <= TOLERANCES["F4"]


def test_nan_stays_near_its_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It spoils the tiles that read it, never others."""
    tiny = TinyNetwork((33, 40, 43))
    tiny.add("convolutional", {"filters": 40, "size": 3, "pad": 1, "activation": "linear"})
    network = pinned(tiny, folder, monkeypatch, "F4")
    clean = network.run(tiny.blob)[0]
    tiny.blob[3, 20, 20] = np.nan
    found = network.run(tiny.blob)[0]
    spoiled = np.isnan(found)
    assert spoiled[:, 19:22, 19:22].all()
    spoiled[:, 16:25, 16:25] = False
    assert not spoiled.any()
    np.testing.assert_array_equal(found[:, :16], clean[:, :16])


@pytest.mark.parametrize("names", ["F5", "f4", "F4;S2", "direct,", " "])
def test_names_that_do_not_exist(folder: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    with pytest.raises(OptionError, match=r"DARKNET_PY_CONVOLUTION=.*expected names out of direct, F2"):
        pinned(block(), folder, monkeypatch, names)


def test_the_choice_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured once: later networks of the same shapes compute the same bits."""
    monkeypatch.delenv("DARKNET_PY_CONVOLUTION", raising=False)
    tiny = block()
    first, second = (Network(*tiny.write(folder), threads=threads) for threads in (2, 1))
    assert first.algorithms == second.algorithms
    np.testing.assert_array_equal(first.run(tiny.blob)[0], second.run(tiny.blob)[0])
    assert relative(first.run(tiny.blob)[0], tiny.outputs[-1]) <= 1e-3


def test_forgotten_timings_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKNET_PY_CONVOLUTION", raising=False)
    layer = Layer(tmp_path, named=False)
    monkeypatch.setattr(tuning, "cache_layers", lambda: Layers((layer,), layer, ()))
    monkeypatch.setattr(tuning, "_measured", {})
    monkeypatch.setattr(tuning, "_forgotten", set())
    asked: list[set[str]] = []

    def measure(missing: Mapping[str, object], precision: str) -> tuning.Timings:
        asked.append(set(missing))
        return {key: {"direct": 1.0, "F2": 2.0} for key in missing}

    monkeypatch.setattr(tuning, "_measure", measure)
    tiny = TinyNetwork((64, 60, 60))
    tiny.add("convolutional", {"filters": 64, "size": 3, "pad": 1, "activation": "linear"})
    graph = load_graph(tiny.write(tmp_path)[0])
    for _ in range(2):
        tuning.choose_algorithms(graph)
    assert len(asked) == 1 and len(tuning.known_timings()) == 1
    tuning.forget_timings(graph)
    assert tuning.known_timings() == {}
    tuning.choose_algorithms(graph)
    assert asked == [asked[0]] * 2


def test_those_far_behind_are_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of each, then only of those that may be the fastest, until two of theirs agree."""
    seconds = {"direct": [1.0, 9.0], "F2": [0.5, 0.45, 0.4, 0.35, 0.345], "F4": [0.44, 0.44, 0.44, 0.44, 0.44]}
    layer = load_graph(resolve_cfg("yolov4-tiny")).layers[1]
    clock = [0.0]
    runs = {name: iter([0.0, *times]) for name, times in seconds.items()}

    def execute(name: str) -> None:
        clock[0] += next(runs[name])

    monkeypatch.setattr(tuning, "fits", lambda layer, name: name in seconds)
    monkeypatch.setattr(tuning, "_trial", lambda layer, name, pool, precision: name)
    monkeypatch.setattr(tuning, "execute", execute)
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: clock[0])
    found = tuning._measure({"key": layer}, "float32")
    assert found["key"] == pytest.approx({"direct": 1.0, "F2": 0.345, "F4": 0.44})
    assert list(runs["direct"]) == [9.0] and list(runs["F2"]) == []
