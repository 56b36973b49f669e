"""What a request asks for beside its picture: options in the query or the form, checked one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from darknet_py.boxes.selection import class_of_text
from darknet_py.serve.settings import Settings
from darknet_py.serve.upload import Refused

__all__ = ["Asked", "asked_by", "min_confidence"]

#: Darknet's own floor, where it writes results of all boxes.
_LEAST = 0.005


class Asked(NamedTuple):
    """Options of ``Detector.detect``, and how labels are spelt."""

    options: tuple[tuple[str, Any], ...]
    newer_names: bool


def asked_by(fields: Mapping[str, str], settings: Settings, names: Sequence[str]) -> Asked:
    """What the fields of a request to ``/detect`` say, and the settings where they are silent.

    A threshold counts as `_LEAST` at least, and as many boxes are reported as `Settings.most_boxes` at most: of all
    that a network has, an answer would be megabytes, and nobody else be answered meanwhile.

    Raises
    ------
    Refused
        400 for a field or a value that is unknown.
    """
    options: dict[str, Any] = dict(settings.options)
    newer = settings.newer_names
    for name, text in fields.items():
        if name == "names":
            newer = _names(text)
        elif name in _FIELDS:
            options[name] = _FIELDS[name](name, text)
            if name == "classes":
                options[name] = tuple(class_of_text(part, names) for part in options[name])
        elif name != "token":
            known = ", ".join([*_FIELDS, "names"])
            raise Refused(400, f"unknown field {name[:40]!r}: expected {known}")
    options["thresh"] = max(options.get("thresh", 0.25), _LEAST)
    options["max_det"] = min(options.get("max_det") or settings.most_boxes, settings.most_boxes)
    return Asked(tuple(options.items()), newer)


def min_confidence(fields: Mapping[str, str], settings: Settings, names: Sequence[str]) -> Asked:
    """The same for DeepStack's route: its one option; what else its clients send is passed over, as DeepStack does.

    Raises
    ------
    Refused
        400 for a ``min_confidence`` that is no number from 0 to 1.
    """
    known = {name: fields[name] for name in ("nms", "names") if name in fields}
    text = fields.get("min_confidence", "").strip()
    if text:
        known["thresh"] = text
    try:
        return asked_by(known, settings, names)
    except Refused as error:
        raise Refused(error.status, str(error).replace("thresh", "min_confidence", 1)) from None


def _fraction(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise Refused(400, f"{name}={text[:40]!r}: expected a number from 0 to 1")
    return value


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise Refused(400, f"{name}={text[:40]!r}: expected a whole number from 1 on")
    return int(text)


def _flag(name: str, text: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise Refused(400, f"{name}={text[:40]!r}: expected 1 or 0") from None


def _classes(name: str, text: str) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(text) > 4000 or not all(parts):
        raise Refused(400, f"{name}={text[:40]!r}: expected names or numbers of classes, such as person,car")
    return tuple(parts)


def _names(text: str) -> bool:
    if text not in ("darknet", "coco"):
        raise Refused(400, f"names={text[:40]!r}: expected darknet (motorbike, sofa) or coco (motorcycle, couch)")
    return text == "coco"


_FIELDS: dict[str, Callable[[str, str], Any]] = {
    "thresh": _fraction,
    "nms": _fraction,
    "classes": _classes,
    "agnostic": _flag,
    "single_class": _flag,
    "max_det": _count,
}
