"""Positions and offsets beyond 2**24, which float32 rounds, and beyond 2**31 bytes, which 32 bits do not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from one_step import run_task

from darknet_py import Network
from darknet_py.graph import load_graph
from darknet_py.kernels.ops.operation import Operation
from darknet_py.kernels.ops.region import region
from darknet_py.kernels.ops.softmax import GROUP, softmax
from darknet_py.pictures.resizing import _column_taps, _row_taps
from darknet_py.weights import SeededWeights

#: The first whole number that float32 does not hold.
FIRST = 2**24 + 1


@pytest.mark.parametrize("operation", [softmax, region])
def test_groups_that_begin_at_an_odd_place(operation: Operation) -> None:
    values = np.array([9, 1, 2, 3, 9], np.float32)
    x, y = np.zeros((2, 1, 1, FIRST + 4), np.float32)  # of which the last page alone is ever touched
    x[0, 0, -5:] = values
    own = {"groups": np.array([(FIRST, 3)], GROUP), "count": 1, "temperature": 1.0, "entries": FIRST + 4}
    scratch = np.zeros(FIRST + 20, np.float32)
    run_task(operation, x, y, scratch=scratch, **{name: own[name] for name in operation.arguments.names or ()})
    expected = np.exp(values[1:4]) / np.exp(values[1:4]).sum()
    found = y[0, 0]
    np.testing.assert_allclose(found[FIRST : FIRST + 3], expected, rtol=1e-6)
    assert found[FIRST - 1] == found[FIRST + 3] == (0 if operation is softmax else 9)


@example(10453036, 320)
@example(FIRST, 7)
@given(st.integers(1, 2**30), st.integers(1, 2000))
def test_resizing_looks_at_rows_and_columns_that_there_are(length: int, new_length: int) -> None:
    index, near, far = _row_taps(length, new_length, np.arange(new_length))
    assert index.min() >= 0 and (index + (far != 0)).max() < length
    assert (near >= 0).all() and (far >= 0).all() and ((near + far)[:-1] == 1).all()
    left, right, _, _ = _column_taps(length, new_length, np.arange(new_length), 3)
    assert left.min() >= 0 and max(left.max(), right.max()) <= 3 * (length - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "section", ["", "[convolutional]\nfilters=1\nsize=3\npad=1\nactivation=linear\n", "[maxpool]\nsize=3\nstride=1\n"]
)
def test_maps_beyond_two_gigabytes(folder: Path, section: str) -> None:
    """16400 x 32800 floats are 2.15e9 bytes: an int32 that counts those of the last rows is negative."""
    if _free_gigabytes() < 12:
        pytest.skip(f"needs 12 GB of memory, {_free_gigabytes()} are free")
    blob = np.zeros((1, 8200, 16400), np.float32)
    blob[0, -3:, -50:] = np.random.default_rng(0).random((3, 50))
    section = f"[upsample]\nstride=2\n{section}"
    found = _run(folder, section, blob)[0, -6:, -30:]
    expected = _run(folder, section, blob[:, -16:, -64:])[0, -6:, -30:]  # of the last rows alone
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


def _run(folder: Path, section: str, blob: np.ndarray) -> np.ndarray:
    _, height, width = blob.shape
    cfg = folder / f"{height}x{width}.cfg"
    cfg.write_text(f"[net]\nwidth={width}\nheight={height}\nchannels=1\n{section}")
    graph = load_graph(cfg)
    return Network(graph, SeededWeights(graph), threads=2).run(blob)[0]


def _free_gigabytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) >> 20
