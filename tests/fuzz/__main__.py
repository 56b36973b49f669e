"""All of fuzzing by one command: ``python tests/fuzz [TARGET ...] [--seconds S] [--executions N] [--jobs N]``.

Targets are those of `targets`, ``pictures`` for all containers, and ``networks``; without any, all of them, each for so
long. Exit code 1 if something was found: the inputs, with their tracebacks, are in the folder that the last line names.
A folder given again is gone on with. Coverage-guided where ``pip install atheris`` worked, else blind. FUZZ_SEED=N
begins with other dice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE.parent))

#: Which kernels random networks are run by, in turn; the machine's own first.
KINDS = (
    {},
    {"DARKNET_PY_LANES": "8"},
    {"DARKNET_PY_LANES": "4"},
    {"DARKNET_PY_AMX": "0"},
    {"DARKNET_PY_GUARD": "large"},
)


def _command(target: str, folder: Path, options: argparse.Namespace, first: int) -> list[str]:
    if target == "networks":
        script, own = "network_search.py", [str(folder), str(first), str(options.executions)]
    else:
        script, own = "coverage_guided.py", [target, str(folder), str(options.executions)]
    return [sys.executable, str(_HERE / script), *own, str(options.seconds)]


def _run(target: str, folder: Path, options: argparse.Namespace, number: int) -> dict[str, Any]:
    """One target for its time; its counts. A process that died is a finding too, and libFuzzer keeps its input."""
    place = folder / (target if target != "networks" else f"networks-{number}")
    place.mkdir(parents=True, exist_ok=True)
    kind = KINDS[number % len(KINDS)] if target == "networks" else {}
    first = options.first + number * options.executions
    with (place / "log.txt").open("w") as log:
        done = subprocess.run(
            _command(target, place, options, first), env=os.environ | kind, stdout=log, stderr=log, check=False
        )
    counts: dict[str, Any] = {"target": target, "executions": 0, "found": {}}
    if (place / "counts.json").is_file():
        counts = json.loads((place / "counts.json").read_text())
    if done.returncode not in (0, 1) or not counts["executions"]:
        counts["died"] = done.returncode
    found = f"found {counts['found']}" if counts["found"] else "nothing found"
    died = f", died with {counts['died']}: see {place / 'log.txt'}" if "died" in counts else ""
    print(f"{target}: {counts['executions']} executions, {found}{died}", flush=True)  # noqa: T201
    for text in sorted(place.glob("found-*.txt")):
        print(text.read_text(errors="replace"), flush=True)  # noqa: T201
    return counts


def main() -> int:
    from fuzz.names import NAMES

    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    everything = [*NAMES, "networks"]
    pictures = [name for name in NAMES if name.startswith("picture")]
    parser.add_argument("targets", nargs="*", choices=[*everything, "pictures", []], metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=60, help="per target, at most [60]")
    parser.add_argument("--executions", type=int, default=1 << 30, help="per target, at most")
    parser.add_argument("--networks", type=int, default=1, help="searches of random networks, each of another kind [1]")
    parser.add_argument("--first", type=int, default=0, help="the first seed of random networks [0]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at the same time")
    parser.add_argument("--folder", type=Path, help="where corpora and findings are kept")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fuzzing-"))
    jobs: list[tuple[str, int]] = []
    chosen = [one for name in options.targets or everything for one in (pictures if name == "pictures" else [name])]
    for target in chosen:
        jobs += [(target, n) for n in range(options.networks if target == "networks" else 1)]
    with ThreadPoolExecutor(options.jobs) as pool:
        counts = list(pool.map(lambda job: _run(job[0], folder, options, job[1]), jobs))
    total = sum(one["executions"] for one in counts)
    bad = [one for one in counts if one["found"] or "died" in one]
    print(f"{total} executions over {len(jobs)} searches, {len(bad)} with findings; all in {folder}")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
