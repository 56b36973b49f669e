"""Random networks, one after the other, in this process.

``python tests/fuzz/network_search.py FOLDER FIRST COUNT SECONDS``: the counts and what was found are in FOLDER. In
``tests/``, ``python -c "from fuzz.network_runs import compare; compare(SEED)"`` shows one again, with the variables of
the run.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

_KEPT = 20


def main(folder: str, first: str, count: str, seconds: str) -> int:
    os.environ.setdefault("DARKNET_PY_GUARD", "1")
    warnings.simplefilter("error")
    logging.disable(logging.CRITICAL)
    from fuzz.network_runs import compare

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    begun, cpu, told = time.monotonic(), time.process_time(), 0.0
    found: list[int] = []
    seed = int(first)
    for seed in range(int(first), int(first) + int(count)):
        try:
            compare(seed)
        except Exception:
            found.append(seed)
            if len(found) <= _KEPT:
                (place / f"found-{seed}.txt").write_text(traceback.format_exc())
        now = time.monotonic()
        is_over = seed == int(first) + int(count) - 1 or now - begun > float(seconds)
        if now - told > 2 or is_over:
            told = now
            counts = {
                "target": "networks", "variables": {k: v for k, v in os.environ.items() if k.startswith("DARKNET_PY_")},
                "first": int(first), "executions": seed + 1 - int(first), "found": found[:1000],
                "seconds": round(now - begun), "cpu_seconds": round(time.process_time() - cpu),
            }  # fmt: skip
            (place / "counts.part").write_text(json.dumps(counts))
            (place / "counts.part").replace(place / "counts.json")
        if is_over:
            break
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
