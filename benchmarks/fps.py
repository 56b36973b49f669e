"""FPS of this runtime alone, per model and thread count, on seeded weights.

Usage: ``python benchmarks/fps.py [MODEL[@SIZE] ...] [--threads 1,2] [--repeat 10] [--json FILE]``

Every row is the median of the repeats after a warm-up; loading and the first run, which may compile, stand apart.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from darknet_py.bench import Measurement, describe_machine, measure, measure_peak
from darknet_py.cli.bench import format_measurements
from darknet_py.graph import load_graph
from darknet_py.kernels.jit import LANES
from darknet_py.shipped import resolve_cfg
from darknet_py.threads import physical_cores
from darknet_py.weights import SeededWeights

_MODELS = ("yolov4-tiny@416", "yolov7-tiny@416", "yolov3@416", "yolov4@416", "yolov4@608")


def main() -> None:
    """Measure the models named on the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", default=_MODELS, help="cfg file or shipped model, with @SIZE if wanted")
    parser.add_argument("--threads", default=f"1,{physical_cores()}" if physical_cores() > 1 else "1")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Measurement] = []
    for threads in (int(count) for count in options.threads.split(",")):
        peak = measure_peak(threads)
        for model in options.models:
            name, _, side = model.partition("@")
            graph = load_graph(resolve_cfg(name), (int(side), int(side)) if side else None)
            rows.append(measure(graph, SeededWeights(graph), threads, options.repeat, peak)[1])
    print(format_measurements(rows))
    if options.json:
        results = {
            "machine": describe_machine(),
            "lanes": LANES,
            "repeat": options.repeat,
            "runs": [row.as_dict() for row in rows],
        }
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
