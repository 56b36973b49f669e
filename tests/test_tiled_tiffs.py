"""TIFFs in tiles, of which some side by side are decoded at a time: memory does not grow with a picture's width."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from darknet_py import ImageError
from darknet_py.image import load_image
from darknet_py.tiling import strips as strips_module
from darknet_py.tiling import tiffrows
from darknet_py.tiling.strips import open_strips

WIDTH, HEIGHT, SIDES = 203, 75, (32, 16)


def tiled_tiff(pixels: NDArray[np.uint8], sides: tuple[int, int], planar: bool = False) -> bytes:
    """RGB in deflated tiles of (width, height), those at the right and at the bottom filled up."""
    height, width, _ = pixels.shape
    across, down = -(-width // sides[0]), -(-height // sides[1])
    full = np.pad(pixels, ((0, down * sides[1] - height), (0, across * sides[0] - width), (0, 0)))
    planes = [full[..., k : k + 1] for k in range(3)] if planar else [full]
    pieces = [
        zlib.compress(plane[y : y + sides[1], x : x + sides[0]].tobytes())
        for plane in planes
        for y in range(0, full.shape[0], sides[1])
        for x in range(0, full.shape[1], sides[0])
    ]
    starts = [8 + sum(map(len, pieces[:n])) for n in range(len(pieces))]
    body = b"".join(pieces)
    entries = {256: [width], 257: [height], 258: [8, 8, 8], 259: [8], 262: [2], 277: [3], 284: [2 if planar else 1],
               322: [sides[0]], 323: [sides[1]], 324: starts, 325: [len(piece) for piece in pieces]}  # fmt: skip
    table, beyond = b"", 8 + len(body) + 2 + 12 * len(entries) + 4
    rest = b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        place = packed if len(values) == 1 else struct.pack("<I", beyond + len(rest))
        rest += packed if len(values) > 1 else b""
        table += struct.pack("<HHI", tag, 4, len(values)) + place
    head = b"II*\0" + struct.pack("<I", 8 + len(body))
    return head + body + struct.pack("<H", len(entries)) + table + bytes(4) + rest


@pytest.fixture(autouse=True)
def every_picture_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips_module, "_SMALL", 0)
    monkeypatch.setattr(tiffrows, "_BLOCK", 1)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("together", [1, 2 * 32 * 16, 1 << 21])
def test_what_is_decoded_side_by_side_is_the_picture(
    planar: bool, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    data = tiled_tiff(pixels, SIDES, planar)
    assert np.array_equal(load_image(data), pixels)
    sizes, read = [], tiffrows.read_tiff

    def counted(*arguments):
        found = read(*arguments)
        sizes.append(found.shape[0] * found.shape[1])
        return found

    monkeypatch.setattr(tiffrows, "read_tiff", counted)
    monkeypatch.setattr(tiffrows, "_TOGETHER", together)
    with open_strips(data, bgr=False, channels=3) as strips:
        blocks = list(strips.blocks())
    assert np.array_equal(np.concatenate(blocks), pixels)
    assert [len(block) for block in blocks] == [16, 16, 16, 16, 11]
    assert max(sizes) == min(max(together, 32 * 16), WIDTH * 16)


def test_a_tile_cut_short_is_refused() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    data = bytearray(tiled_tiff(pixels, SIDES))
    data[3000:3100] = bytes(100)
    with pytest.raises(ImageError, match="bytes"), open_strips(bytes(data), bgr=False, channels=3) as strips:
        list(strips.blocks())
