"""How much a stranger's cfg may ask for: refused in a line, before any memory is taken for it."""

from __future__ import annotations

import signal
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from command_line import Model, error_lines, run
from PIL import Image

from darknet_py import CfgError, Detector, ImageError, Limits, Network, OptionError, SeededWeights, load_graph
from darknet_py.cfg import parse_cfg
from darknet_py.cli.inspect import inspect
from darknet_py.graph import build_graph
from darknet_py.image import load_image
from darknet_py.summary import summarize

NET = "[net]\nwidth=32\nheight=24\nchannels=3\n"
CONV = "[convolutional]\nfilters=8\n"

#: Limit → a cfg beyond the default, what the message says of it.
BEYOND = {
    "max_layers": (NET + CONV * 20_000, "more than 2000 layers"),
    "max_parameters": (NET + "[connected]\noutput=1000000\n", "2,305,000,000 values in the weights file"),
    "max_activation_bytes": (
        NET.replace("32", "16384").replace("24", "16384") + CONV * 2,
        "17,179,869,184 bytes of layers' outputs alive at the same time",
    ),
}


@pytest.mark.parametrize("name", BEYOND)
@pytest.mark.parametrize("command", [["inspect"], ["bench"], ["export", "--onnx", "out"], ["warmup"]])
def test_every_command_refuses_in_one_line(name: str, command: list[str], tmp_path: Path) -> None:
    cfg = tmp_path / "big.cfg"
    cfg.write_text(BEYOND[name][0])
    (tmp_path / "big.weights").write_bytes(b"")
    weights = [tmp_path / "big.weights"] if command[0] == "export" else []
    words = [str(tmp_path / word) if word == "out" else word for word in command]
    result = run(*words, cfg, *weights)
    (line,) = error_lines(result)
    assert result.exit_code == 1 and BEYOND[name][1] in line
    assert line.endswith(f"allow more with the environment variable DARKNET_PY_{name.upper()}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", BEYOND)
def test_nothing_is_allocated_for_what_is_refused(name: str, tmp_path: Path) -> None:
    cfg = tmp_path / "big.cfg"
    cfg.write_text(BEYOND[name][0])
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(CfgError, match=name.upper()):
        Detector(cfg, tmp_path / "none.weights")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    assert time.perf_counter() - start < 60  # no timing: a hang


def test_limits_of_a_process_and_of_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tmp_path / "my.cfg"
    cfg.write_text(NET + CONV * 4)
    graph = load_graph(cfg)
    exactly = Limits(max_layers=4, max_parameters=graph.parameter_count, max_activation_bytes=graph.activation_bytes)
    assert load_graph(cfg, limits=exactly) == graph
    for name in ("max_layers", "max_parameters", "max_activation_bytes"):
        tight = Limits(**{name: getattr(exactly, name) - 1})
        with pytest.raises(CfgError, match=f"DARKNET_PY_{name.upper()}"):
            load_graph(cfg, limits=tight)
        monkeypatch.setenv(f"DARKNET_PY_{name.upper()}", str(getattr(exactly, name) - 1))
        with pytest.raises(CfgError, match=f"DARKNET_PY_{name.upper()}"):
            Network(cfg, tmp_path / "none.weights")
        assert load_graph(cfg, limits=exactly) == graph
        monkeypatch.delenv(f"DARKNET_PY_{name.upper()}")
    monkeypatch.setenv("DARKNET_PY_MAX_LAYERS", "30000")
    assert len(parse_cfg(BEYOND["max_layers"][0])) == 20_001


def test_a_size_beyond_the_limits_is_a_wrong_option(tmp_path: Path) -> None:
    cfg = tmp_path / "my.cfg"
    cfg.write_text(NET + CONV * 3)
    for size in (16384, 32768):  # of activations, of the input
        result = run("inspect", cfg, "--size", size)
        (line,) = error_lines(result)
        assert result.exit_code == 2 and line.startswith(f"Error: size {size}x{size}: ")


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e9", "nan", "9" * 5000, "1.5", "\u0661"])
def test_wrong_limits_are_named(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cfg = tmp_path / "my.cfg"
    cfg.write_text(NET + CONV)
    monkeypatch.setenv("DARKNET_PY_MAX_PARAMETERS", text)
    result = run("inspect", cfg)
    (line,) = error_lines(result)
    assert result.exit_code == 2 and line.startswith("Error: DARKNET_PY_MAX_PARAMETERS=") and len(line) < 200
    monkeypatch.setenv("DARKNET_PY_MAX_PARAMETERS", " ")
    assert run("inspect", cfg).exit_code == 0


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "9", None])
def test_wrong_limits_in_python(value: object) -> None:
    with pytest.raises(OptionError, match="max_layers="):
        Limits(max_layers=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["yolov4", "yolov4-tiny", "yolov3", "yolov7"])
def test_activations_are_an_upper_bound_near_what_the_plan_takes(name: str) -> None:
    graph = load_graph(name)
    planned = summarize(graph).arena_bytes
    assert planned / 1.1 < graph.activation_bytes < 3 * planned


def test_a_layer_that_is_read_late_lives_as_long() -> None:
    graph = build_graph(parse_cfg(NET + CONV * 5 + "[shortcut]\nfrom=0\n"))
    one, blob = 4 * 8 * 24 * 32, 4 * 3 * 24 * 32
    assert graph.activation_bytes == 3 * one
    assert build_graph(parse_cfg(NET + CONV)).activation_bytes == one + blob


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif", "webp", "ppm"])
def test_pictures_of_too_many_pixels(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (40, 30)).save(path)
    monkeypatch.setenv("DARKNET_PY_MAX_PIXELS", "1200")
    assert load_image(path).shape == (30, 40, 3)
    monkeypatch.setenv("DARKNET_PY_MAX_PIXELS", "1199")
    with pytest.raises(ImageError, match=r"1200 pixels, expected at most 1199.*DARKNET_PY_MAX_PIXELS"):
        load_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="1200 pixels"):
        load_image(path)


def test_inspect_takes_no_longer_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tmp_path / "slow.cfg"
    cfg.write_text(NET + CONV)

    def slow(*_: object) -> None:
        while True:
            time.sleep(0.01)

    module = sys.modules[inspect.callback.__module__]  # type: ignore[union-attr]
    monkeypatch.setattr(module, "summarize", slow)
    monkeypatch.setenv("DARKNET_PY_INSPECT_SECONDS", "1")
    result = run("inspect", cfg)
    (line,) = error_lines(result)
    assert result.exit_code == 1
    assert line.endswith("not done after 1 s: if it is worth the wait, allow more with the environment variable "
                         "DARKNET_PY_INSPECT_SECONDS")  # fmt: skip


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows ignores no Ctrl-C")
def test_inspect_in_the_background_of_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There Ctrl-C is ignored; the limit holds all the same, and leaves things as they were."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        test_inspect_takes_no_longer_than_allowed(tmp_path, monkeypatch)
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_long_numbers_and_lines_in_a_cfg(tmp_path: Path) -> None:
    """Python converts no more than 4300 digits, leading zeros among them."""
    assert parse_cfg(NET.replace("=32", "=" + "0" * 5000 + "32"))[0].integer("width", 0) == 32
    assert parse_cfg(NET.replace("=32", "=-" + "0" * 5000))[0].integer("width", 1) == 0
    for text in (NET + f"[convolutional]\nfilters={'9' * 5000}\n", NET + f"[softmax]\ntree={'x' * 100_000}\n"):
        with pytest.raises(CfgError) as caught:
            build_graph(parse_cfg(text))
        assert len(str(caught.value)) < 1000


def test_warnings_are_not_as_many_as_a_file_may_cause(caplog: pytest.LogCaptureFixture) -> None:
    text = NET + CONV + "".join(f"unknown{number}=1\n" for number in range(1000))
    build_graph(parse_cfg(text))
    assert len(caplog.messages) == 51 and caplog.messages[-1].endswith("and 950 more of such")


def test_a_file_without_end_is_no_cfg() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero here")
    with pytest.raises(CfgError, match="over 4 MB"):
        load_graph("/dev/zero")


@pytest.mark.parametrize("number", [10**5000, -(10**5000), 1 << 40], ids=["long", "negative", "large"])
def test_long_numbers_in_python(number: int, tmp_path: Path) -> None:
    tiny = Model(tmp_path)
    for options in ({"threads": number}, {"size": number}, {"size": (number, 32)}):
        with pytest.raises(OptionError) as caught:
            Detector(tiny.cfg, tiny.weights, **options)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 200
    graph = load_graph(tiny.cfg)
    with pytest.raises(OptionError, match="tap"):
        Network(graph, SeededWeights(graph)).run(np.zeros(tuple(graph.blob), np.float32), taps=[number])
