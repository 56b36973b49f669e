"""Operations: that each says all there is to say, that one more works at once, and what is forgotten has a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import TinyNetwork, steps_of
from one_step import run_task

import darknet_py.kernels.ops as package
from darknet_py import DarknetError, Network
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.ops import OPERATIONS, number_of, operation_of
from darknet_py.kernels.ops.cuts import by_pixels
from darknet_py.kernels.ops.operation import Cut, OperationFault, arguments, nothing, operation
from darknet_py.kernels.ops.step import STEP, pixel_share, record_at, step_at
from darknet_py.kernels.ops.upsample import upsample
from darknet_py.kernels.vector.pointers import floats
from darknet_py.layers import Dropout, Layer
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.rules import RULES

POWER = arguments("exponent", floats=["factor"], offsets="f4")


@operation(arguments=POWER, cut=by_pixels, scratch=nothing)
def power(address, task, scratch):
    """y = factor * x ** exponent + offsets: an operation as CONTRIBUTING says to add one."""
    step = step_at(address)
    own = record_at(step.arguments, POWER)
    offsets = floats(own.offsets, step.y.c)
    first, last = pixel_share(step, task)
    for p in range(first, last):
        x = floats(step.x.at + p * step.x.pixel, step.y.c)
        y = floats(step.y.at + p * step.y.pixel, step.y.c)
        for c in range(step.y.c):
            value = np.float32(own.factor)
            for _ in range(own.exponent):
                value *= x[c]
            y[c] = value + offsets[c]


def test_every_operation_says_all() -> None:
    modules = {file.stem for file in Path(package.__file__).parent.glob("*.py")}
    assert modules - set(OPERATIONS) == {"__init__", "cuts", "operation", "step"}, "one file an operation"
    assert set(OPERATIONS) <= modules
    for number, (name, one) in enumerate(OPERATIONS.items()):
        assert one.name == name == one.py_func.__name__ and one.py_func.__module__.endswith(f".ops.{name}")
        assert number_of(one) == number and operation_of(number) is one
        step, own = np.zeros(1, STEP), np.ones(1, one.arguments)
        for place in ("x", "y"):
            step[place] = (64, 4, 4 * LANES, 16 * LANES, 0, 0, 3, 4, LANES, 0)
        cut = one.cut(step[0], own[0] if len(one.arguments) else None, 2, 1)
        assert isinstance(cut, Cut) and cut.tasks >= 1
        assert one.scratch(step[0], own[0]) >= 0 and one.beyond(step[0], own[0]) >= 0


@pytest.mark.parametrize("missing", ["arguments", "cut", "scratch"])
def test_what_a_new_operation_forgets(missing: str) -> None:
    def lacking(address: int, task: int, scratch: int) -> None:
        """Never compiled."""

    given: dict[str, Any] = {"arguments": POWER, "cut": by_pixels, "scratch": nothing}
    del given[missing]
    with pytest.raises(OperationFault, match=rf"operation lacking has no {missing}: @operation\("):
        operation(**given)(lacking)
    assert issubclass(OperationFault, DarknetError)


def lowered(folder: Path, tiny: TinyNetwork) -> tuple[Lowering, Layer]:
    network = Network(*tiny.write(folder))
    return Lowering(network.graph, network.plan.weights, ()), network.graph.layers[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": None}, "was given no scale; its arguments are stride, sums, scale"),
        ({"stirde": 2}, "was given an unknown stirde; its arguments are stride, sums, scale"),
        ({"stirde": 2, "stride": None}, "was given no stride, but an unknown stirde; its arguments are"),
        ({"stride": 1.5}, r"was given stride=1.5: expected a number \(int64\)"),
        ({"stride": np.ones(3)}, r"was given stride=.*: expected a number \(int64\)"),
        ({"sums": "yes"}, r"was given sums='yes': expected a number"),
    ],
)
def test_what_a_step_forgets_or_misspells(folder: Path, changes: dict[str, Any], message: str) -> None:
    tiny = TinyNetwork((3, 4, 5))
    tiny.add("upsample", {"stride": 2})
    lower, layer = lowered(folder, tiny)
    own = {"stride": 2, "sums": 0, "scale": 1.0} | changes
    own = {name: value for name, value in own.items() if value is not None}
    with pytest.raises(OperationFault, match=rf"line \d+.*: upsample {message}|:\d+.*: upsample {message}"):
        lower.emit(upsample, layer, lower.view(-1), lower.target(0), **own)
    assert not lower.steps


def test_arrays_are_of_the_type_that_the_kernel_reads() -> None:
    """A table of doubles, or of whole numbers that float32 does not hold, is not read as floats."""
    for values in (np.ones(3), np.array([2**24 + 1]), [1.0], 3):
        with pytest.raises(OperationFault, match=r"layer 7: power was given offsets=.*expected an array of float32"):
            POWER_ARGUMENTS(offsets=values)
    with pytest.raises(OperationFault, match=r"exponent=.*: expected a number"):
        POWER_ARGUMENTS(exponent=2.5)


def POWER_ARGUMENTS(**changes: Any) -> Any:
    return power.encode("layer 7", {"exponent": 1, "factor": 1, "offsets": np.zeros(1, np.float32)} | changes)


def test_an_operation_of_ones_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file above, a row in the table, and a rule that emits it: nothing else."""

    def rule(lower: Lowering, layer: Dropout) -> None:
        offsets = np.arange(layer.shape.c, dtype=np.float32)
        x, y = lower.view(layer.inputs[0]), lower.temporary(layer.shape)
        lower.emit(power, layer, x, y, exponent=3, factor=0.5, offsets=offsets)
        lower.emit(copy, layer, y, x)

    copy = OPERATIONS["copy"]
    tiny = TinyNetwork((5, 20, 12))
    tiny.add("maxpool", {"size": 1, "stride": 1})
    tiny.add("dropout")
    files = tiny.write(folder)
    monkeypatch.setitem(RULES, Dropout, rule)
    with pytest.raises(OperationFault, match=r"\[dropout\].*: power is not in the table of operations, OPERATIONS"):
        Network(*files)
    monkeypatch.setitem(OPERATIONS, "power", power)
    network = Network(*files, threads=2)
    assert len(steps_of(network.plan, "power")) == 1
    expected = 0.5 * tiny.blob.astype(np.float64) ** 3 + np.arange(5)[:, None, None]
    np.testing.assert_allclose(network.run(tiny.blob)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pixels", [(1, 1), (3, 7), (40, 60)])
def test_tasks_cover_every_pixel_once(pixels: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal((*pixels, 3)).astype(np.float32)
    y = np.full_like(x, np.nan)
    run_task(power, x, y, exponent=2, factor=1.0, offsets=np.zeros(3, np.float32))
    np.testing.assert_array_equal(y, x * x)
