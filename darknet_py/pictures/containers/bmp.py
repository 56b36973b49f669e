"""The fourth byte of BMP's pixels, which Pillow drops where the header does not say that it is alpha."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

__all__ = ["rgba_of_bmp"]

_PLAIN = 0


def rgba_of_bmp(data: bytes) -> npt.NDArray[np.uint8] | None:
    """Pixels (H, W, 4), RGBA, of a BMP of 32 bits a pixel without masks; None if it is another, or cut short.

    Nor where all fourth bytes are 0: what Windows calls reserved then holds nothing, and Darknet sees no alpha either.
    """
    if len(data) < 34:
        return None
    (begin,) = struct.unpack_from("<I", data, 10)
    header, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", data, 14)
    rows = abs(height)
    if header < 40 or bits != 32 or compression != _PLAIN or width < 1 or len(data) < begin + 4 * width * rows:
        return None
    pixels = np.frombuffer(data, np.uint8, 4 * width * rows, begin).reshape(rows, width, 4)
    if not pixels[..., 3].any():
        return None
    upright = pixels[::-1] if height > 0 else pixels
    return np.ascontiguousarray(upright[..., [2, 1, 0, 3]])
