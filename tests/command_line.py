"""A tiny model on disk, pictures it finds things in, and the command line run on them."""

from __future__ import annotations

import functools
import struct
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from darknet_py.cfg import parse_cfg
from darknet_py.cli.main import main
from darknet_py.cli.warmup import load_kernels
from darknet_py.graph import build_graph

#: One cell for 8x8 pixels; a cell whose pixels are bright is a dog as large as the cell.
CFG = """[net]
width=32
height=24
channels=3
[convolutional]
filters=8
size=8
stride=8
activation=linear
[yolo]
mask=0
anchors=8,8
classes=3
"""
HEADER = struct.pack("<iiiQ", 0, 2, 5, 32013312)
BIASES = (0, 0, 0, 0, -5, -9, 5, -9)


def weights_bytes(channels: int = 3) -> bytes:
    kernels = np.zeros((8, channels, 8, 8), "<f4")
    kernels[4] = 10 / kernels[4].size
    return HEADER + np.array(BIASES, "<f4").tobytes() + kernels.tobytes()


def scene(*cells: tuple[int, int]) -> np.ndarray:
    """A black picture of 128x96 with white cells of 32x32, given as (column, row)."""
    image = np.zeros((96, 128, 3), np.uint8)
    for column, row in cells:
        image[32 * row : 32 * (row + 1), 32 * column : 32 * (column + 1)] = 255
    return image


@functools.cache
def compile_kernels() -> None:
    """Fill the cache, which the command line says on stderr that it does."""
    load_kernels(build_graph(parse_cfg(CFG)))


#: Before click 8.2 a runner has to be asked to keep stderr apart.
_APART: Any = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}


def run(*arguments: object) -> Result:
    """Run in this process; an exception that reaches the top would be a traceback."""
    result = CliRunner(**_APART).invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def error_lines(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("Error: ")]


class Model:
    """The tiny model's files in a folder, and pictures beside them."""

    def __init__(self, folder: Path) -> None:
        compile_kernels()
        self.folder = folder
        self.cfg, self.weights = folder / "tiny.cfg", folder / "tiny.weights"
        self.cfg.write_text(CFG)
        self.weights.write_bytes(weights_bytes())
        (folder / "tiny.names").write_text("cat\ndog\nowl\n")

    def picture(self, name: str, *cells: tuple[int, int]) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(scene(*cells)).save(path)
        return path

    def detect(self, *arguments: object) -> Result:
        return run("detect", "--cfg", self.cfg, "--weights", self.weights, *arguments)


def found_in(result: Result) -> list[str]:
    return [Path(line.split(": ")[0]).name for line in result.stdout.splitlines() if " found in " in line]
