"""AlexeyAB's ``darknet`` program: kept waiting for file names, it prints how long each prediction took."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import numpy as np

_PROMPT = b"Enter Image Path: "


def version() -> str:
    return "AlexeyAB"


class Session:
    """``files["darknet"]`` is the program; threads are OpenMP's, where it was built with it."""

    precision = "float32"

    def __init__(self, files: dict[str, str], threads: int, options: dict[str, Any]) -> None:
        command = [files["darknet"], "detector", "test", files["data"], files["cfg_at_size"], files["weights"]]
        command += ["-dont_show", "-thresh", "0.25", "-i", "-1", "-ext_output"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._image = files["image"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=os.path.dirname(files["data"])
        )
        self.pid = self._process.pid
        self._answer()

    def _answer(self) -> str:
        """What the program prints until it asks for the next image."""
        assert self._process.stdout is not None
        text = bytearray()
        while not text.endswith(_PROMPT):
            byte = self._process.stdout.read(1)
            if not byte:
                raise RuntimeError(
                    f"darknet ended with code {self._process.wait()}: {text[-300:].decode(errors='replace')}"
                )
            text += byte
        return text.decode(errors="replace")

    def _predict(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._image}\n".encode())
        self._process.stdin.flush()
        return self._answer()

    def time(self, runs: int) -> list[float]:
        """Seconds of each prediction by the program's own clock: reading the image is not in them."""
        return [float(re.search(r"Predicted in ([\d.]+) milli", self._predict())[1]) / 1e3 for _ in range(runs)]  # type: ignore[index]

    def run(self) -> list[np.ndarray]:
        """No maps come out of the program; its boxes are checked instead."""
        self._predict()
        return []

    def boxes(self) -> list[list[float]]:
        """[confidence in percent, left, top, width, height] in pixels of each line it prints."""
        line = r": (\d+)%\s*\(left_x:\s*(-?\d+)\s+top_y:\s*(-?\d+)\s+width:\s*(-?\d+)\s+height:\s*(-?\d+)\)"
        return [[float(value) for value in found] for found in re.findall(line, self._predict())]
