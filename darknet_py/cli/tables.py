"""What the terminal shows of a picture."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence

from darknet_py.boxes.detections import Detections
from darknet_py.codes.code import Code

__all__ = ["format_codes", "format_frame", "format_table", "printable"]

WIDEST_NAME = 40


def format_table(detections: Detections, title: str, seconds: float) -> str:
    """What was found in one image, as a table for the terminal.

    Parameters
    ----------
    detections : Detections
    title : str
        Usually the file name.
    seconds : float
        Time taken, shown in milliseconds as Darknet does.

    Returns
    -------
    str
        Lines of class, confidence in percent, and left, top, width, height in pixels; likeliest first; no line end
        after the last.
    """
    head = f"{printable(title)}: {len(detections) or 'nothing'} found in {1000 * seconds:.1f} ms"
    if len(detections) == 0:
        return head
    order = (-detections.confidence).argsort(kind="stable")
    rows: list[tuple[str, ...]] = [("class", "conf", "left", "top", "width", "height")]
    for found, box in zip(detections[order], detections.xywh[order].tolist(), strict=True):
        rows.append((_shortened(printable(found.class_name)), f"{100 * found.confidence:.0f}%", *map(_pixels, box)))
    name_width = max(_columns(row[0]) for row in rows)
    widths = [max(len(row[i]) for row in rows) for i in range(1, 6)]
    lines = [head]
    for name, *cells in rows:
        padded = name + " " * (name_width - _columns(name))
        lines.append("  ".join(["", padded, *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))]))
    return "\n".join(lines)


def format_frame(detections: Detections, title: str, frame: int, time: float) -> str:
    """What was found in a frame of a video, shown at `time` seconds, on one line."""
    found = ", ".join(f"{count} {_shortened(printable(name))}" for name, count in detections.counts().items())
    return f"{printable(title)} frame {frame}, {time:.3f} s: {found or 'nothing'}"


def format_codes(codes: Sequence[Code], title: str, frame: int | None) -> str:
    """A line for each code of a picture or frame: its kind, left, top, right and bottom, and what it says."""
    place = printable(title) if frame is None else f"{printable(title)} frame {frame}"
    lines = []
    for code in codes:
        box = " ".join(map(_pixels, code.xyxy))
        lines.append(f"{place}: {code.kind} [{box}] {'not read' if code.text is None else _quoted(code.text)}")
    return "\n".join(lines) or f"{place}: nothing read"


def _quoted(text: str) -> str:
    """Text as JSON has it: what could move the cursor, or ends a line, is escaped."""
    return "".join(
        char if char.isprintable() else json.dumps(char)[1:-1] for char in json.dumps(text, ensure_ascii=False)
    )


def _pixels(value: float) -> str:
    return str(round(value)) if math.isfinite(value) else str(value)


def printable(text: str) -> str:
    """The text without what could move the terminal's cursor or cannot be encoded."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _columns(text: str) -> int:
    """Columns the text takes on a terminal: two for wide characters, none for combining marks."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _shortened(name: str) -> str:
    if _columns(name) <= WIDEST_NAME:
        return name
    while _columns(name) > WIDEST_NAME - 3:
        name = name[:-1]
    return name + "..."
