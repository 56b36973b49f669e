"""Real Darknet's head outputs and the boxes it made of them, read from the golden data beside the project."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from darknet_py.layers import Detection, GaussianYolo, Region, Yolo
from darknet_py.layers.tree import Tree
from darknet_py.shape import Shape

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


TYPES = {"yolo": Yolo, "Gaussian_yolo": GaussianYolo, "region": Region, "detection": Detection}

#: What a decoder reads of each type beyond `Head`.
OPTIONS = {
    "yolo": {"scale_x_y": 1.0, "new_coords": False},
    "Gaussian_yolo": {"scale_x_y": 1.0, "yolo_point": "center"},
    "region": {"coords": 4, "softmax": True, "classfix": 0, "tree": None},
    "detection": {"side": 7, "softmax": False, "sqrt": False},
}


def head(kind, mask, anchors, classes, nms_kind="default", beta_nms=0.6, **options):
    """A head by itself, of no network."""
    side = options.get("side", 1)
    shape = Shape(side * side * (classes + 5 * len(mask)), 1, 1)  # only [detection] looks at it
    nowhere = {"index": 0, "where": "", "inputs": (-1,), "in_shape": shape, "shape": shape}
    return TYPES[kind](
        **nowhere, mask=mask, anchors=anchors, classes=classes, nms_kind=nms_kind, beta_nms=beta_nms,
        **OPTIONS[kind] | options,
    )  # fmt: skip


def tree(parents):
    return Tree(tuple(parents), ())


def head_layer(kind, options, folder):
    """A head as its section says, read by other means than the package's."""
    num = int(options.get("num", 1))
    mine = {
        "new_coords": bool(int(options.get("new_coords", 0))),
        "yolo_point": options.get("yolo_point", "center"),
        "coords": int(options.get("coords", 4)),
        "classfix": int(options.get("classfix", 0)),
    }
    if "tree" in options:
        lines = (folder / options["tree"]).read_text().split("\n")
        mine["tree"] = tree(int(line.split()[1]) for line in lines if line)
    return head(
        kind,
        numbers(options["mask"], int) if "mask" in options else tuple(range(num)),
        numbers(options["anchors"], float),
        int(options.get("classes", 20)),
        options.get("nms_kind", "default"),
        float(options.get("beta_nms", 0.6)),
        **{name: value for name, value in mine.items() if name in OPTIONS[kind]},
    )


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
