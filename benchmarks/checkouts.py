"""Two checkouts of darknet-py beside each other: is the newer one slower?

Usage: ``python benchmarks/checkouts.py OLD [NEW] [--network yolov4@416 ...] [--precision float32,bfloat16]
[--threads 1,2] [--seconds 30] [--algorithms F4,F2,S2] [--clock cpu]
[--cold [--rounds 3]] [--json FILE]``

OLD and NEW are folders that hold ``darknet_py`` (NEW: this one), as ``git worktree add FOLDER COMMIT`` makes one. Each
has a process of its own, which loads the same network, seeded weights and the same algorithms; then they take turns of
a few forward passes, each going first as often as the other. A row has the fastest pass of each, the ratio of those,
the ratio of the medians, and the median of the ratios of neighbouring turns: new / old, above 1 is slower. On a machine
that does other things, trust the first and the last.

``--cold`` starts both with no compiled kernels instead, several times in turns: seconds of CPU from the start of the
program to the first result, and the most memory it took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parents[1]
_NETWORKS = ("yolov4@416", "yolov4-tiny@416", "yolov3@416")
#: Seconds of a turn: so short that what else the machine does falls on both.
_TURN = 0.06
_CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Row = dict[str, Any]


# In a process of either checkout ------------------------------------------------------------------------------


def work(folder: str, clock: str, network: str, size: str, precision: str, threads: str) -> None:
    """Load a network and answer each number on standard input with the seconds of so many passes."""
    import numpy as np

    import darknet_py
    from darknet_py.graph import load_graph
    from darknet_py.network import Network
    from darknet_py.weights import SeededWeights

    if not Path(darknet_py.__file__).is_relative_to(folder):
        raise SystemExit(f"{folder}: darknet_py of {Path(darknet_py.__file__).parent} was imported instead")
    graph = load_graph(network, (int(size), int(size)))
    loaded = Network(graph, SeededWeights(graph), threads=int(threads), precision=precision)
    state = loaded.acquire()
    state.blob[:] = np.random.default_rng(0).random(state.blob.shape, np.float32)
    loaded.forward(state)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "kib": usage.ru_maxrss}), flush=True)
    read_clock = _CLOCKS[clock]
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = read_clock()
            loaded.forward(state)
            times.append(read_clock() - start)
        print(json.dumps(times), flush=True)


class Checkout:
    """A process that works on one network with the code of one folder."""

    def __init__(self, folder: Path, what: list[str], algorithms: str, cache: Path | None = None) -> None:
        variables = {"PYTHONPATH": str(folder), "DARKNET_PY_CONVOLUTION": algorithms}
        if cache is not None:
            variables["DARKNET_PY_CACHE_DIR"] = str(cache)
        command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--worker", str(folder), *what]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
        )
        self.start: dict[str, float] = self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended with status {self._process.wait()}, see above")
        return json.loads(line)

    def run(self, count: int) -> list[float]:
        """Seconds of `count` passes."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        times: list[float] = self._read()
        return times

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Measuring ----------------------------------------------------------------------------------------------------


def compare(folders: tuple[Path, Path], what: list[str], algorithms: str, seconds: float) -> Row:
    """Both checkouts in turns for so many seconds."""
    with ExitStack() as stack:
        pair = [stack.enter_context(Checkout(folder, what, algorithms)) for folder in folders]
        first = [min(checkout.run(2)) for checkout in pair]
        count = max(1, int(_TURN / min(first)))
        turns: tuple[list[list[float]], list[list[float]]] = ([], [])
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(turns[0]) < 2:
            for n in (0, 1) if len(turns[0]) % 2 == 0 else (1, 0):
                turns[n].append(pair[n].run(count))
    old, new = turns
    return {
        "old": min(map(min, old)), "new": min(map(min, new)), "turns": len(old), "passes": count,
        "minima": min(map(min, new)) / min(map(min, old)),
        "medians": statistics.median(chain(*new)) / statistics.median(chain(*old)),
        "paired": statistics.median(min(b) / min(a) for a, b in zip(old, new, strict=True)),
    }  # fmt: skip


def compare_cold(folders: tuple[Path, Path], what: list[str], algorithms: str, rounds: int) -> Row:
    """CPU seconds and memory until the first result, without compiled kernels; the least of each."""
    starts: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    for _ in range(rounds):
        for folder, found in zip(folders, starts, strict=True):
            with tempfile.TemporaryDirectory() as cache, Checkout(folder, what, algorithms, Path(cache)) as checkout:
                found.append(checkout.start)
    (old_cpu, old_kib), (new_cpu, new_kib) = (
        (min(one["cpu"] for one in found), min(one["kib"] for one in found)) for found in starts
    )
    return {
        "old": old_cpu, "new": new_cpu, "old_mib": old_kib / 1024, "new_mib": new_kib / 1024,
        "cpu": new_cpu / old_cpu, "memory": new_kib / old_kib,
    }  # fmt: skip


def describe(row: Row) -> str:
    """A line for the terminal."""
    head = f"{row['network']:<26} {row['precision']:<9} {row['threads']}"
    if "memory" in row:
        return (
            f"{head} {row['old']:>8.1f} {row['new']:>8.1f} s CPU {row['cpu']:>7.3f}   "
            f"{row['old_mib']:>6.0f} {row['new_mib']:>6.0f} MiB {row['memory']:>7.3f}"
        )
    return (
        f"{head} {row['old'] * 1e3:>8.3f} {row['new'] * 1e3:>8.3f} ms {row['minima']:>7.3f} {row['medians']:>8.3f} "
        f"{row['paired']:>7.3f}  ({row['turns']} turns of {row['passes']})"
    )


def main() -> None:
    """Measure every network, precision and number of threads asked for, and print a row of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("old", type=Path, help="folder of the older checkout")
    parser.add_argument("new", type=Path, nargs="?", default=_HERE, help="folder of the newer one; this by default")
    parser.add_argument("--network", nargs="+", default=_NETWORKS, help="names or .cfg files, each @ its input's side")
    parser.add_argument("--precision", default="float32,bfloat16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=30.0, help="of turns, for each row")
    parser.add_argument("--algorithms", default="F4,F2,S2", help="that both are to use where they fit")
    parser.add_argument("--clock", choices=_CLOCKS, default="wall", help="what is measured of a pass")
    parser.add_argument("--cold", action="store_true", help="start without compiled kernels instead")
    parser.add_argument("--rounds", type=int, default=3, help="of cold starts")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folders = (options.old.resolve(), options.new.resolve())
    for folder in folders:
        if not (folder / "darknet_py" / "__init__.py").is_file():
            parser.error(f"{folder}: holds no darknet_py")
    rows: list[Row] = []
    shown = (
        f"{'network':<26} {'precision':<9} {'t'} {'old':>8} {'new':>8}    {'minima':>7} {'medians':>8} {'paired':>7}"
    )
    print("" if options.cold else shown)
    for network in options.network:
        name, _, size = network.rpartition("@")
        if not name or not size.isdecimal():
            parser.error(f"--network {network}: expected a name or a .cfg file, @ and the side of its input")
        for precision in options.precision.split(","):
            for threads in options.threads.split(","):
                what = [
                    options.clock,
                    str(Path(name).resolve()) if Path(name).is_file() else name,
                    size,
                    precision,
                    threads,
                ]
                found = (
                    compare_cold(folders, what, options.algorithms, options.rounds)
                    if options.cold
                    else compare(folders, what, options.algorithms, options.seconds)
                )
                rows.append(
                    {"network": f"{Path(name).stem}@{size}", "precision": precision, "threads": threads} | found
                )
                print(describe(rows[-1]), flush=True)
    if options.json:
        from machine import describe_machine  # here, as it asks darknet_py what the older checkout may not know

        options.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:])
    else:
        main()
