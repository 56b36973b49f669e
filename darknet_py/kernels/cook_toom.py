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

__all__ = [
    "ALGORITHMS",
    "PANELS",
    "TILES",
    "Algorithm",
    "Derived",
    "Matrix",
    "Panel",
    "Scheme",
    "TileKind",
    "lay_out_panels",
]

Matrix = tuple[tuple[float, ...], ...]
_Exact = list[list[Fraction]]


class Derived(NamedTuple):
    """A row of G that need not be stored: alpha * row a + row b + gamma * row c (by their numbers)."""

    alpha: float
    a: int
    b: int
    gamma: float
    c: int


class Scheme(NamedTuple):
    """One algorithm in one dimension: `m` outputs `stride` inputs apart, and its matrices.

    Shapes: at (m, n), g (n, 3), bt (n, n), where n is both the multiplications and the inputs of a tile. `rows` says
    of each row of G which stored row equals it, or how it is derived from stored ones.
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
    rows: list[int | Derived] = list(range(len(bt)))
    # A row of G may be scaled if the row of BT is scaled back. With g0 for point 0, g2 for infinity and half of
    # g0 / p + g1 + p g2 for a point p, that of any p follows from those of 0, 1 and infinity.
    _scale(g, bt, 0, 1 / g[0][0])
    for j, p in enumerate(points[1:], 1):
        _scale(g, bt, j, 1 / (2 * g[j][1]))
        if p != 1:
            rows[j] = Derived(float((1 / Fraction(p) - 1) / 2), 0, 1, float((p - 1) / 2), len(bt) - 1)
    return Scheme(m, 1, _floats(at), _floats(g), _floats(bt), tuple(rows))


def _scale(g: _Exact, bt: _Exact, row: int, factor: Fraction) -> None:
    g[row] = [value * factor for value in g[row]]
    bt[row] = [value / factor for value in bt[row]]


def _stride_two(m: int, *points: int) -> Scheme:
    """Even inputs under taps 0 and 2 by F(m, 2), odd ones under tap 1 directly."""
    at, g, bt = _cook_toom(m, 2, [Fraction(p) for p in points])
    rows: list[int | Derived] = list(range(m + 1))
    for j, p in enumerate(points):
        _scale(g, bt, j, 1 / g[j][0])
        if p != 0:
            rows[j] = Derived(float(p), m, 0, 0.0, m)  # g0 + p g2
    zero, one = Fraction(0), Fraction(1)
    joined_at = [[*row, *(one if i == j else zero for j in range(m))] for i, row in enumerate(at)]
    joined_g = [[row[0], zero, row[1]] for row in g] + [[zero, one, zero]] * m
    even = [[row[i // 2] if i % 2 == 0 else zero for i in range(2 * m + 1)] for row in bt]
    odd = [[one if i == 2 * j + 1 else zero for i in range(2 * m + 1)] for j in range(m)]
    return Scheme(m, 2, _floats(joined_at), _floats(joined_g), _floats(even + odd), (*rows, *([m + 1] * m)))


#: Points are 0 and, where the count allows, pairs of opposite ones, which lets the transforms share half their sums;
#: small numbers keep float32 accurate: measured errors on unit-variance outputs 1e-5 (F2), 9e-5 (F4), 1e-4 (F6).
_SCHEMES: dict[str, Scheme] = {
    "F2": _unit_stride(2, 0, 1, -1),
    "F3": _unit_stride(3, 0, 1, -1, 2),
    "F4": _unit_stride(4, 0, 1, -1, 2, -2),
    "F6": _unit_stride(6, 0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
    "S2": _stride_two(2, 0, -1),
    "S3": _stride_two(3, 0, 1, -1),
    "S4": _stride_two(4, 0, 1, -1, 2),
}


class Algorithm(NamedTuple):
    """A scheme for both dimensions, the one for smaller tiles beside it (or itself), and how its weights are kept.

    With `lean`, weights that follow from others are derived instead of stored.
    """

    scheme: Scheme
    smaller: Scheme
    lean: bool

    @property
    def places(self) -> tuple[int, ...]:
        """Of each multiplication of `smaller`, which one of `scheme` has the same weights."""
        left = list(range(self.scheme.n))
        found = []
        for row in self.smaller.g:
            found.append(next(k for k in left if self.scheme.g[k] == row))
            left.remove(found[-1])
        return tuple(found)


_SMALLER = {"F4": "F3", "S4": "S3"}

#: Names of all algorithms.
ALGORITHMS: dict[str, Algorithm] = {
    name + suffix: Algorithm(_SCHEMES[name], _SCHEMES[_SMALLER.get(name, name)], bool(suffix))
    for suffix, names in (("", ("F2", "F3", "F4", "F6", "S2", "S4")), ("-lean", ("F2", "F3", "F4", "S2", "S4")))
    for name in names
}


class TileKind(NamedTuple):
    """A tile that the transforms know: its schemes down and across, and where its products are among `elements`."""

    down: Scheme
    across: Scheme
    places: tuple[tuple[int, ...], ...]
    elements: int

    @classmethod
    def of(cls, algorithm: Algorithm, small_down: bool, small_across: bool) -> TileKind:
        n = algorithm.scheme.n
        down, across = (algorithm.places if small else tuple(range(n)) for small in (small_down, small_across))
        schemes = (algorithm.smaller if small else algorithm.scheme for small in (small_down, small_across))
        return cls(*schemes, tuple(tuple(i * n + j for j in across) for i in down), n * n)


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


class Panel(NamedTuple):
    """Where the weights of one tile element are: stored panel `b`, or alpha * panel a + panel b + gamma * panel c."""

    element: int
    derived: bool
    alpha: float
    a: int
    b: int
    gamma: float
    c: int

    @classmethod
    def stored(cls, element: int, panel: int) -> Panel:
        return cls(element, False, 0.0, panel, panel, 0.0, panel)


def lay_out_panels(algorithm: str) -> tuple[list[int], list[Panel]]:
    """Which tile elements' weights are stored, and how every element finds its own.

    A lean algorithm derives what it can: an element along one dimension if its other row is stored; elements derived
    in both are stored, as nine panels would be read for one. That takes F2 from 16 panels to 10, F3 from 25 to 13, F4
    and S4 from 36 to 18 and S2 from 16 to 10, against 9 of the direct algorithm; multiplying takes 4 % (F4 at 52 x 52)
    to 13 % (F3 at 13 x 13) more time. F6 (34 of 64) gains nothing over the others in the memory they take.

    Slower: a column of elements block by block, to find the panels of derived ones in the second-level cache; all
    elements from the nine taps of the direct algorithm, a part of a block at a time into a buffer, with no panels
    stored (19 % at 52 x 52, 23 % at 26 x 26, F4; 29 % at 13 x 13, F3: some 30 lines are written for 9 that are read).

    Returns
    -------
    list of int
        Elements stored, by panel.
    list of Panel
        One for each element, in the order to compute them: a column of elements, stored before derived ones, so that
        what is derived finds its panels in the cache.
    """
    scheme, _, lean = ALGORITHMS[algorithm]
    n = scheme.n
    rows = [row if lean or isinstance(row, int) else k for k, row in enumerate(scheme.rows)]
    stored: list[int] = []
    panel_of: dict[tuple[int, int], int] = {}
    kept = [row if isinstance(row, int) else None for row in rows]
    panels: list[Panel] = []

    def store(i: int, j: int) -> int:
        if (i, j) not in panel_of:
            panel_of[i, j] = len(stored)
            stored.append(i * n + j)
        return panel_of[i, j]

    for j in sorted(range(n), key=lambda j: kept[j] is None):
        for i in sorted(range(n), key=lambda i: kept[i] is None):
            row, column, element = rows[i], rows[j], i * n + j
            if isinstance(row, int) and isinstance(column, int):
                panels.append(Panel.stored(element, store(row, column)))
            elif isinstance(row, Derived) and isinstance(column, int):
                a, b, c = (store(k, column) for k in (row.a, row.b, row.c))
                panels.append(Panel(element, True, row.alpha, a, b, row.gamma, c))
            elif isinstance(row, int) and isinstance(column, Derived):
                a, b, c = (store(row, k) for k in (column.a, column.b, column.c))
                panels.append(Panel(element, True, column.alpha, a, b, column.gamma, c))
            else:
                panels.append(Panel.stored(element, store(i, j)))
    return stored, panels


#: Panels that the weights of each algorithm take.
PANELS: dict[str, int] = {name: len(lay_out_panels(name)[0]) for name in ALGORITHMS}
