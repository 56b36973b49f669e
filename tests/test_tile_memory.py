"""Pictures that decoded would not fit are searched in the memory that rows of tiles take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from tile_memory import commands, make_jpeg, make_tiff, peak_of

from darknet_py.image import load_image

#: Bytes of a column of the rows that are there at once, three of colour: those of a tile and of a block of the file's,
#: each decoded, put together and averaged down.
_ROWS = 3 * 3 * (416 + 512)


def test_pictures_of_the_benchmark(tmp_path: Path) -> None:
    make_jpeg(tmp_path / "a.jpeg", 610, 530)
    make_tiff(tmp_path / "a.tiff", 610, 530, side=512)
    for name in ("a.jpeg", "a.tiff"):
        picture = load_image(tmp_path / name)
        assert picture.shape == (530, 610, 3)
        assert picture.std() > 10


@pytest.mark.slow
def test_peak_memory(tmp_path: Path) -> None:
    """In megabytes beyond what a small picture takes: 324 and 3600 would be the pictures themselves."""
    peaks = []
    for name, make, width, height in (
        ("small.jpeg", make_jpeg, 1000, 750),
        ("large.jpeg", make_jpeg, 12_000, 9_000),
        ("large.tiff", make_tiff, 40_000, 30_000),
    ):
        make(tmp_path / name, width, height)
        peaks.append(peak_of(commands(tmp_path / name, "auto")[0]))
    small, jpeg, tiff = peaks
    assert jpeg - small < 12_000 * _ROWS / 1e6
    assert tiff - small < 40_000 * _ROWS / 1e6
