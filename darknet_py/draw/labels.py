"""What labels say: the lines of text that belong to each box, in a font that has their letters, cut to the picture."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from darknet_py.draw.fonts import Font, legible
from darknet_py.draw.palette import Color
from darknet_py.errors import OptionError

if TYPE_CHECKING:
    from darknet_py.boxes.detections import Detection

__all__ = ["Boxes", "Label", "Labels", "Lettering", "Line", "labels_by_box", "write"]

#: What ``annotate`` takes as its labels.
Labels: TypeAlias = "bool | Sequence[str] | npt.NDArray[np.str_] | Callable[[Detection], str]"


class Boxes(Protocol):
    """What is drawn; ``Detections`` is one."""

    @property
    def xyxy(self) -> npt.NDArray[Any]: ...
    @property
    def confidence(self) -> npt.NDArray[Any]: ...
    @property
    def class_id(self) -> npt.NDArray[Any]: ...
    @property
    def class_names(self) -> npt.NDArray[Any]: ...


@dataclass(frozen=True)
class Lettering:
    """How labels are written: the size of letters and the widest line in pixels, and a font file."""

    size: float
    widest: int
    font: str | os.PathLike[str] | None

    @property
    def scale(self) -> int:
        """How many times as large small letters are painted, then shrunk: their spacing is uneven in whole pixels."""
        return max(1, min(4, 48 // math.ceil(self.size)))

    @property
    def padding(self) -> int:
        return max(2, int(self.size) // 5)

    @property
    def line_height(self) -> int:
        return round(self.size * 1.25) + self.padding


class Row(NamedTuple):
    """What one line of a label says: a beginning, which may be cut, and an ending, which is not."""

    text: str
    ending: str
    class_id: int
    color: Color


class Label(NamedTuple):
    """What is drawn for one box: its corners as inclusive pixels, its colour, and what is written about it."""

    box: tuple[int, int, int, int]
    color: Color
    rows: list[Row]


class Line(NamedTuple):
    """A row as it is written; the face is `Lettering.scale` times as large, the width in pixels of the picture."""

    text: str
    face: Font
    width: int
    color: Color


def labels_by_box(
    detections: Boxes,
    labels: Labels,
    confidence: bool | None,
    color_of: Callable[[int, str], Color],
    size: tuple[int, int],
) -> list[Label]:
    """The labels of every distinct box, surest first: the first to be placed gets the place it wants.

    Parameters
    ----------
    detections : Detections
    labels, confidence
        As ``annotate`` takes them.
    color_of : callable
        From class number and name to colour.
    size : (int, int)
        Width and height of the picture, at whose border boxes are cut.

    Raises
    ------
    OptionError
        `detections` has not the arrays, or `labels` not the texts, that are expected.
    """
    xyxy, probability, class_id, names = _arrays(detections)
    texts = _texts(labels, confidence, xyxy, probability, class_id, names)
    # Clipped, so that a box that leaves the picture shows its edges.
    corners = np.clip(np.rint(xyxy), 0, np.array(size * 2) - 1)
    found: dict[tuple[int, ...], Label] = {}
    for i in np.argsort(-probability, kind="stable"):
        if np.isnan(corners[i]).any():
            continue
        x, y = sorted(corners[i, ::2].astype(int).tolist()), sorted(corners[i, 1::2].astype(int).tolist())
        box = x[0], y[0], x[1], y[1]
        number = int(class_id[i])
        color = color_of(number, str(names[i]))
        label = found.setdefault(box, Label(box, color, []))
        label.rows.extend(Row(text, ending, number, color) for text, ending in texts[i])
    return list(found.values())


def _arrays(detections: Boxes) -> tuple[npt.NDArray[Any], ...]:
    fields = "xyxy", "confidence", "class_id", "class_names"
    expected = f"expected Detections, or what has arrays {', '.join(fields)} with one entry per box"
    missing = [field for field in fields if getattr(detections, field, None) is None]
    if missing:
        raise OptionError(f"detections is a {type(detections).__name__} without {', '.join(missing)}: {expected}")
    arrays = [np.asarray(getattr(detections, field)) for field in fields]
    count = len(arrays[1]) if arrays[1].ndim else 0
    shapes = [array.shape for array in arrays]
    if shapes[1:] != [(count,)] * 3 or (shapes[0] != (count, 4) and arrays[0].size):
        raise OptionError(f"detections has arrays of shapes {', '.join(map(str, shapes))}: {expected}")
    try:
        xyxy = arrays[0].astype(np.float64).reshape(-1, 4)
        return xyxy, arrays[1].astype(np.float64), arrays[2].astype(np.int64), arrays[3]
    except (TypeError, ValueError) as error:
        raise OptionError(f"detections has arrays that are no numbers ({error}): {expected}") from error


def _texts(labels: Labels, confidence: bool | None, *arrays: npt.NDArray[Any]) -> list[list[tuple[str, str]]]:
    """Of every entry, the lines to write, in two parts: what may be cut, and how they end."""
    _, probability, _, names = arrays
    shown = isinstance(labels, bool | np.bool_)
    if shown and not labels:
        return [[]] * len(names)
    percent = shown if confidence is None else confidence
    endings = [f" {value:.0%}" if percent else "" for value in probability]
    # A class name is one line, whatever is in it; a text of the user's has those it was given.
    texts = [[str(name)] for name in names] if shown else [text.splitlines() for text in _own_texts(labels, *arrays)]
    return [
        [(" ".join(row.split()), "" if i else ending) for i, row in enumerate(rows)]
        for rows, ending in zip(texts, endings, strict=True)
    ]


def _own_texts(labels: Any, *arrays: npt.NDArray[Any]) -> list[str]:
    expected = "expected True, False, one str per detection, or a function from a Detection to a str"
    if callable(labels):
        from darknet_py.boxes.detections import (
            Detection,  # here, as it loads Numba, which drawing needs for nothing else
        )

        rows = zip(*(array.tolist() for array in arrays), strict=True)
        texts = [labels(Detection(i, str(name), sure, tuple(box))) for box, sure, i, name in rows]
    else:
        if isinstance(labels, str) or not isinstance(labels, Sequence | np.ndarray):
            raise OptionError(f"labels={labels!r}: {expected}")
        texts = list(labels)
        if len(texts) != len(arrays[0]):
            raise OptionError(f"labels has {len(texts)} entries for {len(arrays[0])} detections: {expected}")
    for text in texts:
        if not isinstance(text, str):
            raise OptionError(f"labels has {text!r} for a detection: {expected}")
    return texts


def write(row: Row, lettering: Lettering) -> Line:
    """A row in a font that has its letters, cut to the width of the picture."""
    scale, padding = lettering.scale, 2 * lettering.padding
    name, face = legible(row.text, f"class {row.class_id}:", lettering.size * scale, lettering.font)
    room = max(lettering.widest - padding, 1) * scale
    name = name[: room + 1]  # no more letters than pixels
    text = name + row.ending
    while (length := face.getlength(text)) > room and name:
        name = name[:-1]
        text = f"{name}...{row.ending}" if name else row.ending.strip()
    return Line(text, face, math.ceil(length / scale) + padding, row.color)
