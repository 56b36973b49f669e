"""The model definitions in ``cfg/``: their syntax, their facts, their comments, and their originals where at hand.

The reader and the weight count here are written apart from the package, so that a mistake there cannot hide one here.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from darknet_py.graph import load_graph

ROOT = Path(__file__).parents[1]
CFG = ROOT / "cfg"
ORIGINALS = ROOT.parent / "shared" / "cfg"

HEADER_BYTES = 20


class Facts(NamedTuple):
    side: int
    layers: int
    convolutions: int
    heads: int
    letter_box: bool
    weights_bytes: int


MODELS = {
    "yolov2": Facts(416, 32, 23, 1, False, 203_934_264),
    "yolov2-tiny": Facts(416, 16, 9, 1, False, 44_948_600),
    "yolov3": Facts(416, 107, 75, 3, False, 248_007_048),
    "yolov3-spp": Facts(608, 114, 76, 3, False, 252_209_544),
    "yolov3-tiny": Facts(416, 24, 13, 2, False, 35_434_956),
    "yolov4": Facts(608, 162, 110, 3, False, 257_717_640),
    "yolov4-codes": Facts(416, 90, 57, 3, False, 2_786_048),
    "yolov4-csp": Facts(512, 175, 115, 3, True, 211_944_840),
    "yolov4-tiny": Facts(416, 38, 21, 2, False, 24_251_276),
    "yolov4x-mish": Facts(640, 203, 137, 3, True, 399_388_168),
    "yolov7": Facts(640, 143, 92, 3, False, 147_898_248),
    "yolov7-tiny": Facts(416, 99, 58, 3, False, 24_967_560),
}
every_model = pytest.mark.parametrize("name", MODELS)
#: All but the project's own.
every_known_model = pytest.mark.parametrize("name", [name for name in MODELS if name != "yolov4-codes"])

# What the training of the built-in model is told.
TRAINING = {
    "net": """batch subdivisions adam B1 B2 decay angle saturation exposure hue flip mosaic cutmix learning_rate burn_in
        power max_batches policy ema_alpha""".split(),
    "yolo": """iou_thresh ignore_thresh truth_thresh iou_loss iou_normalizer cls_normalizer obj_normalizer
        label_smooth_eps jitter resize random""".split(),
}

# Every option a shipped cfg may use, in the order in which it is written; None stands for "must be there".
OPTIONS: dict[str, dict[str, str | None]] = {
    "net": {
        "width": None, "height": None, "channels": None, "letter_box": "0", **dict.fromkeys(TRAINING["net"], ""),
    },
    "convolutional": {
        "filters": None, "size": None, "stride": None, "pad": "0", "padding": "0", "groups": "1", "dilation": "1",
        "batch_normalize": "0", "activation": None,
    },
    "maxpool": {"size": None, "stride": None, "padding": ""},
    "upsample": {"stride": None, "scale": "1"},
    "reorg": {"stride": None, "reverse": "0"},
    "route": {"layers": None, "groups": "1", "group_id": "0"},
    "shortcut": {"from": None, "activation": "linear", "weights_type": "none"},
    "yolo": {
        "mask": None, "anchors": None, "num": None, "classes": None, "scale_x_y": "1", "new_coords": "0",
        "nms_kind": "default", "beta_nms": "0.6", **dict.fromkeys(TRAINING["yolo"], ""),
    },
    "region": {
        "anchors": None, "num": None, "classes": None, "coords": "4", "softmax": "0", "classfix": "0", "tree": "",
        "map": "",
    },
}  # fmt: skip
NUMBER_LISTS = {"anchors", "mask", "scale_x_y", "beta_nms"}


class Section(NamedTuple):
    kind: str
    options: list[tuple[str, str]]
    comments: list[str]  # the lines above it, back to the previous section

    def value(self, key: str) -> str:
        found = dict(reversed(self.options)).get(key, OPTIONS[self.kind][key])
        assert found is not None, f"[{self.kind}] without {key}="
        return found

    def integer(self, key: str) -> int:
        return int(self.value(key))

    def integers(self, key: str) -> list[int]:
        return [int(item) for item in self.value(key).split(",")]


def read(path: Path) -> list[Section]:
    """Darknet's rules: blanks vanish, comments have lines of their own, options split at the first '='."""
    sections: list[Section] = []
    comments: list[str] = []
    for raw in path.read_text("ascii").splitlines():
        line = "".join(raw.split())
        if line.startswith(("#", ";")):
            comments.append(raw.lstrip("#; ").strip())
        elif line.startswith("["):
            sections.append(Section(line[1:-1], [], comments))
            comments = []
        elif line:
            key, equals, value = line.partition("=")
            assert key and equals and value, f"{path.name}: {raw!r} is not key=value"
            sections[-1].options.append((key, value))
    return sections


def layers_of(name: str) -> list[Section]:
    return read(CFG / f"{name}.cfg")[1:]


def absolute(references: list[int], index: int) -> list[int]:
    return [index + reference if reference < 0 else reference for reference in references]


class Walk(NamedTuple):
    channels: list[int]
    strides: list[int]
    weights_bytes: int


def walk(layers: list[Section]) -> Walk:
    """Channels and stride after each layer, and the size of the weights file, by hand."""
    channels: list[int] = []
    strides: list[int] = []
    floats = 0
    for index, layer in enumerate(layers):
        c, s = (channels[-1], strides[-1]) if index else (3, 1)
        if layer.kind == "convolutional":
            filters, size = layer.integer("filters"), layer.integer("size")
            floats += filters + 3 * filters * layer.integer("batch_normalize")
            floats += filters * (c // layer.integer("groups")) * size * size
            c, s = filters, s * layer.integer("stride")
        elif layer.kind == "maxpool":
            s *= layer.integer("stride")
        elif layer.kind == "upsample":
            s //= layer.integer("stride")
        elif layer.kind == "reorg":
            c, s = c * layer.integer("stride") ** 2, s * layer.integer("stride")
        elif layer.kind == "route":
            sources = absolute(layer.integers("layers"), index)
            assert all(0 <= source < index for source in sources)
            assert len({strides[source] for source in sources}) == 1, f"layer {index} joins maps of different size"
            c, s = sum(channels[source] for source in sources) // layer.integer("groups"), strides[sources[0]]
        elif layer.kind == "shortcut":
            (source,) = absolute(layer.integers("from"), index)
            assert (channels[source], strides[source]) == (c, s), f"layer {index} adds maps of different shape"
        channels.append(c)
        strides.append(s)
    return Walk(channels, strides, HEADER_BYTES + 4 * floats)


# --- what needs nothing but the repository --------------------------------------------------------------------------


def test_every_shipped_cfg_has_its_facts() -> None:
    assert {path.stem for path in CFG.glob("*.cfg")} == set(MODELS)


@every_model
def test_sections_and_options(name: str) -> None:
    sections = read(CFG / f"{name}.cfg")
    assert [section.kind for section in sections].count("net") == 1 and sections[0].kind == "net"
    for section in sections:
        keys = [key for key, _ in section.options]
        assert len(set(keys)) == len(keys), f"[{section.kind}] says something twice: {keys}"
        assert keys == [key for key in OPTIONS[section.kind] if key in keys], f"unknown option or other order: {keys}"
        for key in OPTIONS[section.kind]:
            section.value(key)  # asserts that the necessary ones are there
        assert not any(mark in value for _, value in section.options for mark in "#;="), section


@every_model
def test_written_plainly(name: str) -> None:
    data = (CFG / f"{name}.cfg").read_bytes()
    assert b"\r" not in data and b"\t" not in data and data.endswith(b"\n") and not data.endswith(b"\n\n")
    assert all(line == line.rstrip() and len(line) <= 120 for line in data.decode("ascii").split("\n"))


@every_model
def test_known_facts(name: str) -> None:
    net, *layers = read(CFG / f"{name}.cfg")
    facts = MODELS[name]
    kinds = [layer.kind for layer in layers]
    assert (net.integer("width"), net.integer("height"), net.integer("channels")) == (facts.side, facts.side, 3)
    assert bool(net.integer("letter_box")) == facts.letter_box
    assert len(layers) == facts.layers
    assert kinds.count("convolutional") == facts.convolutions
    assert kinds.count("yolo") + kinds.count("region") == facts.heads
    assert walk(layers).weights_bytes == facts.weights_bytes


@every_model
def test_every_convolution_keeps_the_grid(name: str) -> None:
    for layer in layers_of(name):
        if layer.kind == "convolutional":
            assert layer.integer("pad") == (layer.integer("size") > 1), "3x3 pads by one, 1x1 by none"


@every_model
def test_heads_fit_their_input(name: str) -> None:
    layers = layers_of(name)
    channels, strides, _ = walk(layers)
    found = [index for index, layer in enumerate(layers) if layer.kind in ("yolo", "region")]
    for index in found:
        head, before = layers[index], layers[index - 1]
        anchors = [float(item) for item in head.value("anchors").split(",")]
        used = head.integers("mask") if head.kind == "yolo" else list(range(head.integer("num")))
        assert len(anchors) == 2 * head.integer("num") and max(used) < head.integer("num")
        assert channels[index - 1] == len(used) * (5 + head.integer("classes"))
        # new_coords takes maps that are activated already.
        new_coords = head.kind == "yolo" and head.integer("new_coords")
        assert before.value("activation") == ("logistic" if new_coords else "linear")
        assert MODELS[name].side % strides[index] == 0
    assert sorted(strides[index] for index in found) == sorted([8, 16, 32][3 - len(found) :])


@every_model
def test_headings_tell_the_truth(name: str) -> None:
    """The stages follow each other without a gap, and each one ends at the stride it states."""
    layers = layers_of(name)
    heading = re.compile(r"--- .+: layers? (\d+)(?:-(\d+))?, stride (\d+) ---")
    strides, expected_first = walk(layers).strides, 0
    for index, layer in enumerate(layers):
        for first, last, stride in (match.groups() for match in map(heading.fullmatch, layer.comments) if match):
            assert index == int(first) == expected_first
            expected_first = int(last or first) + 1
            assert strides[expected_first - 1] == int(stride)
    assert expected_first == len(layers)


@every_model
def test_comments_name_the_right_layers(name: str) -> None:
    layers = layers_of(name)
    sources = {i: absolute(layer.integers("layers"), i) for i, layer in enumerate(layers) if layer.kind == "route"}
    for index, layer in enumerate(layers):
        text = "\n".join(layer.comments)
        for line in re.findall(r"^(?:Back to|Concatenate) (.*)$", text, re.MULTILINE):
            assert [int(number) for number in re.findall(r"\d+", line.split(", the end of")[0])] == sources[index]
        for this, readers in re.findall(r"^Layer (\d+) is read again by (.*)$", text, re.MULTILINE):
            assert int(this) == index
            assert all(index in sources[int(reader)] for reader in re.findall(r"\d+", readers))
        if layer.kind == "route":
            assert re.search(r"^(Back to|Concatenate|The second half) ", text, re.MULTILINE), f"layer {index}"


@pytest.mark.parametrize(("name", "count", "some"), [
    ("coco", 80, {0: "person", 3: "motorbike", 4: "aeroplane", 9: "traffic light", 57: "sofa", 58: "pottedplant",
                  60: "diningtable", 62: "tvmonitor", 79: "toothbrush"}),
    ("voc", 20, {0: "aeroplane", 6: "car", 14: "person", 19: "tvmonitor"}),
])  # fmt: skip
def test_names(name: str, count: int, some: dict[int, str]) -> None:
    lines = (CFG / f"{name}.names").read_text("ascii").splitlines()
    assert len(lines) == len(set(lines)) == count
    assert all(line and line == line.strip() for line in lines)
    assert {index: lines[index] for index in some} == some


@every_model
def test_the_package_reads_them_without_a_warning(name: str) -> None:
    graph = load_graph(CFG / f"{name}.cfg")
    assert graph.warnings == ()
    assert len(graph.layers) == MODELS[name].layers
    assert HEADER_BYTES + 4 * graph.parameter_count == MODELS[name].weights_bytes


def test_weights_readme_agrees_with_the_cfgs() -> None:
    text = (ROOT / "weights" / "README.md").read_text("utf-8")
    rows = {name: int(size.replace(" ", "")) for name, size in re.findall(r"^\| `(.+?)` \| ([\d ]+?) \|", text, re.M)}
    # The published yolov2.weights have the header of early versions.
    expected = {name: facts.weights_bytes - 4 * (name == "yolov2") for name, facts in MODELS.items()}
    assert f"{expected.pop('yolov4-codes'):,} bytes".replace(",", " ") in text
    assert {name: rows[name] for name in rows if name in expected} == expected


# --- against the originals ------------------------------------------------------------------------------------------

with_originals = pytest.mark.skipif(not ORIGINALS.is_dir(), reason="the original cfgs are not beside the repository")


def meaning(section: Section, index: int) -> dict[str, object]:
    """The options that matter to inference, with defaults applied and references made absolute."""
    found: dict[str, object] = {
        key: section.value(key) for key in OPTIONS[section.kind] if key not in TRAINING.get(section.kind, ())
    }
    for key in found.keys() & NUMBER_LISTS:
        found[key] = [float(item) for item in str(found[key]).split(",")]
    for key in found.keys() & {"layers", "from"}:
        found[key] = absolute(section.integers(key), index)
    if section.kind == "convolutional":  # pad=1 wins over padding=, and asks for half the size
        pad = found.pop("pad")
        found["padding"] = section.integer("padding") if pad == "0" else section.integer("size") // 2
    return found


@with_originals
@every_known_model
def test_same_sections_as_the_original(name: str) -> None:
    ours, theirs = read(CFG / f"{name}.cfg"), read(ORIGINALS / f"{name}.cfg")
    assert [section.kind for section in ours] == [section.kind for section in theirs]
    for index, (our, their) in enumerate(zip(ours, theirs, strict=True), start=-1):
        assert meaning(our, index) == meaning(their, index), f"layer {index} [{our.kind}]"


@with_originals
@pytest.mark.parametrize("name", ["coco", "voc"])
def test_same_names_as_the_original(name: str) -> None:
    ours, theirs = (folder / f"{name}.names" for folder in (CFG, ORIGINALS))
    assert ours.read_text("ascii").split("\n") == theirs.read_text("ascii").split("\n")


@with_originals
@every_known_model
def test_same_graph_as_the_original(name: str) -> None:
    """What the package makes of both files differs in nothing but where it was read."""
    ours, theirs = (load_graph(folder / f"{name}.cfg") for folder in (CFG, ORIGINALS))
    assert (ours.blob, ours.letter_box) == (theirs.blob, theirs.letter_box)
    for our, their in zip(ours.layers, theirs.layers, strict=True):
        assert dataclasses.replace(our, where="") == dataclasses.replace(their, where="")
