"""The ways in which a picture is shown to a network, one after the other, so that objects of all sizes are found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from darknet_py.arguments import short
from darknet_py.errors import OptionError

__all__ = ["FRAME", "LOOKS", "ONCE", "Looks", "as_looks"]

#: "frame": smaller, in a grey frame, for what fills the picture. "whole": as Darknet does. "double": at twice the size
#: of the network's input, for what is small.
LOOKS = ("frame", "whole", "double")

#: What is done unless something else is said.
ONCE = ("whole",)

#: Width of the frame, as a share of the picture's sides, at each of them.
FRAME = 0.3

#: One of `LOOKS`, or several.
Looks: TypeAlias = str | Iterable[str]


def as_looks(looks: Any) -> tuple[str, ...]:
    """The looks that were asked for, each once, in the order of `LOOKS`.

    Raises
    ------
    OptionError
        None, or one that there is not.
    """
    asked = [looks] if isinstance(looks, str) or not isinstance(looks, Iterable) else list(looks)
    for one in asked:
        if not isinstance(one, str) or one not in LOOKS:
            expected = f"expected one or several of {', '.join(LOOKS)}"
            hint = f", as a list: {one.split(',')}" if isinstance(one, str) and "," in one else ""
            raise OptionError(f"looks: {short(one)}: {expected}{hint}")
    if not asked:
        raise OptionError(f"looks is empty: expected one or several of {', '.join(LOOKS)}")
    return tuple(one for one in LOOKS if one in asked)
