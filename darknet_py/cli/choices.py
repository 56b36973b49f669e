"""Which of a picture's boxes to report, as options of the command line."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from darknet_py.boxes.selection import Selection, class_of_text
from darknet_py.cli.options import FRACTION, Count, TextList
from darknet_py.detector import Detector
from darknet_py.errors import OptionError

__all__ = ["Choices", "choice_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Entries of one picture: more than any network has boxes and classes.
_MOST = 10**9


@dataclass(frozen=True)
class Choices:
    """What was asked for, in the words of the command line: names of classes are checked by `selection`."""

    thresh: float
    nms: float
    classes: tuple[str, ...]
    class_thresh: tuple[str, ...]
    agnostic_nms: bool
    single_class: bool
    max_det: int | None

    def options(self, names: Sequence[str]) -> dict[str, Any]:
        """The same as `Detector.detect` takes it."""
        return {
            "thresh": self.thresh,
            "nms": self.nms,
            "classes": [class_of_text(text, names) for text in self.classes] or None,
            "class_thresh": dict(_threshold(text, names) for text in self.class_thresh) or None,
            "agnostic": self.agnostic_nms,
            "single_class": self.single_class,
            "max_det": self.max_det,
        }

    def selection(self, detector: Detector) -> Selection:
        """The same, checked against the model's classes.

        Raises
        ------
        OptionError
            No such class.
        """
        return detector.selection(**self.options(detector.names))


def choice_options(command: _Command) -> _Command:
    """Add the options; the command gets them as `choices`."""

    @functools.wraps(command)
    def gathered(*args: Any, **given: Any) -> Any:
        choices = Choices(**{name: given.pop(name) for name in Choices.__dataclass_fields__})
        return command(*args, choices=choices, **given)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


_OPTIONS = (
    click.option("--thresh", default=0.25, **FRACTION, help="Lowest confidence."),
    click.option("--nms", default=0.45, **FRACTION, help="Largest overlap of boxes."),
    click.option("--classes", metavar="LIST", type=TextList(), default=(), help="Report these classes alone, such as "
                 "person,car or 0,2."),
    click.option("--class-thresh", metavar="LIST", type=TextList(), default=(), help="Lowest confidence of some "
                 "classes, such as person=0.6,car=0.4, instead of --thresh."),
    click.option("--agnostic-nms", is_flag=True, help="Let boxes suppress each other whatever their class."),
    click.option("--single-class", is_flag=True, help="Count each box under its likeliest class alone."),
    click.option("--max-det", metavar="N", type=Count(1, _MOST), help="Report the N most confident at most."),
)  # fmt: skip


def _threshold(text: str, names: Sequence[str]) -> tuple[str | int, float]:
    name, sign, number = text.rpartition("=")
    try:
        thresh = float(number)
    except ValueError:
        thresh = math.nan
    if not sign or not 0 <= thresh <= 1:
        raise OptionError(f"--class-thresh {text!r}: expected CLASS=NUMBER with a number from 0 to 1, as in person=0.6")
    return class_of_text(name.strip(), names), thresh
