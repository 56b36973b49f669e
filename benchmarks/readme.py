"""Write the README's figures from the results of the other scripts.

Usage: ``python benchmarks/readme.py [--check]``

Replaces what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` with the tables made from
``benchmarks/results/*.json``; with ``--check``, fails if the README says anything else.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_README = _HERE.parent / "README.md"

#: Networks the README names; the results hold all that were compared.
_SHOWN = (
    "yolov4", "yolov4-tiny", "yolov4-csp", "yolov4x-mish", "yolov4-p5", "yolov3", "yolov3-tiny", "yolov3-spp", "yolov2",
    "yolov2-tiny", "yolov7", "yolov7-tiny", "csresnext50-panet-spp-original-optimal", "yolo9000", "efficientnet_b0",
    "darknet53", "resnet50",
)  # fmt: skip


def _parity(rows: list[dict[str, Any]]) -> str:
    known = {row["network"]: row for row in rows}
    lines = [
        "| network | input | layers | worst layer, `exact=True` | worst layer, default | Darknet's boxes found |",
        "|---|---|---|---|---|---|",
    ]
    for name in _SHOWN:
        row = known[name]
        boxes = f"{row['found']} of {row['expected']}" if "found" in row else "–"
        lines.append(
            f"| {name} | {row['size']} | {row['layers']} | {row['exact']:.0e} | {row['default']:.0e} | {boxes} |"
        )
    found = sum(row.get("found", 0) for row in rows)
    expected = sum(row.get("expected", 0) for row in rows)
    worst = max(row["default"] for row in rows)
    lines.append("")
    lines.append(
        f"All {len(rows)} networks compared: {found} of {expected} boxes, no layer further than {worst:.0e} of its "
        "largest value. (cspx-p7-mish has masks beyond its `num=`, for which C reads past the anchors: boxes of its "
        "last head are undefined in Darknet, and are not found.)"
    )
    return "\n".join(lines)


def _compare(results: dict[str, Any]) -> str:
    machine = results["machine"]
    rows = [row for row in results["rows"] if row["status"] == "ok"]
    cases = list(dict.fromkeys((row["model"], row["size"], row["threads"]) for row in rows))
    titles = list(dict.fromkeys(row["title"] for row in rows))
    lines = [
        f"Milliseconds per image, forward pass only, on {machine['cpu']}, {machine['physical_cores']} cores, with "
        f"{machine['float32_lanes']} float32 lanes; medians of rounds in which the runtimes take turns. In brackets: "
        "peak memory of the whole process in MB.",
        "",
        "| runtime | " + " | ".join(f"{model} {size.split('x')[0]}, {n} thr." for model, size, n in cases) + " |",
        "|---" * (1 + len(cases)) + "|",
    ]
    by_case = {(row["title"], row["model"], row["size"], row["threads"]): row for row in rows}
    for title in titles:
        cells = []
        for case in cases:
            row = by_case.get((title, *case))
            cells.append(f"{row['median'] * 1e3:.1f} ({row['peak_bytes'] / 1e6:.0f})" if row else "–")
        precision = next(row["precision"] for row in rows if row["title"] == title)
        note = "" if precision == "float32" else f" ({precision})"
        lines.append(f"| {title}{note} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _accuracy(results: dict[str, Any]) -> str:
    rows = [row for row in results["rows"] if row["status"] == "ok"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["title"], row["model"]): row for row in rows}
    lines = [
        "AP50 / AP75 / AP of the same runtimes on the same photographs, trained models:",
        "",
        "| runtime | " + " | ".join(models) + " |",
        "|---" * (1 + len(models)) + "|",
    ]
    for title in dict.fromkeys(row["title"] for row in rows):
        cells = []
        for model in models:
            row = found.get((title, model))
            cells.append(" / ".join(f"{row[key]:.3f}" for key in ("AP50", "AP75", "AP")) if row else "–")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


_BLOCKS: dict[str, Callable[[Any], str]] = {"parity": _parity, "compare": _compare, "accuracy": _accuracy}


def main() -> None:
    """Rewrite or check every block."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a block is out of date")
    options = parser.parse_args()
    text = old = _README.read_text(encoding="utf-8")
    for name, render in _BLOCKS.items():
        data = json.loads((_HERE / "results" / f"{name}.json").read_text())
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"README.md: no block named {name}")
        block = f"{render(data)}\n"
        text = pattern.sub(lambda found, block=block: found[1] + block + found[2], text)  # type: ignore[misc]
    if options.check:
        sys.exit("README.md is out of date: run python benchmarks/readme.py" if text != old else 0)
    _README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
