"""Layers that remember: sequences against naive cells, streams, threads, precisions, memory, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Floats, Options, TinyNetwork, assert_close, check, weights_bytes

from darknet_py import CfgError, Network, OptionError, UnsupportedError, load_weights, save_weights
from darknet_py.cfg import parse_cfg
from darknet_py.darknet.networks import load_net
from darknet_py.graph import build_graph, load_graph
from darknet_py.layers import Recurrent
from darknet_py.limits import Limits
from darknet_py.onnx_export.exporting import export_onnx
from darknet_py.weights import SeededWeights

Case = tuple[str, tuple[int, int, int], Options]

#: Name → kind, input and options: tails of vectors and tasks, maps that are not square.
CASES: dict[str, Case] = {
    "rnn": ("rnn", (5, 1, 1), {"hidden": 7, "output": 3, "activation": "leaky"}),
    "rnn of a picture": ("rnn", (3, 5, 7), {"hidden": 33, "output": 17, "batch_normalize": 1, "activation": "tanh"}),
    "rnn logistic by default": ("rnn", (9, 1, 1), {"hidden": 16, "output": 24}),
    "rnn logistic": ("rnn", (8, 1, 1), {"hidden": 12, "output": 5, "logistic": 1, "activation": "ramp"}),
    "rnn loggy, shortcut": ("rnn", (4, 1, 1), {"hidden": 13, "output": 9, "logistic": 2, "shortcut": 1}),
    "rnn over channels": (
        "rnn", (6, 1, 1), {"hidden": 7, "output": 5, "activation": "normalize_channels_softmax", "shortcut": 1},
    ),
    "gru": ("gru", (24, 1, 1), {"output": 7}),
    "gru of a picture": ("gru", (2, 3, 5), {"output": 40, "batch_normalize": 1}),
    "lstm": ("lstm", (13, 1, 1), {"output": 5}),
    "lstm of a picture": ("lstm", (4, 5, 3), {"output": 33, "batch_normalize": 1}),
    "crnn": ("crnn", (3, 5, 7), {"hidden": 6, "output": 5, "size": 3, "pad": 1, "activation": "leaky"}),
    "crnn 1x1": ("crnn", (8, 13, 9), {"hidden": 17, "output": 9, "size": 1, "batch_normalize": 1}),
    "crnn shortcut": (
        "crnn", (12, 7, 4), {"hidden": 8, "output": 24, "padding": 1, "shortcut": 1, "groups": 4, "activation": "mish"},
    ),
    "crnn depthwise": ("crnn", (9, 4, 6), {"hidden": 9, "output": 9, "pad": 1, "groups": 9, "activation": "relu"}),
    "crnn dilated": ("crnn", (5, 9, 6), {"hidden": 7, "output": 4, "pad": 1, "dilation": 2, "activation": "tanh"}),
    "crnn xnor": (
        "crnn", (5, 6, 4),
        {"hidden": 7, "output": 4, "pad": 1, "xnor": 1, "batch_normalize": 1, "activation": "linear"},
    ),
    "crnn over channels": (
        "crnn", (4, 3, 5), {"hidden": 5, "output": 6, "pad": 1, "activation": "normalize_channels"},
    ),
    "conv_lstm": ("conv_lstm", (3, 5, 7), {"output": 6, "size": 3, "pad": 1}),
    "conv_lstm 5x5": ("conv_lstm", (5, 6, 11), {"output": 9, "size": 5, "pad": 1, "batch_normalize": 1}),
    "conv_lstm peephole": (
        "conv_lstm", (8, 5, 4), {"output": 13, "size": 1, "peephole": 1, "activation": "leaky", "state_constrain": 1},
    ),
    "conv_lstm groups": ("conv_lstm", (4, 5, 6), {"output": 6, "pad": 1, "groups": 2, "peephole": 1}),
    "conv_lstm of another curve": (
        "conv_lstm", (3, 4, 5), {"output": 5, "pad": 1, "lstm_activation": "relu", "state_constrain": 0},
    ),
    "conv_lstm bottleneck": (
        "conv_lstm", (6, 5, 7), {"output": 6, "pad": 1, "bottleneck": 1, "batch_normalize": 1, "activation": "leaky"},
    ),
    "conv_lstm bottleneck, peephole, shortcut": (
        "conv_lstm", (8, 4, 3), {"output": 8, "pad": 1, "bottleneck": 1, "peephole": 1, "shortcut": 1},
    ),
    "history": ("history", (5, 4, 7), {"history_size": 3}),
    "history of one": ("history", (3, 2, 5), {"history_size": 1}),
}  # fmt: skip


def made(name: str) -> TinyNetwork:
    kind, shape, options = CASES[name]
    tiny = TinyNetwork(shape, seed=len(name))
    tiny.add(kind, options)
    return tiny


def blobs(shape: tuple[int, ...], count: int = 4) -> Floats:
    return np.random.default_rng(count).standard_normal((count, *shape), np.float32)


@pytest.mark.parametrize("case", CASES)
def test_sequences(folder: Path, case: str) -> None:
    """Four steps, the first of them from nothing; then one that remembers nothing."""
    tiny = made(case)
    network = Network(*tiny.write(folder), threads=2)
    session, remembered = network.session(), None
    for number, blob in enumerate(blobs(tiny.blob.shape)):
        expected, remembered = tiny.cells[0](blob.astype(np.float64), remembered)
        assert_close(session.run(blob)[0], expected, f"step {number}\n{tiny.cfg()}")
    check(tiny, folder)


@pytest.mark.parametrize("first", [True, False])
def test_among_other_layers(folder: Path, first: bool) -> None:
    """Maps that others read too, in routes and shortcuts."""
    tiny = TinyNetwork((9, 7, 5), seed=3)
    if not first:
        tiny.add("convolutional", {"filters": 12, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("conv_lstm", {"output": 12, "size": 3, "pad": 1, "peephole": 1})
    tiny.add("crnn", {"hidden": 7, "output": 12, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("history", {"history_size": 2})
    tiny.add("route", {"layers": "-1,-3"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("convolutional", {"filters": 8, "size": 3, "pad": 1, "activation": "leaky"})
    for kind, options in (("rnn", {"hidden": 9, "output": 6}), ("gru", {"output": 5}), ("lstm", {"output": 7})):
        tiny.add(kind, options)
    tiny.add("softmax")
    check(tiny, folder, [[0, 1, 2], [-1]])


def mixed(folder: Path) -> tuple[Path, Path, tuple[int, int, int]]:
    tiny = TinyNetwork((8, 12, 20), seed=5)
    tiny.add("conv_lstm", {"output": 24, "size": 3, "pad": 1, "batch_normalize": 1})
    tiny.add("convolutional", {"filters": 16, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("crnn", {"hidden": 16, "output": 16, "size": 3, "pad": 1, "shortcut": 1, "activation": "tanh"})
    tiny.add("lstm", {"output": 40})
    tiny.add("gru", {"output": 33})
    tiny.add("rnn", {"output": 20, "hidden": 48})
    return *tiny.write(folder), tiny.blob.shape  # type: ignore[return-value]


@pytest.mark.parametrize("exact", [True, False])
def test_bits_are_those_of_any_number_of_threads(folder: Path, exact: bool) -> None:
    cfg, weights, shape = mixed(folder)
    expected = None
    for threads in (1, 2, 3):
        found = Network(cfg, weights, threads=threads, exact=exact).session().run_sequence(blobs(shape))[0]
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)
    assert expected is not None and len(np.unique(expected.round(6))) > 40


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_streams_side_by_side_and_batches(folder: Path, precision: str) -> None:
    """As each alone; in batches without a session nobody remembers anything."""
    cfg, weights, shape = mixed(folder)
    network = Network(cfg, weights, threads=2, precision=precision)
    steps = blobs((3, *shape), 4)
    together = network.session(3).run_sequence(steps)[0]
    alone = [network.session().run_sequence(steps[:, stream])[0] for stream in range(3)]
    np.testing.assert_allclose(together, np.stack(alone, axis=1), atol=1e-6)
    assert np.abs(together[2] - network.run(steps[2])[0]).max() > 1e-4
    np.testing.assert_array_equal(network.run(steps[0])[0], together[0])
    exact = Network(cfg, weights, threads=2, exact=True).session(3).run_sequence(steps)[0]
    np.testing.assert_allclose(together, exact, atol=0.03 if precision == "bfloat16" else 2e-5)


def test_a_session_is_reset_and_its_states_are_seen(folder: Path) -> None:
    tiny = made("lstm")
    network = Network(*tiny.write(folder))
    session = network.session()
    first = session.run(tiny.blob)[0]
    (h, c) = (session.lasting[0, name][0].transpose(2, 0, 1) for name in "hc")
    np.testing.assert_array_equal(h, first)
    assert np.abs(c).max() > 0
    assert np.any(session.run(tiny.blob)[0] != first)
    session.reset()
    np.testing.assert_array_equal(session.run(tiny.blob)[0], first)


def test_sequences_by_taps_of_vectors_and_none(folder: Path) -> None:
    tiny = TinyNetwork((6, 1, 1), net={"width": 0, "height": 0, "channels": 0, "inputs": 6})
    tiny.add("gru", {"output": 5})
    tiny.add("connected", {"output": 3, "activation": "linear"})
    network = Network(*tiny.write(folder))
    vectors = blobs((6,))
    outputs = network.session().run_sequence(vectors, taps=[0, -1])
    assert {tap: found.shape for tap, found in outputs.items()} == {0: (4, 5, 1, 1), -1: (4, 3, 1, 1)}
    np.testing.assert_array_equal(outputs[-1], network.session().run_sequence(iter(vectors[..., None, None]))[0])
    np.testing.assert_array_equal(network.run(vectors)[0][0], network.run(vectors[0])[0])
    assert network.session(4).run_sequence(vectors[None])[0].shape == (1, 4, 3, 1, 1)
    with pytest.raises(OptionError, match="a sequence of no blobs"):
        network.session().run_sequence([])
    with pytest.raises(OptionError, match="blobs=None: expected an array or a list of blobs"):
        network.session().run_sequence(None)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"blob of shape \(5,\) .*expected \(6, 1, 1\)"):
        network.run(np.zeros(5, np.float32))
    with pytest.raises(OptionError, match=r"size 8x8: .*inputs=6: this network reads no pictures"):
        Network(*tiny.write(folder), size=8)


def test_what_is_no_number_is_forgotten(folder: Path) -> None:
    tiny = made("conv_lstm")
    network = Network(*tiny.write(folder))
    session = network.session()
    blob = tiny.blob.copy()
    blob[0, 2, 3] = np.nan
    assert np.isfinite(session.run(blob)[0]).all()
    assert all(np.isfinite(values).all() for values in session.lasting.values())


@pytest.mark.parametrize("guard", ["1", "large"])
@pytest.mark.parametrize("case", ["rnn of a picture", "gru", "lstm", "crnn shortcut", "conv_lstm peephole", "history"])
def test_under_guard(folder: Path, monkeypatch: pytest.MonkeyPatch, guard: str, case: str) -> None:
    tiny = made(case)
    cfg, weights = tiny.write(folder)
    expected = Network(cfg, weights, threads=2).session().run_sequence(blobs(tiny.blob.shape, 2))[0]
    monkeypatch.setenv("DARKNET_PY_GUARD", guard)
    found = Network(cfg, weights, threads=2).session().run_sequence(blobs(tiny.blob.shape, 2))[0]
    np.testing.assert_array_equal(found, expected)


def test_transposed_files(folder: Path) -> None:
    """Files of versions above 1000 hold every inner matrix the other way round; convolutions stay."""
    tiny = TinyNetwork((3, 4, 5))
    tiny.add("crnn", {"hidden": 4, "output": 2, "pad": 1})
    for kind in ("rnn", "gru", "lstm"):
        tiny.add(kind, {"output": 6, "hidden": 5, "batch_normalize": 1} if kind == "rnn" else {"output": 6})
    cfg, weights = tiny.write(folder)
    matrices = [array.T if array.ndim == 2 else array for array in tiny.stored]
    turned = folder / "turned.weights"
    turned.write_bytes(weights_bytes(matrices, struct.pack("<iiiQ", 0, 1001, 0, 7)))
    np.testing.assert_array_equal(Network(cfg, turned).run(tiny.blob)[0], Network(cfg, weights).run(tiny.blob)[0])
    again = folder / "again.weights"
    for path in (turned, weights):
        save_weights(again, load_weights(cfg, path))
        assert again.read_bytes() == path.read_bytes()
    save_weights(again, load_weights(cfg, weights), version=(0, 1001, 0), seen=7)
    assert again.read_bytes() == turned.read_bytes()


SIDES = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["rnn", "gru", "lstm", "crnn", "conv_lstm", "history"]),
       shape=st.tuples(SIDES, SIDES, SIDES), output=SIDES, hidden=SIDES, half=st.integers(0, 2),
       norm=st.booleans(), peephole=st.booleans())  # fmt: skip
def test_shapes_and_counts(
    kind: str, shape: tuple[int, int, int], output: int, hidden: int, half: int, norm: bool, peephole: bool
) -> None:
    """What is remembered is as large as the output or the hidden layer, whatever goes in; arrays by the formulas."""
    c, h, w = shape
    size = 2 * half + 1
    options = {"output": output, "hidden": hidden, "size": size, "pad": 1, "batch_normalize": int(norm),
               "peephole": int(peephole), "history_size": output}  # fmt: skip
    lines = [f"[net]\nwidth={w}\nheight={h}\nchannels={c}\n[{kind}]\n"] + [f"{k}={v}\n" for k, v in options.items()]
    layer = build_graph(parse_cfg("".join(lines), "some.cfg")).layers[0]
    flat, taps = c * h * w, size * size
    each = 4 if norm else 1

    def arrays(*sizes: tuple[int, int]) -> int:
        return sum(outputs * (inputs + each) for inputs, outputs in sizes)

    expected: dict[str, tuple[tuple[int, ...], list[tuple[int, ...]], int]] = {
        "rnn": ((output, 1, 1), [(hidden, 1, 1)], arrays((flat, hidden), (hidden, hidden), (hidden, output))),
        "gru": ((output, 1, 1), [(output, 1, 1)], 3 * arrays((flat, output), (output, output))),
        "lstm": ((output, 1, 1), [(output, 1, 1)] * 2, 4 * arrays((flat, output), (output, output))),
        "crnn": ((output, h, w), [(hidden, h, w)],
                 arrays((c * taps, hidden), (hidden * taps, hidden), (hidden * taps, output))),
        "conv_lstm": ((output, h, w), [(output, h, w)] * 2,
                      arrays(*[(c * taps, output)] * 4, *[(output * taps, output)] * (7 if peephole else 4))),
        "history": ((output * c, h, w), [], 0),
    }  # fmt: skip
    shape_of, remembered, count = expected[kind]
    assert tuple(layer.shape) == shape_of
    assert [tuple(extent) for _, extent in layer.lasting] == remembered
    assert sum(int(np.prod(parameter.shape)) for parameter in layer.parameters) == count
    products = 2 * output * h * w / 1e9
    if kind == "conv_lstm":
        work = products * taps * (4 * c + output * (7 if peephole else 4))
        assert layer.bflops == pytest.approx(work + (6 if peephole else 4.5) * products)
    elif kind == "crnn":
        assert layer.bflops == pytest.approx(products * taps * hidden * (1 + (c + hidden) / output))
    else:
        assert layer.bflops == 0


REFUSED: dict[str, tuple[str, str]] = {
    "no room for the state": ("[crnn]\noutput=3\nhidden=3\nsize=3", "would turn 6 x 4 into 4 x 2: what it remembers"),
    "a stride": ("[conv_lstm]\noutput=3\npad=1\nstride=2", "size=3 stride=2 and padding 1 would turn 6 x 4 into 3 x 2"),
    "larger than the map": ("[conv_lstm]\noutput=3\nsize=9", "would turn 6 x 4 into nothing"),
    "groups": ("[crnn]\noutput=4\nhidden=3\npad=1\ngroups=3", "groups=3 must divide its 3 channels and its 4 filters"),
    "an unknown curve": ("[conv_lstm]\npad=1\nlstm_activation=tan", "lstm_activation=tan is not known"),
    "a curve over channels": (
        "[conv_lstm]\npad=1\nlstm_activation=normalize_channels", "expected one that is for each value",
    ),
    "a bottleneck": ("[conv_lstm]\npad=1\noutput=4\nbottleneck=1", "bottleneck=1 with output=4 and 3 input channels"),
    "half of three": ("[conv_lstm]\npad=1\noutput=3\nbottleneck=1\nshortcut=1", "expected an even number"),
    "no output": ("[lstm]\noutput=0", "output=0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    text, said = REFUSED[case]
    with pytest.raises(CfgError, match=said):
        build_graph(parse_cfg(f"[net]\nwidth=6\nheight=4\nchannels=3\n{text}\n", "some.cfg"))


def test_seeded_weights_suit_their_kind(folder: Path) -> None:
    graph = load_graph(mixed(folder)[0])
    layer: Any = graph.of_type(Recurrent)[0]
    arrays = SeededWeights(graph).arrays(layer)
    assert list(arrays) == [parameter.name for parameter in layer.parameters]
    assert arrays["uf.scales"].min() >= 0.8 and abs(float(arrays["uf.weights"].mean())) < 0.1
    outputs = Network(graph, SeededWeights(graph)).session().run_sequence(blobs(tuple(graph.blob)))[0]
    assert 0.01 < np.abs(outputs).max() < 10


def test_export_says_why_not(folder: Path) -> None:
    pytest.importorskip("onnx")
    cfg, weights, _ = mixed(folder)
    with pytest.raises(UnsupportedError, match=r"\[conv_lstm\] \(layer 0\): keeps what it remembers from run to run"):
        export_onnx(cfg, weights)


def test_memory_counts_what_is_kept_and_needed_inside() -> None:
    """A cfg of few lines must not take what the limit does not allow."""
    text = "[net]\nwidth=6\nheight=4\nchannels=3\n[crnn]\npad=1\noutput=2\nhidden=1000\n"
    graph = build_graph(parse_cfg(text, "some.cfg"))
    assert graph.remembers and graph.activation_bytes == 4 * 6 * 4 * (3 + 2 + 1000 + 2002)
    with pytest.raises(CfgError, match=r"288,\d\d\d bytes of layers' outputs alive"):
        build_graph(parse_cfg(text, "some.cfg"), limits=Limits(max_activation_bytes=100_000))


def test_scripts_of_darknet_remember_from_picture_to_picture(folder: Path) -> None:
    tiny = made("crnn")
    cfg, weights = tiny.write(folder)
    loaded, session = load_net(str(cfg), str(weights)), Network(cfg, weights).session()
    for blob in blobs(tiny.blob.shape):
        _, values = loaded.predict(blob)
        np.testing.assert_array_equal(values, session.run(blob)[0].ravel())
