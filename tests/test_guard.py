"""The debug mode: bands around memory, NaN in what nobody wrote, checked records, errors that name the step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from networks import TinyNetwork, blobs_of, check, eager_chains, residual

from darknet_py import Network, OptionError, tuning
from darknet_py.kernels.execute import SCRATCH_HEADER
from darknet_py.kernels.jit import LANES, MATRIX_TILES
from darknet_py.kernels.ops import OPERATIONS, operation_of
from darknet_py.plan.guard import run_guarded
from darknet_py.plan.layout import check_records
from darknet_py.plan.memory import BAND, MemoryFault, aligned, damage
from darknet_py.plan.state import State
from darknet_py.threads import execute


@pytest.fixture(params=["1", "large"], autouse=True)
def guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DARKNET_PY_GUARD", request.param)
    return str(request.param)


@pytest.fixture
def state(folder: Path) -> State:
    tiny = residual()
    state = Network(*tiny.write(folder), threads=2).acquire()
    state.blob[...] = tiny.blob.transpose(1, 2, 0)
    return state


def run(state: State, after: Callable[[State], None] = lambda part: None) -> None:
    """Run `state`, with something that happens during each of its steps."""
    assert state.plan.layout is not None

    def one(part: State) -> None:
        execute(part)
        after(part)

    run_guarded(state, state.plan.layout, one)


def name_of(part: State) -> str:
    return operation_of(part.steps[0]["operation"]).name


def test_networks_are_as_ever(folder: Path) -> None:
    check(residual(), folder, [[2], [0, 5]])
    with eager_chains():
        check(residual(), folder)
    tiny = residual()
    blobs = blobs_of(tiny, 3)
    network = Network(*tiny.write(folder), threads=2)
    together = network.run(blobs)[0]
    for blob, found in zip(blobs, together, strict=True):
        np.testing.assert_array_equal(found, network.run(blob)[0])


@pytest.mark.parametrize("pinned", ["F4,S2", "F6-lean,S4-lean", "F2"])
def test_winograd_is_as_ever(folder: Path, pinned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_CONVOLUTION", pinned)
    monkeypatch.setattr(tuning, "_SMALLEST_BFLOPS", 0)
    tiny = TinyNetwork((24, 33, 41))
    tiny.add("convolutional", {"filters": 40, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 70, "size": 3, "stride": 2, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 40, "size": 3, "pad": 1, "activation": "leaky"})
    network = Network(*tiny.write(folder), threads=2)
    assert len(network.algorithms) >= 2
    np.testing.assert_allclose(network.run(tiny.blob)[0], tiny.outputs[-1], atol=1e-4 * np.abs(tiny.outputs[-1]).max())


def test_bfloat16_is_as_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = TinyNetwork((3, 25, 31))
    tiny.add("convolutional", {"filters": 24, "size": 3, "stride": 2, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 24, "groups": 24, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 24, "size": 3, "pad": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("maxpool", {"size": 3, "stride": 1})
    tiny.add("route", {"layers": "-1,-3"})
    tiny.add("convolutional", {"filters": 14, "size": 5, "pad": 1, "activation": "linear"})
    guarded = Network(*tiny.write(folder), threads=2, precision="bfloat16").run(tiny.blob)[0]
    monkeypatch.delenv("DARKNET_PY_GUARD")
    plain = Network(*tiny.write(folder), threads=2, precision="bfloat16").run(tiny.blob)[0]
    np.testing.assert_array_equal(guarded, plain)
    assert MATRIX_TILES or np.abs(plain).max() > 0


@pytest.mark.parametrize("where", ["before", "behind"])
def test_what_a_step_writes_beside_a_buffer(state: State, where: str) -> None:
    layout = state.plan.layout
    assert layout is not None

    def spill(part: State) -> None:
        if name_of(part) == "convolve" and part.steps[0]["layer"] == 3:
            target = int(part.steps[0]["y"]["at"] - state.arena.ctypes.data)
            life = next(life for life in layout.lives if life.begin <= target < life.begin + life.extent)
            words = life.words()
            state.arena[words.start - 3 if where == "before" else words.stop + 5] = 0

    with pytest.raises(MemoryFault) as caught:
        run(state, spill)
    found = {"before": "1 floats before it, from 3 on", "behind": "1 floats behind it, up to 6"}[where]
    assert "(convolve, image 0) of " in str(caught.value) and "[maxpool] (layer 3) wrote beside" in str(caught.value)
    assert f"{found}: this is a fault of darknet-py, please report it" in str(caught.value)


def test_a_step_that_writes_one_row_too_many(state: State) -> None:
    rows = np.flatnonzero(state.steps["operation"] == list(OPERATIONS).index("average_image"))
    state.steps["y"]["c"][rows] += 2
    with pytest.raises(
        MemoryFault, match=r"average_image, image 0\) of .* wrote beside .*: 2 floats behind it, up to 2"
    ):
        run(state)


def test_what_a_step_writes_beside_scratch(state: State) -> None:
    """Each operation says how many bytes it needs: more are too many, however many another one needs."""
    scratch = state.scratch.view(np.uint32).reshape(2, -1)
    for thread in range(2):
        found = []

        def spill(part: State, thread: int = thread, found: list[int] = found) -> None:
            if name_of(part) == "multiply":
                found.append(4 * (int(part.steps[0]["y"]["c"]) + LANES))
                scratch[thread, (SCRATCH_HEADER + found[0]) // 4] = 0

        with pytest.raises(MemoryFault) as caught:
            run(state, spill)
        behind = f"wrote behind the {found[0]} bytes of scratch of its operation, thread {thread}: 1 floats behind it"
        assert "(multiply, image 0) of " in str(caught.value) and behind in str(caught.value)
    run(state)


def test_what_a_run_writes_beside_weights(state: State) -> None:
    weights = state.plan.weights.packed[0].owners[0]
    assert not damage(weights)
    beside = weights.base
    assert isinstance(beside, np.ndarray)
    beside[-1] ^= 1
    with pytest.raises(MemoryFault, match=r"wrote beside a table or weights, .* bytes: 1 floats behind it"):
        run(state)
    beside[-1] ^= 1
    run(state)


def test_memory_that_nobody_wrote_is_read_as_nan(state: State, guard: str) -> None:
    """So is what a step reads after its life, or before it was written."""
    seen = {}

    def look(part: State) -> None:
        if name_of(part) == "convolve" and part.steps[0]["layer"] == 8:
            seen.update({name: int(part.steps[0][name]["at"] - state.arena.ctypes.data) // 4 for name in "xy"})
            assert np.isfinite(state.arena[[seen["x"], seen["y"]]]).all() and np.abs(state.arena[seen["y"]]) < 100

    layout = state.plan.layout
    assert layout is not None
    fresh = state.arena.view(np.uint32)
    inputs = next(life for life in layout.lives if life.is_filled)
    words = inputs.words()
    assert (fresh[: words.start] == layout.bits).all() and (fresh[words.stop :] == layout.bits).all()
    run(state, look)
    value, halves = state.arena[seen["x"]], fresh[seen["x"] :][:1].view(np.uint16).astype(np.uint32) << 16
    if guard == "1":
        assert np.isnan(value) and np.isnan(halves.view(np.float32)).all()
        assert not fresh[seen["x"]] & 1 << 22  # signalling
    else:
        assert value > 3e38 and (halves.view(np.float32) > 3e38).all()


def test_records_are_checked(state: State) -> None:
    layout = state.plan.layout
    assert layout is not None
    check_records(state.plan.table, layout)
    row = np.flatnonzero(state.plan.table["operation"] == list(OPERATIONS).index("yolo"))[0]
    changes = [("x", "at", -4), ("y", "at", 4), ("y", "row", 4), ("x", "pixel", 64), ("y", "h", 1), ("y", "c", 900),
               ("second", "pixel", 4)]  # fmt: skip
    for place, field, change in changes:
        table = state.plan.table.copy()
        table[place][field][row] += change
        with pytest.raises(MemoryFault, match=r"step \d+ \(yolo, image 0\) of .*, bytes .* is no buffer in use"):
            check_records(table, layout)


def test_what_the_variable_may_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = residual().write(folder)
    for value in ("", "0"):
        monkeypatch.setenv("DARKNET_PY_GUARD", value)
        assert Network(*files).plan.layout is None
    monkeypatch.setenv("DARKNET_PY_GUARD", "yes")
    with pytest.raises(OptionError, match=r"DARKNET_PY_GUARD='yes': expected 0, 1 or large \(unset it"):
        Network(*files)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
@pytest.mark.parametrize("count", [1, 15, 1000])
def test_bands_around_arrays(dtype: type, count: int) -> None:
    array = aligned(count, dtype)
    assert array.size == count and array.dtype == dtype and not array.any() and array.ctypes.data % 64 == 0
    array[:] = 1
    assert not damage(array)
    raw = array.base
    assert isinstance(raw, np.ndarray)
    raw[[0, BAND // 4 - 1]] = 0
    assert damage(array).startswith("2 floats before it, from ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"DARKNET_PY_LANES": "16", "DARKNET_PY_AMX": "emulated"},
        {"DARKNET_PY_LANES": "8"},
        {"DARKNET_PY_LANES": "4"},
    ],
    ids=lambda kind: " ".join(kind.values()) or "this machine",
)
def test_the_suite_in_this_mode(kind: dict[str, str], tmp_path: Path) -> None:
    """All that runs networks; of the golden cases those of the default suite."""
    names = (
        "algorithms batch bfloat16 chains crowd decode depthwise detector_options fusion golden infinities layers "
        "matrix models network nms normalized_mish odd_anchors older_layers opencv_outputs real_models resizing "
        "shipped_cfgs strips taps threads tiles"
    )
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in names.split()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files],
        env=os.environ | kind, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]


def test_memory_of_before_the_kind_of_guard_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a table that a module made when it was imported."""
    monkeypatch.setenv("DARKNET_PY_GUARD", "1")
    table = aligned(5)
    monkeypatch.setenv("DARKNET_PY_GUARD", "large")
    assert damage(table) == ""
    np.lib.stride_tricks.as_strided(table, (6,))[5] = 1.0
    assert damage(table) == "1 floats behind it, up to 1"
