"""The register tile by itself: every kind, height and width beside NumPy, at tails of taps and channels."""

from __future__ import annotations

from collections.abc import Sequence

import emitted
import numpy as np
import pytest
from llvmlite import ir

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.tiles.epilogue import FINISH
from darknet_py.kernels.tiles.register import BLOCKS, DERIVED, HEIGHTS, KINDS, PIXELS, Operands, emit_tile
from darknet_py.kernels.vector.formats import BFLOAT16, FLOAT32
from darknet_py.kernels.vector.lanes import Lanes

random = np.random.default_rng(7)


def rounded(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def halves(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def table_of(x: np.ndarray, taps: int, pixels: int) -> np.ndarray:
    """Addresses (taps, pixels) of pixels of x that are anything but neighbours."""
    picked = random.integers(0, len(x), (taps, pixels))
    return picked, x.ctypes.data + x.strides[0] * picked


def multiplied(kind: int, size: tuple[int, int], taps: int, channels: int, lanes: int = LANES) -> tuple:
    """What a tile gives, and what NumPy does, for inputs of `channels` values (or groups of joined ones)."""
    pixels, blocks = size
    joined = BFLOAT16.joined if kind == BFLOAT16.code else 1
    x = rounded(random.standard_normal((29, channels * joined)).astype(np.float32))
    w = rounded(random.standard_normal((taps, channels * joined, blocks, LANES)).astype(np.float32))
    bias = random.standard_normal((blocks, LANES)).astype(np.float32)
    stored_x, stored_w = x, w
    if joined > 1:
        stored_x = np.ascontiguousarray(halves(x))
        paired = halves(w).reshape(taps, channels, joined, blocks, LANES).transpose(0, 1, 3, 4, 2)
        stored_w = np.ascontiguousarray(paired)
    picked, table = table_of(stored_x, taps, pixels)
    out = np.full((pixels, blocks, LANES), np.nan, np.float32)

    def body(builder: ir.IRBuilder, a: Sequence[ir.Value]) -> None:
        zero = emitted.constant(0)
        operands = Operands(a[1], zero, a[4], a[5], a[2], a[3], a[0], zero if blocks > 1 else None, zero)
        emit_tile(Lanes(builder, lanes), kind, size, operands)

    emitted.run(body, out, table, stored_w, bias, taps, channels)
    wide = x.astype(np.float64)[picked]  # (taps, pixels, channels)
    expected = bias + np.einsum("tpc,tcbl->pbl", wide, w.astype(np.float64))
    return out, expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(height, width) for height in HEIGHTS for width in (1, BLOCKS)])
@pytest.mark.parametrize(("taps", "channels"), [(1, 1), (1, 4), (3, 7), (9, 12)])
def test_sums(kind: int, size: tuple[int, int], taps: int, channels: int) -> None:
    out, expected = multiplied(kind, size, taps, channels)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(LANES != 16, reason="half vectors are computed with AVX-512 only")
@pytest.mark.parametrize("kind", KINDS)
def test_half_a_vector(kind: int) -> None:
    out, expected = multiplied(kind, (PIXELS, 1), 2, 5, LANES // 2)
    np.testing.assert_allclose(out[..., : LANES // 2], expected[..., : LANES // 2], rtol=1e-5, atol=1e-5)
    assert not out[..., LANES // 2 :].any()


@pytest.mark.parametrize("size", [(height, width) for height in HEIGHTS for width in (1, BLOCKS)])
def test_derived_weights(size: tuple[int, int]) -> None:
    pixels, blocks = size
    channels = 6
    a, b, c = (random.standard_normal((channels, blocks, LANES)).astype(np.float32) for _ in range(3))
    weights, kept = np.stack([a, b, c]), np.zeros((channels, blocks, LANES), np.float32)
    factors = np.array([0.5, -2], np.float32)
    x = random.standard_normal((29, channels)).astype(np.float32)
    picked, table = table_of(x, 1, pixels)
    bias, out = np.zeros((blocks, LANES), np.float32), np.zeros((pixels, blocks, LANES), np.float32)

    def body(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        zero, apart = emitted.constant(0), emitted.constant(a.nbytes)
        middle = builder.add(at[2], apart)
        operands = Operands(
            at[1], zero, emitted.constant(1), emitted.constant(channels), middle, at[3], at[0],
            zero if blocks > 1 else None, zero, to_a=emitted.constant(-a.nbytes), to_c=apart, factors=at[4], kept=at[5],
        )  # fmt: skip
        emit_tile(Lanes(builder, LANES), DERIVED, size, operands)

    emitted.run(body, out, table, weights, bias, factors, kept)
    derived = 0.5 * a + b - 2 * c
    np.testing.assert_allclose(kept, derived, rtol=1e-5, atol=1e-6)
    expected = np.einsum("pc,cbl->pbl", x[picked[0]].astype(np.float64), derived.astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("leaky", [0, 1])
def test_finished_in_registers(adds: bool, leaky: int) -> None:
    """Results go where the record says, activated and added to, and `out` is not touched."""
    channels, blocks = 3, BLOCKS
    x = random.standard_normal((PIXELS, channels)).astype(np.float32)
    w = random.standard_normal((channels, blocks, LANES)).astype(np.float32)
    bias = random.standard_normal((blocks, LANES)).astype(np.float32)
    beside = random.standard_normal((PIXELS, 3 * blocks * LANES)).astype(np.float32)
    target, out = np.zeros((PIXELS, 2 * blocks * LANES), np.float32), np.full((PIXELS, blocks, LANES), 7, np.float32)
    table = x.ctypes.data + x.strides[0] * np.arange(PIXELS)
    record = np.zeros(1, FINISH)
    record["y"], record["y_pixel"], record["y_value"] = target.ctypes.data, target.strides[0], FLOAT32.value_bytes
    record["second"], record["second_pixel"] = beside.ctypes.data if adds else 0, beside.strides[0]
    record["activation"], record["last"] = leaky, LANES

    def body(builder: ir.IRBuilder, at: Sequence[ir.Value]) -> None:
        zero, one = emitted.constant(0), emitted.constant(1)
        operands = Operands(at[1], zero, one, emitted.constant(channels), at[2], at[3], at[0], zero, zero)
        emit_tile(Lanes(builder, LANES), FLOAT32.code, (PIXELS, blocks), operands._replace(finish=at[4]))

    emitted.run(body, out, table, w, bias, record)
    expected = bias + np.einsum("pc,cbl->pbl", x.astype(np.float64), w.astype(np.float64))
    expected = np.where((expected > 0) | (leaky == 0), expected, 0.1 * expected).reshape(PIXELS, -1)
    expected = expected + beside[:, : blocks * LANES] * adds
    np.testing.assert_allclose(target[:, : blocks * LANES], expected, rtol=1e-5, atol=1e-5)
    assert not target[:, blocks * LANES :].any() and (out == 7).all()
