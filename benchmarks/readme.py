"""Write the figures of the README and of pages in docs/ from the results of the other scripts.

Usage: ``python benchmarks/readme.py [--check]``

Replaces what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` with the tables made from
``benchmarks/results/*.json`` and ``training/results/*.json``, in every page that has such a block; with ``--check``,
fails if a page says anything else.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blocks import has_block, with_block

_HERE = Path(__file__).parent
PAGES = ("README.md", "docs/codes.md", "docs/speed.md")

#: Networks the README names; the results hold all that were compared.
_SHOWN = (
    "yolov4", "yolov4-tiny", "yolov4-csp", "yolov4x-mish", "yolov4-p5", "yolov3", "yolov3-tiny", "yolov3-spp", "yolov2",
    "yolov2-tiny", "yolov7", "yolov7-tiny", "csresnext50-panet-spp-original-optimal", "yolo9000", "efficientnet_b0",
    "darknet53", "resnet50",
)  # fmt: skip


def _parity(rows: list[dict[str, Any]]) -> str:
    rows = [row for row in rows if "default" in row]
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
        "last head are undefined in Darknet, and are not found.) [All of them](docs/verified.md)."
    )
    return "\n".join(lines)


def _compare(results: dict[str, Any]) -> str:
    machine = results["machine"]
    rows = [row for row in results["rows"] if row["status"] == "ok"]
    networks = list(dict.fromkeys((row["model"], row["size"]) for row in rows))
    counts = sorted({row["threads"] for row in rows})
    threads = " / ".join(f"{n} thread{'s' if n > 1 else ''}" for n in counts)
    names = [f"{model} {size.split('x')[0]}" for model, size in networks]
    tiles = " and AMX" if "amx_bf16" in machine["instructions"] else ""
    lines = [
        f"Milliseconds per image on {threads}, forward pass only: {machine['cpu']}, {machine['float32_lanes']} float32 "
        f"lanes{tiles}; medians of rounds in which the runtimes take turns. MB: peak memory of the whole process, "
        f"{names[0]}.",
        "",
        f"| runtime | {' | '.join(names)} | MB |",
        "|---" * (2 + len(networks)) + "|",
    ]
    found = {(row["title"], row["model"], row["size"], row["threads"]): row for row in rows}
    for title in dict.fromkeys(row["title"] for row in rows):
        cells = []
        for network in networks:
            taken = [found.get((title, *network, n)) for n in counts]
            cells.append(" / ".join(f"{row['median'] * 1e3:.1f}" if row else "–" for row in taken))
        peaks = [row["peak_bytes"] for key, row in found.items() if key[:3] == (title, *networks[0])]
        cells.append(f"{max(peaks) / 1e6:.0f}" if peaks else "–")
        precision = next(row["precision"] for row in rows if row["title"] == title)
        note = "" if precision in ("float32", *title.split()) else f" ({precision})"
        lines.append(f"| {title}{note} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _accuracy(results: dict[str, Any]) -> str:
    rows = [row for row in results["rows"] if row["status"] == "ok"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["title"], row["model"]): row for row in rows}
    lines = [
        f"AP50 / AP75 / AP of the same runtimes on {results['images']} labelled photographs, trained models:",
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


def _codes(results: dict[str, Any]) -> str:
    """The built-in model on the held-out pictures, by runtime: training/results/accuracy.json."""
    rows = [row for row in results["rows"] if row["status"] == "ok"]
    lines = [
        f"On {results['images']} held-out pictures, generated by other means than those it learnt from:",
        "",
        "| runtime | AP50 | AP75 | AP (.50 to .95) |",
        "|---|---|---|---|",
    ]
    lines += [f"| {row['title']} | {row['AP50']:.3f} | {row['AP75']:.3f} | {row['AP']:.3f} |" for row in rows]
    return "\n".join(lines)


def _codes_in_short(results: dict[str, Any]) -> str:
    """The same by darknet-py alone, as an entry of a list."""
    own = next(row for row in results["rows"] if row["runtime"] == "darknet-py")
    return f"- {results['images']} generated pictures, made by other means: AP50 {own['AP50']:.3f}, AP {own['AP']:.3f}."


def _codes_scenes(results: dict[str, float]) -> str:
    """The built-in model on its validation scenes, of all classes: training/results/validation.json."""
    kinds = ", ".join(
        f"{value:.3f} {figure.removeprefix('AP50 ')}" for figure, value in results.items() if figure.startswith("AP50 ")
    )
    text = (
        f"On scenes of the kind that it learnt from, which are harder: AP50 {results['AP50']:.3f} ({kinds}), "
        f"AP {results['AP']:.3f}."
    )
    return textwrap.fill(text, 120)


def _photographs_in_short(results: dict[str, Any]) -> str:
    """The way of looking that is measured on all photographs, as an entry of a list."""
    (row,) = results["looks"].values()
    kinds = ", ".join(f"{value:.3f} {kind} ({row['objects'][kind]})" for kind, value in row["AP50"].items())
    false, pictures = row["false"]["falsepositives"]
    (found, filling), reads = row["filling"], results["reads"]
    text = (
        f"- Photographs of two public sets, none of which it learnt from: AP50 {kinds}; {found} of {filling} codes "
        f"that fill their picture found, {false} false box{'es' * (false != 1)} on {pictures} pictures without codes; "
        f"`darknet-py codes` reads {reads['darknet-py codes right']} of {reads['pictures']}, zxing-cpp alone "
        f"{reads['zxing-cpp alone right']}."
    )
    return textwrap.fill(text, 120, subsequent_indent="  ", break_on_hyphens=False)


def _photographs(results: dict[str, Any]) -> str:
    """The built-in model on public photographs, and what is read in them: training/results/photographs.json."""
    rows, reads = results["looks"], results["reads"]
    first = next(iter(rows.values()))
    kinds, others = list(first["AP50"]), list(first["false"])
    heads = [f"AP50 {kind} ({first['objects'][kind]})" for kind in kinds]
    heads += ["found that fill the picture", "Data Matrix named qr"]
    heads += [f"false boxes a picture, {name} ({first['false'][name][1]})" for name in others]
    lines = [f"| looks | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row['AP50'][kind]:.3f}" for kind in kinds]
        cells += [f"{part} of {whole}" for part, whole in (row["filling"], row["datamatrix as qr"])]
        cells += [f"{row['false'][other][0] / max(1, row['false'][other][1]):.2f}" for other in others]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"| of {reads['pictures']} pictures with a text beside them | read right | other texts |",
        "|---|---|---|",
    ]
    ways = ("zxing-cpp alone", "darknet-py codes")
    lines += [f"| {way} | {reads[f'{way} right']} | {reads[f'{way} wrong']} |" for way in ways]
    return "\n".join(lines)


_RESULTS, _TRAINING = _HERE / "results", _HERE.parent / "training" / "results"
_BLOCKS: dict[str, tuple[Path, Callable[[Any], str]]] = {
    "codes": (_TRAINING / "accuracy.json", _codes),
    "codes-scenes": (_TRAINING / "validation.json", _codes_scenes),
    "codes-in-short": (_TRAINING / "accuracy.json", _codes_in_short),
    "photographs-in-short": (_TRAINING / "photographs-all.json", _photographs_in_short),
    "photographs": (_TRAINING / "photographs.json", _photographs),
    "photographs-all": (_TRAINING / "photographs-all.json", _photographs),
    "parity": (_RESULTS / "parity.json", _parity),
    "compare": (_RESULTS / "compare.json", _compare),
    "compare-amx": (_RESULTS / "compare-amx.json", _compare),
    "accuracy": (_RESULTS / "accuracy.json", _accuracy),
}


def main() -> None:
    """Rewrite or check every block."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a block is out of date")
    options = parser.parse_args()
    missing, stale = set(_BLOCKS), []
    for page in PAGES:
        file = _HERE.parent / page
        old = file.read_text(encoding="utf-8")
        text, written = rewrite(old)
        missing -= written
        if text != old:
            stale.append(page)
            if not options.check:
                file.write_text(text, encoding="utf-8")
    if missing:
        sys.exit(f"no page has a block named {', '.join(sorted(missing))}")
    if options.check and stale:
        sys.exit(f"{', '.join(stale)}: out of date: run python benchmarks/readme.py")


def rewrite(text: str) -> tuple[str, set[str]]:
    """A page with its blocks made anew, and their names."""
    written = set()
    for name, (file, render) in _BLOCKS.items():
        if has_block(text, name):
            text = with_block(text, name, render(json.loads(file.read_text())))
            written.add(name)
    return text, written


if __name__ == "__main__":
    main()
