"""Which of a picture's boxes to report: how sure, of which classes, one class a box or several, how many at most.

Stands between ``decode`` and ``detections``, around ``nms``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from darknet_py.arguments import as_flag, as_integer, as_number, short
from darknet_py.boxes.decode import Candidates
from darknet_py.boxes.nms import Boxes, suppress, suppress_across_classes
from darknet_py.errors import OptionError

__all__ = ["ClassThresholds", "Classes", "Selection", "class_ids", "class_of_text", "select"]

#: A class by its name or number, or several.
Classes: TypeAlias = str | int | Iterable[str | int]

#: Thresholds of some classes, by their names or numbers.
ClassThresholds: TypeAlias = Mapping[str | int, float] | Iterable[tuple[str | int, float]]

#: Names that a message lists before it says how many more there are.
_MOST_LISTED = 20


class Selection(NamedTuple):
    """What a caller wants to have reported of one picture.

    Attributes
    ----------
    thresh, nms : float, in [0, 1]
    classes : tuple of int or None
        The only classes to report; None for all.
    agnostic : bool
        Whether boxes suppress each other whatever their class.
    single_class : bool
        Whether a box counts under its likeliest class alone.
    max_det : int or None
        How many entries to report at most, the most confident ones.
    class_thresh : tuple of (int, float) or None
        Classes that have a threshold of their own instead of `thresh`, lower or higher.
    """

    thresh: float = 0.25
    nms: float = 0.45
    classes: tuple[int, ...] | None = None
    agnostic: bool = False
    single_class: bool = False
    max_det: int | None = None
    class_thresh: tuple[tuple[int, float], ...] | None = None

    @property
    def lowest_thresh(self) -> float:
        """The threshold that ``decode`` needs: other ones are seen to by `select`."""
        return min([self.thresh, *(thresh for _, thresh in self.class_thresh or ())])

    def asking(
        self,
        names: Sequence[str],
        classes: Classes | None,
        agnostic: bool | None,
        single_class: bool | None,
        max_det: int | None,
        class_thresh: ClassThresholds | None,
        thresh: float = 0.25,
        nms: float = 0.45,
    ) -> Selection:
        """The same with what a caller asks for, checked; None leaves an option as it is.

        Raises
        ------
        OptionError
        """
        return Selection(
            as_number("thresh", thresh, high=1),
            as_number("nms", nms, high=1),
            self.classes if classes is None else class_ids(classes, names),
            self.agnostic if agnostic is None else as_flag("agnostic", agnostic),
            self.single_class if single_class is None else as_flag("single_class", single_class),
            self.max_det if max_det is None else as_integer("max_det", max_det, low=1),
            self.class_thresh if class_thresh is None else _thresholds(class_thresh, names),
        )

    def options(self) -> dict[str, Any]:
        """The options, but for thresholds, that are not as they are by default."""
        given, default = self._asdict(), self._field_defaults
        return {name: given[name] for name in self._fields[2:] if given[name] != default[name]}


def select(
    candidates: Candidates, wanted: Selection, *, kind: str, beta: float, boxes: Boxes | None = None
) -> Candidates:
    """Suppress overlapping boxes and keep what is wanted.

    Parameters
    ----------
    candidates : Candidates
        Left untouched.
    wanted : Selection
        Its `lowest_thresh` has been seen to by ``decode``.
    kind, beta, boxes
        As for `suppress`.

    Returns
    -------
    Candidates
        In Darknet's order; with `agnostic`, most confident first.

    Notes
    -----
    1. `single_class` takes all classes of a box but the likeliest, also where that one is not wanted.
    2. NMS within a class does not see the other classes, so `classes` takes entries away after it: what is left is what
       is reported without `classes`, in the same order. NMS across classes sees only what `classes` leaves: a box that
       is not wanted hides none that is.
    3. `class_thresh` comes before all that: an entry below the threshold of its class counts for nothing.
    4. `max_det` counts entries, a box of two classes twice, and takes the first of equally confident ones.
    """
    if wanted.class_thresh is not None:
        candidates = _above_thresholds(candidates, wanted)
    if wanted.single_class:
        candidates = _of_best_class(candidates)
    if wanted.agnostic:
        if wanted.classes is not None:
            candidates = _of_classes(candidates, wanted.classes)
        candidates = suppress_across_classes(candidates, nms=wanted.nms, kind=kind, beta=beta, boxes=boxes)
    else:
        candidates = suppress(candidates, nms=wanted.nms, kind=kind, beta=beta, boxes=boxes)
        if wanted.classes is not None:
            candidates = _of_classes(candidates, wanted.classes)
    return candidates if wanted.max_det is None else _most_confident(candidates, wanted.max_det)


def _above_thresholds(candidates: Candidates, wanted: Selection) -> Candidates:
    thresholds = np.full(candidates.probs.shape[1], wanted.thresh, np.float32)
    for number, thresh in wanted.class_thresh or ():
        if number < len(thresholds):  # names may be more than the classes
            thresholds[number] = thresh
    return replace(candidates, probs=np.where(candidates.probs > thresholds, candidates.probs, np.float32(0)))


def _of_best_class(candidates: Candidates) -> Candidates:
    given = candidates.probs
    probs = np.zeros_like(given)
    if probs.size:
        boxes, best = np.arange(len(given)), given.argmax(axis=1)
        probs[boxes, best] = given[boxes, best]
    return replace(candidates, probs=probs)


def _of_classes(candidates: Candidates, classes: Sequence[int]) -> Candidates:
    probs = np.zeros_like(candidates.probs)
    columns = list(classes)
    probs[:, columns] = candidates.probs[:, columns]
    return replace(candidates, probs=probs)


def _most_confident(candidates: Candidates, count: int) -> Candidates:
    entries = np.flatnonzero(candidates.probs)
    if len(entries) <= count:
        return candidates
    probs = np.array(candidates.probs, order="C")
    flat = probs.reshape(-1)
    flat[entries[np.argsort(-flat[entries], kind="stable")[count:]]] = 0
    return replace(candidates, probs=probs)


def class_of_text(text: str, names: Sequence[str]) -> str | int:
    """A class as it is written in an option: its name or, if none is called so, its number."""
    return int(text) if text not in names and re.fullmatch(r"[0-9]{1,9}", text) else text


def class_ids(classes: Any, names: Sequence[str]) -> tuple[int, ...]:
    """The class numbers meant by one name or number, or by several.

    Parameters
    ----------
    classes : str, int or iterable of them
        A name that several classes have means all of them.
    names : sequence of str
        One per class.

    Returns
    -------
    tuple of int
        Ascending, each once.

    Raises
    ------
    OptionError
        No such class; names those that come close.
    """
    if isinstance(classes, np.ndarray):
        classes = np.atleast_1d(classes).tolist()
    # A string is one name, not its letters.
    wanted = tuple(classes) if isinstance(classes, Iterable) and not isinstance(classes, str | bytes) else (classes,)
    if not wanted:
        raise OptionError("classes is empty: expected at least one name or number; leave it out for all classes")
    return tuple(sorted({number for one in wanted for number in _numbers(one, names)}))


def _thresholds(given: Any, names: Sequence[str]) -> tuple[tuple[int, float], ...]:
    """The number and threshold of each class that has one of its own, ascending."""
    try:
        pairs = [(one, thresh) for one, thresh in (given.items() if isinstance(given, Mapping) else given)]
    except (TypeError, ValueError):
        raise OptionError(
            f"class_thresh={short(given)}: expected thresholds by class, such as {{'person': 0.5}}"
        ) from None
    thresholds: dict[int, float] = {}
    for one, thresh in pairs:
        number = as_number(f"class_thresh of {short(one)}", thresh, high=1)
        thresholds |= dict.fromkeys(_numbers(one, names), number)
    return tuple(sorted(thresholds.items()))


def _numbers(one: Any, names: Sequence[str]) -> list[int]:
    if isinstance(one, str):
        found = [number for number, name in enumerate(names) if name == one]
        if not found:
            raise OptionError(f"classes: no class is called {one!r}: {_suggestion(one, names)}")
        return found
    try:
        number = as_integer("classes", one)
    except OptionError:
        raise OptionError(f"classes: {short(one)}: expected the name of a class or its number") from None
    if not 0 <= number < len(names):
        last = len(names) - 1
        raise OptionError(f"classes: {number}: expected a number from 0 ({names[0]!r}) to {last} ({names[last]!r})")
    return [number]


def _suggestion(name: str, names: Sequence[str]) -> str:
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1 and set(parts) <= set(names):
        return f"expected a list, {parts!r}"
    from difflib import get_close_matches

    folded = {known.casefold(): known for known in names}
    close = [folded[match] for match in get_close_matches(name.casefold(), folded)]
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"expected one of {', '.join(names[:_MOST_LISTED])}{more}"
