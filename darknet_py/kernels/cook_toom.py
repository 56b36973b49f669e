"""Cook-Toom matrices of Winograd convolutions, from exact rationals.

F(m, 3) computes m outputs of a 3-tap correlation with n = m + 2 multiplications: ``AT ((G g) * (BT d))`` (Lavin and
Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308). At stride 2 the even inputs meet two
taps, F(m, 2), and the odd ones one: n = 2 m + 1 multiplications instead of 3 m.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

__all__ = ["SCHEMES", "SCHEME_CODES", "Matrix", "Scheme"]

Matrix = tuple[tuple[float, ...], ...]
_Exact = list[list[Fraction]]


class Scheme(NamedTuple):
    """One algorithm in one dimension: `m` outputs `stride` inputs apart, and its matrices.

    Shapes: at (m, n), g (n, 3), bt (n, n), where n is both the multiplications and the inputs of a tile.
    """

    m: int
    stride: int
    at: Matrix
    g: Matrix
    bt: Matrix

    @property
    def n(self) -> int:
        return len(self.bt)


def _cook_toom(m: int, taps: int, points: list[Fraction]) -> tuple[_Exact, _Exact, _Exact]:
    """(AT, G, BT) of F(m, taps) from interpolation points besides infinity."""
    assert len(points) == m + taps - 2
    at = [[p**i for p in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    g, bt = [], []
    for j, p in enumerate(points):
        others = points[:j] + points[j + 1 :]
        scale = Fraction(1)
        for q in others:
            scale *= p - q
        g.append([p**i / scale for i in range(taps)])
        bt.append([*_polynomial(others), Fraction(0)])
    g.append([Fraction(int(i == taps - 1)) for i in range(taps)])
    bt.append(_polynomial(points))
    return at, g, bt


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients, lowest first, of the product of (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [s - root * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _floats(matrix: _Exact) -> Matrix:
    return tuple(tuple(float(value) for value in row) for row in matrix)


def _unit_stride(m: int, *points: int | Fraction) -> Scheme:
    at, g, bt = _cook_toom(m, 3, [Fraction(p) for p in points])
    return Scheme(m, 1, _floats(at), _floats(g), _floats(bt))


def _stride_two(m: int, *points: int | Fraction) -> Scheme:
    """Even inputs 0, 2, ... 2m under taps 0 and 2 by F(m, 2); odd inputs under tap 1 directly."""
    at, g, bt = _cook_toom(m, 2, [Fraction(p) for p in points])
    zero, one = Fraction(0), Fraction(1)
    joined_at = [[*row, *(one if i == j else zero for j in range(m))] for i, row in enumerate(at)]
    joined_g = [[row[0], zero, row[1]] for row in g] + [[zero, one, zero]] * m
    even = [[row[i // 2] if i % 2 == 0 else zero for i in range(2 * m + 1)] for row in bt]
    odd = [[one if i == 2 * j + 1 else zero for i in range(2 * m + 1)] for j in range(m)]
    return Scheme(m, 2, _floats(joined_at), _floats(joined_g), _floats(even + odd))


#: Points are 0 and, where the count allows, pairs of opposite ones, which lets the transforms share half their sums;
#: small numbers keep float32 accurate: measured errors on unit-variance outputs 1e-5 (F2), 9e-5 (F4), 1e-4 (F6).
SCHEMES: dict[str, Scheme] = {
    "F2": _unit_stride(2, 0, 1, -1),
    "F3": _unit_stride(3, 0, 1, -1, 2),
    "F4": _unit_stride(4, 0, 1, -1, 2, -2),
    "F6": _unit_stride(6, 0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
    "S2": _stride_two(2, 0, -1),
}

#: Number of each scheme in step tables.
SCHEME_CODES: dict[str, int] = {name: code for code, name in enumerate(SCHEMES)}
