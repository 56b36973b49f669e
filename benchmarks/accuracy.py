"""Average precision of every runtime and precision on labelled photos: what a speed is worth.

Usage: ``python benchmarks/accuracy.py FOLDER --model CFG WEIGHTS [--model ...] [--runtimes A,B] [--out DIR]``

FOLDER has ``images/`` and ``labels/`` (a .txt per image: class and box, relative, as Darknet trains with) and one
.names file with the classes of the labels; they are matched with the model's by name, and classes that the model does
not know do not count. All runtimes get the same blobs; decoding and NMS are darknet-py's, by the cfg.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from agreement import activate_heads, read_outputs
from average_precision import Boxes, average_precisions
from machine import describe_machine
from numpy.typing import NDArray
from peers import RUNTIMES, Peer, PeerError, parse_pairs, parse_runtimes
from prepare import Model, prepare

from darknet_py.boxes.decode import decode
from darknet_py.boxes.detections import Detections
from darknet_py.boxes.nms import suppress
from darknet_py.graph import Graph
from darknet_py.image import load_image, to_blob
from darknet_py.names import find_names, load_names
from darknet_py.pictures.geometry import Geometry
from darknet_py.threads import physical_cores

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
#: Low, as average precision wants the whole curve.
_THRESH, _NMS = 0.005, 0.45
_AT_ONCE = 16

Row = dict[str, Any]


class Photos:
    """The labelled photos as one model sees them.

    Parameters
    ----------
    folder : Path
    graph : Graph
    names : sequence of str
        The model's classes.
    """

    def __init__(self, folder: Path, graph: Graph, names: Sequence[str]) -> None:
        self._graph, self._names = graph, names
        self.files = sorted(file for file in (folder / "images").iterdir() if file.suffix.lower() in _SUFFIXES)
        listed = sorted(folder.glob("*.names"))
        classes = load_names(listed[0]) if listed else tuple(names)
        self._known = {i: names.index(name) for i, name in enumerate(classes) if name in names}
        self._geometries: list[Geometry] = []
        self.truth: list[Boxes] = []
        for file in self.files:
            height, width = load_image(file).shape[:2]
            _, net_h, net_w = graph.blob
            self._geometries.append(Geometry(width, height, net_w, net_h, graph.letter_box))
            self.truth.append(self._read_labels(folder / "labels" / f"{file.stem}.txt", width, height))

    def _read_labels(self, file: Path, width: int, height: int) -> Boxes:
        lines = file.read_text().splitlines() if file.is_file() else []
        rows = np.array([line.split()[:5] for line in lines if line.strip()], np.float64).reshape(-1, 5)
        rows = rows[[int(label) in self._known for label in rows[:, 0]]]
        x, y, w, h = (rows[:, 1:] * (width, height, width, height)).T
        xyxy = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
        return Boxes(np.array([self._known[int(label)] for label in rows[:, 0]], int), np.ones(len(rows)), xyxy)

    def blobs(self) -> Iterator[NDArray[np.float32]]:
        """The photos in order, some at once, (n, C, H, W)."""
        c, h, w = self._graph.blob
        for first in range(0, len(self.files), _AT_ONCE):
            images = [load_image(file, channels=c) for file in self.files[first : first + _AT_ONCE]]
            made = [to_blob(image, w, h, letterbox=self._graph.letter_box) for image in images]
            yield np.stack(made).transpose(0, 3, 1, 2)

    def detections(self, outputs: Sequence[NDArray[Any]]) -> list[Boxes]:
        """Boxes of every photo from the heads' outputs of all of them, in Darknet's layout."""
        last: Any = self._graph.heads[-1]
        found = []
        for n, geometry in enumerate(self._geometries):
            maps = [
                (head, np.ascontiguousarray(out[n] if head.kind == "region" else out[n].transpose(1, 2, 0), np.float32))
                for head, out in zip(self._graph.heads, outputs, strict=True)
            ]
            kept = suppress(decode(maps, geometry, _THRESH), nms=_NMS, kind=last.nms_kind, beta=last.beta_nms)
            made = Detections.from_candidates(kept, self._names, geometry)
            found.append(Boxes(made.class_id, made.confidence, made.xyxy))
        return found


def measure(model: Model, photos: Photos, options: argparse.Namespace, folder: Path) -> list[Row]:
    """A row per runtime: precision, AP50, AP75 and AP, or why it is left out."""
    rows = []
    for name in options.runtimes:
        row: Row = {"model": model.name, "size": model.size, "runtime": name, "title": RUNTIMES[name].title}
        try:
            model.require(RUNTIMES[name])
            with ExitStack() as stack:
                python = options.python.get(name, sys.executable)
                peer = Peer(name, python, options.threads, folder / f"{name}.log", options.timeout)
                stack.callback(peer.close)
                row |= peer.ask("hello")
                row |= average_precisions(photos.detections(_infer(peer, model, photos, folder, row)), photos.truth)
            row["status"] = "ok"
        except PeerError as error:
            row |= {"status": "skipped", "reason": str(error)}
        rows.append(row)
    return rows


def _infer(peer: Peer, model: Model, photos: Photos, folder: Path, row: Row) -> list[NDArray[Any]]:
    """The outputs of every head for all photos."""
    blobs, outputs = folder / "blobs.npy", folder / "outputs.npz"
    options = peer.runtime.options
    loaded = peer.ask("load", files=model.files, threads=peer.threads, options=options, outputs=str(outputs))
    row["precision"] = loaded["precision"]
    if loaded["stage"] == "boxes":
        raise PeerError("gives no maps to decode")
    parts = []
    for some in photos.blobs():
        np.save(blobs, some)
        stage = peer.ask("infer", blobs=str(blobs), outputs=str(outputs))["stage"]
        found = read_outputs(outputs)
        if stage == "before heads":
            each = [activate_heads(model.graph, [maps[n : n + 1] for maps in found]) for n in range(len(some))]
            found = [np.concatenate(column) for column in zip(*each, strict=True)]
        parts.append(found)
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def format_rows(rows: Sequence[Row]) -> str:
    """Markdown, which a terminal shows as well."""
    lines = ["| model | runtime | version | precision | AP50 | AP75 | AP |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        if row["status"] == "ok":
            values = (f"{row[key]:.4f}" for key in ("AP50", "AP75", "AP"))
            cells = [row["precision"], *values]
        else:
            cells = [f"left out: {row['reason']}", "", "", ""]
        lines.append(
            f"| {row['model']} {row['size']} | {row['title']} | {row.get('version', '')} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line names and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="labelled photos: images/, labels/, a .names file")
    parser.add_argument("--model", nargs=2, action="append", required=True, metavar=("CFG[@SIZE]", "WEIGHTS"))
    parser.add_argument("--runtimes", type=parse_runtimes, default=[name for name in RUNTIMES if name != "darknet"])
    parser.add_argument("--python", action="append", default=[], metavar="RUNTIME=PATH", help="its own interpreter")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--timeout", type=float, default=600, help="seconds until a silent runtime is given up")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    options = parser.parse_args()
    options.python = parse_pairs(options.python, "--python")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="darknet-py-") as temporary:
        folder = Path(temporary)
        pnnx_python = options.python.get("ncnn", options.python.get("torch", sys.executable))
        formats = {RUNTIMES[name].reads for name in options.runtimes}
        for cfg, weights in options.model:
            model = prepare(cfg, {cfg.partition("@")[0]: weights}, folder, formats, pnnx_python)
            classes = max(head.classes for head in model.graph.heads)  # type: ignore[attr-defined]
            photos = Photos(options.folder, model.graph, find_names(model.graph.file, classes))
            rows += measure(model, photos, options, folder)
    print(format_rows(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    results = {"machine": describe_machine(), "images": len(photos.files), "rows": rows}
    (options.out / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "accuracy.md").write_text(format_rows(rows) + "\n")


if __name__ == "__main__":
    main()
