"""Cook-Toom matrices of Winograd convolution, from exact rationals.

F(m, 3) computes m outputs of a 3-tap correlation with n = m + 2 multiplications: ``AT ((G g) * (BT d))``
(Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308).
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

__all__ = ["Matrix", "cook_toom"]

Matrix = tuple[tuple[float, ...], ...]

_TAPS = 3

#: Interpolation points besides infinity: 0 and pairs of opposite ones, which lets the transforms share half their
#: sums. Small numbers keep float32 accurate: measured errors on unit-variance outputs 1e-5 (F2), 9e-5 (F4), 1e-4 (F6).
_POINTS = {
    2: (0, 1, -1),
    4: (0, 1, -1, 2, -2),
    6: (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
}


@cache
def cook_toom(m: int) -> tuple[Matrix, Matrix, Matrix]:
    """(AT, G, BT) of F(m, 3): shapes (m, n), (n, 3) and (n, n) with n = m + 2."""
    points = [Fraction(p) for p in _POINTS[m]]
    n = m + _TAPS - 1
    at = [[p**i for p in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    g, bt = [], []
    for j, p in enumerate(points):
        others = points[:j] + points[j + 1 :]
        scale = Fraction(1)
        for q in others:
            scale *= p - q
        g.append([p**i / scale for i in range(_TAPS)])
        bt.append(_polynomial(others) + [Fraction(0)])
    g.append([Fraction(int(i == _TAPS - 1)) for i in range(_TAPS)])
    bt.append(_polynomial(points))
    assert all(len(row) == n for row in (*at, *bt))
    return _floats(at), _floats(g), _floats(bt)


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients, lowest first, of the product of (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [s - root * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _floats(matrix: list[list[Fraction]]) -> Matrix:
    return tuple(tuple(float(value) for value in row) for row in matrix)
