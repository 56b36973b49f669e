"""What a cluster of many cores would do with ten million pictures: measured on two, simulated for thousands.

``python benchmarks/ray_scale.py CFG WEIGHTS PICTURES`` measures on this machine what a picture, a worker's start, a row
and a block of the driver cost, in seconds of CPU time, and keeps that in benchmarks/results/ray_scale.json.
``--tables`` writes the tables of docs/ray.md from it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blocks import with_block

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "ray_scale.json"
PAGE = ROOT / "docs" / "ray.md"

#: Assumptions, which the page states.
PICTURES = 10_000_000
PRICE = 0.04  # dollars a core and hour
CORES_A_NODE = 16
BANDWIDTH = 10e9  # bytes a second that the storage gives to all machines together


@dataclass(frozen=True)
class Cluster:
    """What is simulated; `picture` to `dispatch` in seconds."""

    picture: float
    start: float
    compile: float
    dispatch: float
    bytes_in: float
    bytes_out: float
    cores: int = 1000
    block: int = 256
    bandwidth: float = BANDWIDTH
    cold: bool = False
    pictures: int = PICTURES


def simulate(cluster: Cluster, seed: int = 1) -> float:
    """Seconds until the last block is written.

    The driver hands out blocks one after the other; the storage serves those who read in the order in which they ask;
    a worker reads ahead, so that a block takes the longer of reading and computing. Blocks differ by 5 %.
    """
    chance = random.Random(seed)
    ready = cluster.start + (cluster.compile if cluster.cold else 0)
    workers = [ready] * cluster.cores
    heapq.heapify(workers)
    driver = storage = last = 0.0
    left = cluster.pictures
    while left > 0:
        pictures = min(cluster.block, left)
        left -= pictures
        driver += cluster.dispatch
        begun = max(heapq.heappop(workers), driver)
        storage = max(storage, begun) + pictures * (cluster.bytes_in + cluster.bytes_out) / cluster.bandwidth
        ended = max(begun + pictures * cluster.picture * chance.gauss(1, 0.05), storage)
        heapq.heappush(workers, ended)
        last = max(last, ended)
    return last


def row(cluster: Cluster) -> dict[str, Any]:
    """Time, rate, share of the ideal, and cost."""
    seconds = simulate(cluster)
    ideal = cluster.pictures * cluster.picture / cluster.cores
    moved = cluster.pictures * (cluster.bytes_in + cluster.bytes_out) / seconds
    return {
        "seconds": seconds,
        "rate": cluster.pictures / seconds,
        "share": ideal / seconds,
        "moved": moved,
        "cost": seconds / 3600 * cluster.cores * PRICE,
    }


def children() -> float:
    """Seconds of CPU time of processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_ONE = """
import sys
from darknet_py.ray.worker import Job, Worker
job = Job(sys.argv[1], sys.argv[2], tuple(f"class {n}" for n in range(int(sys.argv[4]))), {"threads": 1}, {})
Worker(job).found([sys.argv[3]])
"""


def start_seconds(cfg: str, weights: str, picture: str, classes: int, cache: str | None) -> float:
    """A worker from its process to its first picture, on one thread; kernels are compiled into an empty `cache`."""
    environment = os.environ if cache is None else {**os.environ, "DARKNET_PY_CACHE_DIR": cache}
    before = children()
    subprocess.run([sys.executable, "-c", _ONE, cfg, weights, picture, str(classes)], check=True, env=environment)
    return children() - before


def dispatch_seconds(blocks: int = 2000) -> float:
    """CPU time of the driver for a block, whose worker has nothing to do."""
    import pyarrow as pa
    import ray
    import ray.data

    class Nothing:
        def __call__(self, table: Any) -> Any:
            return table

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    tables = [pa.table({"path": [f"pictures/{n:08d}-{m:03d}.jpg" for m in range(256)]}) for n in range(blocks)]
    pool = ray.data.ActorPoolStrategy(size=2)
    begun = time.process_time()
    mapped = ray.data.from_arrow(tables).map_batches(Nothing, batch_size=None, batch_format="pyarrow", compute=pool)
    rows = sum(len(batch) for batch in mapped.iter_batches(batch_size=None, batch_format="pyarrow"))
    seconds = (time.process_time() - begun) / blocks
    assert rows == 256 * blocks
    ray.shutdown()
    return seconds


def row_bytes(table: Any) -> float:
    """Of Parquet, of a row in a block of 256."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sizes = []
    for some in (table, table[:0]):
        stream = pa.BufferOutputStream()
        pq.write_table(some, stream)
        sizes.append(stream.getvalue().size)
    return (sizes[0] - sizes[1]) / len(table) + sizes[1] / 256


def measure(cfg: str, weights: str, folder: str) -> dict[str, Any]:
    """All that the simulation wants to know, of one thread."""
    import pyarrow as pa

    from darknet_py import Detector
    from darknet_py.outputs.record import Problem
    from darknet_py.ray.columns import with_found
    from darknet_py.ray.worker import Job, Worker

    paths = sorted(str(path) for path in Path(folder).iterdir() if path.is_file())
    names = Detector(cfg, weights).names
    worker = Worker(Job(cfg, weights, names, {"threads": 1}, {}))
    worker.found(paths[:8])
    times = []
    for _ in range(5):
        begun = time.process_time()
        found = worker.found(paths)
        times.append((time.process_time() - begun) / len(paths))
    assert not any(isinstance(one, Problem) for one in found)
    with tempfile.TemporaryDirectory() as work:
        warm = min(start_seconds(cfg, weights, paths[0], len(names), None) for _ in range(3))
        cold = start_seconds(cfg, weights, paths[0], len(names), f"{work}/cache")
    return {
        "model": Path(cfg).stem,
        "picture": min(times),
        "start": warm,
        "compile": cold - warm,
        "dispatch": dispatch_seconds(),
        "bytes_in": sum(map(os.path.getsize, paths)) / len(paths),
        "bytes_out": row_bytes(with_found(pa.table({"path": paths}), found)),
    }


def tables(measured: dict[str, Any]) -> str:
    """The page's tables, as Markdown."""
    base = Cluster(**{name: value for name, value in measured.items() if name != "model"})
    lines = [
        "| measured, in CPU time of one core | |",
        "|---|---|",
        f"| model | {measured['model']} |",
        f"| a picture, from its file to boxes, ms | {1000 * base.picture:.1f} |",
        f"| a worker from its start to its first picture, kernels cached, s | {base.start:.1f} |",
        f"| compiling, where they are not, s more | {base.compile:.1f} |",
        f"| the driver, a block, ms | {1000 * base.dispatch:.2f} |",
        f"| a picture's file, KB | {base.bytes_in / 1000:.0f} |",
        f"| its row in Parquet, bytes | {base.bytes_out:.0f} |",
        "",
        f"{base.pictures:,} pictures ({base.pictures * base.bytes_in / 1e12:.2f} TB in, "
        f"{base.pictures * base.bytes_out / 1e9:.1f} GB out), blocks of {base.block}, storage of "
        f"{base.bandwidth / 1e9:g} GB/s, ${PRICE} a core and hour:",
        "",
        "| cores | time | pictures a second | read, GB/s | of the ideal | cost |",
        "|---|---|---|---|---|---|",
    ]
    for cores in (2, 64, 250, 1000, 4000, 16000):
        lines.append(_line(str(cores), row(replace(base, cores=cores))))
    lines += [
        "",
        "1 000 cores, and what changes it:",
        "",
        "| | time | pictures a second | read, GB/s | of the ideal | cost |",
    ]
    lines.append("|---|---|---|---|---|---|")
    variants: list[tuple[str, Cluster]] = [
        ("as above", base),
        ("nothing compiled beforehand", replace(base, cold=True)),
        ("storage of 1 GB/s", replace(base, bandwidth=1e9)),
        ("storage of 3 GB/s", replace(base, bandwidth=3e9)),
        ("blocks of 16 pictures", replace(base, block=16)),
        ("blocks of 4096 pictures", replace(base, block=4096)),
        ("100 000 pictures", replace(base, pictures=100_000)),
        ("100 000 pictures, blocks of 25", replace(base, pictures=100_000, block=25)),
        ("100 000 pictures, blocks of 25, nothing compiled", replace(base, pictures=100_000, block=25, cold=True)),
    ]
    lines += [_line(name, row(cluster)) for name, cluster in variants]
    lines += ["", *limits(base)]
    return "\n".join(lines)


def limits(base: Cluster) -> list[str]:
    """Where each part has no more to give."""
    a_core = (base.bytes_in + base.bytes_out) / base.picture
    return [
        "| what ends first | gives | is used up by |",
        "|---|---|---|",
        f"| the driver | {1 / base.dispatch:.0f} blocks a second | "
        f"{base.block * base.picture / base.dispatch:,.0f} cores with blocks of {base.block} |",
        f"| storage | {base.bandwidth / 1e9:g} GB/s | {base.bandwidth / a_core:,.0f} cores at "
        f"{a_core / 1e6:.1f} MB/s each |",
        f"| a node's network of 10 Gbit/s | 1.25 GB/s | {1.25e9 / a_core:,.0f} cores; a node has {CORES_A_NODE} |",
    ]


def _line(name: str, one: dict[str, Any]) -> str:
    seconds = one["seconds"]
    shown = (
        f"{seconds / 3600:.1f} h"
        if seconds >= 7200
        else f"{seconds / 60:.1f} min"
        if seconds >= 120
        else f"{seconds:.0f} s"
    )
    cells = (name, shown, f"{one['rate']:,.0f}", f"{one['moved'] / 1e9:.2f}", f"{one['share']:.0%}")
    return f"| {' | '.join(cells)} | ${one['cost']:,.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="CFG WEIGHTS PICTURES")
    parser.add_argument("--tables", action="store_true", help="write the tables of docs/ray.md")
    given = parser.parse_args()
    if given.files:
        measured = measure(*given.files)
        RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
        print(json.dumps(measured, indent=1))
    if given.tables:
        text = tables(json.loads(RESULTS.read_text()))
        PAGE.write_text(with_block(PAGE.read_text(), "scale", text))


if __name__ == "__main__":
    main()
