"""How fast OpenCV and this package, which has Pillow do it, decode JPEGs here, and whether to the same pixels.

Usage: ``python benchmarks/decoders.py FILE ... [--rounds 5] [--turn 0.2] [--json FILE]``

Both decode the bytes of each file to RGB, turned by EXIF, taking turns. A figure is milliseconds per picture, the
median of the turns, with half their span. `start` is a new process importing one of them and decoding the first file:
the median of three.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
from machine import describe_machine
from turns import take_turns

from darknet_py.errors import ImageError
from darknet_py.pictures.imagefile import decode_file

_STARTS = 3
_START = """
import sys, time
import numpy
data = open(sys.argv[2], "rb").read()
start = time.perf_counter()
if sys.argv[1] == "opencv":
    import cv2
    cv2.cvtColor(cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
else:
    from darknet_py.pictures.imagefile import decode_file
    decode_file(data, "", grey=False)
print(time.perf_counter() - start)
"""


def decode_by_opencv(data: bytes, grey: bool) -> np.ndarray | None:
    """RGB or the luma plane, or None where it is no picture."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    return pixels if pixels is None or grey else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def measure(file: Path, rounds: int, turn: float) -> dict[str, Any]:
    """One row: both decoders on one file, in colour and as its luma plane."""
    data = file.read_bytes()
    row: dict[str, Any] = {"file": file.name}
    for name, grey in (("rgb", False), ("grey", True)):
        expected = decode_by_opencv(data, grey)
        if expected is None:
            raise ImageError(f"{file}: OpenCV does not read it")
        pixels = decode_file(data, str(file), grey=grey)
        row["size"] = f"{expected.shape[1]}x{expected.shape[0]}"
        by_opencv, by_pillow = take_turns(
            [
                lambda grey=grey: decode_by_opencv(data, grey),
                lambda grey=grey: decode_file(data, str(file), grey=grey),
            ],
            rounds,
            turn,
        )
        row[name] = {
            "opencv": by_opencv.median,
            "opencv_spread": by_opencv.spread,
            "pillow": by_pillow.median,
            "pillow_spread": by_pillow.spread,
            "equal": expected.shape == pixels.shape and bool((expected == pixels).all()),
        }
    return row


def measure_start(file: Path) -> dict[str, float]:
    """Seconds to the first picture of a new process, by the decoder that it imports."""
    seconds = {}
    for name in ("opencv", "pillow"):
        command = [sys.executable, "-c", _START, name, str(file)]
        runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(_STARTS)]
        seconds[name] = statistics.median(float(run) for run in runs)
    return seconds


def show(rows: list[dict[str, Any]], start: dict[str, float]) -> None:
    print(f"OpenCV {cv2.__version__}, Pillow {PIL.__version__}; ms a picture")
    print(f"{'picture':24} {'size':>10}  {'':4}  {'OpenCV':>14}  {'Pillow':>14}  Pillow/OpenCV  pixels")
    for row in rows:
        for kind in ("rgb", "grey"):
            one = row[kind]
            times = "  ".join(f"{one[d] * 1e3:8.2f} ±{one[f'{d}_spread']:4.0%}" for d in ("opencv", "pillow"))
            ratio, equal = one["pillow"] / one["opencv"], "equal" if one["equal"] else "differ"
            print(f"{row['file'][:24]:24} {row['size']:>10}  {kind:4}  {times}  {ratio:13.2f}  {equal}")
    for kind in ("rgb", "grey"):
        ratios = [row[kind]["pillow"] / row[kind]["opencv"] for row in rows]
        equal = sum(row[kind]["equal"] for row in rows)
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"{kind}: Pillow takes {mean:.2f} of OpenCV's time (geometric mean); {equal} of {len(rows)} equal")
    print(f"start: {start['opencv'] * 1e3:.0f} ms with OpenCV, {start['pillow'] * 1e3:.0f} ms with Pillow")


def main() -> None:
    """Measure the files named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=0.2, help="seconds of a decoder's turn")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        rows = [measure(file, options.rounds, options.turn) for file in options.files]
    except (ImageError, OSError) as error:
        sys.exit(str(error))
    start = measure_start(options.files[0])
    show(rows, start)
    if options.json:
        machine = describe_machine() | {"opencv": cv2.__version__, "pillow": PIL.__version__}
        options.json.write_text(json.dumps({"machine": machine, "start": start, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
