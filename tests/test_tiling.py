"""How Winograd maps are cut into tiles, register tiles, bands and parts: everything once, whatever the threads."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from networks import TinyNetwork, arguments_of, steps_of

from darknet_py import Network
from darknet_py.kernels.execute import CONTROL_HEADER, CONTROL_LINE
from darknet_py.kernels.ops.cuts import slices
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS, TILES, Derived
from darknet_py.kernels.tiles.register import HEIGHTS
from darknet_py.plan.rules import winograd


@pytest.mark.parametrize("name", ALGORITHMS)
@given(height=st.integers(1, 70), width=st.integers(1, 70), images=st.integers(1, 3))
def test_tiles_cover_every_output_once(name: str, height: int, width: int, images: int) -> None:
    seen = np.zeros((images, height, width), int)
    for code, image, y, x in winograd._cover(ALGORITHMS[name], height, width, images):
        assert 0 <= y < height and 0 <= x < width
        seen[image, y : y + TILES[code].down.m, x : x + TILES[code].across.m] += 1
    assert (seen == 1).all()


@given(length=st.integers(1, 200))
def test_two_sizes_never_multiply_more_than_one(length: int) -> None:
    for algorithm in ALGORITHMS.values():
        scheme, smaller, _ = algorithm
        starts = winograd._starts(length, scheme, smaller)
        products = sum(smaller.n if small else scheme.n for _, small in starts)
        assert products <= -(-length // scheme.m) * scheme.n
        assert products <= -(-length // smaller.m) * smaller.n


def test_thirteen_takes_21_multiplications() -> None:
    f4 = ALGORITHMS["F4"]
    sizes = [f4.smaller.m if small else f4.scheme.m for _, small in winograd._starts(13, f4.scheme, f4.smaller)]
    assert sizes == [4, 3, 3, 3]


@given(count=st.integers(0, 700))
@example(count=9)  # one tile of 13, not 8 and 4: a tile costs as much as a row
def test_register_tiles_cover_all_rows(count: int) -> None:
    tiles = winograd._register_tiles(5, count)
    assert [first for first, _ in tiles] == list(5 + np.cumsum([0, *(height for _, height in tiles[:-1])]))[
        : len(tiles)
    ]
    rows = sum(height for _, height in tiles)
    assert count <= rows <= count + min(HEIGHTS)
    assert rows + len(tiles) <= count + min(HEIGHTS) + -(-count // min(HEIGHTS))
    assert all(height in HEIGHTS for _, height in tiles)


@pytest.mark.parametrize("name", ALGORITHMS)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_tiles_that_have_an_element_follow_each_other(name: str, height: int, width: int) -> None:
    algorithm = ALGORITHMS[name]
    tiles = winograd._cover(algorithm, height, width, 1)
    ordered, ranges = winograd._sort(algorithm, tiles)
    assert sorted(map(tuple, ordered)) == sorted(map(tuple, tiles))
    n, in_all = algorithm.scheme.n, set(algorithm.places)
    for element in range(n * n):
        j, i = divmod(element, n)
        first, count = ranges[2 * (i not in in_all) + (j not in in_all)]
        having = [row for row, tile in enumerate(ordered) if any(element in line for line in TILES[tile[0]].places)]
        assert having == list(range(first, first + count))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_rows_say_what_the_matrix_says(name: str) -> None:
    for row, values in zip(ALGORITHMS[name].scheme.rows, ALGORITHMS[name].scheme.g, strict=True):
        expected = [Fraction(0)] * 3
        if isinstance(row, Derived):
            for factor, tap in ((row.alpha, row.a), (1, row.b), (row.gamma, row.c)):
                expected[tap] += Fraction(factor)
        else:
            expected[row] = Fraction(1)
        assert [float(value) for value in expected] == list(values)


@given(
    threads=st.integers(1, 24), tiles=st.integers(0, 400), blocks=st.integers(1, 64),
    weights=st.integers(1, 1 << 26), values=st.integers(1, 1 << 26),
)  # fmt: skip
def test_slices_fit(threads: int, tiles: int, blocks: int, weights: int, values: int) -> None:
    parts, filter_parts = slices(threads, tiles, blocks, weights, values)
    assert 1 <= parts <= max(1, tiles) and 1 <= filter_parts <= blocks
    assert parts * filter_parts <= threads


def test_what_is_read_less_is_shared() -> None:
    assert slices(2, 100, 32, weight_bytes=1 << 20, value_bytes=8 << 20) == (2, 1)
    assert slices(2, 100, 32, weight_bytes=8 << 20, value_bytes=1 << 20) == (1, 2)
    assert slices(4, 1, 2, weight_bytes=1, value_bytes=1) == (1, 2)


def deep() -> TinyNetwork:
    """Layers that are shared by parts of the image, by filters, in several bands, and image by image."""
    tiny = TinyNetwork((24, 45, 61), seed=7)
    tiny.add("convolutional", {"filters": 40, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 72, "size": 3, "pad": 1, "stride": 2, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 72, "size": 1, "activation": "leaky"})
    tiny.add("shortcut", {"from": -2, "activation": "linear"})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("convolutional", {"filters": 200, "size": 3, "pad": 1, "activation": "mish"})
    tiny.add("convolutional", {"filters": 48, "size": 1, "activation": "linear"})
    return tiny


@pytest.mark.parametrize("names", ["direct", "F4,S4", "F6-lean,S4-lean"])
def test_shares_do_not_change_a_bit(folder: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("DARKNET_PY_CONVOLUTION", names)
    monkeypatch.setattr(winograd, "_PRODUCT_BYTES", 64 << 10)  # several bands
    tiny = deep()
    files = tiny.write(folder)
    blobs = np.random.default_rng(3).standard_normal((3, *tiny.blob.shape), np.float32)
    expected = Network(*files, threads=1).run(blobs)[0]
    ways = set()
    for threads in (2, 3, 4, 6):
        network = Network(*files, threads=threads)
        for blob, alone in zip(blobs, expected, strict=True):
            np.testing.assert_array_equal(network.run(blob)[0], alone)
        np.testing.assert_array_equal(network.run(blobs)[0], expected)
        steps = steps_of(network.plan, "winograd_filters")
        parts, blocks = steps["parts"], np.array(arguments_of(network.plan, steps, "n_blocks"), int)
        assert (steps["tasks"] == parts * blocks).all()
        ways |= {(bool(count > 1), bool(count == 1 and many > 1)) for count, many in zip(parts, blocks, strict=True)}
        assert names == "direct" or len(steps) > 3, "one band each"
    assert names == "direct" or {(True, False), (False, True)} <= ways


def test_every_share_is_claimed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKNET_PY_GUARD", raising=False)  # which runs steps one by one, and counts each anew
    network = Network(*deep().write(folder), threads=3)
    state = network.acquire()
    network.forward(state)
    counters = state.control[CONTROL_HEADER:].reshape(-1, 4, CONTROL_LINE)[:, :, 0]
    np.testing.assert_array_equal(counters[:, 0], state.steps["tasks"])
    assert (counters[:, 1:].sum(axis=1) >= counters[:, 0]).all()
