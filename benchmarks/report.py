"""Results as a terminal table, as Markdown, and as a bar chart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["draw_chart", "format_markdown", "format_table"]

_COLUMNS = (
    "runtime", "rank", "version", "precision", "ms", "10-90 %", "FPS", "GFLOP/s", "of peak", "load s", "first s", "MB",
    "difference",
)  # fmt: skip

Row = dict[str, Any]


def _cells(row: Row) -> tuple[str, ...]:
    if row["status"] != "ok":
        return (row["title"], "", row.get("version", ""), row.get("precision", ""), f"left out: {row['reason']}")
    return (
        row["title"],
        str(row["rank"]),
        row["version"],
        row["precision"],
        f"{row['median'] * 1e3:.2f}",
        f"{row['p10'] * 1e3:.2f}-{row['p90'] * 1e3:.2f}",
        f"{row['fps']:.2f}",
        f"{row['gflops']:.0f}",
        f"{row['peak_share']:.0%}",
        f"{row['load']:.2f}",
        f"{row['first']:.2f}",
        "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}",
        "reference" if row["is_reference"] else f"{row['difference']:.1e}",
    )


def _sections(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows of one model, size and thread count, by rank, those left out last."""
    sections = []
    for (model, size, threads), group in groupby(rows, key=lambda row: (row["model"], row["size"], row["threads"])):
        title = f"{model} {size}, {threads} thread{'s' if threads > 1 else ''}"
        sections.append((title, _ranked(list(group))))
    return sections


def _ranked(rows: list[Row]) -> list[Row]:
    """Fastest first; runtimes whose spread overlaps that of the first of their rank share it, ordered by name.

    So two runs give one ranking, as far as their spreads tell anything.
    """
    measured = sorted((row for row in rows if row["status"] == "ok"), key=lambda row: row["median"])
    ranked: list[Row] = []
    rank, slowest = 0, -1.0
    for place, row in enumerate(measured, 1):
        if row["p10"] > slowest:
            rank, slowest = place, row["p90"]
        ranked.append({**row, "rank": rank})
    ranked.sort(key=lambda row: (row["rank"], row["title"]))
    return ranked + [row for row in rows if row["status"] != "ok"]


def format_table(rows: Sequence[Row]) -> str:
    """For the terminal: one table per model, size and thread count."""
    tables = []
    for title, group in _sections(rows):
        cells = [_COLUMNS, *(_cells(row) for row in group)]
        full = [line for line in cells if len(line) == len(_COLUMNS)]
        widths = [max(len(line[i]) for line in full) for i in range(len(_COLUMNS))]
        widths[0] = max(len(line[0]) for line in cells)
        lines = []
        for line in cells:
            if len(line) < len(_COLUMNS):
                lines.append(f"{line[0]:<{widths[0]}}  {line[-1]}")
            else:
                lines.append(
                    "  ".join(
                        [f"{line[0]:<{widths[0]}}", *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
                    )
                )
        tables.append("\n".join([title, *lines]))
    return "\n\n".join(tables)


def format_markdown(results: dict[str, Any]) -> str:
    """A section per model, size and thread count, under a description of the machine and the method."""
    machine, settings = results["machine"], results["settings"]
    peaks = ", ".join(f"{value:.0f} GFLOP/s on {threads}" for threads, value in results["peaks"].items())
    lines = [
        f"{machine['cpu']}, {machine['physical_cores']} cores, {machine['memory_gb']} GB, {machine['system']}, "
        f"Python {machine['python']}, {machine['date']}. Measured peak of fused multiply-adds: {peaks}.",
        "",
        f"Medians of {settings['rounds']} rounds in which the runtimes take turns, each in its own process, the "
        "first inference of each turn not counted. GFLOP/s counts the work of direct convolutions. The difference is "
        "the largest of any head's output from the reference, relative to the output's largest magnitude.",
    ]
    for title, group in _sections(results["rows"]):
        lines += ["", f"### {title}", "", f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
        for row in group:
            cells = _cells(row)
            lines.append(f"| {' | '.join((*cells, *[''] * (len(_COLUMNS) - len(cells))))} |")
    return "\n".join(lines) + "\n"


def draw_chart(rows: Sequence[Row], files: Sequence[Path]) -> None:
    """Frames per second as bars: models downwards, thread counts side by side; one file per name given."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "darknet-py"  # the same results give the same file
    from matplotlib import pyplot as plt

    sections = [(title, [row for row in group if row["status"] == "ok"]) for title, group in _sections(rows)]
    sections = [(title, group) for title, group in sections if group]
    if not sections:
        return
    columns = len({row["threads"] for row in rows})
    lines = -(-len(sections) // columns)
    most = max(len(group) for _, group in sections)
    figure, axes = plt.subplots(lines, columns, figsize=(6 * columns, (0.32 * most + 0.9) * lines), squeeze=False)
    for axis in axes.flat[len(sections) :]:
        axis.axis("off")
    for axis, (title, group) in zip(axes.flat, sections, strict=False):
        colours = ["tab:blue" if row["title"].startswith("darknet-py") else "tab:gray" for row in group]
        spread = [[row["fps"] - 1 / row["p90"] for row in group], [1 / row["p10"] - row["fps"] for row in group]]
        bars = axis.barh([row["title"] for row in group], [row["fps"] for row in group], color=colours, xerr=spread)
        axis.bar_label(bars, [f" {row['fps']:.1f}" for row in group], fontsize=8)
        axis.margins(x=0.12)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("frames per second", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    for file in files:
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=120)
    plt.close(figure)
