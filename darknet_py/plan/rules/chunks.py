"""Convolutions by matrix tiles: how a reduction is cut into tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.tiles.amx import CHUNK, LONGEST, tile_shapes
from darknet_py.plan.blocks import Packed
from darknet_py.plan.buffers import View

__all__ = ["chunk_arguments"]

#: Tiles of less pairs of channels waste more than another pass over what is left of a tap (see `convolve_matrix`).
_SHORTEST = 8


def chunk_arguments(packed: Packed, x: View, pads: tuple[int, int], dilation: int) -> dict[str, Any]:
    """The arguments of `convolve_matrix` that say how a reduction is cut into chunks."""
    pairs = max(pairs for pairs in range(1, LONGEST + 1) if packed.run % pairs == 0)
    if pairs < min(_SHORTEST, packed.run):
        pairs = LONGEST
    rest = packed.run % pairs
    taps = packed.kernel_h * packed.kernel_w
    return {
        "pairs": pairs,
        "rest": rest,
        "shapes": np.array([tile_shapes(pairs), tile_shapes(max(rest, 1))]),
        "chunks": _chunk_table(packed, pairs, x, pads, dilation),
        "count": taps * (packed.run // pairs),
        "rests": taps if rest else 0,
    }


def _chunk_table(packed: Packed, pairs: int, x: View, pads: tuple[int, int], dilation: int) -> NDArray[Any]:
    """All chunks, of CHUNK.

    All whole chunks of a tap, then the next tap; last what is left of each tap. Where all taps of a kernel row followed
    each other for 128 channels, networks took the same time.
    """
    ky, kx = np.indices((packed.kernel_h, packed.kernel_w), np.int64).reshape(2, -1, 1)
    pixel = (ky * dilation - pads[0]) * x.row + (kx * dilation - pads[1]) * x.pixel
    first = np.arange(0, packed.run, pairs, dtype=np.int64)
    taps = np.arange(len(pixel), dtype=np.int64)[:, None]
    table = np.empty((len(pixel), len(first)), CHUNK)
    table["offset"], table["before"] = pixel + 4 * first, taps * packed.run + first
    whole = packed.run // pairs
    return np.concatenate([table[:, :whole].ravel(), table[:, whole:].ravel()])
