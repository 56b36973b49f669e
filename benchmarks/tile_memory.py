"""Peak memory of a search in tiles, of pictures that do not fit: a JPEG of 12000x9000 and a tiled TIFF of 40000x30000.

    python benchmarks/tile_memory.py [--tiles auto] [--write]

The pictures are made here: one small picture repeated, in the TIFF as one compressed tile that every entry of its table
points to. Each is looked at by ``darknet-py detect --tiles`` and by `Detector.detect_tiled`, with the model in the box,
in a process of its own whose peak is the kernel's. A small picture says what interpreter, libraries, model and a batch
of tiles take. --write puts the table into docs/tiles.md.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from blocks import with_block
from PIL import Image

__all__ = ["make_jpeg", "make_tiff", "peak_of", "texture"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tiles.md"

#: Runs a command, prints its exit code and the peak of its memory in MB. A process of its own in between, as a child
#: counts what its parent had.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
"""
_IN_PYTHON = """
import sys
from darknet_py import Detector
tiles = sys.argv[2] if sys.argv[2] == "auto" else int(sys.argv[2])
Detector(*sys.argv[3:]).detect_tiled(sys.argv[1], tiles=tiles)
"""


def texture(side: int) -> np.ndarray:
    """Soft stains, (side, side, 3) uint8."""
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def make_jpeg(path: Path, width: int, height: int) -> None:
    """A baseline JPEG of a repeated picture."""
    piece = texture(500)
    repeats = -(-height // 500), -(-width // 500), 1
    Image.fromarray(np.tile(piece, repeats)[:height, :width]).save(path, "JPEG", quality=90)


def make_tiff(path: Path, width: int, height: int, side: int = 512) -> None:
    """A tiled BigTIFF, deflated, whose tiles are all the same."""
    packed = zlib.compress(texture(side).tobytes())
    count = -(-width // side) * -(-height // side)
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (259, 3, [8]), (262, 3, [2]), (277, 3, [3]),
               (284, 3, [1]), (322, 4, [side]), (323, 4, [side]), (324, 16, [16] * count),
               (325, 4, [len(packed)] * count)]  # fmt: skip
    start = 16 + len(packed) + -len(packed) % 8
    beyond, table, rest = start + 8 + 20 * len(entries) + 8, b"", b""
    for tag, form, values in entries:
        packed_values = struct.pack(f"<{len(values)}{ {3: 'H', 4: 'I', 16: 'Q'}[form] }", *values)
        place = packed_values.ljust(8, b"\0") if len(packed_values) <= 8 else struct.pack("<Q", beyond + len(rest))
        rest += packed_values + bytes(-len(packed_values) % 8) if len(packed_values) > 8 else b""
        table += struct.pack("<HHQ", tag, form, len(values)) + place
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start)
    body = head + packed.ljust(start - 16, b"\0")
    path.write_bytes(body + struct.pack("<Q", len(entries)) + table + bytes(8) + rest)


def peak_of(arguments: Sequence[object]) -> float:
    """Megabytes that a Python process with these arguments has at most."""
    command = [sys.executable, "-c", _MEASURE, sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    code, peak = done.stdout.split()
    if code != "0":
        raise RuntimeError(f"{command}: exit code {code}: {done.stderr}")
    return float(peak)


def commands(picture: Path, tiles: str, model: Sequence[object] = ()) -> list[list[object]]:
    """The command line's search and Python's; `model` is cfg, weights and names."""
    options = [word for pair in zip(("--cfg", "--weights", "--names"), model, strict=False) for word in pair]
    line = ["-m", "darknet_py", "detect", *options, "--tiles", tiles, picture]
    return [line, ["-c", _IN_PYTHON, picture, tiles, *model]]


def measured(tiles: str) -> str:
    """The page's table."""
    lines = [
        f'Peak memory of the process, with the model in the box and tiles "{tiles}":',
        "",
        "| picture | decoded | file | `detect --tiles` | `detect_tiled` | minutes, both |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for make, width, height in ((make_jpeg, 1000, 750), (make_jpeg, 12_000, 9_000), (make_tiff, 40_000, 30_000)):
            kind = make.__name__.removeprefix("make_").upper()
            path = Path(folder) / f"{width}.{kind.lower()}"
            make(path, width, height)
            begun = time.monotonic()
            peaks = [peak_of(command) for command in commands(path, tiles)]
            taken = (time.monotonic() - begun) / 60
            size, decoded = path.stat().st_size / 1e6, width * height * 3 / 1e6
            cells = [f"{decoded:.0f} MB", f"{size:.1f} MB", *(f"{peak:.0f} MB" for peak in peaks), f"{taken:.1f}"]
            lines.append(f"| {kind} of {width}x{height} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", default="auto")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    table = measured(given.tiles)
    print(table)
    if given.write:
        PAGE.write_text(with_block(PAGE.read_text(), "memory", table))


if __name__ == "__main__":
    main()
