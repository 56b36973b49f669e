"""Which algorithms can compute a convolution, and which of them to take, within a budget of memory.

Stored Winograd weights are up to 7 times as large as direct ones (F6); the lean algorithms need no more than the direct
one, but combine weights while they multiply. The choice minimises the time of the whole network under a limit on the
extra bytes: yolov4's 3x3 layers at 416x416 take 446 ms directly on a Zen 4, 197 ms with no more weights, 191 ms with
40 % more, 178 ms with 300 %.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from darknet_py.graph import Graph
from darknet_py.kernels.tiles.cook_toom import ALGORITHMS
from darknet_py.layers import Convolutional

__all__ = ["DIRECT", "choose_fastest", "extra_budget", "extra_bytes", "fits"]

DIRECT = "direct"

#: Extra bytes allowed: a share of the direct weights, and what no machine misses.
_EXTRA_SHARE, _EXTRA_BYTES = 0.4, 48 << 20
_UNIT = 256 << 10

#: Of what a direct convolution takes by itself: in a network it may join a chain, and another has to gain more than
#: measurements vary by.
_DIRECT_COST = 0.95


def fits(layer: Convolutional, name: str) -> bool:
    """Whether a Winograd algorithm can compute this convolution."""
    return (
        name in ALGORITHMS
        and layer.size == 3
        and layer.stride_x == layer.stride_y == ALGORITHMS[name].scheme.stride
        and layer.groups == 1
        and layer.dilation == 1
        and layer.share is None
        and not layer.xnor
        and not layer.antialiasing
        and layer.in_shape.c >= 8
    )


def extra_budget(graph: Graph) -> int:
    """Bytes that Winograd weights may take beyond the direct ones."""
    return max(_EXTRA_BYTES, int(_EXTRA_SHARE * 4 * graph.parameter_count))


def extra_bytes(layer: Convolutional, name: str, value_bytes: int = 4) -> int:
    """Bytes that an algorithm's weights, so many each, take beyond the direct ones."""
    if name == DIRECT:
        return 0
    return value_bytes * (ALGORITHMS[name].panels - 9) * layer.in_shape.c * layer.filters


def choose_fastest(
    seconds: Mapping[Convolutional, Mapping[str, float]], value_bytes: Mapping[Convolutional, int], budget: int
) -> dict[int, str]:
    """The choice of least total time whose extra bytes fit `budget`: a knapsack over units of _UNIT bytes.

    Parameters
    ----------
    seconds : mapping
        What each algorithm takes, by layer.
    value_bytes : mapping
        What each weight takes, by layer.
    budget : int
        Bytes.

    Returns
    -------
    dict of int to str
        Algorithm by layer index, of the layers that are not best computed directly.
    """
    capacity = budget // _UNIT
    least = np.zeros(capacity + 1)  # seconds by units allowed, for the layers so far
    taken: list[NDArray[np.int64]] = []
    options = [_by_cost(timings) for timings in seconds.values()]
    for layer, choices in zip(seconds, options, strict=True):
        table = np.full((len(choices), capacity + 1), np.inf)
        for row, (name, cost) in zip(table, choices, strict=True):
            units = _units(layer, name, value_bytes[layer])
            if units <= capacity:
                row[units:] = least[: capacity + 1 - units] + cost
        taken.append(table.argmin(axis=0))
        least = table.min(axis=0)
    chosen: dict[int, str] = {}
    left = capacity
    for layer, choices, best in zip(reversed(list(seconds)), reversed(options), reversed(taken), strict=True):
        name = choices[best[left]][0]
        left -= _units(layer, name, value_bytes[layer])
        if name != DIRECT:
            chosen[layer.index] = name
    return chosen


def _units(layer: Convolutional, name: str, value_bytes: int) -> int:
    return -(-extra_bytes(layer, name, value_bytes) // _UNIT)


def _by_cost(timings: Mapping[str, float]) -> list[tuple[str, float]]:
    """Algorithms and what they are taken to cost, the fastest first."""
    costs = {name: seconds * (_DIRECT_COST if name == DIRECT else 1) for name, seconds in timings.items()}
    return sorted(costs.items(), key=lambda item: item[1])
