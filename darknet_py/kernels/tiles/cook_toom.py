"""Cook-Toom matrices of Winograd convolutions, from exact rationals.

F(m, 3) computes m outputs of a 3-tap correlation with n = m + 2 multiplications: ``AT ((G g) * (BT d))`` (Lavin and
Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308). At stride 2 the even inputs meet two
taps, F(m, 2), and the odd ones one: n = 2 m + 1 multiplications instead of 3 m.

A scheme with fewer points multiplies with weights that are among those of one with more. So tiles of both sizes can
cover one map with nothing left over: 13 = 4 + 3 + 3 + 3 takes 21 multiplications a row where tiles of 4 take 24 and
tiles of 3 take 25.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

__all__ = ["ALGORITHMS", "TILES", "Algorithm", "Derived", "Matrix", "Scheme", "TileKind"]

Matrix = tuple[tuple[float, ...], ...]
_Exact = list[list[Fraction]]


class Derived(NamedTuple):
    """A row of G as a combination of taps: alpha * tap a + tap b + gamma * tap c."""

    alpha: float
    a: int
    b: int
    gamma: float
    c: int


class Scheme(NamedTuple):
    """One algorithm in one dimension: `m` outputs `stride` inputs apart, and its matrices.

    Shapes: at (m, n), g (n, 3), bt (n, n), where n is both the multiplications and the inputs of a tile. `rows` says
    the same as `g`: which of the three taps a row is, or how it follows from them.
    """

    m: int
    stride: int
    at: Matrix
    g: Matrix
    bt: Matrix
    rows: tuple[int | Derived, ...]

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
    # A row of G may be scaled if the row of BT is scaled back: g0 for point 0, g2 for infinity and otherwise
    # g0 / p + g1 + p g2, whatever other points there are.
    _scale(g, bt, 0, 1 / g[0][0])
    for j in range(1, len(points)):
        _scale(g, bt, j, 1 / g[j][1])
    combined = [Derived(float(1 / Fraction(p)), 0, 1, float(p), 2) for p in points[1:]]
    return _taps_first(m, 1, at, g, bt, [0, *combined, 2])


def _taps_first(m: int, stride: int, at: _Exact, g: _Exact, bt: _Exact, rows: list[int | Derived]) -> Scheme:
    """The scheme with multiplications by taps before those by combinations, which are made of them."""
    order = sorted(range(len(rows)), key=lambda k: isinstance(rows[k], Derived))
    at = [[row[k] for k in order] for row in at]
    g, bt = ([matrix[k] for k in order] for matrix in (g, bt))
    return Scheme(m, stride, _floats(at), _floats(g), _floats(bt), tuple(rows[k] for k in order))


def _scale(g: _Exact, bt: _Exact, row: int, factor: Fraction) -> None:
    g[row] = [value * factor for value in g[row]]
    bt[row] = [value / factor for value in bt[row]]


def _stride_two(m: int, *points: int) -> Scheme:
    """Even inputs under taps 0 and 2 by F(m, 2), odd ones under tap 1 directly."""
    at, g, bt = _cook_toom(m, 2, [Fraction(p) for p in points])
    for j in range(len(points)):
        _scale(g, bt, j, 1 / g[j][0])
    even_rows = [Derived(0.0, 0, 0, float(p), 2) if p else 0 for p in points]
    zero, one = Fraction(0), Fraction(1)
    joined_at = [[*row, *(one if i == j else zero for j in range(m))] for i, row in enumerate(at)]
    joined_g = [[row[0], zero, row[1]] for row in g] + [[zero, one, zero]] * m
    even = [[row[i // 2] if i % 2 == 0 else zero for i in range(2 * m + 1)] for row in bt]
    odd = [[one if i == 2 * j + 1 else zero for i in range(2 * m + 1)] for j in range(m)]
    return _taps_first(m, 2, joined_at, joined_g, even + odd, [*even_rows, 2, *([1] * m)])


#: Points are 0 and, where the count allows, pairs of opposite ones, which lets the transforms share half their sums;
#: small numbers keep float32 accurate: measured errors on unit-variance outputs 1e-5 (F2), 9e-5 (F4), 1e-4 (F6).
_SCHEMES: dict[str, Scheme] = {
    "F2": _unit_stride(2, 0, 1, -1),
    "F3": _unit_stride(3, 0, 1, -1, 2),  # for tiles beside those of F4
    "F4": _unit_stride(4, 0, 1, -1, 2, -2),
    "F6": _unit_stride(6, 0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
    "S2": _stride_two(2, 0, -1),
    "S3": _stride_two(3, 0, 1, -1),  # beside S4
    "S4": _stride_two(4, 0, 1, -1, 2),
}


class Algorithm(NamedTuple):
    """A scheme for both dimensions, the one for smaller tiles beside it (or itself), and how its weights are kept.

    With `lean` those of the direct algorithm are all there is; each panel follows from them while it is multiplied.
    """

    scheme: Scheme
    smaller: Scheme
    lean: bool

    @property
    def elements(self) -> int:
        return self.scheme.n**2

    @property
    def panels(self) -> int:
        """Times filters and channels: how many weights are stored."""
        return 9 if self.lean else self.elements

    @property
    def places(self) -> tuple[int, ...]:
        """Of each multiplication of `smaller`, which one of `scheme` has the same weights."""
        left = list(range(self.scheme.n))
        found = []
        for row in self.smaller.g:
            found.append(next(k for k in left if self.scheme.g[k] == row))
            left.remove(found[-1])
        return tuple(found)


_SMALLER = {"F4": "F3", "F6": "F4", "S4": "S3"}

#: Names of all algorithms.
ALGORITHMS: dict[str, Algorithm] = {
    name + suffix: Algorithm(_SCHEMES[name], _SCHEMES[_SMALLER.get(name, name)], bool(suffix))
    for suffix, names in (("", ("F2", "F4", "F6", "S2", "S4")), ("-lean", ("F4", "F6", "S4")))
    for name in names
}


class TileKind(NamedTuple):
    """A tile that the transforms know: its schemes down and across, and where its products are among all elements.

    Elements are numbered column by column, the order in which they are multiplied.
    """

    down: Scheme
    across: Scheme
    places: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, algorithm: Algorithm, small_down: bool, small_across: bool) -> TileKind:
        n = algorithm.scheme.n
        down, across = (algorithm.smaller if small else algorithm.scheme for small in (small_down, small_across))
        rows, columns = (algorithm.places if small else range(n) for small in (small_down, small_across))
        return cls(down, across, tuple(tuple(j * n + i for j in columns) for i in rows))


def _tile_kinds() -> list[TileKind]:
    kinds = []
    for algorithm in ALGORITHMS.values():
        for small_down in (False, True):
            for small_across in (False, True):
                kind = TileKind.of(algorithm, small_down, small_across)
                if kind not in kinds:
                    kinds.append(kind)
    return kinds


#: Every kind of tile; its number here tells the transforms what to do.
TILES: list[TileKind] = _tile_kinds()
