"""The transforms of Winograd convolutions: as vector code for tiles, as a kernel for weights."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from darknet_py.kernels.jit import kernel
from darknet_py.kernels.tiles.cook_toom import Matrix
from darknet_py.kernels.vector.lanes import Lanes

__all__ = ["transform", "transform_weights"]


def _combine(v: Lanes, matrix: Matrix, values: list[ir.Value]) -> list[ir.Value]:
    """Emit matrix @ values for vectors of lanes, sharing what opposite interpolation points have in common."""
    pairs = _pairs(tuple(zip(*matrix, strict=True)))
    if pairs:
        return _combine_columns(v, matrix, values, pairs)
    pairs = _pairs(matrix)
    rows: list[ir.Value] = []
    while len(rows) < len(matrix):
        i = len(rows)
        if i in pairs:
            same = [j for j, (a, b) in enumerate(zip(matrix[i], matrix[i + 1], strict=True)) if a == b]
            even = _sum(v, [(matrix[i][j], values[j]) for j in same])
            odd = _sum(v, [(c, values[j]) for j, c in enumerate(matrix[i]) if j not in same])
            rows += [v.builder.fadd(even, odd), v.builder.fsub(even, odd)]
        else:
            rows.append(_sum(v, list(zip(matrix[i], values, strict=True))))
    return rows


def _combine_columns(v: Lanes, matrix: Matrix, values: list[ir.Value], pairs: list[int]) -> list[ir.Value]:
    """As `_combine` where columns j and j + 1 differ in signs only: their sum and difference serve every row."""
    sums = {j: v.builder.fadd(values[j], values[j + 1]) for j in pairs}
    differences = {j: v.builder.fsub(values[j], values[j + 1]) for j in pairs}
    rows = []
    for row in matrix:
        terms = [(row[j], (sums if row[j] == row[j + 1] else differences)[j]) for j in pairs]
        single = [j for j in range(len(row)) if j not in pairs and j - 1 not in pairs]
        rows.append(_sum(v, [*((row[j], values[j]) for j in single), *terms]))
    return rows


def _pairs(rows: Matrix) -> list[int]:
    """First of each two rows that follow each other and differ in signs only, not in all."""
    found: list[int] = []
    for i in range(len(rows) - 1):
        if i - 1 not in found and _mirrored(rows[i], rows[i + 1]):
            found.append(i)
    return found


def _mirrored(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    same = [x == y for x, y in zip(a, b, strict=True) if x or y]
    return any(same) and not all(same) and all(abs(x) == abs(y) for x, y in zip(a, b, strict=True))


def _sum(v: Lanes, terms: list[tuple[float, ir.Value]]) -> ir.Value:
    """The sum of coefficient * vector, terms of coefficient 1 first so that they cost no multiplication."""
    total = None
    for c, x in sorted((t for t in terms if t[0]), key=lambda t: t[0] != 1):
        if total is None:
            total = x if c == 1 else v.builder.fmul(x, v.constant(c))
        elif c == 1:
            total = v.builder.fadd(total, x)
        elif c == -1:
            total = v.builder.fsub(total, x)
        else:
            total = v.fma(x, v.constant(c), total)
    return total


def transform(v: Lanes, down: Matrix, across: Matrix, grid: list[list[ir.Value]]) -> list[list[ir.Value]]:
    """down @ grid @ across.T"""
    columns = [_combine(v, down, list(column)) for column in zip(*grid, strict=True)]
    return [_combine(v, across, list(row)) for row in zip(*columns, strict=True)]


@kernel
def transform_weights(weights, scales, first, count, g, work, out):
    """G g G^T of one block of filters, scaled: (filters, C, 3, 3) to out (elements, C, lanes), column by column.

    Parameters
    ----------
    weights : ndarray, shape (filters, C, 3, 3), float32
    scales : ndarray, shape (filters,), float64
    first, count : int
        First filter of the block and how many it has.
    g : ndarray, shape (n, 3), float64
        The matrix G.
    work : ndarray, shape (9 + 3 * n, lanes), float64
    out : ndarray, shape (n * n, C, lanes), float32
        Lanes beyond `count` become 0.
    """
    n = len(g)
    lanes = out.shape[2]
    for c in range(weights.shape[1]):
        for lane in range(lanes):
            for k in range(9):
                work[k, lane] = 0.0
        for lane in range(count):
            f = first + lane
            for k in range(9):
                work[k, lane] = weights[f, c, k // 3, k % 3] * scales[f]
        for i in range(n):
            for k in range(3):
                for lane in range(lanes):
                    value = g[i, 0] * work[k, lane] + g[i, 1] * work[3 + k, lane] + g[i, 2] * work[6 + k, lane]
                    work[9 + 3 * i + k, lane] = value
        for i in range(n):
            row = 9 + 3 * i
            for j in range(n):
                for lane in range(lanes):
                    value = g[j, 0] * work[row, lane] + g[j, 1] * work[row + 1, lane] + g[j, 2] * work[row + 2, lane]
                    out[j * n + i, c, lane] = np.float32(value)
