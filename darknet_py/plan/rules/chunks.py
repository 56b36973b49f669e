"""Convolutions by matrix tiles: how a reduction is cut into tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.tiles.amx import LONGEST, tile_shapes
from darknet_py.plan.buffers import View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.packing import Packed

__all__ = ["matrix_fields"]

#: Tiles of less pairs of channels waste more than another pass over what is left of a tap (see `convolve_matrix`).
_SHORTEST = 8


def matrix_fields(plan: Lowering, packed: Packed, x: View, pads: tuple[int, int], dilation: int) -> dict[str, int]:
    """Columns of a MATRIX step, see `convolve_matrix`."""
    pairs = max(pairs for pairs in range(1, LONGEST + 1) if packed.run % pairs == 0)
    if pairs < min(_SHORTEST, packed.run):
        pairs = LONGEST
    rest = packed.run % pairs
    taps = packed.kernel_h * packed.kernel_w
    return {
        "MODE": pairs,
        "SIDE": rest,
        "PARAMETERS": plan.constant([tile_shapes(pairs), tile_shapes(max(rest, 1))]),
        "TILES": plan.integers(_chunk_table(packed, pairs, x, pads, dilation)),
        "RUNS": taps * (packed.run // pairs),
        "TILE_ROWS": taps if rest else 0,
    }


def _chunk_table(packed: Packed, pairs: int, x: View, pads: tuple[int, int], dilation: int) -> NDArray[np.int64]:
    """(n, 2): bytes from the input pixel at an output's position to what a chunk reads, pairs before it in the weights.

    All whole chunks of a tap, then the next tap; last what is left of each tap. Where all taps of a kernel row followed
    each other for 128 channels, networks took the same time.
    """
    ky, kx = np.indices((packed.kernel_h, packed.kernel_w), np.int64).reshape(2, -1, 1)
    pixel = 4 * ((ky * dilation - pads[0]) * x.row + (kx * dilation - pads[1]) * x.pixel)
    first = np.arange(0, packed.run, pairs, dtype=np.int64)
    taps = np.arange(len(pixel), dtype=np.int64)[:, None]
    table = np.stack([pixel + 4 * first, taps * packed.run + first], axis=-1)
    whole = packed.run // pairs
    return np.concatenate([table[:, :whole].reshape(-1, 2), table[:, whole:].reshape(-1, 2)])
