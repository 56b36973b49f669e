"""The filters of a PNG's lines, undone: each byte was stored as its difference from what its neighbours foretell."""

from __future__ import annotations

from numba import int64

from darknet_py.kernels.jit import kernel

__all__ = ["undo_filters"]


@kernel
def undo_filters(lines, step, above, out):
    """Lines (n, 1 + length), uint8, each after its filter's number, to `out` (n, length); `above` is the line before.

    `step` is the bytes of a pixel.
    """
    count, length = out.shape
    for y in range(count):
        how = lines[y, 0]
        for x in range(length):
            value = int64(lines[y, 1 + x])
            left = int64(out[y, x - step]) if x >= step else 0
            up = int64(out[y - 1, x]) if y else int64(above[x])
            if how == 1:
                value += left
            elif how == 2:
                value += up
            elif how == 3:
                value += (left + up) // 2
            elif how == 4:
                corner = 0
                if x >= step:
                    corner = int64(out[y - 1, x - step]) if y else int64(above[x - step])
                to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                if to_left <= to_up and to_left <= to_corner:
                    value += left
                elif to_up <= to_corner:
                    value += up
                else:
                    value += corner
            out[y, x] = value & 255
