"""[yolo], [Gaussian_yolo], [region] and [detection]: the layers that boxes are decoded from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from darknet_py.cfg import Section
from darknet_py.layers.base import LARGEST, Builder, Layer
from darknet_py.layers.tree import Tree, read_tree
from darknet_py.nms_kinds import DEFAULT_BETA, DEFAULT_KIND, NMS_KINDS, NmsKind
from darknet_py.shape import Shape

__all__ = ["Detection", "GaussianYolo", "Head", "Region", "Yolo"]


def _read_anchors(section: Section, num: int, mask: tuple[int, ...]) -> tuple[float, ...]:
    """The anchors listed (w, h pairs); Darknet's default is .5 for each."""
    listed = section.numbers("anchors")
    anchors = (0.5,) * (2 * num) if listed is None else _filled(section, listed, num)
    highest = max(mask) + 1
    if min(mask) < 0 or 2 * highest > len(anchors):
        raise section.error(
            f"mask={','.join(map(str, mask))} points outside the {_counted(len(anchors) // 2, 'anchor')}; "
            f"expected {'0' if len(anchors) == 2 else f'0 to {len(anchors) // 2 - 1}'}",
            "mask" if "mask" in section.options else "num",
        )
    if highest > num:
        section.warnings.append(
            f"{section.where}: num={num} but the mask goes up to {highest - 1}; the listed anchors are used"
        )
    if min(anchors) <= 0:
        section.warnings.append(f"{section.where}: anchors= holds a size that is not positive: its boxes have none")
    return anchors


def _filled(section: Section, listed: tuple[float, ...], num: int) -> tuple[float, ...]:
    """What Darknet makes of the numbers listed: no more than 2 * num of them, its default in place of others.

    More pairs than that are kept: a mask may name them.
    """
    where = f"{section.file}:{section.options['anchors'].line}: [{section.kind}]"
    missing = 2 * num - len(listed)
    if len(listed) % 2:
        becomes = "is the width of an anchor of height 0.5, as in Darknet" if missing > 0 else "is ignored"
        section.warnings.append(
            f"{where} anchors= lists {_counted(len(listed), 'number')}, expected {2 * num} (width and height of "
            f"{num}): the last, {listed[-1]:g}, {becomes}; is there a comma in place of a decimal point, or none "
            "between two numbers?"
        )
    if missing <= 0:
        return listed[: len(listed) // 2 * 2]
    if missing > 1:
        section.warnings.append(
            f"{section.where}: num={num}, but anchors= lists {len(listed) // 2}; the others are 0.5,0.5, as in Darknet"
        )
    return listed + (0.5,) * missing


def _counted(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def _check_input(section: Section, graph: Builder, expected: int, formula: str) -> None:
    if graph.shape.c != expected:
        assumed = "" if section.has("classes") else " (classes= is not given: Darknet assumes 20)"
        raise section.error(
            f"the layer before gives {graph.shape.c} channels, expected {formula} = {expected}{assumed}: "
            f"set filters={expected} there, or correct classes="
        )


@dataclass(frozen=True)
class Head(Layer):
    """What boxes are decoded from: blocks of `entries` channels, one for each anchor that it uses.

    Attributes
    ----------
    classes : int
    mask : tuple of int
        The anchors it uses, in the order of its blocks.
    anchors : tuple of float
        Width and height of every anchor listed, one after the other.
    nms_kind : str
        One of ``NMS_KINDS``.
    beta_nms : float
    """

    #: Entries of a block before those of the classes; the last of them is the objectness.
    box_entries: ClassVar[int] = 5

    classes: int
    mask: tuple[int, ...]
    anchors: tuple[float, ...]
    nms_kind: str
    beta_nms: float

    @property
    def is_head(self) -> bool:
        return True

    @property
    def entries(self) -> int:
        """Channels of a block."""
        return self.box_entries + self.classes

    @property
    def objectness(self) -> int:
        """Which entry of a block it is."""
        return self.box_entries - 1

    @property
    def num(self) -> int:
        """Anchors that it uses: boxes of a cell."""
        return len(self.mask)

    @property
    def map_channels(self) -> int:
        """Channels of its map."""
        return self.num * self.entries

    @property
    def cells(self) -> tuple[int, int]:
        """Columns and rows of cells, each with `num` boxes."""
        return self.shape.w, self.shape.h

    @property
    def used_anchors(self) -> tuple[tuple[float, float], ...]:
        """(width, height) of the anchors it uses, in pixels of the network's input, those of [region] in cells."""
        return tuple((self.anchors[2 * n], self.anchors[2 * n + 1]) for n in self.mask)

    @property
    def nms(self) -> NmsKind:
        """How boxes are compared where this is the last head."""
        return NMS_KINDS[self.nms_kind]


@dataclass(frozen=True)
class Yolo(Head):
    """Logistic on x, y, objectness and classes (unless ``new_coords``), then x, y scaled by ``scale_x_y``.

    Channels are anchor blocks of ``5 + classes``: x, y, w, h, objectness, classes.
    """

    kinds = ("yolo",)

    scale_x_y: float
    new_coords: bool

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Yolo:
        common = _read_yolo(section, graph, cls.box_entries)
        if NMS_KINDS[str(common["nms_kind"])].gaussian:
            common["nms_kind"] = DEFAULT_KIND
        section.text("yolo_point")
        return cls(**graph.base(section, graph.shape), **common, new_coords=section.flag("new_coords"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class GaussianYolo(Head):
    """yolo with an uncertainty per coordinate; ``9 + classes`` per anchor: (mu, sigma) of x, y, w, h, then as there."""

    kinds = ("Gaussian_yolo",)
    box_entries = 9

    scale_x_y: float
    yolo_point: str

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> GaussianYolo:
        common = _read_yolo(section, graph, cls.box_entries)
        point = section.choice("yolo_point", "center", ("center", "left_top", "right_bottom"), lenient=True)
        return cls(**graph.base(section, graph.shape), **common, yolo_point=point)  # type: ignore[arg-type]


def _read_mask(section: Section, graph: Builder, per_anchor: int) -> tuple[int, ...] | None:
    """The anchors of this head. Behind a comma at the end Darknet reads a 0, unless no channels are there for it."""
    mask = section.integers("mask")
    listed = (section.text("mask") or "").split("#")[0]
    if mask is None or not listed.endswith(",") or graph.shape.c != (len(mask) - 1) * per_anchor:
        return mask
    section.warnings.append(
        f"{section.file}:{section.options['mask'].line}: [{section.kind}] mask={listed}: the comma at its end is "
        "ignored, as the layer before has no channels for an anchor more; Darknet stops there"
    )
    return mask[:-1]


def _read_yolo(section: Section, graph: Builder, entries: int) -> dict[str, object]:
    classes = section.integer("classes", 20, low=1, high=LARGEST)
    num = section.integer("num", 1, low=1, high=LARGEST)
    mask = _read_mask(section, graph, entries + classes) or tuple(range(num))
    anchors = _read_anchors(section, num, mask)
    formula = f"{_counted(len(mask), 'anchor')} x ({entries} + {classes} classes)"
    _check_input(section, graph, len(mask) * (entries + classes), formula)
    return {
        "classes": classes,
        "mask": mask,
        "anchors": anchors,
        "scale_x_y": section.number("scale_x_y", 1.0),
        "nms_kind": section.choice("nms_kind", DEFAULT_KIND, tuple(NMS_KINDS), lenient=True),
        "beta_nms": section.number("beta_nms", DEFAULT_BETA),
    }


@dataclass(frozen=True)
class Region(Head):
    """The yolov2 head: logistic on the fifth entry, softmax over classes or over the groups of a tree."""

    kinds = ("region",)
    by_cells = True

    coords: int
    softmax: bool
    classfix: int
    tree: Tree | None

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Region:
        classes = section.integer("classes", 20, low=1, high=LARGEST)
        coords = section.integer("coords", 4, low=4, high=4)
        num = section.integer("num", 1, low=1, high=LARGEST)
        anchors = _read_anchors(section, num, tuple(range(num)))
        tree = read_tree(section)
        if tree is not None and len(tree.parents) != classes:
            raise section.error(f"the tree has {len(tree.parents)} nodes, expected classes={classes}", "tree")
        formula = f"{_counted(num, 'anchor')} x ({coords} + 1 + {classes} classes)"
        _check_input(section, graph, num * (coords + 1 + classes), formula)
        return cls(
            **graph.base(section, graph.shape),  # type: ignore[arg-type]
            classes=classes,
            mask=tuple(range(num)),
            anchors=anchors,
            nms_kind=DEFAULT_KIND,  # Darknet's region layer has neither option
            beta_nms=DEFAULT_BETA,
            coords=coords,
            softmax=section.flag("softmax"),
            classfix=section.integer("classfix", 0),
            tree=tree,
        )


@dataclass(frozen=True)
class Detection(Head):
    """The head of yolov1: of ``side`` x ``side`` cells all classes, then all confidences, then all boxes.

    Its output is one row of values, as its input may be. With ``sqrt`` widths and heights are roots.
    """

    kinds = ("detection",)

    side: int
    softmax: bool
    sqrt: bool

    @classmethod
    def from_section(cls, section: Section, graph: Builder) -> Detection:
        classes = section.integer("classes", 1, low=1, high=LARGEST)
        coords = section.integer("coords", 1, high=LARGEST)
        num = section.integer("num", 1, low=1, high=LARGEST)
        side = section.integer("side", 7, low=1, high=LARGEST)
        if coords != 4:
            raise section.error(
                f"coords={coords}: expected 4, as boxes have; Darknet reads 4 numbers of each", "coords"
            )
        expected = side * side * (num * (1 + coords) + classes)
        if graph.shape.size != expected:
            raise section.error(
                f"the layer before gives {graph.shape.size} values, expected {side} x {side} cells x "
                f"({_counted(num, 'box', 'boxes')} x (1 + {coords}) + {classes} classes) = {expected}: set "
                f"output={expected} there, or correct side=, num= or classes="
            )
        return cls(
            **graph.base(section, Shape(expected, 1, 1)),  # type: ignore[arg-type]
            classes=classes,
            mask=tuple(range(num)),
            anchors=(),
            nms_kind=DEFAULT_KIND,  # Darknet's layer has neither option
            beta_nms=DEFAULT_BETA,
            side=side,
            softmax=section.flag("softmax"),
            sqrt=section.flag("sqrt"),
        )

    @property
    def map_channels(self) -> int:
        return self.shape.c

    @property
    def cells(self) -> tuple[int, int]:
        return self.side, self.side

    @property
    def used_anchors(self) -> tuple[tuple[float, float], ...]:
        return ()
