"""Real Darknet's head outputs and the boxes it made of them, read from the golden data beside the project."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1].parent / "shared" / "golden"
IMAGE_SIZE = (640, 424)


def sections(cfg):
    """[(type, {option: text})], just enough syntax for the golden cfgs."""
    found = []
    for line in cfg.read_text().splitlines():
        line = "".join(line.split())
        if line.startswith("["):
            found.append((line[1:-1], {}))
        elif line and line[0] not in "#;" and "=" in line:
            key, value = line.split("=", 1)
            found[-1][1].setdefault(key, value)
    return found


def numbers(text, convert):
    return tuple(convert(part) for part in text.split("#")[0].split(",") if part)


def head_layer(kind, options, folder):
    """A stand-in for the layer dataclasses, with the fields a decoder reads."""
    num = int(options.get("num", 1))
    layer = SimpleNamespace(
        kind=kind,
        classes=int(options.get("classes", 20)),
        num=num,
        anchors=numbers(options["anchors"], float),
        mask=numbers(options["mask"], int) if "mask" in options else tuple(range(num)),
        new_coords=bool(int(options.get("new_coords", 0))),
        yolo_point=options.get("yolo_point", "center"),
        nms_kind=options.get("nms_kind", "default"),
        beta_nms=float(options.get("beta_nms", 0.6)),
        coords=int(options.get("coords", 4)),
        classfix=int(options.get("classfix", 0)),
        tree=None,
    )
    if "tree" in options:
        lines = (folder / options["tree"]).read_text().split("\n")
        layer.tree = SimpleNamespace(parents=tuple(int(line.split()[1]) for line in lines if line))
    return layer


def head_map(layer, flat, height, width):
    """Darknet's flat output as (h, w, c): [region] is stored cell after cell, the others plane after plane."""
    if layer.kind == "region":
        return np.ascontiguousarray(flat.reshape(height, width, -1))
    return np.ascontiguousarray(flat.reshape(-1, height, width).transpose(1, 2, 0))


def read(name):
    """Heads, net size and golden arrays of a case."""
    folder = GOLDEN / name
    meta = json.loads((folder / "meta.json").read_text())
    with np.load(folder / "golden.npz") as file:
        golden = {key: file[key] for key in file.files if key.startswith(("full_", "dets"))}
    heads = []
    for index, (kind, options) in enumerate(sections(folder / "net.cfg")[1:]):
        if kind in ("yolo", "Gaussian_yolo", "region"):
            layer = head_layer(kind, options, folder)
            _, height, width = meta["layers"][index][2]
            heads.append((layer, head_map(layer, golden[f"full_{index}"], height, width)))
    return SimpleNamespace(heads=heads, net_size=(meta["net"]["w"], meta["net"]["h"]), golden=golden, meta=meta)


def cases(key):
    """Names of the cases with that array of boxes whose heads are all stored whole; one skipped row if none."""
    names = []
    for file in sorted(GOLDEN.glob("*/golden.npz")):
        with np.load(file) as golden:
            stored = set(golden.files)
        if key not in stored:
            continue
        types = [kind for kind, _ in sections(file.with_name("net.cfg"))[1:]]
        wanted = [i for i, kind in enumerate(types) if kind in ("yolo", "Gaussian_yolo", "region")]
        if wanted and all(f"full_{i}" in stored for i in wanted):
            names.append(file.parent.name)
    return names or [pytest.param("", marks=pytest.mark.skip("no golden data beside the project"))]


def rows(candidates):
    """Candidates as golden rows: x, y, w, h, objectness, class, prob for every prob > 0, box by box."""
    box, class_id = np.nonzero(candidates.probs)
    columns = (candidates.cxcywh[box], candidates.objectness[box], class_id, candidates.probs[box, class_id])
    return np.column_stack(columns).astype(np.float64).reshape(-1, 7)
