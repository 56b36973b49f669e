"""Every operation of `Lanes` beside NumPy, at every width, for ordinary and odd values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import emitted
import numpy as np
import pytest
from llvmlite import ir
from numpy.typing import NDArray

from darknet_py.kernels.jit import HAS_AVX512, HAS_BFLOAT16, LANES
from darknet_py.kernels.vector.lanes import I32, I64, Lanes, emit_cases

Floats = NDArray[np.float32]
ODD = [0.0, -0.0, 1.0, -1.5, 87.0, -87.0, 1e-30, 3e38, np.inf, -np.inf, np.nan, 0.5, 2.5, -2.5, 20.0, 1e-3]
WIDTHS = sorted({4, 8, 16, LANES})


def values_of(lanes: int, count: int = 3) -> list[Floats]:
    random = np.random.default_rng(lanes)
    return [np.resize(ODD, lanes).astype(np.float32)] + [
        random.standard_normal(lanes).astype(np.float32) for _ in range(count - 1)
    ]


def computed(emit: Callable[..., ir.Value], lanes: int, *inputs: Floats) -> Floats:
    """What `emit` makes of vectors."""
    out = np.zeros(lanes, np.float32)

    def body(builder: ir.IRBuilder, addresses: Sequence[ir.Value]) -> None:
        v = Lanes(builder, lanes)
        v.store(emit(v, *map(v.load, addresses[1:])), addresses[0])

    emitted.run(body, out, *inputs)
    return out


def wide(x: Floats) -> NDArray[np.float64]:
    return x.astype(np.float64)


def upper(x: Floats) -> Floats:
    """Rounded to bfloat16: to nearest, ties to even."""
    bits = x.view(np.uint32)
    up = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), np.float32(np.nan), up.view(np.float32))


#: Name → (what is emitted, NumPy's twin in double precision, tolerance).
TWINS: dict[str, tuple[Callable[..., ir.Value], Callable[..., Any], float]] = {
    "constant": (lambda v, x: v.constant(1.25), lambda x: np.full_like(x, 1.25), 0),
    "fma": (Lanes.fma, lambda x, y, z: x * y + z, 1e-6),
    "select": (lambda v, x, y: v.select(">", x, y, x, y), lambda x, y: np.where(x > y, x, y), 0),
    "exp": (Lanes.exp, lambda x: np.exp(np.clip(x, np.float32(-87.3), np.float32(88.3))), 3e-7),
    "exp_of_activation": (
        lambda v, x: v.exp_of_activation(v.clip(x, -20, 20)), lambda x: np.exp(np.clip(x, -20, 20)), 3e-6,
    ),
    "clip": (lambda v, x: v.clip(x, -1.0, 2.0), lambda x: np.clip(x, -1, 2), 0),
    "logistic": (lambda v, x: v.logistic(x), lambda x: 1 / (1 + np.exp(-np.clip(x, -80, 80))), 1e-5),
    "tanh": (Lanes.tanh, np.tanh, 3e-7),
    "floor": (Lanes.floor, np.floor, 0),
}  # fmt: skip


@pytest.mark.parametrize("lanes", WIDTHS)
@pytest.mark.parametrize("name", TWINS)
def test_arithmetic(name: str, lanes: int) -> None:
    emit, twin, tolerance = TWINS[name]
    count = emit.__code__.co_argcount - 1
    inputs = values_of(lanes)[:count]
    found = computed(emit, lanes, *inputs)
    with np.errstate(all="ignore"):
        expected = twin(*map(wide, inputs)).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance if name == "tanh" else 0)
    if name != "constant":
        ordered = twin is not TWINS["select"][1]
        assert not ordered or np.isnan(found[np.isnan(inputs[0])]).all(), "NaN stays NaN"


@pytest.mark.parametrize("lanes", WIDTHS)
def test_loading_and_storing_parts(lanes: int) -> None:
    x = values_of(lanes)[1]
    for count in range(lanes + 1):
        out = np.full(lanes + 1, 7, np.float32)
        emitted.run(lambda b, a: Lanes(b, lanes).store_first(Lanes(b, lanes).load(a[1]), a[0], a[2]), out, x, count)
        np.testing.assert_array_equal(out[:count], x[:count])
        assert (out[count:] == 7).all()
    out = np.zeros(lanes, np.float32)
    emitted.run(lambda b, a: Lanes(b, lanes).store(Lanes(b, lanes).broadcast(a[1]), a[0]), out, x)
    assert (out == x[0]).all()
    emitted.run(lambda b, a: Lanes(b, lanes).prefetch(a[0]), 8)  # never faults
    emitted.run(lambda b, a: Lanes(b, lanes).store(Lanes(b, lanes).load(Lanes(b, lanes).opaque(a[1])), a[0]), out, x)
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize("lanes", [LANES])
def test_bfloat16(lanes: int) -> None:
    for x in values_of(lanes):
        x = np.where(np.abs(x) < 1e-20, np.float32(0), x)  # the instruction takes denormals for zero
        halves = np.full(2 * lanes + 1, 7, np.uint16)
        emitted.run(lambda b, a: Lanes(b, lanes).store_bfloat16(Lanes(b, lanes).load(a[1]), a[0]), halves, x)
        stored = (halves[:lanes].astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_array_equal(stored, upper(x))
        assert (halves[lanes:] == 7).all()
        back = np.zeros(lanes, np.float32)
        emitted.run(lambda b, a: Lanes(b, lanes).store(Lanes(b, lanes).load_bfloat16(a[1]), a[0]), back, halves)
        np.testing.assert_array_equal(back, stored)
        part = np.full(lanes, 7, np.uint16)

        def store_part(b: ir.IRBuilder, a: Sequence[ir.Value]) -> None:
            Lanes(b, lanes).store_bfloat16(Lanes(b, lanes).load(a[1]), a[0], a[2])

        emitted.run(store_part, part, x, lanes - 1)
        np.testing.assert_array_equal(part[:-1], halves[: lanes - 1])
        assert part[-1] == 7
        if HAS_BFLOAT16 or lanes < 16:
            twice = np.zeros(2 * lanes, np.uint16)

            def store_twice(b: ir.IRBuilder, a: Sequence[ir.Value]) -> None:
                v = Lanes(b, lanes)
                v.store_bfloat16_twice(v.load(a[1]), v.load(a[1]), a[0])

            emitted.run(store_twice, twice, x)
            np.testing.assert_array_equal(twice, np.tile(halves[:lanes], 2))


def test_pairs() -> None:
    random = np.random.default_rng(5)
    a, b = upper(random.standard_normal((2, 2 * LANES)).astype(np.float32))
    c = random.standard_normal(LANES).astype(np.float32)
    pairs = [((x.view(np.uint32) >> 16).astype(np.uint16)).view(np.uint32) for x in (a, b)]
    out = np.zeros(LANES, np.float32)

    def add(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        v = Lanes(builder, LANES)
        v.store(v.add_pairs(v.load_pairs(at[1]), v.load_pairs(at[2]), v.load(at[3])), at[0])

    emitted.run(add, out, *pairs, c)
    expected = wide(c) + (wide(a) * wide(b)).reshape(-1, 2).sum(axis=1)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)

    def larger(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        v = Lanes(builder, LANES)
        v.store(v.larger_pairs(v.load(at[1]), v.load(at[2])), at[0])

    emitted.run(larger, out, *pairs)
    found = (out.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(found, np.maximum(a, b))

    def first(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        v = Lanes(builder, LANES)
        v.store(builder.bitcast(v.broadcast_pair(at[1]), v.type), at[0])

    emitted.run(first, out, pairs[0])
    assert (out.view(np.uint32) == pairs[0][0]).all()


@pytest.mark.skipif(not HAS_AVX512, reason="an instruction of AVX-512")
def test_pick() -> None:
    a, b = np.arange(32, dtype=np.float32).reshape(2, 16)
    order = np.random.default_rng(1).permutation(32)[:16].astype(np.int32)
    out = np.zeros(16, np.float32)

    def pick(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        v = Lanes(builder, 16)
        lanes = builder.load(builder.inttoptr(at[3], ir.VectorType(I32, 16).as_pointer()))
        lanes.align = 4
        v.store(v.pick(v.load(at[1]), v.load(at[2]), lanes), at[0])

    emitted.run(pick, out, a, b, order)
    np.testing.assert_array_equal(out, order)


@pytest.mark.parametrize("code", [0, 3, 4])
def test_cases(code: int) -> None:
    out = np.zeros(1, np.int64)

    def body(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        def store(number: int) -> None:
            builder.store(emitted.constant(number), builder.inttoptr(at[0], I64.as_pointer()))

        emit_cases(builder, at[1], {0: lambda: store(10), 3: lambda: store(13)})

    emitted.run(body, out, code)
    assert out[0] == {0: 10, 3: 13}.get(code, 0)
