"""darknet-py beside other CPU runtimes: the same networks, the same input, taking turns.

Usage: ``python benchmarks/compare.py [MODEL[@SIZE] ...] [--threads 1,2] [--runtimes A,B] [--out DIR]``

Each runtime has a process of its own. All load the model and compute the same blob once; those whose output differs
from the others' are left out, with the reason. Then rounds A B C A B C: in its turn a runtime runs once
uncounted, then for a while. Tables show medians over all rounds.

OpenCV 5 cannot read Darknet's files: for ``readNetFromDarknet`` name an interpreter that has opencv-python 4,
``--python opencv4=/path/to/python``. ``install.py`` makes both environments and calls this program.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from agreement import (
    BOX_TOLERANCE,
    TOLERANCES,
    activate_heads,
    box_difference,
    largest_difference,
    pick_reference,
    read_outputs,
)
from machine import describe_machine
from peers import RUNTIMES, Peer, PeerError, parse_pairs, parse_runtimes
from prepare import Model, prepare, read_graph
from report import draw_chart, format_markdown, format_table

from darknet_py.bench import measure_peak
from darknet_py.errors import DarknetError
from darknet_py.threads import physical_cores

_MODELS = ("yolov4-tiny@416", "yolov3@416", "yolov4@416")
_MOST_RUNS = 50
#: Threads of the process before may still spin for this long.
_PAUSE = 0.25

Row = dict[str, Any]


class Comparison:
    """One model, size and thread count: the processes that take part, and what becomes of each."""

    def __init__(self, model: Model, threads: int, options: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self._model, self._threads, self._options, self._folder = model, threads, options, folder
        self._stack = stack
        self.rows: dict[str, Row] = {}
        self._peers: dict[str, Peer] = {}
        self._outputs: dict[str, list[Any]] = {}
        self._boxes: dict[str, list[list[float]]] = {}
        self._seconds: dict[str, list[float]] = {}

    def load(self) -> None:
        """Start every runtime, let it load the model and run it once."""
        for name in self._options.runtimes:
            row = self.rows[name] = {
                "runtime": name, "title": RUNTIMES[name].title, "model": self._model.name, "size": self._model.size,
                "threads": self._threads, "weights": self._model.weights,
            }  # fmt: skip
            _say(f"{self._model.name} {self._model.size}, threads {self._threads}: {row['title']} loads")
            try:
                self._model.require(RUNTIMES[name])
                if RUNTIMES[name].compiles_once:
                    row["compile"] = self._compile(name)
                peer = self._start(name)
                row |= peer.ask("hello")
                self._load_one(name, peer, row)
            except PeerError as error:
                row |= {"status": "skipped", "reason": str(error)}

    def _start(self, name: str) -> Peer:
        python = self._options.python.get(name, sys.executable)
        peer = Peer(name, python, self._threads, self._folder / f"{name}.log", self._options.timeout)
        self._stack.callback(peer.close)
        return peer

    def _ask_load(self, peer: Peer, path: Path) -> dict[str, Any]:
        files, options = self._model.files, peer.runtime.options
        return peer.ask("load", files=files, threads=self._threads, options=options, outputs=str(path))

    def _compile(self, name: str) -> float:
        """Seconds that a first process takes longer, so that the second loads as all later ones do."""
        peer = self._start(name)
        reply = self._ask_load(peer, self._folder / f"{name}.npz")
        peer.close()
        return float(reply["load"] + reply["first"])

    def _load_one(self, name: str, peer: Peer, row: Row) -> None:
        path = self._folder / f"{name}.npz"
        reply = self._ask_load(peer, path)
        stage, boxes = reply.pop("stage"), reply.pop("boxes", None)
        row |= reply
        self._peers[name] = peer
        if stage == "boxes":
            self._boxes[name] = boxes
            return
        outputs = read_outputs(path)
        path.unlink()
        self._outputs[name] = activate_heads(self._model.graph, outputs) if stage == "before heads" else outputs

    def check(self) -> None:
        """Leave out whoever did not compute what the others did."""
        full = {name: found for name, found in self._outputs.items() if self.rows[name]["precision"] == "float32"}
        full = full or self._outputs
        reference = pick_reference(full) if full else ""
        for name in list(self._peers):
            row = self.rows[name]
            if not reference:
                row |= {"status": "wrong", "reason": "there is no other runtime to compare its boxes with"}
                del self._peers[name]
                continue
            if name in self._boxes:
                difference = box_difference(self._model.graph, self._boxes[name], full[reference])
                allowed = BOX_TOLERANCE
            else:
                difference = largest_difference(self._outputs[name], full[reference])
                allowed = TOLERANCES.get(row["precision"], TOLERANCES["bfloat16"])
            row |= {"is_reference": name == reference, "difference": difference}
            if not difference <= allowed:
                title = self.rows[reference]["title"]
                reason = f"its output differs by {difference:.1e} from {title}'s, {allowed:.0e} is allowed"
                row |= {"status": "wrong", "reason": reason}
                del self._peers[name]

    def measure(self) -> None:
        """Rounds of turns; the order moves on by one each round, so that nobody always follows the same."""
        runs = dict.fromkeys(self._peers, 1)
        for number in range(self._options.rounds):
            _say(f"{self._model.name} {self._model.size}, threads {self._threads}: round {number + 1}")
            names = list(self._peers)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                time.sleep(_PAUSE)
                try:
                    seconds = self._peers[name].ask("time", runs=runs[name])["seconds"]
                except PeerError as error:
                    self.rows[name] |= {"status": "failed", "reason": str(error)}
                    del self._peers[name]
                    continue
                self._seconds.setdefault(name, []).extend(seconds)
                runs[name] = max(1, min(_MOST_RUNS, round(self._options.turn / statistics.median(seconds))))

    def finish(self, peak: float) -> list[Row]:
        """The rows with their medians and peak memory."""
        for name, peer in self._peers.items():
            row, seconds = self.rows[name], self._seconds[name]
            median = statistics.median(seconds)
            p10, p90 = (float(value) for value in np.percentile(seconds, [10, 90]))
            gflops = self._model.graph.bflops / median
            row |= {
                "status": "ok", "median": median, "p10": p10, "p90": p90, "fps": 1 / median, "gflops": gflops,
                "peak_share": gflops / peak, "seconds": seconds, "peak_bytes": peer.ask("memory")["bytes"],
            }  # fmt: skip
        return list(self.rows.values())


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Prepare, load, check and measure everything that was asked for."""
    rows: list[Row] = []
    peaks: dict[int, float] = {}
    results = {
        "machine": describe_machine(),
        "settings": {
            "rounds": options.rounds,
            "turn_seconds": options.turn,
            "models": [Path(text).name for text in options.models],
        },
        "peaks": peaks,
        "rows": rows,
    }
    formats = {RUNTIMES[name].reads for name in options.runtimes}
    pnnx_python = options.python.get("ncnn", options.python.get("torch", sys.executable))
    for text in options.models:
        _say(f"{text}: writing weights and ONNX files")
        model = prepare(text, options.weights, folder, formats, pnnx_python, options.darknet)
        for threads in options.threads:
            with ExitStack() as stack:
                comparison = Comparison(model, threads, options, folder, stack)
                comparison.load()
                comparison.check()
                # The best of several moments: the machine's peak, not what it had left just then.
                peaks[threads] = max(peaks.get(threads, 0.0), measure_peak(threads))
                comparison.measure()
                found = comparison.finish(peaks[threads])
            rows.extend(found)
            _say("")
            print(format_table(found) + "\n", flush=True)
    return results


def update(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """`before` with the rows of each model, size and number of threads that was measured again replaced."""

    def key(row: Row) -> tuple[Any, ...]:
        return row["model"], row["size"], row["threads"]

    again = {key(row) for row in now["rows"]}
    order = dict.fromkeys([key(row) for row in before["rows"] + now["rows"]])
    rows = [row for row in before["rows"] if key(row) not in again] + now["rows"]
    rows.sort(key=lambda row: list(order).index(key(row)))
    models = [*dict.fromkeys([*before["settings"]["models"], *now["settings"]["models"]])]
    peaks = {int(count): peak for count, peak in before["peaks"].items()}
    for count, peak in now["peaks"].items():
        peaks[count] = max(peak, peaks.get(count, 0.0))
    return {**now, "settings": {**now["settings"], "models": models}, "peaks": peaks, "rows": rows}


def _say(text: str) -> None:
    """Progress, on one line of a terminal's stderr."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text[:118]}", end="", file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    cores = physical_cores()
    parser.add_argument("models", nargs="*", default=_MODELS, metavar="MODEL[@SIZE]", help="cfg file or shipped model")
    parser.add_argument("--threads", default=f"1,{cores}" if cores > 1 else "1", help="such as 1,2")
    parser.add_argument("--runtimes", type=parse_runtimes, default=list(RUNTIMES), help="of " + ",".join(RUNTIMES))
    parser.add_argument("--weights", action="append", default=[], metavar="MODEL=FILE", help="else seeded random ones")
    parser.add_argument("--python", action="append", default=[], metavar="RUNTIME=PATH", help="its own interpreter")
    parser.add_argument("--darknet", metavar="PATH", help="AlexeyAB's program, to take part")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each runtime")
    parser.add_argument("--turn", type=float, default=0.6, help="seconds of a turn, at least one run")
    parser.add_argument("--timeout", type=float, default=600, help="seconds until a silent runtime is given up")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    parser.add_argument(
        "--update", action="store_true", help="keep what OUT has of other models, measured here as well"
    )
    parser.add_argument("--work", type=Path, help="folder for models, kept; else a temporary one")
    options = parser.parse_args()
    options.threads = [int(count) for count in options.threads.split(",")]
    if min(options.threads) < 1 or options.rounds < 1:
        parser.error("--threads and --rounds: expected at least 1")
    if options.update and not (options.out / "compare.json").is_file():
        parser.error(f"--update: no {options.out / 'compare.json'} to update")
    for text in options.models:  # all of them now, not after others have been measured
        try:
            read_graph(text)
        except (DarknetError, ValueError) as error:
            parser.error(f"{text}: {error}")
    options.weights, options.python = parse_pairs(options.weights, "--weights"), parse_pairs(options.python, "--python")
    return options


def main() -> None:
    """Compare what the command line names and write the results."""
    options = _parse()
    with ExitStack() as stack:
        folder = options.work
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="darknet-py-")))
        folder.mkdir(parents=True, exist_ok=True)
        results = compare(options, folder.resolve())
    options.out.mkdir(parents=True, exist_ok=True)
    if options.update:
        results = update(json.loads((options.out / "compare.json").read_text()), results)
    (options.out / "compare.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "compare.md").write_text(format_markdown(results))
    try:
        draw_chart(results["rows"], [options.out / "compare.svg", options.out / "compare.png"])
    except ImportError:
        print("no chart: matplotlib is not installed", file=sys.stderr)
    print(f"written: {options.out}/compare.json, .md, .svg, .png")


if __name__ == "__main__":
    main()
