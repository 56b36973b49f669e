"""What a detector takes beside its network, what a batch saves, and how soon a new process has its first boxes.

Usage: ``python benchmarks/detect.py CFG WEIGHTS PICTURE ... [--threads 1,2] [--rounds 20] [--batch 8] [--json FILE]``

Pictures are read before the clock starts. `rest` is `detect` less a forward pass right after it: resizing, decoding and
suppression; it wants trained weights, as random ones find thousands of boxes. `batch` is how many times as many images
a second the network computes if it is given that many at once. `start` is a new process from its first line to the
first boxes, import and loading included, with kernels compiled before: the median of three.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe_machine
from turns import take_turns

from darknet_py import Detector
from darknet_py.errors import DarknetError
from darknet_py.image import load_image
from darknet_py.network import MOST_TOGETHER
from darknet_py.threads import physical_cores

_STARTS = 3
_START = """
import sys, time
start = time.perf_counter()
from darknet_py import Detector
cfg, weights, picture, threads = sys.argv[1:]
Detector(cfg, weights, threads=int(threads)).detect(picture)
print(time.perf_counter() - start)
"""


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """One row: everything at one number of threads."""
    detector = Detector(options.cfg, options.weights, threads=threads)
    network = detector.network
    pictures = [load_image(path) for path in options.pictures]
    for picture in pictures:
        detector.detect(picture, bgr=False)
    state = network.acquire()
    network.release(state)  # the one that `detect` takes: another would have to come from memory each time
    pairs = [
        (_timed(lambda one=picture: detector.detect(one, bgr=False)), _timed(lambda: network.forward(state)))
        for _ in range(options.rounds)
        for picture in pictures
    ]
    together = network.acquire(options.batch)
    for blob in together.blobs:
        blob[...] = state.blob
    single, batch = take_turns(
        [lambda: network.forward(state), lambda: network.forward(together)], options.rounds, turn=0.2
    )
    command = [sys.executable, "-c", _START, options.cfg, options.weights, str(options.pictures[0]), str(threads)]
    starts = [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(_STARTS)]
    return {
        "threads": threads,
        "detect": statistics.median(detect for detect, _ in pairs),
        "forward": statistics.median(forward for _, forward in pairs),
        "rest": statistics.median(detect / forward - 1 for detect, forward in pairs),
        "batch": statistics.median(
            options.batch * one / many for one, many in zip(single.seconds, batch.seconds, strict=True)
        ),
        "start": statistics.median(starts),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--threads", default=f"1,{physical_cores()}" if physical_cores() > 1 else "1")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch", type=int, default=MOST_TOGETHER, help="images given at once")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure the model named on the command line and print a line for each number of threads."""
    options = _parse()
    try:
        rows = [measure(options, int(count)) for count in options.threads.split(",")]
    except DarknetError as error:
        sys.exit(str(error))
    print("threads  detect ms  forward ms   rest  batch  start s")
    for row in rows:
        print(
            f"{row['threads']:7}  {row['detect'] * 1e3:9.2f}  {row['forward'] * 1e3:10.2f}  {row['rest']:5.1%}"
            f"  {row['batch']:5.2f}  {row['start']:7.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
