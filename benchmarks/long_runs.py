"""Long runs and crowds: what a service does for months, in minutes. Writes the table of docs/trust.md.

``python benchmarks/long_runs.py [--write] [NAME ...]``: runs every entry of `RUNS` that is named, or all, each in a
process of its own; a figure that is not as it must be is an error. With ``--write`` results go to
``benchmarks/results/long_runs.json`` and the table into ``docs/trust.md``; ``--table`` only writes that anew.
``--fuzzing FOLDER ...`` adds up the counts of runs of ``python tests/fuzz --folder FOLDER`` instead, for its own table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from blocks import with_block

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "long_runs.json"
PAGE = ROOT / "docs" / "trust.md"
FUZZING = ROOT / "benchmarks" / "results" / "fuzzing.json"


def fuzzing_table(counts: dict[str, dict[str, int]]) -> str:
    rows = [f"| {name} | {one['executions']:,} | {one['cpu_seconds']:,} |\n" for name, one in counts.items()]
    total = [sum(one[key] for one in counts.values()) for key in ("executions", "cpu_seconds")]
    head = ["| target | executions | seconds of computing |\n", "|---|---|---|\n"]
    return "".join([*head, *rows, f"| all | {total[0]:,} | {total[1]:,} |\n"])


def add_up(folders: list[Path]) -> dict[str, dict[str, int]]:
    """Executions and seconds of each target over all `folders`."""
    totals: dict[str, dict[str, int]] = {}
    for file in sorted(file for folder in folders for file in folder.glob("*/counts.json")):
        found = json.loads(file.read_text())
        one = totals.setdefault(found["target"], {"executions": 0, "cpu_seconds": 0})
        for key in one:
            one[key] += found[key]
    return dict(sorted(totals.items()))


def table(results: dict[str, dict[str, object]]) -> str:
    rows = [f"| {one['what']} | {one['found']} | {one['seconds']} |\n" for one in results.values()]
    return "".join(["| what | found | seconds |\n", "|---|---|---|\n", *rows])


def write_table(name: str, rows: str) -> None:
    """Put a table, which ends with a newline, into the page."""
    PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), name, rows.removesuffix("\n")), encoding="utf-8")


def run(name: str) -> dict[str, object]:
    """One entry in a process of its own; what it printed last is the finding."""
    begun = time.monotonic()
    command = [sys.executable, str(ROOT / "benchmarks" / "long_run.py"), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    what, found = done.stdout.splitlines()[-2:]
    return {"what": what, "found": found, "seconds": round(time.monotonic() - begun)}


def main() -> None:
    from long_run import RUNS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--fuzzing", nargs="+", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.fuzzing:
        counts = add_up(options.fuzzing)
        FUZZING.write_text(json.dumps(counts, indent=1) + "\n")
        write_table("fuzzing", fuzzing_table(counts))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in [] if options.table else options.names or RUNS:
        results[name] = run(name)
        print(f"{name}: {results[name]['found']}, {results[name]['seconds']} s", flush=True)
        if options.write:
            ordered = {one: results[one] for one in RUNS if one in results}
            RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")
    if options.write or options.table:
        write_table("long runs", table({one: results[one] for one in RUNS if one in results}))


if __name__ == "__main__":
    main()
