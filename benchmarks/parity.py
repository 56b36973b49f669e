"""How far this runtime is from the real Darknet, network by network.

Usage: ``python benchmarks/parity.py GOLDEN_DIR GEN_WEIGHTS.py [--json FILE [--update]] [--only NAME ...]``

`GOLDEN_DIR` holds one folder per network with ``net.cfg``, ``meta.json`` and ``golden.npz`` (outputs of every layer of
a Darknet build, sampled), `GEN_WEIGHTS.py` the generator that makes their weights files from seeds in ``meta.json``.
For each network: the largest difference of any layer relative to that layer's largest value, with direct convolutions
and with the default ones (of networks that remember, also of their last layer in a sequence), and how many of Darknet's
detections are found (same class, box within half a pixel, confidence within 1e-3). What is refused is listed with the
reason, as is what Darknet itself loads but cannot run. With ``--update`` the networks that this run does not look at
stay as they are in FILE. ``benchmarks/verified.py`` makes the page of it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from darknet_py import DarknetError, Detector, Network
from darknet_py.graph import Graph, load_graph

_IMAGE = (640, 424)


def _load_generator(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("gen_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _worst_layer(network: Network, blob: Any, golden: Any) -> tuple[float, str]:
    """(largest relative difference, its layer) over every layer Darknet's shapes allow to compare."""
    layers = network.graph.layers
    outputs = network.run(blob, taps=range(len(layers)))
    worst = (0.0, "")
    for layer in layers:
        output = outputs[layer.index]
        flat = (output.transpose(1, 2, 0) if layer.kind == "region" else output).ravel()
        i = layer.index
        pairs = [(flat[np.random.RandomState(1234 + i).randint(0, flat.size, 64)], golden["samples"][i])]
        if f"full_{i}" in golden:
            pairs.append((flat, golden[f"full_{i}"]))
        if f"part_{i}" in golden:
            pairs.append((flat[np.random.RandomState(99 + i).randint(0, flat.size, 16384)], golden[f"part_{i}"]))
        # Outside convolutions Darknet leaves the result of a few activations at zero, which is not what is meant.
        if layer.kind in ("connected", "shortcut") and not golden["samples"][i].any():
            continue
        scale = max(1e-30, float(np.abs(flat).max()))
        difference = max(float(np.abs(mine - theirs).max()) for mine, theirs in pairs) / scale
        worst = max(worst, (difference, f"{i} {layer.kind}"))
    return worst


def _worst_step(network: Network, blobs: list[Any], expected: Any) -> tuple[float, str]:
    """(largest relative difference, its step) of the last layer's outputs for inputs that follow each other."""
    last = network.graph.output
    found = network.session().run_sequence(blobs, taps=[last.index])[last.index].reshape(expected.shape)
    differences = np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)
    return float(differences.max()), f"{last.index} {last.kind}, step {differences.argmax() + 1}"


def _input(graph: Graph, seed: int, generator: Any) -> Any:
    c, h, w = graph.blob
    if _reads_values(graph):
        return generator.make_flat_input(seed, c).reshape(c, 1, 1)
    return generator.make_input(seed, c, h, w)


def _reads_values(graph: Graph) -> bool:
    """Whether its input is no picture."""
    return graph.blob.h == graph.blob.w == 1 and graph.blob.c > 4


def _detections(detector: Detector, blob: Any, rows: Any) -> tuple[int, int]:
    """(found, expected): Darknet's detections that this runtime gives too, those at the threshold left out."""
    found = detector.detect_blob(blob, _IMAGE, thresh=0.25, nms=0.45)
    # Boxes of [detection] are pixels in Darknet.
    in_pixels = detector.network.heads[-1].kind == "detection"
    size = np.array((1, 1, 1, 1) if in_pixels else _IMAGE * 2, np.float32)
    half = rows[:, 3:5] / 2
    expected = np.concatenate((rows[:, 1:3] - half, rows[:, 1:3] + half), axis=1) * size
    matched = total = 0
    for row, box in zip(rows, expected, strict=True):
        if abs(row[7] - 0.25) < 2e-4:
            continue
        total += 1
        same = (found.class_id == int(row[6])) & (np.abs(found.confidence - row[7]) < 1e-3)
        matched += bool((same & (np.abs(found.xyxy - box).max(axis=1) < 0.5)).any())
    return matched, total


def _compare(folder: Path, graph: Graph, weights: Path, meta: Any, generator: Any) -> dict[str, Any]:
    golden = np.load(folder / "golden.npz")
    blob = _input(graph, meta["input_seed"], generator)
    row: dict[str, Any] = {"network": folder.name, **_facts(graph)}
    for key, exact in (("exact", True), ("default", False)):
        network = Network(graph, weights, exact=exact)
        worst = _worst_layer(network, blob, golden)
        if graph.remembers:
            blobs = [_input(graph, meta["input_seed"] + step, generator) for step in range(len(golden["sequence"]))]
            worst = max(worst, _worst_step(network, blobs, golden["sequence"]))
        row[key], row[f"{key}_layer"] = worst
    if graph.heads and len(golden.get("dets", ())):
        row["found"], row["expected"] = _detections(Detector(graph, weights, letterbox=False), blob, golden["dets"])
    return row


def _facts(graph: Graph) -> dict[str, Any]:
    size = f"{graph.blob.c} values" if _reads_values(graph) else f"{graph.blob.w}x{graph.blob.h}"
    return {"size": size, "layers": len(graph.layers), "bflops": round(graph.bflops, 3)}


def _unmeasured(folder: Path, meta: Any) -> dict[str, Any] | None:
    """The row of a network that there is nothing to compare of; None for all others."""
    net = meta.get("net") or {}
    size = f"{net['w']}x{net['h']}" if net.get("w") else f"{net['inputs']} values" if net else "–"
    row = {"network": folder.name, "size": size, "layers": len(meta.get("layers", ()))}
    try:
        row |= _facts(load_graph(folder / "net.cfg"))
    except DarknetError as error:
        reason = str(error).removeprefix(f"{folder / 'net.cfg'}:").partition(": ")[2].partition(";")[0]
        return {**row, "refused": reason}
    return None if meta["status"] == "ok" else {**row, "darknet": meta["status"]}


def main() -> None:
    """Compare every network that can be run and print or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("golden", type=Path)
    parser.add_argument("generator", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--update", action="store_true", help="keep the rows of networks that are not looked at")
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    generator = _load_generator(options.generator)
    rows: list[dict[str, Any]] = []
    known = {row["network"]: row for row in json.loads(options.json.read_text())} if options.update else {}
    for folder in sorted(path.parent for path in options.golden.glob("*/meta.json")):
        meta = json.loads((folder / "meta.json").read_text())
        if "status" not in meta:  # of no network
            continue
        row = _unmeasured(folder, meta)
        if row is None and options.only and folder.name not in options.only:
            row = known.get(folder.name)
            if row is not None:
                row |= _facts(load_graph(folder / "net.cfg"))
        if row is not None:
            rows.append(row)
            continue
        if options.only and folder.name not in options.only:
            continue
        graph = load_graph(folder / "net.cfg")
        with tempfile.TemporaryDirectory() as directory:
            weights = Path(directory) / "net.weights"
            generator.from_meta(meta, str(folder / "net.cfg"), str(weights))
            row = _compare(folder, graph, weights, meta, generator)
        rows.append(row)
        boxes = f"{row['found']}/{row['expected']} boxes" if "found" in row else ""
        figures = f"exact {row['exact']:.1e} default {row['default']:.1e} ({row['default_layer']})"
        print(f"{row['network']:40} {figures} {boxes}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
