"""Write ``docs/verified.md``, the table of every network that was compared with Darknet.

Usage: ``python benchmarks/verified.py [--check]``

Made of ``benchmarks/results/parity.json``, which ``benchmarks/parity.py`` writes; with ``--check``, fails if the page
says anything else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_PAGE = _HERE.parent / "docs" / "verified.md"

_TEXT = """# Networks compared with Darknet

Every cfg of AlexeyAB/darknet that its reference build loads, some at a reduced size, and small ones written to try each
option (`synth_*`), on generated weights. Compared are all values of small outputs and samples of large ones, layer by
layer. The differences are those of the worst layer, relative to that layer's largest value: with direct convolutions
(`exact=True`) and as everything is by default. Boxes are Darknet's at confidence 0.25, after its suppression: found is
one of the same class, within half a pixel and 0.001 of confidence. Written by `benchmarks/verified.py` from what
`benchmarks/parity.py` measured; `darknet-py compare` does the like with your own model. What is refused, and where
results differ on purpose, is on the [page of differences](differences.md).
"""

_NOTES = """
Where boxes are missing: cspx-p7-mish has masks beyond its `num=`, for which C reads past the anchors; boxes of its last
head are undefined in Darknet.

In `synth_act_connected` and `synth_act_shortcut`, Darknet's C leaves the output of some activations at zero outside
convolutions. The intended result is computed here, and those layers are left out.
"""


def _row(row: dict[str, Any]) -> str:
    facts = [row["network"], row["size"], str(row["layers"] or "–"), f"{row['bflops']:.3f}" if "bflops" in row else "–"]
    if "exact" in row:
        boxes = "–"
        if "found" in row:
            equal = "all" if row["found"] == row["expected"] else f"{row['found']} of"
            boxes = f"{equal} {row['expected']}"
        worst = f"{row['default']:.0e} ({row['default_layer']})"
        cells = [*facts, f"{row['exact']:.0e}", worst, boxes]
    elif "refused" in row:
        cells = [*facts, "refused", row["refused"], "–"]
    else:
        cells = [*facts, "–", "Darknet itself loads it, but cannot run it", "–"]
    return f"| {' | '.join(cells)} |"


def page(rows: list[dict[str, Any]]) -> str:
    """The whole text."""
    compared = [row for row in rows if "exact" in row]
    found, expected = (sum(row.get(key, 0) for row in compared) for key in ("found", "expected"))
    refused = sum("refused" in row for row in rows)
    lines = [
        _TEXT,
        f"{len(compared)} networks compared, {found} of {expected} boxes found; {refused} refused.",
        "",
        "| network | input | layers | BFLOPs | exact | default (worst layer) | boxes |",
        "|---|---|---|---|---|---|---|",
        *map(_row, rows),
    ]
    return "\n".join(lines) + "\n" + _NOTES


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the page is out of date")
    options = parser.parse_args()
    text = page(json.loads((_HERE / "results" / "parity.json").read_text()))
    if not options.check:
        _PAGE.write_text(text, encoding="utf-8")
    elif not _PAGE.exists() or _PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/verified.md is out of date: run python benchmarks/verified.py")


if __name__ == "__main__":
    main()
