"""What OpenCV's interface costs beside the network below it: ``setInput`` and ``forward`` against ``Network.run``.

Usage: ``python benchmarks/opencv.py CFG WEIGHTS [--size 416x416] [--rounds 20] [--json FILE]``

Both compute on the same blob, with the same number of threads, and take turns; the ratio is the median of the rounds'.
`DetectionModel` is its `detect` on a picture of that size, resizing and suppression included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from machine import describe_machine
from turns import take_turns

from darknet_py import Network
from darknet_py.errors import DarknetError
from darknet_py.opencv import DetectionModel, readNetFromDarknet
from darknet_py.threads import physical_cores

_TURN = 0.2


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """One row: milliseconds of each way at one number of threads, and their ratio to ``Network.run``."""
    width, height = options.size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    blob = cv2.dnn.blobFromImage(picture, 1 / 255, (width, height), swapRB=True, crop=False)
    network = Network(options.cfg, options.weights, size=(width, height), threads=threads)
    cv2.setNumThreads(threads)  # which the net follows
    net = readNetFromDarknet(options.cfg, options.weights)
    model = DetectionModel(net).setInputParams(1 / 255, (width, height), swapRB=True)
    outputs = net.getUnconnectedOutLayersNames()

    def forward() -> None:
        net.setInput(blob)
        net.forward(outputs)

    ways: dict[str, Callable[[], object]] = {
        "Network.run": lambda: network.run(blob),
        "forward": forward,
        "DetectionModel": lambda: model.detect(picture, 0.5, 0.4),
    }
    timed = dict(zip(ways, take_turns(list(ways.values()), options.rounds, _TURN), strict=True))
    base = timed["Network.run"].seconds
    return {
        "threads": threads,
        "seconds": {way: timing.median for way, timing in timed.items()},
        "ratio": {
            way: statistics.median(one / other for one, other in zip(timing.seconds, base, strict=True))
            for way, timing in timed.items()
        },
    }


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("--size", type=_size, default=(416, 416), metavar="WxH")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure on one thread and on all cores, and print a line for each."""
    options = _parse()
    try:
        rows = [measure(options, threads) for threads in sorted({1, physical_cores()})]
    except DarknetError as error:
        sys.exit(str(error))
    print("threads  " + "  ".join(f"{way + ' ms':>17}  ratio" for way in rows[0]["seconds"]))
    for row in rows:
        cells = (f"{seconds * 1e3:17.2f}  {row['ratio'][way]:5.3f}" for way, seconds in row["seconds"].items())
        print(f"{row['threads']:7}  " + "  ".join(cells))
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
